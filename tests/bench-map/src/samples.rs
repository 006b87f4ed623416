//! The events that are mapped, in three sizes.
//!
//! The plugin's own fixtures are leaner than anything that GitHub sends: 2.7 KiB, where a
//! repository and a sender alone are 7. They are kept as the row that shows what a call
//! costs whatever its payload. The full-size pull request and the example payloads that
//! GitHub's own library is tested with are what a host really maps.

use std::path::Path;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tidegate_core::event::{BodyAuthenticated, Event};
use tidegate_core::mapping::Mapped;
use tidegate_core::ports::Mapper as _;
use tidegate_core::time::Timestamp;
use tidegate_sdk::testing::load_fixtures;

use crate::{call, native};

/// The fixture that is as large as what GitHub really sends.
const FULL_SIZE: &str = "pull_request_full_size";

/// The events of one row; there is at least one, and all of them map.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) events: Vec<Event>,
}

impl Sample {
    pub(crate) fn mean_body_bytes(&self) -> usize {
        let all: usize = self.events.iter().map(|event| event.body.len()).sum();
        all / self.events.len().max(1)
    }
}

/// All fixtures that map, and the one of full size.
pub(crate) fn fixtures(folder: &Path) -> anyhow::Result<Vec<Sample>> {
    let mut all = Vec::new();
    let mut full_size = Vec::new();
    for fixture in load_fixtures(folder)? {
        let event = event(&fixture.webhook)?;
        if !maps(&event) {
            continue;
        }
        if fixture.name == FULL_SIZE {
            full_size.push(event.clone());
        }
        all.push(event);
    }
    ensure!(
        full_size.len() == 1 && all.len() > 10,
        "{} fixtures map, {} of them of full size",
        all.len(),
        full_size.len()
    );
    Ok(vec![
        Sample {
            name: "all fixtures",
            events: all,
        },
        Sample {
            name: "full-size pull request",
            events: full_size,
        },
    ])
}

/// The example payloads that map, none where `index` is not there: the test command
/// installs it. Each comes with the headers of `like`, and with its own event type.
pub(crate) fn examples(index: &Path, like: &Sample) -> anyhow::Result<Option<Sample>> {
    #[derive(Deserialize)]
    struct Kind {
        name: String,
        examples: Vec<Box<RawValue>>,
    }

    if !index.exists() {
        return Ok(None);
    }
    let what = || format!("could not read the examples in {}", index.display());
    let text = std::fs::read(index).with_context(what)?;
    let kinds: Vec<Kind> = serde_json::from_slice(&text).with_context(what)?;
    let like = like.events.first().context("no event to go by")?;
    let mut events = Vec::new();
    for Kind { name, examples } in kinds {
        for example in examples {
            let mut event = like.clone();
            event.body = compact(example.get()).into();
            for (header, value) in &mut event.headers {
                if header.eq_ignore_ascii_case("x-github-event") {
                    *value = Bytes::from(name.clone());
                }
            }
            events.extend(maps(&event).then_some(event));
        }
    }
    ensure!(!events.is_empty(), "none of the examples maps");
    Ok(Some(Sample {
        name: "GitHub's examples",
        events,
    }))
}

/// JSON as GitHub sends it, without the space between its parts; keys keep their order.
fn compact(json: &str) -> Vec<u8> {
    let (mut in_text, mut escaped) = (false, false);
    let keep = |byte: &u8| {
        if in_text {
            in_text = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            return true;
        }
        in_text = *byte == b'"';
        !byte.is_ascii_whitespace()
    };
    json.bytes().filter(keep).collect()
}

fn maps(event: &Event) -> bool {
    let report = native::Native.map(&call(event, 1));
    matches!(report.answer, Ok(Mapped::Mapping(_)))
}

fn event(webhook: &tidegate_sdk::Webhook) -> anyhow::Result<Event> {
    let headers = webhook.headers.iter();
    Ok(Event {
        connection: "github/acme".parse()?,
        partner_id: webhook.event_id.clone(),
        received: Timestamp::from_micros(webhook.received_at.as_micros()),
        method: webhook.method.clone(),
        path: webhook.path.clone(),
        query: webhook.query.clone(),
        headers: headers
            .map(|header| (header.name.clone(), Bytes::copy_from_slice(&header.value)))
            .collect(),
        body: Bytes::copy_from_slice(&webhook.body),
        body_authenticated: BodyAuthenticated::Full,
    })
}

#[cfg(test)]
mod tests {
    use super::compact;

    #[track_caller]
    fn check(json: &str, expect: &str) {
        assert_eq!(String::from_utf8_lossy(&compact(json)), expect);
    }

    #[test]
    fn only_space_between_parts_goes() {
        check("{ \"a\" : [1,\n 2] }", "{\"a\":[1,2]}");
        check(r#"{"a b": "c \" d"}"#, r#"{"a b":"c \" d"}"#);
        check(r#"["\\" , "x y\\\\", "z "]"#, r#"["\\","x y\\\\","z "]"#);
    }
}

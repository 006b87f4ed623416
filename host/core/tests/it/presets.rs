//! The built-in presets against the partners' own vectors.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::Value;
use tidegate_core::event::BodyAuthenticated;
use tidegate_core::signature::{Preset, explain, verify};
use tidegate_core::time::Timestamp;

use crate::vectors::{judge, keys, load, request, text};

#[test]
fn each_preset_agrees_with_the_vectors_of_its_partner() {
    let vectors = load();
    let mut differing = Vec::new();
    let mut count = 0;
    for case in &vectors.cases {
        let partner = text(case, "partner");
        let preset = Preset::find(partner).unwrap_or_else(|| panic!("no preset of {partner}"));
        if text(case, "binding") != "must" {
            continue;
        }
        count += 1;
        if let Err(difference) = judge(preset.scheme(), case) {
            differing.push(format!("{}: {difference}", text(case, "name")));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert_eq!(count, 589);
}

/// Requests of partners that the published vectors leave out.
fn table() -> Vec<Value> {
    let text = include_str!("../../../../tests/vectors/table.json");
    let document: Value = serde_json::from_str(text).unwrap();
    document["vectors"].as_array().unwrap().clone()
}

#[test]
fn each_preset_agrees_with_what_the_table_says() {
    let cases = table();
    for case in &cases {
        let preset = Preset::find(text(case, "partner")).unwrap();
        let name = text(case, "name");
        assert_eq!(judge(preset.scheme(), case), Ok(()), "{name}");
        if preset.scheme().body_authenticated() == BodyAuthenticated::Full {
            let mut changed = case.clone();
            changed["expected"] = "reject".into();
            let body = STANDARD.decode(text(case, "body_base64")).unwrap();
            changed["body_base64"] = STANDARD.encode([&body, b" ".as_slice()].concat()).into();
            assert_eq!(judge(preset.scheme(), &changed), Ok(()), "{name}");
        }
        // Another secret is refused, whatever the scheme.
        let mut foreign = case.clone();
        foreign["expected"] = "reject".into();
        if let Some(secret) = foreign.pointer_mut("/secrets/0") {
            *secret = "00aa:other".into();
            foreign["secrets"].as_array_mut().unwrap().truncate(1);
            if matches!(text(case, "partner"), "onfleet" | "adyen-platform") {
                foreign["secrets"][0] = "00aa".into();
            }
            if text(case, "partner") == "gitlab-signed" {
                foreign["secrets"][0] = "whsec_AAAA".into();
            }
            assert_eq!(judge(preset.scheme(), &foreign), Ok(()), "{name}");
        }
    }
}

/// Built by code of their own, and tested with it: certificates, structured fields.
const TESTED_ELSEWHERE: [&str; 4] = ["atlassian-connect", "mailchannels", "paypal", "rfc9421"];

#[test]
fn each_preset_is_tried_with_a_request() {
    let vectors = load();
    let tried: BTreeSet<String> = vectors
        .cases
        .iter()
        .chain(&table())
        .map(|case| {
            Preset::find(text(case, "partner"))
                .unwrap()
                .name()
                .to_owned()
        })
        .collect();
    let untried: Vec<_> = Preset::all()
        .iter()
        .map(Preset::name)
        .filter(|name| !tried.contains(*name))
        .collect();
    assert_eq!(untried, TESTED_ELSEWHERE);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever stands in a header, the query or the body is refused or accepted, and
    /// explained.
    #[test]
    fn any_bytes_are_judged(
        index in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        header in prop::collection::vec(any::<u8>(), 0..48),
        structured in r#"[a-z0-9=,;:"()*?.\\ -]{0,48}"#,
        body in prop::option::of(prop::collection::vec(any::<u8>(), 0..48)),
        query in prop::option::of("[ -~]{0,24}"),
    ) {
        let cases = table();
        let case = index.get(&cases);
        let preset = Preset::find(text(case, "partner")).unwrap();
        let keys = keys(preset.scheme(), case);
        let now = Timestamp::from_secs(case["now"].as_i64().unwrap());
        for value in [header.as_slice(), structured.as_bytes()] {
            let mut raw = request(case);
            if !raw.headers.is_empty() {
                let at = at.index(raw.headers.len());
                raw.headers[at].1 = bytes::Bytes::copy_from_slice(value);
            }
            if let Some(body) = &body {
                raw.body = body.clone().into();
            }
            if let Some(query) = &query {
                raw.query.clone_from(query);
                raw.url = raw.url.map(|url| format!("{url}?{query}"));
            }
            let explained = explain(&raw, preset.scheme(), &keys, None, now);
            let verdict = verify(raw, preset.scheme(), &keys, None, now);
            prop_assert_eq!(verdict.err(), explained.verdict.err());
        }
    }
}

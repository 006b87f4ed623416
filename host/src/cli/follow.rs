//! Following the change log: Server-Sent Events that continue where they broke off.
//!
//! The cursor moves with each change that was written out, so that a broken stream
//! neither misses nor repeats one. The first connection has to succeed; later ones are
//! tried again for as long as it takes, and each break is told on stderr. Ends on Ctrl-C
//! and when nobody reads the output any more.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::Method;
use hyper::body::{Body, Bytes};
use hyper::header::ACCEPT;
use serde_json::Value;

use super::api::Api;
use super::changes;
use super::error::{CliError, report};
use super::output::{Output, plain};
use super::query::Query;
use super::sse::{StreamEvent, StreamReader};

/// The waits between attempts to connect again; the last one repeats.
const BACKOFF: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// A stream that is silent for longer, heartbeats included, is dead.
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// Follows until Ctrl-C.
pub(super) fn run(
    api: &Api,
    query: &Query,
    since: u64,
    output: &mut Output,
) -> Result<(), CliError> {
    api.block_on(async {
        tokio::select! {
            ended = follow(api, query, since, output) => ended,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
}

async fn follow(api: &Api, query: &Query, since: u64, output: &mut Output) -> Result<(), CliError> {
    let mut reader = Reader {
        cursor: since.to_string(),
        connected: false,
        failures: 0,
    };
    if !output.json() {
        output.line(changes::line_head())?;
    }
    loop {
        let error = match reader.stream(api, query, output).await {
            Ok(()) => "the host ended the stream".to_owned(),
            Err(error) if reader.connected && is_passing(&error) => brief(&error),
            Err(error) => return Err(error),
        };
        let wait = BACKOFF
            .get(reader.failures)
            .or(BACKOFF.last())
            .copied()
            .unwrap_or_default();
        reader.failures += 1;
        output.note(format_args!(
            "{error}; continuing after change {} in {:.1} s",
            plain(&reader.cursor),
            wait.as_secs_f32()
        ));
        tokio::time::sleep(wait).await;
    }
}

struct Reader {
    /// The last change that was written out.
    cursor: String,
    /// Whether the host has answered once.
    connected: bool,
    /// Breaks since the last change or heartbeat.
    failures: usize,
}

impl Reader {
    /// Reads one stream to its end.
    async fn stream(
        &mut self,
        api: &Api,
        query: &Query,
        output: &mut Output,
    ) -> Result<(), CliError> {
        let since = query.clone().with("since", &self.cursor);
        let id = ("last-event-id", self.cursor.clone());
        let headers = [
            (ACCEPT, "text/event-stream"),
            (hyper::header::HeaderName::from_static(id.0), &id.1),
        ];
        let response = api.open(Method::GET, &since, &headers).await?;
        self.connected = true;
        self.drain(response.into_body(), output).await
    }

    async fn drain<B>(&mut self, mut body: B, output: &mut Output) -> Result<(), CliError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let url = || "the stream".to_owned();
        let mut events = StreamReader::default();
        loop {
            let frame = tokio::time::timeout(SILENCE_MAX, body.frame())
                .await
                .map_err(|_| CliError::Slow {
                    url: url(),
                    seconds: SILENCE_MAX.as_secs(),
                })?;
            let Some(frame) = frame else { return Ok(()) };
            let frame = frame.map_err(|source| CliError::BrokenOff {
                url: url(),
                source: source.into(),
            })?;
            let Some(bytes) = frame.data_ref() else {
                continue;
            };
            self.failures = 0;
            let read = events.push(bytes);
            let read = read.map_err(|error| CliError::Foreign {
                url: url(),
                what: error.to_string(),
            })?;
            for event in read {
                self.take(&event, output)?;
            }
        }
    }

    fn take(&mut self, event: &StreamEvent, output: &mut Output) -> Result<(), CliError> {
        if event.kind == "change" {
            if output.json() {
                output.line(&event.data)?;
            } else {
                let change: Value = serde_json::from_str(&event.data).unwrap_or_default();
                output.line(plain(&changes::line(&change)))?;
            }
        }
        if let Some(id) = &event.id {
            self.cursor.clone_from(id);
        }
        Ok(())
    }
}

/// Whether the same request may work later.
fn is_passing(error: &CliError) -> bool {
    match error {
        CliError::Unreachable { .. } | CliError::BrokenOff { .. } | CliError::Slow { .. } => true,
        CliError::Refused { problem, .. } => problem.status >= 500 || problem.status == 429,
        _ => false,
    }
}

/// The error and its causes in one line.
fn brief(error: &CliError) -> String {
    let text = report(error);
    let lines = text.lines().take_while(|line| !line.starts_with("hint:"));
    let words: Vec<_> = lines
        .map(|line| line.trim_start().trim_start_matches("error: "))
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::super::output::capture;
    use super::*;

    fn drain(stream: &'static str) -> (Result<(), CliError>, String) {
        let mut reader = Reader {
            cursor: "7".into(),
            connected: true,
            failures: 3,
        };
        let (mut output, ..) = capture::output(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let body = Full::new(Bytes::from_static(stream.as_bytes()));
        let ended = runtime.block_on(reader.drain(body, &mut output));
        (ended, reader.cursor)
    }

    #[test]
    fn the_cursor_is_the_last_whole_change() {
        let (ended, cursor) = drain("id: 8\nevent: change\ndata: {}\n\nid: 9\nevent: cha");
        assert!(ended.is_ok());
        assert_eq!(cursor, "8");
    }

    #[test]
    fn heartbeats_do_not_move_it() {
        assert_eq!(drain(": still here\n\n: still here\n\n").1, "7");
    }

    #[test]
    fn breaks_are_told_in_one_line() {
        let source = Box::new(std::io::Error::new(
            std::io::ErrorKind::ConnectionRefused,
            "refused",
        ));
        let error = CliError::Unreachable {
            url: "http://h".into(),
            source,
        };
        assert!(is_passing(&error));
        assert_eq!(
            brief(&error),
            "could not reach the operator API at http://h, because: refused"
        );
    }
}

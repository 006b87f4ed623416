//! Plays webhooks at a mapping natively, without WebAssembly and without a host.
//!
//! A connector keeps pairs of files beside its code: `fixtures/<name>.in.json` is a
//! request, `fixtures/<name>.out.json` what the mapping makes of it. One test plays them
//! all:
//!
//! ```no_run
//! # use std::borrow::Cow;
//! # use tidegate_sdk::{Connection, Describer, Failure, Mapper, Outcome, Webhook, testing};
//! # struct Tides;
//! # impl Describer for Tides {
//! #     fn descriptor() -> Cow<'static, str> { "{}".into() }
//! # }
//! # impl Mapper for Tides {
//! #     fn map_webhook(_: &Connection, _: &Webhook) -> Result<Outcome, Failure> {
//! #         Ok(Outcome::skip("ebb"))
//! #     }
//! # }
//! #[test]
//! fn fixtures() {
//!     testing::check_fixtures::<Tides>("fixtures");
//! }
//! ```
//!
//! `TIDEGATE_WRITE_FIXTURES=1 cargo test` writes the `.out.json` files anew; review the
//! difference before it is committed.
//!
//! A request is `{"method": "POST", "headers": {"name": "value"}, "body": …}`, where the
//! body is JSON (sent without the file's white space, order kept) or a string (sent as it
//! is). The method may be left out. An expectation is one of
//!
//! - `{"changes": [{"kind", "id", "operation", "version", "occurred_at", "data"}]}`, with
//!   `revision`, `fetch` and `poll_now` only where the mapping gave them,
//! - `{"skip": "reason"}`,
//! - `{"failure": {"permanent": "reason"}}`.

mod bounds;
mod expectation;
mod fixture;

use crate::{BodyAuthenticated, Connection, Header, Timestamp, Webhook};

pub use expectation::outcome_json;
pub use fixture::{Fixture, FixtureError, WRITE_FIXTURES, check_fixtures, load_fixtures};

/// When every test webhook is received: 2024-05-01T12:00:00Z.
pub const RECEIVED_AT: Timestamp = Timestamp::from_micros(1_714_564_800_000_000);

/// A POST with these headers and this body, received at [`RECEIVED_AT`]. Names are put in
/// lower case, as the host does.
pub fn webhook(headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Webhook {
    Webhook {
        event_id: "evt_test".to_owned(),
        received_at: RECEIVED_AT,
        method: "POST".to_owned(),
        path: Vec::new(),
        query: String::new(),
        headers: headers
            .iter()
            .map(|(name, value)| Header {
                name: name.to_ascii_lowercase(),
                value: value.as_bytes().to_vec(),
            })
            .collect(),
        body: body.into(),
        body_authenticated: BodyAuthenticated::Full,
    }
}

/// The connection `test` of a connector, without settings.
pub fn connection(connector: &str) -> Connection {
    Connection {
        connector: connector.to_owned(),
        account: "test".to_owned(),
        base_url: None,
        settings: b"{}".to_vec(),
    }
}

/// Bytes as the value of a form field, for bodies as
/// [`Webhook::form_field`] reads them.
pub fn form_encode(value: impl AsRef<[u8]>) -> String {
    crate::form::encode(value.as_ref())
}

//! Takes one webhook request in: verify → event key → durable.
//!
//! Not a byte of the body is looked at before the signature over it verified, and
//! nothing is answered before the store has it. A refusal leaves nothing behind.

use tidegate_core::descriptor::AccountRule;
use tidegate_core::event::{Accepted, Event};
use tidegate_core::ids::{AccountName, ConnectionId, ConnectorName};
use tidegate_core::ports::{Journal, NotStored};
use tidegate_core::signature::{
    EventIdRule, FetchedKey, KeySet, RawRequest, Refusal, Scheme, VerifiedRequest, Waiver,
    event_id, verify,
};
use tidegate_core::time::Timestamp;

/// What opens a path.
#[derive(Debug)]
pub enum Door {
    /// A proof: how requests are signed, and with which keys.
    Signed {
        /// How they are signed.
        scheme: Scheme,
        /// With what.
        keys: KeySet,
    },
    /// A waiver of the policy: no proof, for a while.
    Waived {
        /// The waiver.
        waiver: Waiver,
        /// Where the partner's id of an event is.
        event_id: EventIdRule,
    },
}

impl Door {
    /// How its requests are signed; none where a waiver does without.
    pub const fn scheme(&self) -> Option<&Scheme> {
        match self {
            Self::Signed { scheme, .. } => Some(scheme),
            Self::Waived { .. } => None,
        }
    }

    fn open(
        &self,
        raw: RawRequest,
        fetched: Option<&FetchedKey>,
        now: Timestamp,
    ) -> Result<VerifiedRequest, Refusal> {
        match self {
            Self::Signed { scheme, keys } => verify(raw, scheme, keys, fetched, now),
            Self::Waived { waiver, .. } => waiver.admit(raw, now),
        }
    }

    const fn event_id(&self) -> &EventIdRule {
        match self {
            Self::Signed { scheme, .. } => scheme.event_id(),
            Self::Waived { event_id, .. } => event_id,
        }
    }
}

/// What was made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingested {
    /// Whose events they are.
    pub connection: ConnectionId,
    /// One answer each.
    pub accepted: Vec<Accepted>,
}

/// Whose event it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The path says so.
    Connection(ConnectionId),
    /// The request says so, once it is verified.
    ByAccount {
        /// The connector that all of them belong to.
        connector: ConnectorName,
        /// Where the account stands; none where nothing says so.
        rule: Option<AccountRule>,
    },
}

/// Why a request was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Its signature did not verify.
    #[error("the request was refused")]
    Refused(#[source] Refusal),
    /// It could not be made durable.
    #[error("the event could not be stored")]
    NotStored(#[source] NotStored),
}

/// Verifies one request and makes its event durable. `now` is when it had arrived whole.
pub async fn ingest<J: Journal>(
    raw: RawRequest,
    door: &Door,
    fetched: Option<&FetchedKey>,
    address: &Address,
    journal: &J,
    now: Timestamp,
) -> Result<Ingested, IngestError> {
    let verified = door.open(raw, fetched, now).map_err(IngestError::Refused)?;
    let connection = connection(&verified, address);
    let event = event(verified, door.event_id(), connection.clone());
    let accepted = journal
        .accept(vec![event])
        .await
        .map_err(IngestError::NotStored)?;
    Ok(Ingested {
        connection,
        accepted,
    })
}

fn event(verified: VerifiedRequest, rule: &EventIdRule, connection: ConnectionId) -> Event {
    let partner_id = event_id(&verified, rule).into_string();
    let (received, body_authenticated) = (verified.received(), verified.body_authenticated());
    let parts = verified.into_parts();
    Event {
        connection,
        partner_id,
        received,
        method: parts.method,
        path: parts.path,
        query: parts.query,
        headers: parts.headers,
        body: parts.body,
        body_authenticated,
    }
}

fn connection(verified: &VerifiedRequest, address: &Address) -> ConnectionId {
    match address {
        Address::Connection(id) => id.clone(),
        Address::ByAccount { connector, rule } => {
            let account = rule
                .as_ref()
                .and_then(|rule| rule.find(verified))
                .and_then(|account| account.parse().ok())
                .unwrap_or_else(AccountName::unknown);
            ConnectionId {
                connector: connector.clone(),
                account,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;
    use tidegate_core::descriptor::Descriptor;
    use tidegate_core::ids::EventId;
    use tidegate_core::ports::Completion;
    use tidegate_core::signature::Secret;
    use tidegate_core::sink::SinkAdvance;

    use super::*;

    /// Keeps what it is given, unless told to refuse.
    #[derive(Default)]
    struct Shelf {
        events: Mutex<Vec<Event>>,
        refusal: Option<NotStored>,
    }

    impl Journal for Shelf {
        async fn accept(&self, events: Vec<Event>) -> Result<Vec<Accepted>, NotStored> {
            if let Some(refusal) = &self.refusal {
                return Err(refusal.clone());
            }
            self.events.lock().unwrap().extend(events);
            Ok(vec![Accepted {
                id: EventId::new(1),
                duplicate: false,
                body_differs: false,
            }])
        }

        async fn complete(&self, _: Completion) -> Result<(), NotStored> {
            Err(NotStored::ShuttingDown)
        }

        async fn advance(&self, _: SinkAdvance) -> Result<(), NotStored> {
            Err(NotStored::ShuttingDown)
        }
    }

    /// A shared token in a header: the smallest scheme there is.
    const DESCRIPTOR: &str = r#"{
        "descriptor": 1, "name": "tide", "title": "Tide", "entities": [], "hosts": [],
        "scheme": {
            "algorithm": "shared-token", "key": "utf8",
            "signature": { "in": "header", "name": "X-Token" },
            "event_id": { "in": "header", "name": "X-Delivery" },
            "body_authenticated": "none"
        },
        "account": { "in": "json", "pointer": "/org/login" }
    }"#;

    fn descriptor() -> Descriptor {
        Descriptor::parse(DESCRIPTOR.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn door() -> Door {
        let scheme = descriptor().scheme().unwrap().clone();
        let secret = Secret::new(b"open sesame".to_vec()).unwrap();
        let keys = KeySet::prepare(&scheme, [secret]).unwrap();
        Door::Signed { scheme, keys }
    }

    fn request(token: &str, body: &'static str) -> RawRequest {
        RawRequest {
            method: "POST".into(),
            url: None,
            path: Vec::new(),
            query: String::new(),
            headers: vec![
                ("x-token".into(), Bytes::from(token.to_owned())),
                ("x-delivery".into(), Bytes::from_static(b"d-1")),
            ],
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    fn by_account() -> Address {
        Address::ByAccount {
            connector: "tide".parse().unwrap(),
            rule: descriptor().account().cloned(),
        }
    }

    #[track_caller]
    fn check(shelf: &Shelf, raw: RawRequest, address: &Address, expect: &str) {
        let now = Timestamp::from_secs(100);
        let door = door();
        let mut context = Context::from_waker(Waker::noop());
        let future = ingest(raw, &door, None, address, shelf, now);
        let Poll::Ready(answer) = pin!(future).poll(&mut context) else {
            panic!("the flow waited for something")
        };
        let got = match answer {
            Ok(_) => shelf.events.lock().unwrap().pop().map_or_else(
                || "nothing kept".to_owned(),
                |event| format!("{} {}", event.connection, event.partner_id),
            ),
            Err(IngestError::Refused(refusal)) => format!("refused: {}", refusal.code()),
            Err(IngestError::NotStored(error)) => format!("not stored: {error}"),
        };
        assert_eq!(got, expect);
        assert!(
            shelf.events.lock().unwrap().is_empty(),
            "something else was kept"
        );
    }

    #[test]
    fn what_verifies_is_kept_under_its_partners_id() {
        let address = Address::Connection("tide/acme".parse().unwrap());
        check(
            &Shelf::default(),
            request("open sesame", "{}"),
            &address,
            "tide/acme d-1",
        );
    }

    #[test]
    fn what_does_not_verify_leaves_nothing() {
        check(
            &Shelf::default(),
            request("guess", "{}"),
            &by_account(),
            "refused: no_match",
        );
    }

    #[test]
    fn the_account_comes_from_the_verified_request_or_is_unknown() {
        let named = request("open sesame", r#"{"org":{"login":"acme"}}"#);
        check(&Shelf::default(), named, &by_account(), "tide/acme d-1");
        let nameless = request("open sesame", "not even JSON");
        check(
            &Shelf::default(),
            nameless,
            &by_account(),
            "tide/unknown d-1",
        );
        let unusable = request("open sesame", r#"{"org":{"login":"a/b"}}"#);
        check(
            &Shelf::default(),
            unusable,
            &by_account(),
            "tide/unknown d-1",
        );
    }

    #[test]
    fn what_is_not_durable_is_not_accepted() {
        let shelf = Shelf {
            refusal: Some(NotStored::DiskLow),
            ..Shelf::default()
        };
        let expect = "not stored: free disk is below the reserve";
        check(&shelf, request("open sesame", "{}"), &by_account(), expect);
    }
}

//! Takes one webhook request in: handshakes, verify → event keys → durable.
//!
//! Not a byte of the body is looked at before the signature over it verified, and
//! nothing is answered before the store has it. A refusal leaves nothing behind. What a
//! handshake comes to is handed back undone: whoever calls stores, fetches and answers.

use tidegate_core::descriptor::AccountRule;
use tidegate_core::event::{Accepted, Event};
use tidegate_core::ids::{AccountName, ConnectionId, ConnectorName};
use tidegate_core::ports::{Journal, NotStored, PollWishes};
use tidegate_core::signature::{
    EventIdRule, EventPart, FetchedKey, Handshake, HandshakeState, KeySet, KeySource, Outcome,
    RawRequest, Refusal, RequestParts, Scheme, SplitError, VerifiedRequest, Waiver, event_id,
    events_of, verify,
};
use tidegate_core::time::Timestamp;

/// What opens a path.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every door is of the large kind, and there is one a path"
)]
pub enum Door {
    /// A proof: how requests are signed, with which keys, and what is answered to handshakes.
    Signed {
        /// How they are signed.
        scheme: Scheme,
        /// With what.
        keys: KeySet,
        /// The handshakes that are answered, and no others.
        handshakes: Vec<Handshake>,
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

    /// The handshakes that are answered at it.
    pub fn handshakes(&self) -> &[Handshake] {
        match self {
            Self::Signed { handshakes, .. } => handshakes,
            Self::Waived { .. } => &[],
        }
    }

    /// What a request comes to before its signature is looked at; none where that decides.
    /// Only POST and PUT carry events.
    pub fn unsigned(
        &self,
        raw: &RawRequest,
        state: &HandshakeState,
        now: Timestamp,
    ) -> Option<Outcome> {
        match self {
            Self::Signed {
                keys, handshakes, ..
            } => Handshake::before(handshakes, raw, state, keys, now),
            Self::Waived { .. } => {
                let carries_event = matches!(&*raw.method, "POST" | "PUT");
                (!carries_event).then_some(Outcome::Refuse { status: 405 })
            }
        }
    }

    /// The key that has to be fetched before a request can be verified, where one has.
    pub fn wanted_key(&self, raw: &RawRequest) -> Result<Option<KeySource>, Refusal> {
        match self {
            Self::Signed { scheme, keys, .. } => keys.wanted_key(scheme, raw),
            Self::Waived { .. } => Ok(None),
        }
    }

    fn open(
        &self,
        raw: RawRequest,
        fetched: Option<&FetchedKey>,
        now: Timestamp,
    ) -> Result<VerifiedRequest, Refusal> {
        match self {
            Self::Signed { scheme, keys, .. } => verify(raw, scheme, keys, fetched, now),
            Self::Waived { waiver, .. } => waiver.admit(raw, now),
        }
    }

    fn signed(&self, verified: &VerifiedRequest, now: Timestamp) -> Option<Outcome> {
        match self {
            Self::Signed {
                scheme,
                keys,
                handshakes,
            } => Handshake::after(handshakes, verified, scheme, keys, now),
            Self::Waived { .. } => None,
        }
    }

    fn parts(&self, verified: &VerifiedRequest) -> Result<Vec<EventPart>, SplitError> {
        match self {
            Self::Signed { scheme, .. } => events_of(verified, scheme),
            Self::Waived { event_id: rule, .. } => Ok(vec![EventPart {
                id: event_id(verified, rule),
                body: verified.body().clone(),
            }]),
        }
    }
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

/// A request that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingested {
    /// Whose it is.
    pub connection: ConnectionId,
    /// The position of the secret that it was verified with, from 1; none where it was a
    /// fetched key, or nothing.
    pub matched: Option<usize>,
    /// What it was.
    pub was: Was,
}

/// What a request was that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Was {
    /// Events, durable now: one answer each. None where it reports nothing.
    Events(Vec<Accepted>),
    /// A thin ping: that its connection is to be polled is durable now.
    Ping,
    /// A handshake that its signature guards; nothing of it is done yet.
    Handshake(Outcome),
}

/// Why a request was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Its signature did not verify.
    #[error("the request was refused")]
    Refused(#[source] Refusal),
    /// It verified, and holds more events than are taken at once.
    #[error("the request could not be taken apart")]
    NotSplit(#[source] SplitError),
    /// It could not be made durable.
    #[error("the event could not be stored")]
    NotStored(#[source] NotStored),
}

/// Verifies one request, with the key that was fetched for it where one was wanted, and makes
/// its events durable, all or none. `now` is when it had arrived whole.
pub async fn ingest<J: Journal + PollWishes>(
    raw: RawRequest,
    door: &Door,
    fetched: Option<&FetchedKey>,
    address: &Address,
    journal: &J,
    now: Timestamp,
) -> Result<Ingested, IngestError> {
    let verified = door.open(raw, fetched, now).map_err(IngestError::Refused)?;
    let connection = connection(&verified, address);
    let matched = verified.matched();
    let was = match door.signed(&verified, now) {
        Some(Outcome::PollWish) => {
            let wished = journal.wish_poll(connection.clone()).await;
            wished.map_err(IngestError::NotStored)?;
            Was::Ping
        }
        Some(outcome) => Was::Handshake(outcome),
        None => {
            let parts = door.parts(&verified).map_err(IngestError::NotSplit)?;
            let events = events(verified, parts, &connection);
            let accepted = if events.is_empty() {
                Vec::new()
            } else {
                let accepted = journal.accept(events).await;
                accepted.map_err(IngestError::NotStored)?
            };
            Was::Events(accepted)
        }
    };
    Ok(Ingested {
        connection,
        matched,
        was,
    })
}

/// The events of a request. What they share is copied for all but the last.
fn events(
    verified: VerifiedRequest,
    parts: Vec<EventPart>,
    connection: &ConnectionId,
) -> Vec<Event> {
    let (received, body_authenticated) = (verified.received(), verified.body_authenticated());
    let head = verified.into_parts();
    let event = |part: EventPart, head: RequestParts| Event {
        connection: connection.clone(),
        partner_id: part.id.into_string(),
        received,
        method: head.method,
        path: head.path,
        query: head.query,
        headers: head.headers,
        body: part.body,
        body_authenticated,
    };
    let mut parts = parts.into_iter();
    let last = parts.next_back();
    let mut events: Vec<Event> = parts.map(|part| event(part, head.clone())).collect();
    events.extend(last.map(|part| event(part, head)));
    events
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
        wishes: Mutex<Vec<ConnectionId>>,
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

    impl PollWishes for Shelf {
        async fn wish_poll(&self, connection: ConnectionId) -> Result<(), NotStored> {
            self.wishes.lock().unwrap().push(connection);
            Ok(())
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
        Door::Signed {
            scheme,
            keys,
            handshakes: descriptor().handshakes().to_vec(),
        }
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
            Err(IngestError::NotSplit(error)) => format!("not split: {error}"),
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

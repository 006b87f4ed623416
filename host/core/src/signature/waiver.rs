//! A waiver: what lets a connection's requests in without verification, for a while.
//!
//! It stands in the policy, with a reason and an end, and is the only way to a
//! [`VerifiedRequest`] beside [`verify`](super::verify()): nothing a plugin, a preset or a
//! connection says can make one. What it lets in vouches for nothing, and says so.

use super::refusal::Refusal;
use super::request::{RawRequest, VerifiedRequest};
use crate::ids::ConnectionId;
use crate::time::Timestamp;

/// Lets a connection's requests in without verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// Whose requests.
    pub connection: ConnectionId,
    /// Why, for whoever reads the policy.
    pub reason: String,
    /// The first instant at which it is over.
    pub until: Timestamp,
}

impl Waiver {
    /// Whether it is in force at that instant.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// Lets a request in, while it is in force. Credentials in it are taken out all the same.
    pub fn admit(&self, raw: RawRequest, now: Timestamp) -> Result<VerifiedRequest, Refusal> {
        if self.holds_at(now) {
            Ok(VerifiedRequest::unproven(raw, now))
        } else {
            Err(Refusal::WaiverOver)
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::BodyAuthenticated;

    fn admit(at: i64) -> Result<VerifiedRequest, Refusal> {
        let waiver = Waiver {
            connection: "erp/acme".parse().unwrap(),
            reason: "they cannot sign yet".into(),
            until: Timestamp::from_secs(100),
        };
        let raw = RawRequest {
            method: "POST".into(),
            url: None,
            path: vec![],
            query: String::new(),
            headers: vec![(
                "authorization".into(),
                Bytes::from_static(b"Bearer hunter2"),
            )],
            body: Bytes::from_static(b"{}"),
        };
        waiver.admit(raw, Timestamp::from_secs(at))
    }

    #[test]
    fn it_lets_in_until_its_end_and_vouches_for_nothing() {
        let admitted = admit(99).unwrap();
        assert_eq!(admitted.body_authenticated(), BodyAuthenticated::None);
        assert!(!format!("{admitted:?} {:?}", admitted.headers()).contains("hunter2"));
        assert_eq!(admit(100).unwrap_err(), Refusal::WaiverOver);
    }
}

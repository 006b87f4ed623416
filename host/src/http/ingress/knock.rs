//! One request at a way in: what it comes to.
//!
//! In this order: a handshake that needs no signature; the key to verify with, where it has to
//! be fetched; the signature; a handshake that it guards; the events. Whatever a handshake
//! promises (a secret kept, a subscription confirmed) is done before it is answered; where
//! that fails the partner is told to come again, and nothing has changed.

use std::sync::Arc;

use hyper::StatusCode;
use tidegate_core::ids::{AccountName, ConnectionId};
use tidegate_core::ports::NotStored;
use tidegate_core::signature::{
    FetchedKey, Handshake, Outcome, RawRequest, Refusal, Reply, Secret,
};
use tidegate_core::time::Timestamp;
use tidegate_flow::ingest::{Address, Door, IngestError, Ingested, Was, ingest};
use tokio::sync::OwnedSemaphorePermit;

use super::Taken;
use super::answers::Rejection;
use crate::host::Host;
use crate::http::refusals::{Reason, Refused, Seen};
use crate::received::ReceiveError;
use crate::rules::{Entrance, Rules};

/// A request at a way in.
pub(super) struct Knock<'k> {
    pub(super) host: &'k Host,
    pub(super) entrance: &'k Entrance,
    /// When it had arrived whole.
    pub(super) now: Timestamp,
    /// What is kept of it where it is refused.
    pub(super) seen: &'k (dyn Fn() -> Seen + Sync),
}

impl Knock<'_> {
    pub(super) async fn take(
        &self,
        raw: RawRequest,
        door: &Door,
        rules: &Rules,
        hold: OwnedSemaphorePermit,
    ) -> Result<Taken, Rejection> {
        let (entrance, now) = (self.entrance, self.now);
        let state = entrance.handshake_state(door, || self.awaits_secret());
        if let Some(outcome) = door.unsigned(&raw, &state, now) {
            return self.carry_out(outcome, door).await;
        }
        let fetched = self.fetched(door, &raw).await?;
        let journal = self.host.journal.holding(hold);
        let taken = ingest(
            raw,
            door,
            fetched.as_deref(),
            &entrance.address,
            &journal,
            now,
        )
        .await;
        let Ingested {
            connection,
            matched,
            was,
        } = taken.map_err(|error| self.reject(error))?;
        let metrics = &self.host.metrics;
        metrics.refusals().verified(&entrance.address);
        if let Some(position) = matched {
            entrance.matches.count(position, now);
            metrics.matched(&connection.connector, position);
        }
        match was {
            Was::Events(accepted) => {
                // What is not configured is counted together: senders must not fill memory.
                let counted = if rules.connections.contains_key(&connection) {
                    connection
                } else {
                    ConnectionId {
                        account: AccountName::unknown(),
                        ..connection
                    }
                };
                metrics.differing().count(&counted, &accepted, now);
                Ok(Taken::Events(accepted))
            }
            Was::Ping => Ok(Taken::Ping),
            Was::Handshake(outcome) => self.carry_out(outcome, door).await,
        }
    }

    /// Whether its connection awaits a secret. A path that many share awaits none: whose it
    /// would be is not known.
    fn awaits_secret(&self) -> bool {
        match &self.entrance.address {
            Address::Connection(id) => self.host.received.awaiting(id, self.now).is_some(),
            Address::ByAccount { .. } => false,
        }
    }

    /// The key that has to be fetched to verify this request, where one has.
    async fn fetched(
        &self,
        door: &Door,
        raw: &RawRequest,
    ) -> Result<Option<Arc<FetchedKey>>, Rejection> {
        let wanted = door.wanted_key(raw);
        let wanted = wanted.map_err(|refusal| self.refuse(&refusal))?;
        let Some(source) = wanted else {
            return Ok(None);
        };
        let key = self.host.fetcher.key(&source, self.entrance.config()).await;
        key.map(Some).map_err(Rejection::NoKey)
    }

    /// Does what a handshake promises, and gives its answer.
    async fn carry_out(&self, outcome: Outcome, door: &Door) -> Result<Taken, Rejection> {
        match outcome {
            Outcome::Answer(reply) => Ok(Taken::Handshake(reply)),
            Outcome::Store { secret, reply } => self.keep(secret, reply, door).await,
            Outcome::Confirm { url, reply } => {
                if self.host.fetcher.confirm(&url).await {
                    Ok(Taken::Handshake(reply))
                } else {
                    Err(Rejection::NotConfirmed)
                }
            }
            Outcome::Refuse { status: 405 } => Err(Rejection::Method),
            Outcome::Refuse { status } => Err(self.refuse_handshake(status)),
            Outcome::PollWish => Ok(Taken::Ping),
        }
    }

    async fn keep(&self, secret: Secret, reply: Reply, door: &Door) -> Result<Taken, Rejection> {
        let Address::Connection(id) = &self.entrance.address else {
            return Err(self.refuse_handshake(403));
        };
        let list = door.handshakes().iter();
        let kind = list.clone().find(|handshake| handshake.stores_secret());
        let origin = kind.map_or("store-secret", |handshake| {
            Handshake::kind(handshake).name()
        });
        match self
            .host
            .received
            .receive(id, secret, origin, self.now)
            .await
        {
            Ok(()) => Ok(Taken::Handshake(reply)),
            // Another one was quicker.
            Err(ReceiveError::Unawaited) => Err(self.refuse_handshake(409)),
            Err(ReceiveError::NotStored(reason)) => Err(Rejection::NotStored(reason)),
            Err(ReceiveError::Unsealed) => Err(Rejection::NotStored(NotStored::Unreadable)),
        }
    }

    fn reject(&self, error: IngestError) -> Rejection {
        match error {
            IngestError::Refused(refusal) => self.refuse(&refusal),
            IngestError::NotSplit(error) => {
                self.host
                    .metrics
                    .refusals()
                    .verified(&self.entrance.address);
                Rejection::NotSplit(error)
            }
            IngestError::NotStored(reason) => {
                self.host
                    .metrics
                    .refusals()
                    .verified(&self.entrance.address);
                Rejection::NotStored(reason)
            }
        }
    }

    fn refuse(&self, refusal: &Refusal) -> Rejection {
        let refused = Refused {
            at: self.now,
            reason: refusal.into(),
            seen: Some((self.seen)()),
        };
        let Entrance {
            address,
            alert_from,
            ..
        } = self.entrance;
        self.host.metrics.refused(address, refused, *alert_from);
        Rejection::Refused
    }

    fn refuse_handshake(&self, status: u16) -> Rejection {
        let refused = Refused {
            at: self.now,
            reason: Reason {
                code: "handshake",
                message: "a handshake whose guard does not hold".into(),
            },
            seen: Some((self.seen)()),
        };
        self.host
            .metrics
            .refused_handshake(&self.entrance.address, refused);
        Rejection::Handshake(StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN))
    }
}

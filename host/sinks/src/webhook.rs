//! The webhook sink: changes as `CloudEvents` in requests that are signed as Standard
//! Webhooks says.
//!
//! `webhook-id` is the same at every try of a change, so that a receiver can tell a
//! second delivery. A batch is one request with one result; one that is too large for the
//! receiver, or has something in it that it does not understand, is taken apart, so that
//! each change has its own result.

mod permission;
mod verdict;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tidegate_core::change::Change;
use tidegate_core::failure::{Failure, FailureClass};
use tidegate_core::ids::ChangeSeq;
use tidegate_core::ports::{Clock, Outlet, OutletCapacity};
use tidegate_core::signature::Secret;
use tidegate_egress::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use tidegate_egress::{Egress, HeaderMap, Method, Request, Url};

use crate::all;
use crate::record::{attributes, field_value, length_hint, record, structured};
use crate::signing::{InvalidSigningSecret, Signer};
use permission::Permission;
pub(crate) use verdict::excerpt;
use verdict::{Scope, Unsent, verdict};

/// Most bytes of one request's body, unless one change alone is larger.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Most bytes of a receiver's answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What the configuration says about a webhook sink.
#[derive(Clone, Debug)]
pub struct WebhookSink {
    /// Where to.
    pub url: Url,
    /// What is signed with; each signs while they rotate.
    pub secrets: Vec<Secret>,
    /// Attributes in fields instead of in the body; such a sink sends no batches.
    pub binary: bool,
    /// Most changes of one request.
    pub batch: usize,
    /// Most requests at a time.
    pub concurrency: usize,
    /// Longest request.
    pub timeout: Duration,
    /// The name by which the receiver is asked whether it wants events, where it is asked
    /// (`CloudEvents` webhooks, 4).
    pub handshake: Option<HeaderValue>,
    /// What the `source` of every event begins with: a URI reference without a slash at
    /// its end that tells this store from every other.
    pub source: String,
}

/// A webhook sink.
pub struct WebhookOutlet {
    sink: WebhookSink,
    signer: Signer,
    permission: Option<Permission>,
    egress: Arc<Egress>,
    clock: Arc<dyn Clock>,
}

/// A request that is not sent yet.
struct Message {
    id: String,
    content: &'static str,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl WebhookOutlet {
    /// A sink of that kind.
    pub fn new(
        sink: WebhookSink,
        egress: Arc<Egress>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InvalidSigningSecret> {
        Ok(Self {
            signer: Signer::new(sink.secrets.clone())?,
            permission: sink.handshake.clone().map(Permission::new),
            sink,
            egress,
            clock,
        })
    }

    fn one(&self, change: &Change) -> Message {
        let mut body = Vec::with_capacity(length_hint(change));
        let mut headers = HeaderMap::with_capacity(16);
        let id = change.seq.to_string();
        if !self.sink.binary {
            structured(change, &self.sink.source, &mut body);
            return Message {
                id,
                content: "application/cloudevents+json",
                headers,
                body,
            };
        }
        record(change, &mut body);
        headers.insert("ce-specversion", HeaderValue::from_static("1.0"));
        for (name, value) in attributes(change, &self.sink.source) {
            let name = HeaderName::try_from(format!("ce-{name}"));
            let value = HeaderValue::try_from(field_value(&value));
            // Attribute names are small letters, values are percent-encoded.
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.insert(name, value);
            }
        }
        Message {
            id,
            content: "application/json",
            headers,
            body,
        }
    }

    /// As many of these changes as one request takes, at least one.
    fn batch(&self, changes: &[Change]) -> (usize, Message) {
        let mut body = vec![b'['];
        let mut digest = Sha256::new();
        let mut count = 0;
        for change in changes.iter().take(self.sink.batch) {
            if count > 0 && body.len() + length_hint(change) > BODY_BYTES_MAX {
                break;
            }
            if count > 0 {
                body.push(b',');
            }
            structured(change, &self.sink.source, &mut body);
            digest.update(change.seq.get().to_be_bytes());
            count += 1;
        }
        body.push(b']');
        // The same changes are the same batch, whenever it is sent.
        let digest = hex::encode(digest.finalize());
        let message = Message {
            id: format!("bat_{}", digest.get(..32).unwrap_or(&digest)),
            content: "application/cloudevents-batch+json",
            headers: HeaderMap::with_capacity(8),
            body,
        };
        (count, message)
    }

    async fn send(&self, message: Message) -> Result<(), Unsent> {
        let now = self.clock.now();
        let mut headers = message.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(message.content));
        self.signer
            .sign(&mut headers, &message.id, &message.body, now);
        let request = Request {
            method: Method::POST,
            url: &self.sink.url,
            headers,
            body: message.body.into(),
            timeout: self.sink.timeout,
            response_bytes_max: ANSWER_BYTES_MAX,
            // The id tells a receiver that it has it already.
            repeatable: true,
        };
        match self.egress.request(request).await {
            Ok(response) => verdict(self.sink.url.origin(), &response, now),
            Err(error) => Err(Unsent {
                failure: error.failure(),
                scope: Scope::Receiver,
            }),
        }
    }

    /// One request a change. An answer is about its change alone; where there is none, the
    /// changes after it are not tried.
    async fn one_by_one(&self, changes: &[Change], results: &mut Vec<Result<(), Failure>>) {
        let mut behind = HashSet::new();
        let wanted = results.len() + changes.len();
        for change in changes {
            let entity = (&change.connection, &change.change.entity);
            if behind.contains(&entity) {
                let message = "an earlier change of the entity did not go through";
                results.push(Err(Failure::new(FailureClass::TRANSIENT, message)));
                continue;
            }
            match self.send(self.one(change)).await {
                Ok(()) => results.push(Ok(())),
                Err(unsent) if unsent.scope == Scope::Receiver => {
                    results.extend(all(wanted - results.len(), &Err(unsent.failure)));
                    return;
                }
                Err(unsent) => {
                    behind.insert(entity);
                    results.push(Err(unsent.failure));
                }
            }
        }
    }

    async fn in_batches(&self, mut changes: &[Change], results: &mut Vec<Result<(), Failure>>) {
        while !changes.is_empty() {
            let (count, message) = self.batch(changes);
            let (these, rest) = changes.split_at(count.clamp(1, changes.len()));
            match self.send(message).await {
                Ok(()) => results.extend(all(these.len(), &Ok(()))),
                Err(unsent) if unsent.scope == Scope::Receiver => {
                    results.extend(all(changes.len(), &Err(unsent.failure)));
                    return;
                }
                Err(unsent) if unsent.scope == Scope::Content && these.len() > 1 => {
                    self.one_by_one(these, results).await;
                }
                Err(unsent) => results.extend(all(these.len(), &Err(unsent.failure))),
            }
            changes = rest;
        }
    }
}

impl fmt::Debug for WebhookOutlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookOutlet")
            .field("sink", &self.sink)
            .finish_non_exhaustive()
    }
}

impl Outlet for WebhookOutlet {
    fn capacity(&self) -> OutletCapacity {
        OutletCapacity {
            batch: if self.sink.binary {
                1
            } else {
                self.sink.batch.max(1)
            },
            concurrency: self.sink.concurrency.max(1),
        }
    }

    async fn deliver(&self, changes: &[Change]) -> Vec<Result<(), Failure>> {
        if let Some(permission) = &self.permission {
            let asked = permission.ask(&self.egress, &self.sink, self.clock.now());
            if let Err(failure) = asked.await {
                return all(changes.len(), &Err(failure));
            }
        }
        let mut results = Vec::with_capacity(changes.len());
        if self.capacity().batch > 1 && changes.len() > 1 {
            self.in_batches(changes, &mut results).await;
        } else {
            self.one_by_one(changes, &mut results).await;
        }
        if let Some(permission) = &self.permission
            && results.iter().flatten().next().is_none()
        {
            // A receiver that takes nothing may have changed its mind.
            permission.forget();
        }
        results
    }

    async fn cursor(&self) -> Result<Option<ChangeSeq>, Failure> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests;

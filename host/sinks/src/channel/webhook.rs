//! A notice as a webhook that is signed as Standard Webhooks says.

use std::fmt;
use std::sync::Arc;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tidegate_core::alert::{Notice, NoticeKind};
use tidegate_core::failure::Failure;
use tidegate_core::ports::{Clock, Messenger};
use tidegate_core::signature::Secret;
use tidegate_core::time::Timestamp;
use tidegate_egress::{Egress, HeaderMap, Url};

use super::notice::document;
use super::post;
use crate::signing::{InvalidSigningSecret, Signer};

/// A channel that posts signed notices.
pub struct WebhookChannel {
    url: Url,
    signer: Signer,
    operator_url: String,
    egress: Arc<Egress>,
    clock: Arc<dyn Clock>,
}

impl WebhookChannel {
    /// A channel to that URL; links are made whole with the operator listener's.
    pub fn new(
        url: Url,
        secrets: Vec<Secret>,
        operator_url: String,
        egress: Arc<Egress>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InvalidSigningSecret> {
        Ok(Self {
            url,
            signer: Signer::new(secrets)?,
            operator_url,
            egress,
            clock,
        })
    }
}

impl fmt::Debug for WebhookChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookChannel")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Messenger for WebhookChannel {
    async fn send(&self, notice: &Notice) -> Result<(), Failure> {
        let now = self.clock.now();
        let body = json!({
            "type": format!("tidegate.alert.{}", notice.kind.code()),
            "timestamp": now.to_string(),
            "data": document(notice, &self.operator_url),
        });
        let body = body.to_string().into_bytes();
        let mut headers = HeaderMap::with_capacity(8);
        self.signer.sign(&mut headers, &id(notice, now), &body, now);
        post(&self.egress, &self.url, headers, body, now).await
    }
}

/// The same for every try of a notice. One that repeats itself word for word has to differ
/// from the one before, so the hour counts there.
fn id(notice: &Notice, now: Timestamp) -> String {
    let hour = match notice.kind {
        NoticeKind::Opened | NoticeKind::Over => 0,
        NoticeKind::Repeated => now.as_secs() / 3_600,
    };
    let (rule, subject) = (notice.key.rule.code(), &notice.key.subject);
    let (kind, since) = (notice.kind.code(), notice.since.as_micros());
    let count = notice.count;
    let digest = Sha256::digest(format!("{rule} {kind} {since} {count} {hour} {subject}"));
    let digest = hex::encode(digest);
    format!("ntc_{}", digest.get(..32).unwrap_or(&digest))
}

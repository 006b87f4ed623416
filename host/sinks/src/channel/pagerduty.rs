//! A notice as an event of `PagerDuty`'s Events API v2. One alert is one incident: opened
//! and repeated notices trigger it under the same key, the last one resolves it.

use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tidegate_core::alert::{AlertKey, AlertRule, Notice, NoticeKind};
use tidegate_core::failure::Failure;
use tidegate_core::ports::{Clock, Messenger};
use tidegate_core::signature::Secret;
use tidegate_egress::{Egress, HeaderMap, InvalidUrl, Url};

use super::notice::{document, link};
use super::post;

/// Longest key and summary that are taken.
const KEY_BYTES_MAX: usize = 255;
const SUMMARY_CHARS_MAX: usize = 1_024;

/// `PagerDuty`'s own address for events.
pub fn pagerduty_url() -> Result<Url, InvalidUrl> {
    "https://events.pagerduty.com/v2/enqueue".parse()
}

/// A channel to `PagerDuty`.
pub struct PagerDutyChannel {
    url: Url,
    routing_key: Secret,
    operator_url: String,
    egress: Arc<Egress>,
    clock: Arc<dyn Clock>,
}

impl PagerDutyChannel {
    /// A channel to the integration of that key.
    pub fn new(
        url: Url,
        routing_key: Secret,
        operator_url: String,
        egress: Arc<Egress>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            url,
            routing_key,
            operator_url,
            egress,
            clock,
        }
    }

    fn event(&self, notice: &Notice) -> Value {
        let key = String::from_utf8_lossy(self.routing_key.expose());
        let dedup = dedup_key(&notice.key);
        if notice.kind == NoticeKind::Over {
            return json!({"routing_key": key, "event_action": "resolve", "dedup_key": dedup});
        }
        let summary: String = notice.summary.chars().take(SUMMARY_CHARS_MAX).collect();
        json!({
            "routing_key": key,
            "event_action": "trigger",
            "dedup_key": dedup,
            "payload": {
                "summary": summary,
                "source": "tidegate",
                "severity": severity(notice.key.rule),
                "timestamp": notice.since.to_string(),
                "component": notice.key.subject,
                "class": notice.key.rule.code(),
                "custom_details": document(notice, &self.operator_url),
            },
            "links": [{"href": link(notice, &self.operator_url), "text": "Tidegate"}],
        })
    }
}

impl fmt::Debug for PagerDutyChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PagerDutyChannel")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Messenger for PagerDutyChannel {
    async fn send(&self, notice: &Notice) -> Result<(), Failure> {
        let body = self.event(notice).to_string().into_bytes();
        let now = self.clock.now();
        post(&self.egress, &self.url, HeaderMap::new(), body, now).await
    }
}

const fn severity(rule: AlertRule) -> &'static str {
    match rule {
        AlertRule::StoreReadOnly | AlertRule::DiskLow => "critical",
        AlertRule::DeadLetters | AlertRule::SinkPaused => "error",
        AlertRule::BacklogAge
        | AlertRule::SignatureFailures
        | AlertRule::DuplicateDiffers
        | AlertRule::ConnectionPaused => "warning",
    }
}

fn dedup_key(key: &AlertKey) -> String {
    let whole = format!("tidegate/{}/{}", key.rule.code(), key.subject);
    if whole.len() <= KEY_BYTES_MAX {
        return whole;
    }
    format!("tidegate/{}", hex::encode(Sha256::digest(whole)))
}

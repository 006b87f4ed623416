//! A notice for an incoming webhook of Slack. Its URL is all that is needed to post there,
//! so it is a secret.

use std::fmt;
use std::sync::Arc;

use serde_json::json;
use tidegate_core::alert::Notice;
use tidegate_core::failure::Failure;
use tidegate_core::ports::{Clock, Messenger};
use tidegate_egress::{Egress, HeaderMap, Url};

use super::notice::link;
use super::post;

/// Longest text of a block; Slack takes 3,000 characters.
const BLOCK_CHARS_MAX: usize = 2_900;

/// A channel to Slack.
pub struct SlackChannel {
    url: Url,
    operator_url: String,
    egress: Arc<Egress>,
    clock: Arc<dyn Clock>,
}

impl SlackChannel {
    /// A channel to that incoming webhook.
    pub fn new(url: Url, operator_url: String, egress: Arc<Egress>, clock: Arc<dyn Clock>) -> Self {
        Self {
            url,
            operator_url,
            egress,
            clock,
        }
    }
}

impl fmt::Debug for SlackChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlackChannel")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Messenger for SlackChannel {
    async fn send(&self, notice: &Notice) -> Result<(), Failure> {
        let title = escaped(&notice.summary);
        let (rule, subject) = (notice.key.rule.code(), escaped(&notice.key.subject));
        let mut text = format!("*{title}*\n{rule}: {subject}");
        if !notice.excerpt.is_empty() {
            text.push_str("\n> ");
            text.push_str(&escaped(&notice.excerpt).replace('\n', "\n> "));
        }
        let text: String = text.chars().take(BLOCK_CHARS_MAX).collect();
        let link = escaped(&link(notice, &self.operator_url));
        let facts = format!("{} since {} · <{link}>", notice.count, notice.since);
        let body = json!({
            "text": title,
            "blocks": [
                {"type": "section", "text": {"type": "mrkdwn", "text": text}},
                {"type": "context", "elements": [{"type": "mrkdwn", "text": facts}]},
            ],
        });
        let body = body.to_string().into_bytes();
        let now = self.clock.now();
        post(&self.egress, &self.url, HeaderMap::new(), body, now).await
    }
}

/// Without the three characters that Slack reads as markup of its own: what stands in a
/// notice must not mention a whole channel.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

//! What a notice says, for machines and for people.

use serde_json::{Value, json};
use tidegate_core::alert::Notice;

/// Everything, as JSON.
pub(super) fn document(notice: &Notice, operator_url: &str) -> Value {
    json!({
        "rule": notice.key.rule.code(),
        "subject": notice.key.subject,
        "kind": notice.kind.code(),
        "summary": notice.summary,
        "count": notice.count,
        "oldest": notice.oldest.map(|oldest| oldest.to_string()),
        "excerpt": notice.excerpt,
        "link": link(notice, operator_url),
        "since": notice.since.to_string(),
    })
}

/// Where to look, whole.
pub(super) fn link(notice: &Notice, operator_url: &str) -> String {
    format!("{}{}", operator_url.trim_end_matches('/'), notice.link)
}

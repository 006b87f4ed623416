//! `GET /v1/audit`: who did what to durable work, and why; newest first.

use axum::extract::{RawQuery, State};
use serde_json::{Value, json};
use tidegate_core::audit::AuditEntry;

use super::Api;
use super::query::Query;
use super::view::{Answer, page};

/// A page of the audit log.
pub(super) async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Answer {
    let query = Query::read(query.as_deref(), &["limit", "cursor"])?;
    let (before, limit) = (query.cursor::<u64>()?, query.limit()?);
    let audit = api.read(move |reader| reader.audit(before, limit)).await?;
    let rows = audit.entries.iter().map(entry).collect();
    Ok(page(rows, audit.next))
}

fn entry((number, entry): &(u64, AuditEntry)) -> Value {
    json!({
        "number": number,
        "at": entry.at.to_string(),
        "who": entry.who,
        "action": entry.action.code(),
        "subject": entry.subject,
        "reason": entry.reason,
        "count": entry.count,
    })
}

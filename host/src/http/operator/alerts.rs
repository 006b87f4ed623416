//! `GET /v1/alerts`: what a person should know about just now.

use axum::extract::{RawQuery, State};
use serde_json::{Value, json};
use tidegate_core::alert::AlertRecord;
use tidegate_store::Reader;

use super::Api;
use super::query::Query;
use super::view::{Answer, instant, page};

/// The alerts that stand, by rule and subject. There are few: the store bounds them.
pub(super) async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Answer {
    Query::read(query.as_deref(), &[])?;
    let alerts = api.read(Reader::alerts).await?;
    Ok(page::<&str>(alerts.iter().map(alert).collect(), None))
}

/// An alert that stands.
pub(super) fn alert(alert: &AlertRecord) -> Value {
    json!({
        "rule": alert.key.rule.code(),
        "subject": alert.key.subject,
        "since": alert.since.to_string(),
        "count": alert.count,
        "oldest_at": instant(alert.oldest),
        "summary": alert.summary,
        "excerpt": alert.excerpt,
        "link": alert.link,
        "last_notice_at": alert.last_notice.to_string(),
        "clear_since": instant(alert.clear_since),
    })
}

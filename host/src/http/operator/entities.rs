//! `GET /v1/entities`: the mirror, with the position in the change log to continue from.
//!
//! Who lists all of it and then reads the changes after the first page's position has
//! everything: what changed while it was listed comes again.

use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::json;
use tidegate_core::change::EntityRef;
use tidegate_core::ids::{AccountName, ChangeSeq, ConnectionId, ConnectorName};
use tidegate_store::{EntityFilter, EntityKey};

use super::super::problem::{self, Problem};
use super::query::{Query, bad, bad_cursor};
use super::{Api, view};

const PARAMETERS: [&str; 5] = ["connector", "account", "kind", "limit", "cursor"];

/// A page of the mirror.
pub(super) async fn list(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::read(query.as_deref(), &PARAMETERS)?;
    let filter = filter(&query)?;
    let cursor = query
        .text("cursor")
        .map(|text| Cursor::read(text).ok_or(bad_cursor("cursor")));
    let (cursor, limit) = (cursor.transpose()?, query.limit()?);
    let after = cursor.as_ref().map(|cursor| cursor.after.clone());
    let page = api
        .read(move |reader| reader.entities(&filter, after.as_ref(), limit))
        .await?;
    let position = cursor.map_or(page.position, |cursor| cursor.position);
    let next = page.next.map(|after| Cursor { position, after }.text());
    let mut body = Vec::with_capacity(64 + 512 * page.entities.len());
    body.extend_from_slice(b"{\"items\":[");
    for (place, entity) in page.entities.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        view::entity(entity, &mut body)?;
    }
    let rest = json!({ "next": next, "position": position.get().to_string() }).to_string();
    body.extend_from_slice(b"],");
    body.extend(rest.bytes().skip(1));
    Ok(json_body(body))
}

/// One entity of the mirror.
pub(super) async fn show(
    State(api): State<Api>,
    Path((connector, account, kind, id)): Path<(String, String, String, String)>,
) -> Result<Response, Problem> {
    let unknown = || problem::not_found(format!("{connector}/{account} has no {kind} {id}"));
    let connection: ConnectionId = format!("{connector}/{account}")
        .parse()
        .map_err(|_| unknown())?;
    let entity = EntityRef {
        kind: kind.clone(),
        id: id.clone(),
    };
    let found = api
        .read(move |reader| reader.entity(&connection, &entity))
        .await?;
    let mut body = Vec::new();
    view::entity(&found.ok_or_else(unknown)?, &mut body)?;
    Ok(json_body(body))
}

fn filter(query: &Query<'_>) -> Result<EntityFilter, Problem> {
    let connector: Option<ConnectorName> = query.parse("connector")?;
    let account: Option<AccountName> = query.parse("account")?;
    let connection = match (&connector, account) {
        (_, None) => None,
        (Some(connector), Some(account)) => Some(ConnectionId {
            connector: connector.clone(),
            account,
        }),
        (None, Some(_)) => {
            return Err(bad("parameter \"account\" needs \"connector\" beside it"));
        }
    };
    Ok(EntityFilter {
        connector,
        connection,
        kind: query.text("kind").map(str::to_owned),
    })
}

fn json_body(body: Vec<u8>) -> Response {
    (
        [(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        body,
    )
        .into_response()
}

/// Where a listing stands: after which entity, and where the change log stood when it
/// began.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cursor {
    position: ChangeSeq,
    after: EntityKey,
}

impl Cursor {
    fn text(&self) -> String {
        let Self {
            position,
            after: EntityKey { connection, entity },
        } = self;
        let parts = json!([
            position.get(),
            connection.to_string(),
            entity.kind,
            entity.id
        ]);
        URL_SAFE_NO_PAD.encode(parts.to_string())
    }

    fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (position, connection, kind, id): (u64, String, String, String) =
            serde_json::from_slice(&bytes).ok()?;
        let after = EntityKey {
            connection: connection.parse().ok()?,
            entity: EntityRef { kind, id },
        };
        Some(Self {
            position: ChangeSeq::new(position),
            after,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_was(position: u64, kind in ".*", id in ".*") {
            let connection = "github/Åcme".parse().unwrap();
            let after = EntityKey { connection, entity: EntityRef { kind, id } };
            let cursor = Cursor { position: ChangeSeq::new(position), after };
            prop_assert_eq!(Cursor::read(&cursor.text()), Some(cursor));
        }

        #[test]
        fn what_is_no_cursor_is_none(text in "[A-Za-z0-9_-]{0,40}") {
            prop_assert_eq!(Cursor::read(&text), None);
        }
    }
}

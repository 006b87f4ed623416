//! A connection as JSON: what is configured, what the store knows, and everything that a
//! person has to know before believing what it says.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};
use tidegate_core::alerting::DifferingDuplicates;
use tidegate_core::ids::ConnectionId;
use tidegate_core::ports::{Clock as _, ReadError};
use tidegate_core::signature::Waiver;
use tidegate_core::time::Timestamp;
use tidegate_store::{PausedConnection, Reader, ReceivedSecret};

use super::super::view::instant;
use crate::http::refusals::{Refused, RefusedAtPath, own_path};
use crate::rules::{ConnectionEntry, Entrance, SecretFacts};
use crate::system::SystemClock;

/// What is known of some connections beside their configuration.
pub(super) struct Known {
    now: Timestamp,
    last: HashMap<ConnectionId, Timestamp>,
    paused: Vec<PausedConnection>,
    of_host: HashMap<ConnectionId, OfHost>,
}

/// What the host holds in memory of a connection.
#[derive(Default)]
pub(super) struct OfHost {
    pub(super) differing: Option<DifferingDuplicates>,
    pub(super) received: Vec<ReceivedSecret>,
    /// Until when it awaits its partner's secret.
    pub(super) awaiting: Option<Timestamp>,
}

impl Known {
    pub(super) fn read(
        reader: &Reader,
        shown: &BTreeSet<ConnectionId>,
        of_host: HashMap<ConnectionId, OfHost>,
    ) -> Result<Self, ReadError> {
        Ok(Self {
            now: SystemClock.now(),
            last: reader.last_received(shown)?,
            paused: reader.paused()?,
            of_host,
        })
    }
}

/// A connection in a list.
pub(super) fn connection(id: &ConnectionId, entry: &ConnectionEntry, known: &Known) -> Value {
    let paused = known.paused.iter().find(|paused| paused.connection == *id);
    let problem = entry.entrance.as_ref().err();
    let entrance = entry.entrance.as_ref().ok();
    let host = known.of_host.get(id);
    json!({
        "connector": id.connector.as_str(),
        "account": id.account.as_str(),
        "url_path": own_path(id),
        "secrets": { "webhook": entry.webhook_secrets },
        "webhook_secrets": entrance.map(secrets_view),
        "source": "config",
        "state": if problem.is_none() { "active" } else { "closed" },
        "problem": problem.map(ToString::to_string),
        "waiver": entry.waiver.as_ref().map(|waiver| waiver_view(waiver, known.now)),
        "paused": paused.map(pause_view),
        "last_event_at": instant(known.last.get(id).copied()),
        "received_secrets": host.map(|host| received_view(&host.received)),
        "awaits_secret_until": instant(host.and_then(|host| host.awaiting)),
        "duplicates_differing": host.and_then(|host| host.differing.as_ref()).map(differing_view),
    })
}

/// A connection by itself.
pub(super) fn whole(id: &ConnectionId, entry: &ConnectionEntry, known: &Known) -> Value {
    let mut view = connection(id, entry, known);
    if let Some(members) = view.as_object_mut() {
        let door = entry.entrance.as_ref().ok().map(Entrance::door);
        let scheme = door.as_ref().and_then(|door| door.scheme()).map(|scheme| {
            format!(
                "{} in {}",
                scheme.algorithm().text(),
                scheme.signature().describe()
            )
        });
        members.insert("scheme".into(), scheme.into());
        members.insert("base_url".into(), entry.rules.base_url.as_deref().into());
    }
    view
}

/// What was refused at the paths of a connection.
pub(super) fn refusals(
    entry: &ConnectionEntry,
    paths: &[(String, RefusedAtPath)],
    now: Timestamp,
) -> Value {
    let counts = paths.iter().flat_map(|(path, refused)| {
        let counts = refused.counts.iter();
        counts.map(move |(code, count)| json!({ "path": path, "code": code, "count": count }))
    });
    let last = paths
        .iter()
        .flat_map(|(path, refused)| refused.last.iter().map(move |refused| (path, refused)));
    let mut last: Vec<_> = last.collect();
    last.sort_by_key(|(_, refused)| std::cmp::Reverse(refused.at));
    let items = last
        .into_iter()
        .map(|(path, refused)| refusal(path, refused));
    json!({
        "items": items.collect::<Vec<_>>(),
        "next": null,
        "counts": counts.collect::<Vec<_>>(),
        "waiver": entry.waiver.as_ref().map(|waiver| waiver_view(waiver, now)),
    })
}

fn refusal(path: &str, refused: &Refused) -> Value {
    let seen = refused.seen.as_ref();
    json!({
        "at": refused.at.to_string(),
        "path": path,
        "code": refused.reason.code,
        "message": refused.reason.message,
        "method": seen.map(|seen| &*seen.method),
        "headers": seen.map(|seen| seen.header_names.split(' ').collect::<Vec<_>>()),
        "body_bytes": seen.map(|seen| seen.body_bytes),
    })
}

fn pause_view(paused: &PausedConnection) -> Value {
    json!({
        "since": paused.since.to_string(),
        "reason": paused.reason,
        "by": if paused.refused { "refused-credentials" } else { "operator" },
    })
}

fn waiver_view(waiver: &Waiver, now: Timestamp) -> Value {
    json!({
        "reason": waiver.reason,
        "until": waiver.until.to_string(),
        "state": if waiver.holds_at(now) { "in-force" } else { "over" },
    })
}

/// The secrets that requests are verified with, by position; never their values.
fn secrets_view(entrance: &Entrance) -> Vec<Value> {
    let secrets = entrance.secrets().into_iter().zip(1_usize..);
    let view = |(secret, position): (SecretFacts, usize)| {
        let (matched, last) = entrance.matches.of(position);
        let origin = secret.received.as_ref();
        json!({
            "position": position,
            "origin": origin.map_or("configuration", |(handshake, _)| handshake),
            "not_after": instant(secret.not_after),
            "matched": matched,
            "last_matched_at": instant(last),
        })
    };
    secrets.map(view).collect()
}

/// Everything but the secrets themselves, oldest first.
fn received_view(received: &[ReceivedSecret]) -> Vec<Value> {
    let view = |secret: &ReceivedSecret| {
        json!({
            "position": secret.position,
            "origin": secret.origin,
            "received_at": secret.received.to_string(),
            "not_after": instant(secret.not_after),
        })
    };
    received.iter().map(view).collect()
}

fn differing_view(differing: &DifferingDuplicates) -> Value {
    json!({
        "count": differing.count,
        "first_at": differing.first.to_string(),
        "last_at": differing.last.to_string(),
        "last_event": differing.event.to_string(),
    })
}

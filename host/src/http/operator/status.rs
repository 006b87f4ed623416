//! `GET /v1/status`: how the host stands on one page, with everything that is wrong with
//! it and what to do about each.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use serde_json::{Value, json};
use tidegate_core::alert::AlertRecord;
use tidegate_core::ports::{Clock as _, ReadError};
use tidegate_core::replay::ReplayRun;
use tidegate_core::signature::Waiver;
use tidegate_core::task::Work;
use tidegate_core::time::Timestamp;
use tidegate_store::engine::Disk;
use tidegate_store::{Claims, Counts, DeadCount, Reader};

use super::health::closed;
use super::query::Query;
use super::view::{Answer, instant};
use super::{Api, alerts, replays, sinks};
use crate::gate::GateState;
use crate::host::Host;
use crate::sinks::{SinkDesk, SinkView};
use crate::system::SystemClock;

/// Most problems of one kind that are listed.
const LISTED_MAX: usize = 20;

/// How far back refused requests are counted.
const REFUSED_WITHIN: Duration = Duration::from_hours(1);

/// What connections have open; deliveries and notices stand with their sinks and channels.
struct Pending {
    open: u64,
    oldest: Option<Timestamp>,
}

impl Pending {
    fn read(claims: &Claims) -> Self {
        let works = [Work::Map, Work::Partner].into_iter();
        let backlogs: Vec<_> = works.flat_map(|work| claims.backlogs(work)).collect();
        Self {
            open: backlogs.iter().map(|backlog| backlog.open).sum(),
            oldest: backlogs.iter().map(|backlog| backlog.oldest).min(),
        }
    }
}

/// The host's standing.
pub(super) async fn show(State(api): State<Api>, RawQuery(query): RawQuery) -> Answer {
    Query::read(query.as_deref(), &[])?;
    let desk = api.host.sinks.clone();
    let stored = api.read(move |reader| Stored::read(reader, &desk)).await?;
    let Stored { counts, disk, .. } = &stored;
    let host = &api.host;
    let pending = Pending::read(&host.claims);
    let (facts, gate, rules) = (&host.facts, host.gate.state(), host.rules.load());
    let now = SystemClock.now();
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": facts.started.to_string(),
        "uptime_s": now.since(facts.started).as_secs(),
        "store": {
            "engine": facts.engine,
            "path": facts.store_dir.as_ref().map(|dir| dir.display().to_string()),
            "warning": facts.store_warning,
            "state": gate.code(),
            "bytes": disk.bytes,
        },
        "ingress": {
            "listen": facts.ingress.to_string(),
            "refused_last_hour": refused(host, now),
        },
        "operator": { "listen": facts.operator.to_string() },
        "events": {
            "total": counts.events,
            "pending": pending.open,
            "waiting": counts.waiting,
            "dead": counts.dead,
            "oldest_pending_at": instant(pending.oldest),
            "duplicates_differing": counts.clashes,
        },
        "dead_letters": stored.dead_letters(),
        "sinks": stored.sinks.iter().map(sinks::sink).collect::<Vec<_>>(),
        "alerts": stored.alerts.iter().map(alerts::alert).collect::<Vec<_>>(),
        "replays": stored.replays.iter().map(replays::run).collect::<Vec<_>>(),
        "changes": { "newest": host.published.borrow().get().to_string() },
        "workers": { "map_threads": facts.map_threads },
        "connectors": rules.connectors.len(),
        "connections": rules.connections.len(),
        "problems": problems(host, &gate, &stored.sinks),
    })))
}

/// What the store says of the moment.
struct Stored {
    counts: Counts,
    disk: Disk,
    dead: Vec<DeadCount>,
    sinks: Vec<SinkView>,
    alerts: Vec<AlertRecord>,
    /// Those that run.
    replays: Vec<ReplayRun>,
}

impl Stored {
    fn read(reader: &Reader, desk: &SinkDesk) -> Result<Self, ReadError> {
        let mut replays = reader.replays()?;
        replays.retain(|run| run.ended.is_none());
        Ok(Self {
            counts: reader.counts(),
            disk: reader.disk()?,
            dead: reader.dead_counts(),
            sinks: desk.standings()?,
            alerts: reader.alerts()?,
            replays,
        })
    }

    /// How many dead letters there are by cause, those of all owners together.
    fn dead_letters(&self) -> Vec<Value> {
        let mut causes: BTreeMap<&str, (u64, Timestamp)> = BTreeMap::new();
        for DeadCount {
            cause,
            count,
            oldest,
            ..
        } in &self.dead
        {
            let (all, first) = causes.entry(cause.code()).or_insert((0, *oldest));
            *all += count;
            *first = (*first).min(*oldest);
        }
        let rows = causes.into_iter().map(|(cause, (count, oldest))| {
            json!({ "cause": cause, "count": count, "oldest_at": oldest.to_string() })
        });
        rows.collect()
    }
}

/// Where requests did not verify lately: the first few paths.
fn refused(host: &Host, now: Timestamp) -> Vec<Value> {
    let since = now.minus(REFUSED_WITHIN);
    let refused = host.metrics.refusals().since(since).into_iter();
    let rows = refused.take(LISTED_MAX).map(|there| {
        json!({
            "path": there.path,
            "count": there.count,
            "or_more": there.or_more,
            "newest_at": there.newest.at.to_string(),
            "code": there.newest.reason.code,
            "message": there.newest.reason.message,
        })
    });
    rows.collect()
}

/// What is wrong with the host, the worst first. A dead letter is wrong with an event and
/// a refused request with a partner's or a stranger's: they are shown beside this.
fn problems(host: &Host, gate: &GateState, sinks: &[SinkView]) -> Vec<Value> {
    let mut problems = Vec::new();
    problems.extend(closed(gate).map(|what| problem(&what, gate_fix(gate))));
    problems.extend(
        host.facts
            .store_warning
            .map(|what| problem(what, "use an embedded: store where events must not be lost")),
    );
    problems.extend(host.reloads.refused().map(|refused| {
        let what = format!(
            "the configuration file was refused at {}, and the one before it runs: {}",
            refused.at, refused.reason
        );
        problem(&what, "tidegate check names every mistake in it")
    }));
    listed(&mut problems, refused_plugins(host));
    listed(&mut problems, closed_connections(host));
    listed(&mut problems, waived_connections(host));
    listed(&mut problems, unusable_sinks(sinks));
    problems
}

const fn gate_fix(gate: &GateState) -> &'static str {
    match gate {
        GateState::DiskLow { .. } => "free disk: webhooks are then taken again by themselves",
        GateState::Latched { .. } => "look at the disk; a restart recovers the store",
        GateState::Open | GateState::ShuttingDown => "",
    }
}

fn refused_plugins(host: &Host) -> Vec<Value> {
    let mut pending: Vec<_> = host
        .plugins
        .standings()
        .into_iter()
        .filter_map(|(name, standing)| Some((name, standing.pending?)))
        .collect();
    pending.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let told = pending.into_iter().map(|(name, pending)| {
        problem(
            &format!("plugin of connector {name}: {}", pending.problem),
            &pending.fix,
        )
    });
    told.collect()
}

fn closed_connections(host: &Host) -> Vec<Value> {
    let rules = host.rules.load();
    let mut closed: Vec<_> = rules
        .connections
        .iter()
        .filter_map(|(id, entry)| Some((id, entry.entrance.as_ref().err()?)))
        .collect();
    closed.sort_unstable_by_key(|(id, _)| *id);
    let told = closed.into_iter().map(|(id, why)| {
        let what = format!("connection {id} takes no webhooks: {why}");
        problem(
            &what,
            &format!("correct [connections.\"{id}\"] in the configuration file"),
        )
    });
    told.collect()
}

/// Connections that take anything from anyone, or did until their waiver was over.
fn waived_connections(host: &Host) -> Vec<Value> {
    let (rules, now) = (host.rules.load(), SystemClock.now());
    let waivers = rules.policy().waivers.iter().filter(|waiver| {
        let entry = rules.connections.get(&waiver.connection);
        let entrance = entry.and_then(|entry| entry.entrance.as_ref().ok());
        entrance.is_some_and(|entrance| entrance.door().scheme().is_none())
    });
    let told = waivers.map(|waiver| {
        let Waiver {
            connection,
            reason,
            until,
        } = waiver;
        let what = if waiver.holds_at(now) {
            format!("requests of {connection} are not verified until {until}: {reason}")
        } else {
            format!("requests of {connection} are refused since its waiver was over on {until}")
        };
        let fix = format!("give [connections.\"{connection}\"] a scheme and secrets.webhook");
        problem(&what, &fix)
    });
    told.collect()
}

/// A sink that fails or rests is shown beside this: that is its receiver's, or a person's.
fn unusable_sinks(sinks: &[SinkView]) -> Vec<Value> {
    let unusable = sinks
        .iter()
        .filter_map(|sink| Some((sink, sink.problem.as_ref()?)));
    let told = unusable.map(|(sink, why)| {
        let what = format!("sink {} delivers nothing: {why}", sink.name);
        problem(&what, &sink.fix())
    });
    told.collect()
}

/// Adds the first few, and how many more there are.
fn listed(problems: &mut Vec<Value>, mut more: Vec<Value>) {
    let left = more.len().saturating_sub(LISTED_MAX);
    more.truncate(LISTED_MAX);
    problems.append(&mut more);
    if left > 0 {
        problems.push(problem(&format!("and {left} more like these"), ""));
    }
}

fn problem(what: &str, fix: &str) -> Value {
    json!({ "what": what, "fix": fix })
}

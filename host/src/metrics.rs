//! What the host counts, and the last refusals of each connection.
//!
//! Every name stands in [`Metrics::new`]. Labels come from the configuration and from
//! closed lists of words, never from a request, so that nobody outside can make a
//! series. What the store knows is read when the numbers are asked for.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tidegate_core::event::Accepted;
use tidegate_core::failure::Failure;
use tidegate_core::ids::{ConnectorName, SinkName};
use tidegate_core::ports::{Completion, End};
use tidegate_core::task::{Attempt, TaskKind};
use tidegate_flow::ingest::Address;

use crate::differing::Differing;
use crate::http::{Refusals, Refused};

mod open;
mod sample;
mod sinks;

use open::OpenMetrics;
pub(crate) use sample::Sample;
use sinks::SinkMetrics;

/// How a request at an ingress path was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IngressOutcome {
    /// Stored.
    Accepted,
    /// All of it was known.
    Duplicate,
    /// Its signature did not verify.
    Refused,
    /// No such path.
    Unknown,
    /// A handshake was answered.
    Handshake,
    /// What has to be fetched for it could not be had.
    NoKey,
    /// A method that is not taken.
    Method,
    /// The body is over the limit.
    TooLarge,
    /// The body did not arrive in time.
    TooSlow,
    /// The body broke off or is framed wrongly.
    Broken,
    /// Too many bodies in memory.
    Crowded,
    /// The connection is configured and cannot verify anything.
    NoEntrance,
    /// The store took nothing.
    NotStored,
}

impl IngressOutcome {
    const fn code(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Handshake => "handshake",
            Self::NoKey => "no-key",
            Self::Method => "method",
            Self::TooLarge => "too-large",
            Self::TooSlow => "too-slow",
            Self::Broken => "broken",
            Self::Crowded => "crowded",
            Self::NoEntrance => "no-entrance",
            Self::NotStored => "not-stored",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfConnector {
    connector: String,
    /// What became of it.
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfSecret {
    connector: String,
    /// Among the secrets of its connection, from 1.
    position: u32,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfChannel {
    channel: String,
    /// What became of it.
    outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Build {
    version: &'static str,
    engine: &'static str,
}

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<OfConnector, Counter>,
    request_seconds: Histogram,
    events: Family<OfConnector, Counter>,
    refused: Family<OfConnector, Counter>,
    matches: Family<OfSecret, Counter>,
    commits: Counter,
    commit_submissions: Histogram,
    attempts: Family<OfConnector, Counter>,
    failures: Family<OfConnector, Counter>,
    attempt_seconds: Histogram,
    streams: Gauge,
    queue: Family<State, Gauge>,
    ever: Gauge,
    oldest: Gauge,
    newest: Gauge,
    clashes: Gauge,
    store_bytes: Gauge,
    journal_bytes: Gauge,
    gate: Family<State, Gauge>,
    build: Family<Build, Gauge>,
    notices: Family<OfChannel, Counter>,
    sinks: SinkMetrics,
    open: OpenMetrics,
    refusals: Refusals,
    differing: Differing,
}

/// Every word of the gate, so that each has a series from the start.
const GATE_STATES: [&str; 4] = ["open", "disk-low", "latched", "shutting-down"];

impl Metrics {
    /// All at zero.
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("tidegate"),
            requests: Family::default(),
            // 0.1 ms to 3.3 s.
            request_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            events: Family::default(),
            refused: Family::default(),
            matches: Family::default(),
            commits: Counter::default(),
            commit_submissions: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            attempts: Family::default(),
            failures: Family::default(),
            // 20 us to 2.6 s: the limit of a call is 2 s.
            attempt_seconds: Histogram::new(exponential_buckets(0.000_02, 2.0, 18)),
            streams: Gauge::default(),
            queue: Family::default(),
            ever: Gauge::default(),
            oldest: Gauge::default(),
            newest: Gauge::default(),
            clashes: Gauge::default(),
            store_bytes: Gauge::default(),
            journal_bytes: Gauge::default(),
            gate: Family::default(),
            build: Family::default(),
            notices: Family::default(),
            sinks: SinkMetrics::new(),
            open: OpenMetrics::default(),
            refusals: Refusals::default(),
            differing: Differing::default(),
        };
        metrics.register();
        metrics
    }

    /// The one table of names. A counter's name gets `_total` when it is written.
    #[rustfmt::skip]
    fn register(&mut self) {
        let Self { registry: r, .. } = self;
        r.register("ingress_requests", "Requests at an ingress path by connector and answer", self.requests.clone());
        r.register_with_unit("ingress_request", "From the request's head to the answer of what was stored", Unit::Seconds, self.request_seconds.clone());
        r.register("events", "Events handed in by connector: accepted, duplicate, or a duplicate whose body differs from the first one's", self.events.clone());
        r.register("ingress_refusals", "Requests whose signature did not verify by connector and reason", self.refused.clone());
        r.register("signature_matches", "Requests that verified, by connector and position of the secret that matched", self.matches.clone());
        r.register("commits", "Commits of the store", self.commits.clone());
        r.register("commit_submissions", "Submissions in one commit", self.commit_submissions.clone());
        r.register("map_attempts", "Attempts at mapping an event by connector and outcome", self.attempts.clone());
        r.register("map_failures", "Failed attempts at mapping an event by connector and class", self.failures.clone());
        r.register_with_unit("map_attempt", "Duration of an attempt at mapping an event", Unit::Seconds, self.attempt_seconds.clone());
        r.register("change_streams", "Streams of changes that are open", self.streams.clone());
        r.register("tasks", "Tasks that are open, by state", self.queue.clone());
        r.register("events_accepted", "Events ever accepted by this store", self.ever.clone());
        r.register_with_unit("oldest_pending", "Age of the oldest event that is not mapped yet", Unit::Seconds, self.oldest.clone());
        r.register("change_newest", "The newest place of the change log", self.newest.clone());
        r.register("event_key_clashes", "Events whose key was known with another body", self.clashes.clone());
        r.register_with_unit("store", "Size of the store's files", Unit::Bytes, self.store_bytes.clone());
        r.register_with_unit("store_journal", "Size of the store's journals", Unit::Bytes, self.journal_bytes.clone());
        r.register("gate", "1 at the state in which the store is", self.gate.clone());
        r.register("build_info", "What runs", self.build.clone());
        r.register("notices", "Attempts at telling an alert channel by channel and outcome", self.notices.clone());
        self.sinks.register(r);
        self.open.register(r);
    }

    /// A request at an ingress path was answered. `connector` is none where the path
    /// names nothing that is configured.
    pub(crate) fn answered(&self, connector: Option<&ConnectorName>, outcome: IngressOutcome) {
        self.requests
            .get_or_create(&of(connector, outcome.code()))
            .inc();
    }

    /// A request's events are durable.
    pub(crate) fn stored(&self, connector: &ConnectorName, accepted: &[Accepted], took: Duration) {
        self.request_seconds.observe(took.as_secs_f64());
        let duplicates = accepted.iter().filter(|event| event.duplicate).count();
        let differing = accepted.iter().filter(|event| event.body_differs).count();
        let fresh = accepted.len() - duplicates;
        let counts = [
            (fresh, "accepted"),
            (duplicates - differing, "duplicate"),
            (differing, "duplicate-differs"),
        ];
        for (count, outcome) in counts {
            if count > 0 {
                self.events
                    .get_or_create(&of(Some(connector), outcome))
                    .inc_by(count as u64);
            }
        }
    }

    /// A request was refused. `address` is configured, and so bounds what is kept.
    pub(crate) fn refused(&self, address: &Address, refused: Refused, alert_from: Option<u64>) {
        let connector = match address {
            Address::Connection(id) => &id.connector,
            Address::ByAccount { connector, .. } => connector,
        };
        self.refused
            .get_or_create(&of(Some(connector), refused.reason.code))
            .inc();
        let reason = refused.reason.message.clone();
        if self.refusals.keep(address, refused, alert_from) {
            let path = match address {
                Address::Connection(id) => id.to_string(),
                Address::ByAccount { connector, .. } => connector.to_string(),
            };
            tracing::warn!(%path, %reason, "a webhook was refused with 401; `tidegate verify --help` finds out why");
        }
    }

    /// How often each connection's event ids came with another body.
    pub(crate) const fn differing(&self) -> &Differing {
        &self.differing
    }

    /// A handshake was refused. Anyone can ask for one, so it says nothing of deliveries.
    pub(crate) fn refused_handshake(&self, address: &Address, refused: Refused) {
        let connector = match address {
            Address::Connection(id) => &id.connector,
            Address::ByAccount { connector, .. } => connector,
        };
        self.refused
            .get_or_create(&of(Some(connector), refused.reason.code))
            .inc();
        self.refusals.note(address, refused);
    }

    /// A request verified with the secret of that position.
    pub(crate) fn matched(&self, connector: &ConnectorName, position: usize) {
        let of_secret = OfSecret {
            connector: connector.as_str().to_owned(),
            position: position.try_into().unwrap_or(u32::MAX),
        };
        self.matches.get_or_create(&of_secret).inc();
    }

    /// The last refusals of each connection.
    pub(crate) const fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// One commit is durable.
    pub(crate) fn committed(&self, submissions: usize) {
        self.commits.inc();
        #[expect(clippy::cast_precision_loss, reason = "a batch holds at most 1,024")]
        self.commit_submissions.observe(submissions as f64);
    }

    /// An attempt at a task ended. Those of sinks are counted where changes are handed
    /// over ([`Self::handed_over`]): most of them never become a task.
    pub(crate) fn attempted(&self, completion: &Completion) {
        let outcome = outcome(&completion.end);
        match &completion.task.kind {
            TaskKind::Map { connection, .. }
            | TaskKind::Fetch { connection, .. }
            | TaskKind::Poll { connection } => {
                self.mapped(&connection.connector, outcome, &completion.attempt);
            }
            TaskKind::Alert { channel, .. } => {
                let channel = channel.to_string();
                self.notices
                    .get_or_create(&OfChannel { channel, outcome })
                    .inc();
            }
            TaskKind::Deliver(_) => {}
        }
    }

    fn mapped(&self, connector: &ConnectorName, outcome: &'static str, attempt: &Attempt) {
        let connector = Some(connector);
        self.attempts.get_or_create(&of(connector, outcome)).inc();
        if let Some(failure) = &attempt.failure {
            self.failures
                .get_or_create(&of(connector, failure.class.code()))
                .inc();
        }
        self.attempt_seconds.observe(attempt.took.as_secs_f64());
    }

    /// Changes were handed over to a sink, one result each.
    pub(crate) fn handed_over(
        &self,
        sink: &SinkName,
        results: &[Result<(), Failure>],
        took: Duration,
    ) {
        self.sinks.handed_over(sink, results, took);
    }

    /// A stream of changes is open until the guard is dropped.
    pub(crate) fn streaming(&self) -> StreamCount {
        self.streams.inc();
        StreamCount(self.streams.clone())
    }

    /// Everything as text, in the form of `OpenMetrics` that Prometheus reads.
    pub(crate) fn text(&self, sample: &Sample) -> Result<String, std::fmt::Error> {
        let Sample {
            counts,
            newest,
            disk,
            gate,
            engine,
            now,
            ..
        } = sample;
        self.sinks.show(&sample.sinks, *now);
        self.open.show(sample);
        let states = [
            ("pending", counts.scheduled),
            ("waiting", counts.waiting),
            ("dead", counts.dead),
        ];
        for (state, count) in states {
            self.queue
                .get_or_create(&State { state })
                .set(signed(count));
        }
        self.ever.set(signed(counts.events));
        self.clashes.set(signed(counts.clashes));
        let age = counts
            .oldest_open
            .map_or(0, |oldest| now.since(oldest).as_secs());
        self.oldest.set(signed(age));
        self.newest.set(signed(newest.get()));
        self.store_bytes.set(signed(disk.bytes));
        self.journal_bytes.set(signed(disk.journal_bytes));
        for state in GATE_STATES {
            self.gate
                .get_or_create(&State { state })
                .set(i64::from(state == *gate));
        }
        let build = Build {
            version: env!("CARGO_PKG_VERSION"),
            engine,
        };
        self.build.get_or_create(&build).set(1);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Counts one open stream for as long as it lives.
#[derive(Debug)]
pub(crate) struct StreamCount(Gauge);

impl Drop for StreamCount {
    fn drop(&mut self) {
        self.0.dec();
    }
}

const fn outcome(end: &End) -> &'static str {
    match end {
        End::Mapped { .. } => "mapped",
        End::Skipped { .. } => "skipped",
        End::Delivered => "delivered",
        End::Superseded => "superseded",
        End::Again(_) => "again",
        End::Park { .. } => "parked",
        End::Pause { .. } => "paused",
    }
}

fn of(connector: Option<&ConnectorName>, outcome: &'static str) -> OfConnector {
    let connector = connector
        .map(ConnectorName::as_str)
        .unwrap_or_default()
        .to_owned();
    OfConnector { connector, outcome }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

//! Sinks in numbers. Names come from the configuration, which bounds them.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tidegate_core::failure::Failure;
use tidegate_core::ids::SinkName;
use tidegate_core::time::Timestamp;

use super::signed;
use crate::sinks::SinkView;

/// Every word of a sink's state, so that each has a series.
const STATES: [&str; 3] = ["running", "failing", "paused"];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfSink {
    sink: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Handed {
    sink: String,
    /// `delivered`, or the class of the failure.
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InState {
    sink: String,
    state: &'static str,
}

/// What is counted of sinks.
#[derive(Debug)]
pub(super) struct SinkMetrics {
    handed_over: Family<Handed, Counter>,
    seconds: Family<OfSink, Histogram>,
    backlog: Family<OfSink, Gauge>,
    oldest: Family<OfSink, Gauge>,
    open: Family<OfSink, Gauge>,
    state: Family<InState, Gauge>,
}

impl SinkMetrics {
    pub(super) fn new() -> Self {
        Self {
            handed_over: Family::default(),
            // 0.5 ms to 65 s.
            seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.000_5, 2.0, 18))
            }),
            backlog: Family::default(),
            oldest: Family::default(),
            open: Family::default(),
            state: Family::default(),
        }
    }

    #[rustfmt::skip]
    pub(super) fn register(&self, r: &mut Registry) {
        r.register("sink_deliveries", "Changes handed over by sink and what the receiver said", self.handed_over.clone());
        r.register_with_unit("sink_hand_over", "Duration of one hand-over, of one change or a batch", Unit::Seconds, self.seconds.clone());
        r.register("sink_backlog", "Changes after the sink's cursor", self.backlog.clone());
        r.register_with_unit("sink_oldest", "Age of the oldest change that the sink is still to be given", Unit::Seconds, self.oldest.clone());
        r.register("sink_open_deliveries", "Changes that failed or wait behind one that did", self.open.clone());
        r.register("sink_state", "1 at the state in which the sink is", self.state.clone());
    }

    pub(super) fn handed_over(
        &self,
        sink: &SinkName,
        results: &[Result<(), Failure>],
        took: Duration,
    ) {
        let sink = sink.to_string();
        for result in results {
            let outcome = match result {
                Ok(()) => "delivered",
                Err(failure) => failure.class.code(),
            };
            let sink = sink.clone();
            self.handed_over
                .get_or_create(&Handed { sink, outcome })
                .inc();
        }
        self.seconds
            .get_or_create(&OfSink { sink })
            .observe(took.as_secs_f64());
    }

    /// A sink that is not configured any more has no series.
    pub(super) fn show(&self, views: &[SinkView], now: Timestamp) {
        self.backlog.clear();
        self.oldest.clear();
        self.open.clear();
        self.state.clear();
        for view in views {
            let sink = view.name.to_string();
            let of = OfSink { sink: sink.clone() };
            let age = view.oldest.map_or(0, |oldest| now.since(oldest).as_secs());
            self.backlog.get_or_create(&of).set(signed(view.backlog));
            self.oldest.get_or_create(&of).set(signed(age));
            self.open
                .get_or_create(&of)
                .set(signed(view.open_deliveries));
            for state in STATES {
                let here = i64::from(state == view.standing.state.code());
                let sink = sink.clone();
                self.state.get_or_create(&InState { sink, state }).set(here);
            }
        }
    }
}

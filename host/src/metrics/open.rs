//! What is open and what needs a person, in numbers.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tidegate_core::alert::AlertRule;
use tidegate_core::task::DeadCause;

use super::sample::Sample;
use super::signed;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Cause {
    cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Rule {
    rule: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfWork {
    work: &'static str,
}

/// Dead letters, alerts, and how old the open work is.
#[derive(Debug, Default)]
pub(super) struct OpenMetrics {
    dead: Family<Cause, Gauge>,
    alerts: Family<Rule, Gauge>,
    ages: Family<OfWork, Gauge>,
    unreadable: Gauge,
}

impl OpenMetrics {
    #[rustfmt::skip]
    pub(super) fn register(&self, r: &mut Registry) {
        r.register("dead_letters", "Dead letters by cause", self.dead.clone());
        r.register("alerts", "Alerts that stand, by rule", self.alerts.clone());
        r.register_with_unit("oldest_open", "Age of the oldest open task of each kind of work, from when its event or change came", Unit::Seconds, self.ages.clone());
        r.register("unreadable_rows", "Rows of the store that could not be read and were set aside", self.unreadable.clone());
    }

    /// Every word has its series from the start.
    pub(super) fn show(&self, sample: &Sample) {
        for cause in DeadCause::ALL.map(DeadCause::code) {
            let of_cause = sample.dead.iter().filter(|dead| dead.cause.code() == cause);
            let count = of_cause.map(|dead| dead.count).sum::<u64>();
            self.dead.get_or_create(&Cause { cause }).set(signed(count));
        }
        for rule in AlertRule::ALL {
            let standing = sample.alerts.iter().filter(|alert| alert.key.rule == rule);
            let count = signed(standing.count() as u64);
            let rule = rule.code();
            self.alerts.get_or_create(&Rule { rule }).set(count);
        }
        for (work, oldest) in &sample.oldest {
            let age = oldest.map_or(0, |oldest| sample.now.since(oldest).as_secs());
            self.ages.get_or_create(&OfWork { work }).set(signed(age));
        }
        self.unreadable.set(signed(sample.counts.unreadable));
    }
}

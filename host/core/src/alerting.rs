//! When an alert opens, is repeated and is over.
//!
//! What is wrong now ([`Observed`]) becomes findings, at most one a rule and subject.
//! A finding without an alert opens one; an alert without a finding is over once that has
//! lasted, so that nothing flaps. Between, it is repeated at the policy's pace, and early
//! when it has grown tenfold.
//!
//! Pure: time comes in, and what to write goes out as one update. Alerts are bounded
//! ([`ALERTS_MAX`]): what is beyond is one alert a rule that counts the others. An update
//! is bounded as well ([`ALERTS_TOLD_MAX`]): what it leaves out comes with the next look.
//! It must not know channels beyond their names, nor how anything is observed.

mod observed;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::{AlertKey, AlertRecord, AlertRule, AlertUpdate, Notice, NoticeKind};
use crate::ids::ChannelName;
use crate::limits::{ALERTS_MAX, ALERTS_TOLD_MAX};
use crate::policy::AlertPolicy;
use crate::time::Timestamp;

pub use observed::{
    Backlog, DeadLetters, DifferingDuplicates, Finding, Observed, PausedConnection,
    SignatureFailures, SinkTrouble, UnreadableSink,
};

/// A channel and what it is told about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Which channel.
    pub channel: ChannelName,
    /// About which rules.
    pub rules: Vec<AlertRule>,
}

/// Growth that is worth a notice before its time.
const GROWTH: u64 = 10;

/// What follows from how things stand now.
pub fn evaluate(
    standing: &[AlertRecord],
    findings: Vec<Finding>,
    channels: &[Subscription],
    policy: &AlertPolicy,
    now: Timestamp,
) -> AlertUpdate {
    let standing: BTreeMap<&AlertKey, &AlertRecord> = standing
        .iter()
        .map(|record| (&record.key, record))
        .collect();
    let findings = within_bounds(findings, &standing);
    let mut look = Look {
        channels,
        now,
        told: 0,
        update: AlertUpdate::default(),
        refreshed: Vec::new(),
    };
    let gone = standing
        .values()
        .filter(|record| !findings.contains_key(&record.key));
    for record in gone {
        look.gone(record, policy);
    }
    for (key, finding) in findings {
        match standing.get(&key) {
            Some(record) => look.goes_on(record, finding, policy),
            None => look.opens(key, finding),
        }
    }
    look.finish()
}

/// The alert of a store that had failed, for the store that a host begins with afterwards:
/// it was said since then, while nothing could be kept, and its condition is gone.
pub fn store_had_failed(since: Timestamp, reason: &str, now: Timestamp) -> AlertRecord {
    let finding = words::latched(reason);
    AlertRecord {
        key: finding.key,
        since,
        count: finding.count,
        oldest: finding.oldest,
        summary: finding.summary,
        excerpt: finding.excerpt,
        link: finding.link,
        last_notice: since,
        noticed_count: finding.count,
        clear_since: Some(now),
    }
}

/// Findings by key. Those without an alert get one as long as there is room; the others
/// are counted together, by rule.
fn within_bounds(
    findings: Vec<Finding>,
    standing: &BTreeMap<&AlertKey, &AlertRecord>,
) -> BTreeMap<AlertKey, Finding> {
    let all: BTreeMap<AlertKey, Finding> = findings
        .into_iter()
        .map(|finding| (finding.key.clone(), finding))
        .collect();
    let known: BTreeSet<&AlertKey> = standing
        .keys()
        .copied()
        .filter(|key| key.subject != words::OTHERS)
        .collect();
    let mut room = ALERTS_MAX.saturating_sub(known.len());
    let (mut kept, mut others) = (BTreeMap::new(), BTreeMap::new());
    for (key, finding) in all {
        if known.contains(&key) {
            kept.insert(key, finding);
        } else if let Some(left) = room.checked_sub(1) {
            room = left;
            kept.insert(key, finding);
        } else {
            let beyond: &mut Vec<Finding> = others.entry(key.rule).or_default();
            beyond.push(finding);
        }
    }
    let summed = others
        .into_iter()
        .filter_map(|(rule, beyond)| words::others(rule, &beyond));
    kept.extend(summed.map(|finding| (finding.key.clone(), finding)));
    kept
}

/// One look at things: what it changes so far.
struct Look<'a> {
    channels: &'a [Subscription],
    now: Timestamp,
    told: usize,
    update: AlertUpdate,
    refreshed: Vec<AlertRecord>,
}

impl Look<'_> {
    /// Whether there is still room in the update.
    fn has_room(&mut self) -> bool {
        self.told += 1;
        self.told <= ALERTS_TOLD_MAX
    }

    fn opens(&mut self, key: AlertKey, finding: Finding) {
        if !self.has_room() {
            return;
        }
        let record = AlertRecord {
            key,
            since: self.now,
            count: finding.count,
            oldest: finding.oldest,
            summary: finding.summary,
            excerpt: finding.excerpt,
            link: finding.link,
            last_notice: self.now,
            noticed_count: finding.count,
            clear_since: None,
        };
        self.say(&record, NoticeKind::Opened);
        self.update.put.push(record);
    }

    fn goes_on(&mut self, record: &AlertRecord, finding: Finding, policy: &AlertPolicy) {
        let mut now_stands = AlertRecord {
            count: finding.count,
            oldest: finding.oldest,
            summary: finding.summary,
            excerpt: finding.excerpt,
            link: finding.link,
            clear_since: None,
            ..record.clone()
        };
        let grown = finding.count >= record.noticed_count.saturating_mul(GROWTH)
            && finding.count > record.noticed_count;
        let repeat = grown || self.now >= record.last_notice.plus(policy.repeat);
        if repeat || record.clear_since.is_some() {
            if !self.has_room() {
                return;
            }
            if repeat {
                now_stands.last_notice = self.now;
                now_stands.noticed_count = finding.count;
                self.say(&now_stands, NoticeKind::Repeated);
            }
            self.update.put.push(now_stands);
        } else if now_stands != *record {
            self.refreshed.push(now_stands);
        }
    }

    fn gone(&mut self, record: &AlertRecord, policy: &AlertPolicy) {
        match record.clear_since {
            // A clock that was set back must not keep it for ever.
            Some(since) if since <= self.now => {
                if self.now >= since.plus(policy.clear_after) && self.has_room() {
                    self.say(record, NoticeKind::Over);
                    self.update.removed.push(record.key.clone());
                }
            }
            _ => {
                if self.has_room() {
                    self.update.put.push(AlertRecord {
                        clear_since: Some(self.now),
                        ..record.clone()
                    });
                }
            }
        }
    }

    fn say(&mut self, record: &AlertRecord, kind: NoticeKind) {
        let notice = Notice {
            key: record.key.clone(),
            kind,
            summary: words::summary(kind, &record.summary),
            count: record.count,
            oldest: record.oldest,
            excerpt: record.excerpt.clone(),
            link: record.link.clone(),
            since: record.since,
        };
        let told = self.channels.iter();
        let told = told.filter(|channel| channel.rules.contains(&record.key.rule));
        self.update
            .notices
            .extend(told.map(|channel| (channel.channel.clone(), notice.clone())));
    }

    /// New figures of what stands come last: they may wait.
    fn finish(mut self) -> AlertUpdate {
        let room = ALERTS_TOLD_MAX.saturating_sub(self.told);
        self.update
            .put
            .extend(self.refreshed.into_iter().take(room));
        self.update
    }
}

#[cfg(test)]
mod tests;

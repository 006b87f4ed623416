//! What is wrong now, as whoever looks at it found it, and what of it is worth an alert.

use std::collections::BTreeMap;
use std::time::Duration;

use super::words;
use crate::alert::AlertKey;
use crate::ids::{ConnectionId, EventId, SinkName};
use crate::policy::AlertPolicy;
use crate::sink::SinkState;
use crate::task::{DeadCause, Owner};
use crate::time::Timestamp;

/// What was refused, or passed over as a duplicate, is an alert for as long as one of it is
/// not older than this.
const REFUSALS_KEPT: Duration = Duration::from_hours(1);

/// How things stand, as far as alerts are about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Dead letters; several entries of one owner and cause are counted together.
    pub dead: Vec<DeadLetters>,
    /// Work that is open.
    pub backlog: Vec<Backlog>,
    /// Connections whose last requests did not verify.
    pub refusals: Vec<SignatureFailures>,
    /// Connections whose event ids came with more than one body.
    pub differing: Vec<DifferingDuplicates>,
    /// Connections whose outgoing work rests.
    pub paused: Vec<PausedConnection>,
    /// Sinks that do not run.
    pub sinks: Vec<SinkTrouble>,
    /// Sinks of which it cannot be read what they are still to be given.
    pub unreadable: Vec<UnreadableSink>,
    /// Whether free disk is below the reserve.
    pub disk_low: bool,
    /// Why the store takes nothing any more, where it does not.
    pub latched: Option<String>,
}

/// Dead letters of one owner and cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetters {
    /// Whose.
    pub owner: Owner,
    /// Why they were parked.
    pub cause: DeadCause,
    /// How many.
    pub count: u64,
    /// When the oldest was parked.
    pub oldest: Timestamp,
    /// Why one of them was.
    pub excerpt: String,
}

/// Open work of one owner, whenever it is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Whose.
    pub owner: Owner,
    /// When what the oldest task is about came up: its event was received, its change
    /// committed.
    pub oldest: Timestamp,
    /// How many are open.
    pub open: u64,
    /// The last failure of one of them, where there was one.
    pub excerpt: String,
}

/// Requests of one connection that did not verify, since the last one that did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureFailures {
    /// Whose.
    pub connection: ConnectionId,
    /// How many in a row.
    pub in_a_row: u64,
    /// When the first of them came.
    pub first: Timestamp,
    /// When the last one came.
    pub last: Timestamp,
    /// Why that one did not verify.
    pub reason: String,
    /// From how many on it is an alert, where the partner gives up on an endpoint earlier
    /// than the policy would tell.
    pub alert_from: Option<u64>,
}

/// Duplicates of one connection whose body was not the first one's, since the host started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DifferingDuplicates {
    /// Whose.
    pub connection: ConnectionId,
    /// How many.
    pub count: u64,
    /// When the first of them came.
    pub first: Timestamp,
    /// When the last one came.
    pub last: Timestamp,
    /// The event whose id that one had.
    pub event: EventId,
}

/// A connection whose outgoing work rests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PausedConnection {
    /// Which.
    pub connection: ConnectionId,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
}

/// A sink, with how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkTrouble {
    /// Which.
    pub sink: SinkName,
    /// How it stands; one that runs is no trouble.
    pub state: SinkState,
}

/// A sink of which it cannot be read what it is still to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableSink {
    /// Which.
    pub sink: SinkName,
    /// What cannot be read.
    pub reason: String,
}

/// One thing that is worth an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub key: AlertKey,
    /// How many things are behind it.
    pub count: u64,
    /// The oldest of them.
    pub oldest: Option<Timestamp>,
    /// One sentence. The same for as long as nothing has changed: it is written when it
    /// does.
    pub summary: String,
    /// What one of them says, cut short.
    pub excerpt: String,
    /// Where to look.
    pub link: String,
}

impl SignatureFailures {
    /// From how many in a row on they are an alert.
    fn alert_from(&self, policy: &AlertPolicy) -> u64 {
        let partner = self.alert_from.unwrap_or(u64::MAX);
        policy.signature_failures.min(partner).max(1)
    }
}

impl Observed {
    /// What of it is worth an alert.
    pub fn findings(&self, policy: &AlertPolicy, now: Timestamp) -> Vec<Finding> {
        let mut findings = self.dead_letters(policy);
        let late = |backlog: &&Backlog| now >= backlog.oldest.plus(policy.backlog_age);
        findings.extend(self.backlog.iter().filter(late).map(words::backlog));
        let refused = |refusals: &&SignatureFailures| {
            refusals.in_a_row >= refusals.alert_from(policy)
                && now < refusals.last.plus(REFUSALS_KEPT)
        };
        findings.extend(self.refusals.iter().filter(refused).map(words::refusals));
        let lately = |differing: &&DifferingDuplicates| now < differing.last.plus(REFUSALS_KEPT);
        findings.extend(self.differing.iter().filter(lately).map(words::differing));
        findings.extend(self.paused.iter().map(words::paused));
        findings.extend(self.sinks.iter().filter_map(words::sink));
        // The last finding of a key counts: that its next change is lost says more.
        findings.extend(self.unreadable.iter().map(words::unreadable));
        findings.extend(self.disk_low.then(words::disk_low));
        findings.extend(self.latched.as_deref().map(words::latched));
        findings
    }

    fn dead_letters(&self, policy: &AlertPolicy) -> Vec<Finding> {
        let mut by_key: BTreeMap<(&Owner, &str), DeadLetters> = BTreeMap::new();
        for letters in &self.dead {
            by_key
                .entry((&letters.owner, letters.cause.code()))
                .and_modify(|all| {
                    all.count = all.count.saturating_add(letters.count);
                    if letters.oldest < all.oldest {
                        all.oldest = letters.oldest;
                        all.excerpt.clone_from(&letters.excerpt);
                    }
                })
                .or_insert_with(|| letters.clone());
        }
        let many = by_key.values();
        let many = many.filter(|letters| letters.count >= policy.dead_letters.max(1));
        many.map(words::dead_letters).collect()
    }
}

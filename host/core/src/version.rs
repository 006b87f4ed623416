//! The version rule: which change is newer, whatever order they arrive in.
//!
//! | incoming against standing | verdict |
//! |---|---|
//! | lower version | superseded |
//! | higher version | applied |
//! | same version, same content | unchanged |
//! | same version, other content | a tie: applied from the same event or an observation; between webhooks a delete wins, else by receipt |
//! | either has no version | by receipt |
//!
//! An observation (poll, fetch, reconcile) saw the partner's own state: a fetch or
//! reconciliation outranks ties, missing versions and tombstones, unless a change of
//! that entity was committed after the observation began.
//!
//! Pure; the committer calls it against its own batch and the mirror, so two workers
//! that hold the same entity cannot both win.

use crate::change::{Operation, Origin};
use crate::ids::{ChangeSeq, EventId};

/// What one side of the comparison says about an entity's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Upsert or delete.
    pub operation: Operation,
    /// What orders it, where the partner gives something.
    pub version: Option<i64>,
    /// What tells it apart.
    pub revision: String,
}

/// How an entity stands in the mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its content.
    pub content: Content,
    /// The newest receipt that agrees with this content.
    pub receipt: EventId,
    /// The change that brought it.
    pub change: ChangeSeq,
    /// Two different states had its version, and nothing has settled which is right.
    pub tied: bool,
}

/// Where an incoming change comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// How it was learned.
    pub origin: Origin,
    /// The event's number, or for an observation the number that the common sequence
    /// stood at when it began: one order for both.
    pub receipt: EventId,
    /// For an observation: where the change log stood when it began.
    pub began: ChangeSeq,
}

/// What becomes of an incoming change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it goes out.
    pub verdict: Verdict,
    /// Whether the entity is tied afterwards.
    pub tied: bool,
    /// The standing's receipt afterwards.
    pub receipt: EventId,
}

/// Whether an incoming change goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the entity's newest state: into the change log and the mirror.
    Applied,
    /// A newer state stands.
    Superseded,
    /// The same state stands.
    Unchanged,
}

/// Decides an incoming change against what stands.
pub fn decide(standing: Option<&Standing>, content: &Content, from: Provenance) -> Decision {
    let Some(standing) = standing else {
        return Decision {
            verdict: Verdict::Applied,
            tied: false,
            receipt: from.receipt,
        };
    };
    if outranks(standing, content, from) {
        return settled(standing, content, from);
    }
    match (standing.content.version, content.version) {
        (Some(stands), Some(comes)) if comes < stands => kept(standing, Verdict::Superseded),
        (Some(stands), Some(comes)) if comes > stands => applied(from, false),
        (Some(_), Some(_)) if *content == standing.content => unchanged(standing, from),
        (Some(_), Some(_)) => tie(standing, content, from),
        _ => by_receipt(standing, content, from),
    }
}

/// Which of the changes that one event proposes for one entity counts, by index: the
/// highest version, for a partner may list newest first; the last one where versions tie
/// or one is missing.
pub fn counting(versions: &[Option<i64>]) -> Option<usize> {
    let all: Option<Vec<i64>> = versions.iter().copied().collect();
    match all {
        Some(all) => all
            .iter()
            .enumerate()
            .max_by_key(|(_, version)| **version)
            .map(|(index, _)| index),
        None => versions.len().checked_sub(1),
    }
}

/// Whether an observation settles what versions cannot.
fn outranks(standing: &Standing, content: &Content, from: Provenance) -> bool {
    let observed = matches!(from.origin, Origin::Fetch | Origin::Reconcile);
    let undecided = standing.tied
        || standing.content.version.is_none()
        || content.version.is_none()
        || standing.content.operation == Operation::Delete;
    observed && undecided && standing.change <= from.began
}

fn settled(standing: &Standing, content: &Content, from: Provenance) -> Decision {
    let verdict = if *content == standing.content {
        Verdict::Unchanged
    } else {
        Verdict::Applied
    };
    Decision {
        verdict,
        tied: false,
        receipt: standing.receipt.max(from.receipt),
    }
}

fn tie(standing: &Standing, content: &Content, from: Provenance) -> Decision {
    if from.origin != Origin::Webhook {
        return applied(from, true);
    }
    if from.receipt == standing.receipt {
        // A replay of the event that stands, with a corrected plugin: no second opinion.
        return applied(from, standing.tied);
    }
    let wins = match (standing.content.operation, content.operation) {
        (Operation::Upsert, Operation::Delete) => true,
        (Operation::Delete, Operation::Upsert) => false,
        _ => from.receipt > standing.receipt,
    };
    if wins {
        // Its own receipt, also where a delete comes with an older one: with the other's,
        // that one's replay would pass for a correction of the delete.
        applied(from, true)
    } else {
        Decision {
            verdict: Verdict::Superseded,
            tied: true,
            receipt: standing.receipt,
        }
    }
}

fn by_receipt(standing: &Standing, content: &Content, from: Provenance) -> Decision {
    if from.receipt < standing.receipt {
        kept(standing, Verdict::Superseded)
    } else if content.operation == standing.content.operation
        && content.revision == standing.content.revision
    {
        unchanged(standing, from)
    } else {
        applied(from, false)
    }
}

const fn kept(standing: &Standing, verdict: Verdict) -> Decision {
    Decision {
        verdict,
        tied: standing.tied,
        receipt: standing.receipt,
    }
}

/// The state was confirmed by a newer receipt, so that an older one cannot undo it.
fn unchanged(standing: &Standing, from: Provenance) -> Decision {
    Decision {
        verdict: Verdict::Unchanged,
        tied: standing.tied,
        receipt: standing.receipt.max(from.receipt),
    }
}

const fn applied(from: Provenance, tied: bool) -> Decision {
    Decision {
        verdict: Verdict::Applied,
        tied,
        receipt: from.receipt,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(operation: Operation, version: Option<i64>, revision: &str) -> Content {
        Content {
            operation,
            version,
            revision: revision.into(),
        }
    }

    fn up(version: Option<i64>, revision: &str) -> Content {
        content(Operation::Upsert, version, revision)
    }

    fn gone(version: Option<i64>) -> Content {
        content(Operation::Delete, version, "")
    }

    const fn webhook(receipt: u64) -> Provenance {
        Provenance {
            origin: Origin::Webhook,
            receipt: EventId::new(receipt),
            began: ChangeSeq::new(0),
        }
    }

    const fn observed(origin: Origin, receipt: u64, began: u64) -> Provenance {
        Provenance {
            origin,
            receipt: EventId::new(receipt),
            began: ChangeSeq::new(began),
        }
    }

    /// Plays changes one after another, as the committer does.
    #[derive(Default)]
    struct Mirror {
        standing: Option<Standing>,
        log: u64,
    }

    impl Mirror {
        fn play(&mut self, content: Content, from: Provenance) -> Verdict {
            let decision = decide(self.standing.as_ref(), &content, from);
            match decision.verdict {
                Applied => {
                    self.log += 1;
                    self.standing = Some(Standing {
                        content,
                        receipt: decision.receipt,
                        change: ChangeSeq::new(self.log),
                        tied: decision.tied,
                    });
                }
                Superseded | Unchanged => {
                    if let Some(standing) = &mut self.standing {
                        standing.receipt = decision.receipt;
                        standing.tied = decision.tied;
                    }
                }
            }
            decision.verdict
        }

        fn tied(&self) -> bool {
            self.standing.as_ref().is_some_and(|standing| standing.tied)
        }
    }

    #[track_caller]
    fn check(steps: &[(Content, Provenance, Verdict)], tied: bool) {
        let mut mirror = Mirror::default();
        for (number, (content, from, expect)) in steps.iter().enumerate() {
            assert_eq!(
                mirror.play(content.clone(), *from),
                *expect,
                "step {number}"
            );
        }
        assert_eq!(mirror.tied(), tied, "tied");
    }

    use Verdict::{Applied, Superseded, Unchanged};

    #[test]
    fn within_one_event_the_highest_version_counts_whatever_its_place() {
        assert_eq!(counting(&[Some(9), Some(5)]), Some(0));
        assert_eq!(counting(&[Some(5), Some(9), Some(7)]), Some(1));
        assert_eq!(counting(&[Some(9), Some(9)]), Some(1));
        assert_eq!(counting(&[Some(9), None]), Some(1));
        assert_eq!(counting(&[]), None);
    }

    #[test]
    fn versions_order_whatever_the_arrival() {
        check(
            &[
                (up(Some(5), "b"), webhook(1), Applied),
                (up(Some(3), "a"), webhook(2), Superseded),
                (up(Some(5), "b"), webhook(3), Unchanged),
                (up(Some(9), "c"), webhook(4), Applied),
            ],
            false,
        );
    }

    #[test]
    fn a_delete_before_its_create_still_wins() {
        check(
            &[
                (gone(Some(9)), webhook(1), Applied),
                (up(Some(3), "a"), webhook(2), Superseded),
            ],
            false,
        );
        // Without versions the late create has the older receipt.
        check(
            &[
                (gone(None), webhook(8), Applied),
                (up(None, "a"), webhook(7), Superseded),
            ],
            false,
        );
    }

    #[test]
    fn between_tied_webhooks_a_delete_wins_in_both_orders() {
        check(
            &[
                (up(Some(5), "a"), webhook(2), Applied),
                (gone(Some(5)), webhook(1), Applied),
            ],
            true,
        );
        check(
            &[
                (gone(Some(5)), webhook(1), Applied),
                (up(Some(5), "a"), webhook(2), Superseded),
            ],
            true,
        );
    }

    #[test]
    fn a_replay_of_what_a_tied_delete_has_replaced_does_not_bring_it_back() {
        check(
            &[
                (up(Some(5), "a"), webhook(2), Applied),
                (gone(Some(5)), webhook(1), Applied),
                (up(Some(5), "a"), webhook(2), Superseded),
            ],
            true,
        );
    }

    #[test]
    fn tied_webhooks_go_by_receipt() {
        check(
            &[
                (up(Some(5), "a"), webhook(2), Applied),
                (up(Some(5), "b"), webhook(1), Superseded),
                (up(Some(5), "c"), webhook(3), Applied),
            ],
            true,
        );
    }

    #[test]
    fn a_replay_with_a_corrected_plugin_goes_out_and_is_no_tie() {
        check(
            &[
                (up(Some(5), "a"), webhook(2), Applied),
                (up(Some(5), "a"), webhook(2), Unchanged),
                (up(Some(5), "fixed"), webhook(2), Applied),
            ],
            false,
        );
        check(
            &[
                (up(None, "a"), webhook(2), Applied),
                (up(None, "fixed"), webhook(2), Applied),
            ],
            false,
        );
    }

    #[test]
    fn without_versions_a_confirmed_state_is_not_undone_by_an_older_receipt() {
        check(
            &[
                (up(None, "a"), webhook(5), Applied),
                (up(None, "a"), webhook(9), Unchanged),
                (up(None, "b"), webhook(7), Superseded),
            ],
            false,
        );
    }

    #[test]
    fn a_fetch_settles_a_tie_and_a_tombstone() {
        check(
            &[
                (up(Some(5), "a"), webhook(1), Applied),
                (up(Some(5), "b"), webhook(2), Applied),
                (up(Some(5), "a"), observed(Origin::Fetch, 3, 2), Applied),
            ],
            false,
        );
        check(
            &[
                (gone(Some(9)), webhook(1), Applied),
                (up(Some(5), "a"), observed(Origin::Reconcile, 3, 1), Applied),
            ],
            false,
        );
    }

    #[test]
    fn an_observation_yields_to_what_was_committed_after_it_began() {
        check(
            &[
                (gone(Some(9)), webhook(7), Applied),
                (up(Some(5), "a"), observed(Origin::Fetch, 3, 0), Superseded),
            ],
            false,
        );
        check(
            &[
                (up(None, "new"), webhook(7), Applied),
                (up(None, "old"), observed(Origin::Fetch, 3, 0), Superseded),
            ],
            false,
        );
    }

    #[test]
    fn a_poll_with_the_same_version_and_other_content_goes_out_tied() {
        check(
            &[
                (up(Some(5), "a"), webhook(1), Applied),
                (up(Some(5), "b"), observed(Origin::Poll, 2, 1), Applied),
            ],
            true,
        );
    }

    proptest! {
        /// Distinct versions: every order of arrival ends in the highest.
        #[test]
        fn any_order_ends_in_the_highest_version(
            versions in proptest::collection::hash_set(0i64..100, 1..12)
        ) {
            let highest = versions.iter().copied().max();
            let mut mirror = Mirror::default();
            for (receipt, version) in versions.iter().enumerate() {
                mirror.play(up(Some(*version), &version.to_string()), webhook(receipt as u64));
            }
            prop_assert_eq!(mirror.standing.unwrap().content.version, highest);
        }

        /// Playing a history a second time changes nothing and sends nothing.
        #[test]
        fn a_replayed_history_is_a_no_op(
            steps in proptest::collection::vec((proptest::option::of(0i64..5), 0u8..4, any::<bool>()), 1..20)
        ) {
            let mut mirror = Mirror::default();
            let history: Vec<_> = steps.iter().enumerate().map(|(receipt, (version, text, delete))| {
                let content = if *delete { gone(*version) } else { up(*version, &text.to_string()) };
                (content, webhook(receipt as u64))
            }).collect();
            for (content, from) in &history {
                mirror.play(content.clone(), *from);
            }
            let log = mirror.log;
            let newest = mirror.standing.clone();
            // The event that stands is replayed: same ids, same content.
            let newest = newest.unwrap();
            let at = history.iter().find(|(_, from)| from.receipt == newest.receipt);
            if let Some((content, from)) = at && *content == newest.content {
                mirror.play(content.clone(), *from);
                prop_assert_eq!(mirror.log, log);
            }
        }
    }
}

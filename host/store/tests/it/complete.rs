//! Completing attempts and the version rule, the same for every engine.

use tidegate_core::change::{Fate, Operation};
use tidegate_core::event::EventState;
use tidegate_core::ids::{ChangeSeq, EventId};
use tidegate_core::ports::End;
use tidegate_core::task::{Again, DeadCause, TaskKind, TaskState};
use tidegate_store::Submission;

use crate::bed::{Bed, DAY, HOUR, acme, attempt, delete, entity, mapped, upsert};

for_every_engine![
    a_mapping_is_one_write,
    a_replayed_completion_is_a_no_op,
    a_retry_that_is_due_at_once_is_a_new_attempt,
    a_skip_and_a_retry_and_a_dead_letter,
    the_version_rule_decides_across_workers,
    a_delete_before_its_create_wins,
    the_last_of_one_event_counts,
    the_highest_version_of_one_event_counts_whatever_its_place,
    an_unchanged_state_is_not_sent_again,
    a_state_and_its_confirmation_in_one_batch,
    wishes_wait_and_hold_the_event,
];

fn a_mapping_is_one_write(bed: &Bed) {
    let mut store = bed.open();
    let id = store.map("a", vec![upsert("1", Some(5)), upsert("2", None)]);
    assert_eq!(store.log(), ["+1@5", "+2"]);
    let progress = store.reader.progress(id).unwrap().unwrap();
    assert_eq!(progress.state, EventState::Mapped);
    assert_eq!(progress.attempts, [attempt(store.now)]);
    assert_eq!(progress.plugin, attempt(store.now).plugin);
    let fates: Vec<_> = progress.changes.iter().map(|result| result.fate).collect();
    assert_eq!(fates, [1, 2].map(|seq| Fate::Applied(ChangeSeq::new(seq))));
    let stands = store.reader.entity(&acme(), &entity("1")).unwrap().unwrap();
    assert_eq!(stands.change, upsert("1", Some(5)));
    assert_eq!(
        (stands.standing.receipt, stands.standing.change),
        (id, ChangeSeq::new(1))
    );
    assert_eq!(store.reader.counts().scheduled, 0);
    assert_eq!(store.changes()[0].event, Some(id));
}

fn a_replayed_completion_is_a_no_op(bed: &Bed) {
    let mut store = bed.open();
    store.accept(&["a"]);
    let task = store.claim_one();
    let twice = vec![
        store.completion(task.clone(), mapped(vec![upsert("1", None)])),
        store.completion(task.clone(), mapped(vec![upsert("2", None)])),
    ];
    store.commit(twice);
    assert_eq!(store.log(), ["+1"], "in the same batch");
    store.complete(task.clone(), mapped(vec![upsert("3", None)]));
    assert_eq!(store.log(), ["+1"], "in a later batch");
    drop(store);
    let mut store = bed.open();
    store.complete(
        task,
        End::Park {
            cause: DeadCause::Mapping,
            reason: "late".into(),
        },
    );
    assert_eq!(store.log(), ["+1"], "after a restart");
    assert_eq!(store.reader.counts().dead, 0);
}

fn a_retry_that_is_due_at_once_is_a_new_attempt(bed: &Bed) {
    let mut store = bed.open();
    store.accept(&["a"]);
    let first = store.claim_one();
    let again = |due| {
        End::Again(Again {
            attempt: 1,
            due,
            limited_since: Some(due),
            cut: None,
        })
    };
    store.complete(first.clone(), again(store.now));
    assert_eq!(store.reader.counts().scheduled, 1);
    store.pass(HOUR);
    let second = store.claim_one();
    store.complete(first, mapped(vec![upsert("1", None)]));
    assert!(store.log().is_empty(), "the first attempt has ended before");
    store.complete(second, mapped(vec![upsert("2", None)]));
    assert_eq!(store.log(), ["+2"]);
    assert_eq!(store.reader.counts().scheduled, 0);
}

fn a_skip_and_a_retry_and_a_dead_letter(bed: &Bed) {
    let mut store = bed.open();
    let ids = store.accept(&["a", "b", "c"]);
    let claimed = store.claim();
    let due = store.now.plus(HOUR);
    let ends = [
        End::Skipped {
            reason: "no plugin".into(),
        },
        End::Again(Again {
            attempt: 2,
            due,
            limited_since: Some(store.now),
            cut: None,
        }),
        End::Park {
            cause: DeadCause::PartnerData,
            reason: "not JSON".into(),
        },
    ];
    let batch = claimed
        .into_iter()
        .zip(ends)
        .map(|(claimed, end)| store.completion(claimed.task, end))
        .collect();
    store.commit(batch);
    assert_eq!(
        store.state(ids[0].id),
        EventState::Skipped {
            reason: "no plugin".into()
        }
    );
    assert_eq!(
        store.state(ids[1].id),
        EventState::Pending { attempt: 2, due }
    );
    let dead = EventState::Dead {
        cause: DeadCause::PartnerData,
        reason: "not JSON".into(),
    };
    assert_eq!(store.state(ids[2].id), dead);
    let counts = store.reader.counts();
    assert_eq!((counts.scheduled, counts.dead, counts.changes), (1, 1, 0));
    let letters = store.reader.dead_letters(None, 10).unwrap().letters;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].event, Some(store.event("c")));
    assert_eq!(letters[0].progress.state, dead);
    assert_eq!(letters[0].task.id, ids[2].id.map_task());
}

fn the_version_rule_decides_across_workers(bed: &Bed) {
    let mut store = bed.open();
    store.accept(&["newer", "older"]);
    let claimed = store.claim();
    // Two workers hold the same entity and hand in at once, in one batch.
    let batch = vec![
        store.completion(claimed[0].task.clone(), mapped(vec![upsert("1", Some(9))])),
        store.completion(claimed[1].task.clone(), mapped(vec![upsert("1", Some(3))])),
    ];
    store.commit(batch);
    assert_eq!(store.log(), ["+1@9"]);
    let late = store.map("late", vec![upsert("1", Some(4))]);
    assert_eq!(store.log(), ["+1@9"], "across batches");
    let progress = store.reader.progress(late).unwrap().unwrap();
    assert_eq!(progress.changes[0].fate, Fate::Superseded);
    store.map("newest", vec![upsert("1", Some(10))]);
    assert_eq!(store.log(), ["+1@9", "+1@10"]);
    let stands = store.reader.entity(&acme(), &entity("1")).unwrap().unwrap();
    assert_eq!(stands.change.version, Some(10));
}

fn a_delete_before_its_create_wins(bed: &Bed) {
    let mut store = bed.open();
    store.map("deleted", vec![delete("1", Some(9))]);
    store.map("created", vec![upsert("1", Some(3))]);
    assert_eq!(store.log(), ["-1@9"]);
    let stands = store.reader.entity(&acme(), &entity("1")).unwrap().unwrap();
    assert_eq!(
        stands.change.operation,
        Operation::Delete,
        "a tombstone stands"
    );
}

fn the_last_of_one_event_counts(bed: &Bed) {
    let mut store = bed.open();
    let changes = vec![
        upsert("1", Some(1)),
        upsert("2", None),
        upsert("1", Some(2)),
    ];
    let id = store.map("a", changes);
    assert_eq!(store.log(), ["+2", "+1@2"]);
    let progress = store.reader.progress(id).unwrap().unwrap();
    let fates: Vec<_> = progress.changes.iter().map(|result| result.fate).collect();
    let applied = |seq| Fate::Applied(ChangeSeq::new(seq));
    assert_eq!(fates, [Fate::Superseded, applied(1), applied(2)]);
}

fn the_highest_version_of_one_event_counts_whatever_its_place(bed: &Bed) {
    let mut store = bed.open();
    let id = store.map("a", vec![upsert("1", Some(9)), upsert("1", Some(5))]);
    assert_eq!(store.log(), ["+1@9"]);
    let progress = store.reader.progress(id).unwrap().unwrap();
    let fates: Vec<_> = progress.changes.iter().map(|result| result.fate).collect();
    assert_eq!(fates, [Fate::Applied(ChangeSeq::new(1)), Fate::Superseded]);
}

fn an_unchanged_state_is_not_sent_again(bed: &Bed) {
    let mut store = bed.open();
    store.map("a", vec![upsert("1", None)]);
    let again = store.map("b", vec![upsert("1", None)]);
    assert_eq!(store.log(), ["+1"]);
    let stands = store.reader.entity(&acme(), &entity("1")).unwrap().unwrap();
    assert_eq!(
        stands.standing.receipt, again,
        "the newer receipt confirms it"
    );
    assert_eq!(
        stands.change,
        upsert("1", None),
        "its state stays in the mirror"
    );
}

fn a_state_and_its_confirmation_in_one_batch(bed: &Bed) {
    let mut store = bed.open();
    store.accept(&["a", "b"]);
    let claimed = store.claim();
    let batch = claimed
        .into_iter()
        .map(|one| store.completion(one.task, mapped(vec![upsert("1", None)])))
        .collect();
    store.commit(batch);
    assert_eq!(store.log(), ["+1"]);
    let stands = store.reader.entity(&acme(), &entity("1")).unwrap().unwrap();
    assert_eq!(stands.change, upsert("1", None));
    assert_eq!(stands.standing.receipt, EventId::new(2));
}

fn wishes_wait_and_hold_the_event(bed: &Bed) {
    let mut store = bed.open();
    let ids = store.accept(&["a", "b"]);
    let claimed = store.claim();
    let wish = |fetch: &[&str]| End::Mapped {
        changes: Vec::new(),
        fetch: fetch.iter().map(|id| entity(id)).collect(),
        poll_now: true,
    };
    let batch = vec![
        store.completion(claimed[0].task.clone(), wish(&["1", "2", "1"])),
        store.completion(claimed[1].task.clone(), wish(&[])),
    ];
    store.commit(batch);
    assert_eq!(store.state(ids[0].id), EventState::Fetching { open: 2 });
    assert_eq!(store.state(ids[1].id), EventState::Mapped);
    let third = store.accept(&["c"])[0].id;
    let task = store.claim_one();
    store.complete(task, wish(&[]));
    assert_eq!(store.state(third), EventState::Mapped);
    let waiting = store.reader.waiting(10).unwrap();
    let polls = waiting
        .iter()
        .filter(|task| matches!(task.kind, TaskKind::Poll { .. }))
        .count();
    assert_eq!((polls, waiting.len()), (1, 3), "one poll a connection");
    assert_eq!(store.reader.counts().waiting, 3);
    let TaskState::Waiting { reason } = waiting[0].state else {
        panic!("it does not wait: {:?}", waiting[0].state);
    };
    assert_eq!(reason.code(), "capability not built");
    assert!(store.claim().is_empty(), "waiting tasks are not claimed");
    store.pass(40 * DAY);
    store.commit(vec![Submission::Retain]);
    store.pass(40 * DAY);
    store.commit(vec![Submission::Retain]);
    assert!(
        store.reader.event(ids[0].id).unwrap().is_some(),
        "its fetches still need it"
    );
    drop(store);
    assert_eq!(bed.open().reader.waiting(10).unwrap(), waiting);
}

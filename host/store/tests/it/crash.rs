//! What is left when writes fail, records are torn and the power goes.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::audit::AuditAction;
use tidegate_core::change::Fate;
use tidegate_core::event::EventState;
use tidegate_core::ids::ChangeSeq;
use tidegate_core::policy::Policy;
use tidegate_core::ports::End;
use tidegate_core::replay::{ReplayItem, ReplayMode};
use tidegate_core::task::{DeadCause, Next, TaskKind};
use tidegate_store::engine::memory::{Fault, Memory};
use tidegate_store::{
    Answer, ChangeFilter, CommitError, Marks, OpenError, Options, ReplayBatch, Submission,
};

use crate::bed::{
    Bed, START, Store, accepted, acme, app, event, later, mapped, note_of, open, request, sight,
    upsert,
};

#[track_caller]
fn check_failed_commit(fault: Fault, kept: bool) {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    store.map("a", vec![upsert("1", None)]);
    store.accept(&["b"]);
    let task = store.claim_one();
    let before = sight(&store);

    memory.fail_next(fault);
    let batch = vec![
        store.request(vec![store.event("c"), store.event("d")]),
        store.completion(task.clone(), mapped(vec![upsert("2", None)])),
    ];
    let failed = store.try_commit(batch);
    assert!(
        matches!(failed, Err(CommitError::Write { submissions: 2, .. })),
        "{failed:?}"
    );
    assert_eq!(sight(&store), before, "nothing of it is visible");
    assert!(store.claim().is_empty(), "nor are its tasks");
    let after = store.try_commit(vec![Submission::Retain]);
    assert!(matches!(after, Err(CommitError::Latched)), "{after:?}");

    let mut store = open(&memory.crash(), START);
    let log: &[&str] = if kept { &["+1", "+2"] } else { &["+1"] };
    assert_eq!(store.log(), log, "whole or not at all");
    assert_eq!(store.claim().len(), if kept { 2 } else { 1 });
    let again = store.accept(&["c", "d"]);
    assert!(again.iter().all(|one| one.duplicate == kept), "{again:?}");
    store.complete(task, mapped(vec![upsert("2", None)]));
    assert_eq!(
        store.log(),
        ["+1", "+2"],
        "handed in again it is not doubled"
    );
}

#[test]
fn a_failed_write_leaves_nothing() {
    check_failed_commit(Fault::Write, false);
}

#[test]
fn a_failed_sync_that_lost_the_batch_leaves_nothing() {
    check_failed_commit(Fault::SyncLost, false);
}

#[test]
fn a_failed_sync_that_kept_the_batch_leaves_all_of_it() {
    check_failed_commit(Fault::SyncKept, true);
}

#[test]
fn a_torn_tail_of_fjalls_journal_loses_the_last_batch_alone() {
    let bed = Bed::fjall();
    let mut store = bed.open();
    store.map("a", vec![upsert("1", None)]);
    store.accept(&["b"]);
    drop(store);
    let Bed::Fjall(dir) = &bed else {
        panic!("it is a bed of fjall");
    };
    // The file is longer than what was written, the rest is zeros.
    let path = dir.path().join("0.jnl");
    let mut journal = std::fs::read(&path).unwrap();
    let end = journal.iter().rposition(|byte| *byte != 0).unwrap();
    journal[end - 40..=end].fill(0);
    std::fs::write(&path, journal).unwrap();

    let mut store = bed.open();
    assert_eq!(store.log(), ["+1"]);
    assert_eq!(store.reader.counts().events, 1);
    assert!(store.claim().is_empty());
    assert!(
        !store.accept(&["b"])[0].duplicate,
        "what was torn is taken again"
    );
}

#[test]
fn a_new_store_that_was_never_synced_is_created_again() {
    let memory = Memory::new();
    memory.fail_next(Fault::SyncLost);
    let first = Store::open(Arc::new(memory.clone()), START);
    assert!(
        matches!(first, Err(OpenError::Engine(_))),
        "{:?}",
        first.err()
    );
    let mut store = open(&memory.crash(), START);
    assert!(!store.accept(&["a"])[0].duplicate);
}

#[test]
fn the_first_hash_key_stays() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    store.accept(&["a"]);
    drop(store);
    let options = Options {
        policy: Policy::default(),
        seed: [9; 16],
        marks: Marks::default(),
    };
    let opened = tidegate_store::open(Arc::new(memory), options, START).unwrap();
    let mut committer = opened.committer;
    let again = request(&committer, vec![event(&acme(), "a", START)]);
    let answers = committer.commit(vec![again], START).unwrap();
    assert!(
        answers
            .into_iter()
            .flat_map(accepted)
            .all(|one| one.duplicate)
    );
}

/// The key of a numbered record.
fn number(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let source = error.source().map(|source| format!(": {}", chain(source)));
    format!("{error}{}", source.unwrap_or_default())
}

#[test]
fn a_torn_event_is_an_error_that_names_it() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    let ids = store.accept(&["a", "b"]);
    memory.corrupt("events-00000001", &number(ids[0].id.get()), &[1, 2, 3]);
    let store = open(&memory, START);
    let error = store.reader.event(ids[0].id).unwrap_err();
    let text = chain(&error);
    assert!(
        text.contains("events-00000001") && text.contains("0000000000000001"),
        "{text}"
    );
    assert!(
        store.reader.event(ids[1].id).unwrap().is_some(),
        "the others read on"
    );
}

#[test]
fn a_torn_standing_makes_a_dead_letter_and_not_a_loop() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    store.map("a", vec![upsert("1", Some(1))]);
    memory.corrupt("standing", b"github\0acme\0issue\x001", &[0xff]);
    let mut store = open(&memory, START);
    let id = store.accept(&["b"])[0].id;
    let task = store.claim_one();
    store.complete(task, mapped(vec![upsert("1", Some(2)), upsert("2", None)]));
    let EventState::Dead { cause, reason } = store.state(id) else {
        panic!("it is {:?}", store.state(id));
    };
    assert_eq!(cause, DeadCause::Mapping);
    assert!(reason.contains("keyspace standing is corrupt"), "{reason}");
    assert_eq!(store.log(), ["+1@1"], "nothing of it went out");
    assert_eq!(store.reader.counts().dead, 1);
    store.map("c", vec![upsert("3", None)]);
}

#[test]
fn a_torn_event_key_refuses_its_event_alone() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    store.accept(&["a", "b"]);
    for key in memory.keys("keys-00000001") {
        memory.corrupt("keys-00000001", &key, &[]);
    }
    let mut store = open(&memory, START);
    let batch = ["a", "c"]
        .map(|id| store.request(vec![store.event(id)]))
        .to_vec();
    let answers = store.commit(batch);
    assert!(
        matches!(&answers[0], Answer::Refused(_)),
        "{:?}",
        answers[0]
    );
    assert!(
        matches!(&answers[1], Answer::Accepted(_)),
        "{:?}",
        answers[1]
    );
}

#[test]
fn a_gap_in_the_change_log_is_an_error_and_not_passed_over() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    let changes = ["1", "2", "3"].map(|id| upsert(id, None)).to_vec();
    store.map("a", changes);
    for lost in [3, 2] {
        memory.lose("changes-00000001", &number(lost));
        let store = open(&memory, START);
        let read = |since| store.reader.changes(since, &ChangeFilter::default(), 10);
        let before = read(ChangeSeq::default()).unwrap();
        let next = ChangeSeq::new(lost - 1);
        assert_eq!((before.changes.len() as u64, before.next), (lost - 1, next));
        let read = read(next);
        let text = chain(&read.expect_err("a gap is read over"));
        assert!(text.contains(&format!("{lost:016x}")), "{text}");
        assert!(text.contains("it is missing"), "{text}");
    }
}

#[track_caller]
fn check_meta(key: &[u8], value: &[u8], expect: &str) {
    let memory = Memory::new();
    drop(open(&memory, START));
    memory.corrupt("meta", key, value);
    let error = Store::open(Arc::new(memory), START)
        .err()
        .expect("it does not open");
    let text = chain(&error);
    assert!(text.contains(expect), "{text}");
}

#[test]
fn a_broken_or_newer_store_is_refused() {
    check_meta(
        b"format",
        &4_u32.to_be_bytes(),
        "format 4, and this host knows up to 3",
    );
    check_meta(
        b"format",
        &2_u32.to_be_bytes(),
        "format 2, and this host reads 3 only",
    );
    check_meta(b"format", &[], "record format of keyspace meta is corrupt");
    check_meta(
        b"ledger",
        &[1, 2],
        "record ledger of keyspace meta is corrupt",
    );
    check_meta(
        b"hash-key",
        &[1],
        "record hash-key of keyspace meta is corrupt",
    );
}

#[test]
fn a_missing_bucket_is_not_taken_for_an_empty_one() {
    use tidegate_store::engine::{Engine, Profile};

    let memory = Memory::new();
    drop(open(&memory, START));
    let bucket = memory
        .open_keyspace("changes-00000001", Profile::Sequence)
        .unwrap();
    memory.drop_keyspace(bucket).unwrap();
    let error = Store::open(Arc::new(memory), START)
        .err()
        .expect("it does not open");
    assert_eq!(
        error.to_string(),
        "the store has no keyspace changes-00000001: its folder is incomplete"
    );
}

#[test]
fn a_bucket_without_a_ledger_entry_is_dropped() {
    use tidegate_store::engine::{Engine, Profile};

    let memory = Memory::new();
    drop(open(&memory, START));
    memory
        .open_keyspace("events-00000009", Profile::Sequence)
        .unwrap();
    memory
        .open_keyspace("somebody-else", Profile::Sequence)
        .unwrap();
    drop(open(&memory, START));
    let names = memory.keyspaces().unwrap();
    assert!(!names.contains(&"events-00000009".to_owned()));
    assert!(names.contains(&"somebody-else".to_owned()));
}

#[test]
fn a_fate_names_the_change_that_went_out() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    store.pass(Duration::from_secs(1));
    let id = store.map("a", vec![upsert("1", None)]);
    let mut store = open(&memory.crash(), store.now);
    let progress = store.reader.progress(id).unwrap().unwrap();
    let Fate::Applied(seq) = progress.changes[0].fate else {
        panic!("{:?}", progress.changes);
    };
    assert_eq!(store.changes()[0].seq, seq);
    store.map("b", vec![upsert("2", None)]);
    assert_eq!(store.changes()[1].seq.get(), seq.get() + 1);
}

/// A commit of everything that is new with tasks of sinks, alerts and operators.
fn everything(store: &mut Store) -> Vec<Submission> {
    let park = Next::Park {
        cause: DeadCause::Sink,
        reason: "no".into(),
    };
    let again = Next::Again(later(2, store.now, None));
    let failed = vec![store.failed(1, Some(again)), store.failed(2, Some(park))];
    let advance = store.advance(2, failed);
    let letter = store.letters()[0].task.id;
    let batch = ReplayBatch {
        items: vec![ReplayItem::Letter(letter)],
        mode: ReplayMode::default(),
        run: None,
        audit: Some(note_of(AuditAction::Replay, store.now)),
    };
    let pause = Submission::PauseConnection {
        connection: acme(),
        reason: "refused".into(),
        secrets: Some([1; 32]),
        audit: None,
    };
    vec![advance, Submission::Replay(Box::new(batch)), pause]
}

#[track_caller]
fn check_failed_commit_of_everything(fault: Fault, kept: bool) {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    store.add_sink(app());
    store.map("a", vec![upsert("1", None), upsert("2", None)]);
    store.park("b");
    let before = sight(&store);
    memory.fail_next(fault);
    let batch = everything(&mut store);
    assert!(store.try_commit(batch.clone()).is_err());
    assert_eq!(sight(&store), before, "nothing of it is visible");
    assert!(store.claim().is_empty());

    let mut store = open(&memory.crash(), START);
    if !kept {
        assert_eq!(sight(&store), before, "nothing of it is there");
    }
    store.commit(batch);
    store.pass(Duration::from_secs(1));
    let counts = store.reader.counts();
    assert_eq!(
        (counts.scheduled, counts.dead),
        (2, 1),
        "handed in again it is not doubled"
    );
    assert_eq!(store.claim().len(), 2);
    assert_eq!(store.reader.deliveries(&app(), 9).unwrap().len(), 1);
}

#[test]
fn a_failed_commit_of_anything_is_whole_or_not_at_all() {
    check_failed_commit_of_everything(Fault::Write, false);
    check_failed_commit_of_everything(Fault::SyncLost, false);
    check_failed_commit_of_everything(Fault::SyncKept, true);
}

#[test]
fn a_torn_letter_is_passed_over_and_the_others_run_again() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    let ids = ["a", "b"].map(|name| store.park(name));
    memory.corrupt("dead", &number(ids[0].get()), &[0xff]);
    let mut store = open(&memory, START);
    let items = ids.map(|id| ReplayItem::Letter(id.map_task())).to_vec();
    assert_eq!(store.replay(items), (1, 1));
    assert_eq!(store.reader.counts().dead, 1);
}

#[test]
fn a_torn_head_is_told_from_its_letter() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    let id = store.park("a");
    memory.corrupt("dead-heads", &number(id.get()), &[0xff]);
    let mut store = open(&memory, START);
    assert_eq!(store.letters().len(), 1);
    assert_eq!(
        store.replay(vec![ReplayItem::Letter(id.map_task())]),
        (1, 0)
    );
    store.pass(Duration::from_secs(1));
    assert_eq!(store.claim_one().id, id.map_task());
}

#[test]
fn a_torn_delivery_begins_again_and_holds_nobody_up() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    store.add_sink(app());
    store.map("a", vec![upsert("1", Some(1))]);
    store.map("b", vec![upsert("1", Some(2))]);
    let again = Next::Again(later(2, store.now, None));
    let failed = vec![store.failed(1, Some(again)), store.failed(2, None)];
    let advance = store.advance(2, failed);
    store.commit(vec![advance]);
    let rows = memory.keys("deliveries");
    memory.corrupt("deliveries", &rows[1], &[0xff]);
    let mut store = open(&memory, START);
    let first = store.claim_one();
    store.complete(first, End::Delivered);
    let second = store.claim_one();
    let TaskKind::Deliver(delivery) = &second.kind else {
        panic!("{second:?}");
    };
    assert_eq!(delivery.seq, ChangeSeq::new(2));
    store.complete(second, End::Delivered);
    let counts = store.reader.counts();
    assert_eq!((counts.scheduled, counts.waiting), (0, 0));
}

#[test]
fn a_delivery_whose_queue_row_is_torn_is_queued_again() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    store.add_sink(app());
    store.map("a", vec![upsert("1", Some(1))]);
    store.map("b", vec![upsert("1", Some(2))]);
    let again = Next::Again(later(2, store.now, None));
    let failed = vec![store.failed(1, Some(again)), store.failed(2, None)];
    let advance = store.advance(2, failed);
    store.commit(vec![advance]);
    let rows = memory.keys("queue");
    memory.corrupt("queue", rows.last().unwrap(), &[0xff]);
    let mut store = open(&memory, START);
    assert!(store.claim().is_empty());
    store.commit(vec![Submission::Touch]);
    // Never at the place that was torn, but just behind it.
    store.pass(crate::bed::HOUR);
    for seq in [1, 2] {
        let task = store.claim_one();
        let TaskKind::Deliver(delivery) = &task.kind else {
            panic!("{task:?}");
        };
        assert_eq!(delivery.seq, ChangeSeq::new(seq));
        store.complete(task, End::Delivered);
    }
    let counts = store.reader.counts();
    assert_eq!(
        (counts.scheduled, counts.waiting, counts.unreadable),
        (0, 0, 1)
    );
}

#[test]
fn a_sink_that_cannot_be_read_holds_the_change_log_and_refuses_alone() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    store.add_sink(app());
    store.map("a", vec![upsert("1", None)]);
    let advance = store.advance(1, Vec::new());
    memory.corrupt("sinks", b"app", &[0xff]);
    let mut store = open(&memory, START);
    let batch = vec![advance, store.request(vec![store.event("b")])];
    let answers = store.commit(batch);
    assert!(matches!(answers[0], Answer::Refused(_)), "{answers:?}");
    assert!(matches!(answers[1], Answer::Accepted(_)), "{answers:?}");
    store.pass(200 * crate::bed::DAY);
    store.commit(vec![Submission::Retain]);
    store.pass(200 * crate::bed::DAY);
    store.commit(vec![Submission::Retain]);
    assert_eq!(store.reader.oldest_cursor(), ChangeSeq::new(0));
}

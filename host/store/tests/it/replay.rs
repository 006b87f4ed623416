//! Replay, discard, pause and resume, the same for every engine.

use tidegate_core::audit::AuditAction;
use tidegate_core::change::Fate;
use tidegate_core::event::EventState;
use tidegate_core::ids::{EventId, PluginDigest, ReplayId};
use tidegate_core::ports::End;
use tidegate_core::replay::{ReplayFilter, ReplayItem, ReplayMode, ReplayRun};
use tidegate_core::task::{DeadCause, Next, TaskKind, TaskState, WaitReason};
use tidegate_store::{Answer, Matching, ReplayBatch, Submission};

use crate::bed::{
    Bed, DAY, HOUR, Store, acme, again, app, event_of, mapped, note_of, parked, upsert,
};

for_every_engine![
    a_letter_runs_again_under_its_number,
    a_letter_whose_bucket_is_gone_runs_again,
    a_letter_whose_bucket_is_gone_parks_again_whole,
    a_mapped_event_runs_again_and_nothing_new_goes_out,
    a_corrected_event_goes_out_once,
    what_is_open_or_gone_is_passed,
    a_parked_delivery_runs_again_or_waits_for_its_turn,
    a_parked_delivery_outlives_its_change,
    a_run_by_filter_takes_everything_once,
    a_discarded_letter_is_gone_for_good,
    a_refused_connection_waits_until_it_is_resumed,
];

fn letter(event: EventId) -> ReplayItem {
    ReplayItem::Letter(event.map_task())
}

fn a_letter_runs_again_under_its_number(bed: &Bed) {
    let mut store = bed.open();
    let id = store.park("a");
    assert_eq!(store.replay(vec![letter(id)]), (1, 0));
    let counts = store.reader.counts();
    assert_eq!((counts.scheduled, counts.dead), (1, 0));
    assert!(store.reader.dead_counts().is_empty());
    assert!(matches!(
        store.state(id),
        EventState::Pending { attempt: 1, .. }
    ));
    store.pass(HOUR);
    let task = store.claim_one();
    assert_eq!(task.id, id.map_task());
    store.complete(task, mapped(vec![upsert("1", None)]));
    assert_eq!(store.log(), ["+1"]);
    let progress = store.reader.progress(id).unwrap().unwrap();
    assert_eq!(progress.attempts.len(), 2, "what it has been through stays");
}

/// A letter whose event's bucket has been dropped.
fn old_letter(store: &mut Store) -> EventId {
    let id = store.park("old");
    store.pass(5 * DAY);
    store.map("newer", vec![upsert("2", None)]);
    store.pass(40 * DAY);
    store.commit(vec![Submission::Retain]);
    id
}

fn a_letter_whose_bucket_is_gone_runs_again(bed: &Bed) {
    let mut store = bed.open();
    let id = old_letter(&mut store);
    assert_eq!(store.replay(vec![letter(id)]), (1, 0));
    let event = store.reader.event(id).unwrap().unwrap();
    assert_eq!(event.partner_id, "old", "readable until the task has ended");
    assert!(matches!(store.state(id), EventState::Pending { .. }));
    drop(store);
    let mut store = bed.open_at(crate::bed::START.plus(46 * DAY));
    let task = store.claim_one();
    let due = store.now.plus(HOUR);
    store.complete(task, again(2, due, None));
    assert_eq!(store.state(id), EventState::Pending { attempt: 2, due });
    store.pass(HOUR);
    let task = store.claim_one();
    store.complete(task, mapped(vec![upsert("1", None)]));
    assert_eq!(store.log(), ["+2", "+1"]);
    assert_eq!(store.reader.event(id).unwrap(), None, "then it goes");
    assert_eq!(store.reader.counts().scheduled, 0);
}

fn a_letter_whose_bucket_is_gone_parks_again_whole(bed: &Bed) {
    let mut store = bed.open();
    let id = old_letter(&mut store);
    store.replay(vec![letter(id)]);
    let task = store.claim_one();
    store.complete(task, parked(DeadCause::PluginFault));
    let event = store.reader.event(id).unwrap().unwrap();
    assert_eq!(event.partner_id, "old");
    assert_eq!(store.letters()[0].attempts.len(), 2);
    assert_eq!(store.replay(vec![letter(id)]), (1, 0), "and again");
}

fn a_mapped_event_runs_again_and_nothing_new_goes_out(bed: &Bed) {
    let mut store = bed.open();
    let id = store.map("a", vec![upsert("1", Some(1)), upsert("2", None)]);
    for _ in 0..2 {
        assert_eq!(store.replay(vec![ReplayItem::Event(id)]), (1, 0));
        store.pass(HOUR);
        let task = store.claim_one();
        assert_eq!(task.id, id.map_task());
        store.complete(task, mapped(vec![upsert("1", Some(1)), upsert("2", None)]));
        assert_eq!(store.log(), ["+1@1", "+2"]);
        let progress = store.reader.progress(id).unwrap().unwrap();
        assert!(
            progress
                .changes
                .iter()
                .all(|one| one.fate == Fate::Unchanged)
        );
        assert_eq!(progress.state, EventState::Mapped);
    }
    store.pass(40 * DAY);
    store.map("b", Vec::new());
    store.commit(vec![Submission::Retain]);
    store.pass(40 * DAY);
    store.commit(vec![Submission::Retain]);
    assert_eq!(
        store.reader.event(id).unwrap(),
        None,
        "nothing holds its bucket"
    );
}

fn a_corrected_event_goes_out_once(bed: &Bed) {
    let mut store = bed.open();
    let id = store.map("a", vec![upsert("1", Some(1))]);
    let mut corrected = upsert("1", Some(1));
    corrected.revision = "corrected".into();
    for _ in 0..2 {
        let batch = ReplayBatch {
            items: vec![ReplayItem::Event(id)],
            mode: ReplayMode {
                with: Some(PluginDigest::new([9; 32])),
                forced: false,
            },
            run: None,
            audit: Some(note_of(AuditAction::Replay, store.now)),
        };
        store.commit(vec![Submission::Replay(Box::new(batch))]);
        store.pass(HOUR);
        let task = store.claim_one();
        let TaskKind::Map { with, .. } = task.kind else {
            panic!("{task:?}");
        };
        assert_eq!(with, Some(PluginDigest::new([9; 32])));
        store.complete(task, mapped(vec![corrected.clone()]));
    }
    assert_eq!(store.log(), ["+1@1", "+1@1"], "once more, and not again");
    assert_eq!(store.reader.audit(None, 10).unwrap().entries.len(), 2);
}

fn what_is_open_or_gone_is_passed(bed: &Bed) {
    let mut store = bed.open();
    let dead = store.park("a");
    let mapped_one = store.map("b", vec![upsert("1", None)]);
    let open = store.accept(&["c"])[0].id;
    let items = vec![
        letter(dead),
        letter(dead),
        ReplayItem::Event(dead),
        ReplayItem::Event(mapped_one),
        ReplayItem::Event(mapped_one),
        ReplayItem::Event(open),
        letter(open),
        ReplayItem::Event(EventId::new(900)),
    ];
    assert_eq!(store.replay(items.clone()), (2, 6));
    assert_eq!(store.replay(items), (0, 8));
    assert_eq!(store.reader.counts().scheduled, 3);
    store.pass(HOUR);
    assert_eq!(store.claim().len(), 3);
}

/// Parks the delivery of that change.
fn park_delivery(store: &mut Store, seq: u64) {
    let give_up = Next::Park {
        cause: DeadCause::Sink,
        reason: "refused".into(),
    };
    let failed = vec![store.failed(seq, Some(give_up))];
    let advance = store.advance(seq, failed);
    store.commit(vec![advance]);
}

fn a_parked_delivery_runs_again_or_waits_for_its_turn(bed: &Bed) {
    let mut store = bed.open();
    store.add_sink(app());
    for version in 1..=2 {
        store.map(&version.to_string(), vec![upsert("1", Some(version))]);
        park_delivery(&mut store, version.cast_unsigned());
    }
    let letters = store.letters();
    let (second, first) = (letters[0].task.id, letters[1].task.id);
    let batch = ReplayBatch {
        items: vec![ReplayItem::Letter(second), ReplayItem::Letter(first)],
        mode: ReplayMode {
            with: None,
            forced: true,
        },
        run: None,
        audit: None,
    };
    store.commit(vec![Submission::Replay(Box::new(batch))]);
    for (letter, change) in [(second, 2), (first, 1)] {
        let running = store.reader.running(letter).unwrap();
        let seq = running.map(|kind| match kind {
            TaskKind::Deliver(delivery) => delivery.seq.get(),
            other => panic!("{other:?}"),
        });
        assert_eq!(seq, Some(change), "also the one that waits is found");
    }
    store.pass(HOUR);
    let task = store.claim_one();
    assert_eq!(task.id, second, "the one that was first in the queue");
    let TaskKind::Deliver(delivery) = &task.kind else {
        panic!("{task:?}");
    };
    assert!(delivery.forced);
    store.complete(task, End::Delivered);
    let task = store.claim_one();
    assert_eq!(task.id, first);
    store.complete(task, parked(DeadCause::Sink));
    assert_eq!(store.reader.counts().dead, 1);
    assert_eq!(store.reader.deliveries(&app(), 9).unwrap(), []);
    for letter in [first, second] {
        assert_eq!(store.reader.running(letter).unwrap(), None);
    }
}

fn a_parked_delivery_outlives_its_change(bed: &Bed) {
    let mut store = bed.open();
    store.add_sink(app());
    store.map("1", vec![upsert("1", Some(1))]);
    let change = store.changes()[0].clone();
    park_delivery(&mut store, 1);
    store.pass(5 * DAY);
    store.map("2", vec![upsert("1", Some(2))]);
    let advance = store.advance(2, Vec::new());
    store.commit(vec![advance]);
    store.pass(40 * DAY);
    store.commit(vec![Submission::Retain]);
    assert_eq!(store.reader.oldest_cursor().get(), 1);
    let id = store.letters()[0].task.id;
    assert_eq!(store.replay(vec![ReplayItem::Letter(id)]), (1, 0));
    let task = store.claim_one();
    let TaskKind::Deliver(delivery) = task.kind.clone() else {
        panic!("{task:?}");
    };
    let read = |store: &Store| store.reader.change_for(id, &delivery).unwrap();
    assert_eq!(read(&store), Some(change), "it is kept aside");
    store.complete(task, parked(DeadCause::Sink));
    assert!(matches!(
        &store.letters()[0].subject,
        tidegate_store::Subject::Change(Some(_))
    ));
    assert_eq!(read(&store), None, "the letter has it now");
}

fn a_run_by_filter_takes_everything_once(bed: &Bed) {
    let mut store = bed.open();
    let mut expect = Vec::new();
    for number in 0..6 {
        let name = number.to_string();
        if number % 2 == 0 {
            expect.push(letter(store.park(&name)));
        } else {
            let change = vec![upsert(&name, None)];
            expect.push(ReplayItem::Event(store.map(&name, change)));
        }
        // Across buckets.
        store.pass(3 * DAY);
    }
    store.accept(&["open"]);
    expect.reverse();
    let filter = ReplayFilter {
        connection: Some(acme()),
        ..ReplayFilter::default()
    };
    let counted = |filter: &ReplayFilter, looks| {
        let Matching { count, at_least } = store.reader.count_matching(filter, looks).unwrap();
        (count, at_least)
    };
    let count = |filter: &ReplayFilter| {
        let (count, at_least) = counted(filter, u64::MAX);
        assert!(!at_least, "everything was looked at");
        count
    };
    assert_eq!(count(&filter), 6);
    assert_eq!(counted(&filter, 6), (6, false));
    let with = |change: fn(&mut ReplayFilter)| {
        let mut filter = filter.clone();
        change(&mut filter);
        count(&filter)
    };
    assert_eq!(with(|filter| filter.state = Some("dead".into())), 3);
    assert_eq!(with(|filter| filter.state = Some("mapped".into())), 3);
    assert_eq!(with(|filter| filter.cause = Some(DeadCause::Mapping)), 3);
    assert_eq!(with(|filter| filter.cause = Some(DeadCause::Sink)), 0);
    assert_eq!(
        with(|filter| filter.plugin = Some(PluginDigest::new([7; 32]))),
        6
    );
    assert_eq!(
        with(|filter| filter.plugin = Some(PluginDigest::new([8; 32]))),
        0
    );
    assert_eq!(
        with(|filter| filter.from = Some(crate::bed::START.plus(5 * DAY))),
        4
    );
    assert_eq!(
        with(|filter| filter.until = Some(crate::bed::START.plus(5 * DAY))),
        2
    );
    assert_eq!(
        with(|filter| filter.connector = Some("stripe".parse().unwrap())),
        0
    );

    let newest = store.reader.newest_number();
    let mut run = ReplayRun {
        id: ReplayId::new(1),
        filter,
        mode: ReplayMode::default(),
        who: "ops".into(),
        reason: None,
        began: store.now,
        newest,
        before: newest + 1,
        total: 6,
        queued: 0,
        passed: 0,
        ended: None,
    };
    let mut taken = Vec::new();
    while run.ended.is_none() {
        let page = store.reader.replay_page(&run, 2).unwrap();
        run.before = page.before;
        run.ended = (page.before == 0).then_some(store.now);
        taken.extend(page.items.clone());
        let batch = ReplayBatch {
            items: page.items,
            mode: run.mode,
            run: Some(run.clone()),
            audit: None,
        };
        let answers = store.commit(vec![Submission::Replay(Box::new(batch))]);
        let Answer::Replayed { queued, passed } = answers[0] else {
            panic!("{answers:?}");
        };
        run.queued += queued;
        run.passed += passed;
        assert_eq!(store.reader.replay(run.id).unwrap().as_ref(), Some(&run));
    }
    assert_eq!(taken, expect, "from new to old, each once");
    assert_eq!((run.queued, run.passed), (6, 0));
    assert_eq!(store.reader.replays().unwrap(), [run]);
    assert_eq!(store.reader.counts().scheduled, 7);
}

fn a_discarded_letter_is_gone_for_good(bed: &Bed) {
    let mut store = bed.open();
    let id = store.park("a");
    let discard = |store: &Store| Submission::Discard {
        letters: vec![id.map_task(), id.map_task()],
        audit: Box::new(note_of(AuditAction::Discard, store.now)),
    };
    let answers = store.commit(vec![discard(&store)]);
    assert!(
        matches!(answers[0], Answer::Discarded { letters: 1 }),
        "{answers:?}"
    );
    let reason = "discarded: because".to_owned();
    assert_eq!(store.state(id), EventState::Skipped { reason });
    assert_eq!(store.reader.counts().dead, 0);
    assert!(store.letters().is_empty() && store.reader.dead_counts().is_empty());
    let answers = store.commit(vec![discard(&store)]);
    assert!(matches!(answers[0], Answer::Discarded { letters: 0 }));
    let audit = store.reader.audit(None, 10).unwrap().entries;
    let counts: Vec<_> = audit.iter().map(|(_, entry)| entry.count).collect();
    assert_eq!(counts, [0, 1], "newest first");
}

fn a_refused_connection_waits_until_it_is_resumed(bed: &Bed) {
    let mut store = bed.open();
    let ids = store.accept(&["a", "b"]);
    for claimed in store.claim() {
        let reason = "401".into();
        store.complete(claimed.task, End::Pause { reason });
    }
    let paused = store.reader.paused().unwrap();
    assert_eq!(paused.len(), 1);
    assert_eq!((&paused[0].connection, paused[0].refused), (&acme(), true));
    let counts = store.reader.counts();
    assert_eq!((counts.scheduled, counts.waiting), (0, 2));
    let waiting = store.reader.waiting(10).unwrap();
    let reason = WaitReason::ConnectionPaused;
    assert!(
        waiting
            .iter()
            .all(|task| task.state == TaskState::Waiting { reason })
    );
    let pause = Submission::PauseConnection {
        connection: acme(),
        reason: "its token is refused".into(),
        secrets: Some([5; 32]),
        audit: None,
    };
    store.commit(vec![pause]);
    assert_eq!(store.reader.paused().unwrap()[0].secrets, Some([5; 32]));
    drop(store);
    let mut store = bed.open();
    store.pass(HOUR);
    let resume = Submission::ResumeConnection {
        connection: acme(),
        audit: Some(note_of(AuditAction::ResumeConnection, store.now)),
    };
    let answers = store.commit(vec![resume.clone(), resume]);
    let Answer::Resumed {
        queued: 2,
        more: false,
    } = answers[0]
    else {
        panic!("{answers:?}");
    };
    assert!(store.reader.paused().unwrap().is_empty());
    assert_eq!(store.reader.counts().waiting, 0);
    let claimed = store.claim();
    let events: Vec<_> = claimed.iter().map(|one| event_of(&one.task)).collect();
    assert_eq!(events, [ids[0].id, ids[1].id]);
    let first = |state: &TaskState| matches!(state, TaskState::Scheduled { attempt: 1, .. });
    assert!(claimed.iter().all(|one| first(&one.task.state)));
}

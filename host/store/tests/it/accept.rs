//! Accepting and claiming, the same for every engine.

use tidegate_core::event::EventState;
use tidegate_core::ids::EventId;
use tidegate_core::task::{TaskState, Work};

use crate::bed::{Bed, HOUR, accepted, event, event_of, mapped, upsert};

for_every_engine![
    an_event_key_is_accepted_once,
    the_events_of_one_request_are_deduplicated_among_themselves,
    an_id_that_comes_with_another_body_is_counted,
    the_same_id_of_another_connection_is_another_event,
    an_event_reads_as_it_was_received,
    claims_are_never_given_twice,
    a_released_claim_is_given_again,
    a_completion_after_a_release_still_counts,
    a_task_is_not_given_before_it_is_due,
    a_restart_resumes_everything_unfinished,
];

fn an_event_key_is_accepted_once(bed: &Bed) {
    let mut store = bed.open();
    let first = store.accept(&["a", "a", "b"]);
    assert_eq!(
        first.iter().map(|one| one.duplicate).collect::<Vec<_>>(),
        [false, true, false]
    );
    assert_eq!(first[0].id, first[1].id, "in the same batch");
    let again = store.accept(&["b", "c"]);
    assert_eq!(
        (again[0].id, again[0].duplicate),
        (first[2].id, true),
        "in a later batch"
    );
    assert!(!again[1].duplicate);
    drop(store);
    let mut store = bed.open();
    let after = store.accept(&["a", "d"]);
    assert_eq!(
        (after[0].id, after[0].duplicate),
        (first[0].id, true),
        "after a restart"
    );
    assert!(!after[1].duplicate);
    assert_eq!(store.reader.counts().events, 4);
}

fn the_events_of_one_request_are_deduplicated_among_themselves(bed: &Bed) {
    let mut store = bed.open();
    let request = vec![store.event("a"), store.event("b"), store.event("a")];
    let answers = store.commit(vec![store.request(request)]);
    let answers: Vec<_> = answers.into_iter().flat_map(accepted).collect();
    assert_eq!(
        answers.iter().map(|one| one.duplicate).collect::<Vec<_>>(),
        [false, false, true]
    );
    assert_eq!(answers[2].id, answers[0].id);
}

fn an_id_that_comes_with_another_body_is_counted(bed: &Bed) {
    let mut store = bed.open();
    let first = store.accept(&["a"])[0];
    let mut other = store.event("a");
    other.body = "{}".into();
    let answers = store.commit(vec![store.request(vec![other])]);
    let second = accepted(answers.into_iter().next().unwrap())[0];
    assert_eq!(
        (second.id, second.duplicate, second.body_differs),
        (first.id, true, true)
    );
    assert_eq!(store.reader.counts().clashes, 1);
    assert!(!store.accept(&["a"])[0].body_differs, "the very same again");
    assert_eq!(
        store.reader.event(first.id).unwrap().unwrap().body,
        store.event("a").body
    );
}

fn the_same_id_of_another_connection_is_another_event(bed: &Bed) {
    let mut store = bed.open();
    let other = event(&"github/beta".parse().unwrap(), "a", store.now);
    let batch = vec![
        store.request(vec![store.event("a")]),
        store.request(vec![other]),
    ];
    let answers: Vec<_> = store.commit(batch).into_iter().flat_map(accepted).collect();
    assert!(!answers[0].duplicate && !answers[1].duplicate);
}

fn an_event_reads_as_it_was_received(bed: &Bed) {
    let mut store = bed.open();
    let id = store.accept(&["a"])[0].id;
    assert_eq!(store.reader.event(id).unwrap(), Some(store.event("a")));
    let due = store.now;
    assert_eq!(store.state(id), EventState::Pending { attempt: 1, due });
    assert_eq!(
        store.reader.event(EventId::new(id.get() + 1)).unwrap(),
        None
    );
    assert_eq!(
        store.reader.progress(EventId::new(id.get() + 1)).unwrap(),
        None
    );
    assert_eq!(store.reader.event(EventId::new(0)).unwrap(), None);
}

fn claims_are_never_given_twice(bed: &Bed) {
    let mut store = bed.open();
    let ids: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    store.accept(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let mut seen = std::collections::HashSet::new();
    loop {
        let claimed = store.claims.clone().claim(Work::Map, 7, store.now).unwrap();
        if claimed.is_empty() {
            break;
        }
        assert!(
            claimed.iter().all(|one| seen.insert(one.id())),
            "a task is given twice"
        );
    }
    assert_eq!(seen.len(), 100);
}

fn a_released_claim_is_given_again(bed: &Bed) {
    let mut store = bed.open();
    store.accept(&["a"]);
    let task = store.claim_one();
    assert!(store.claim().is_empty());
    store.claims.release(task.id);
    assert_eq!(store.claim_one(), task);
    store.complete(task.clone(), mapped(vec![upsert("1", None)]));
    store.claims.release(task.id);
    assert!(
        store.claim().is_empty(),
        "a completed task is not given back"
    );
}

fn a_completion_after_a_release_still_counts(bed: &Bed) {
    let mut store = bed.open();
    store.accept(&["a"]);
    let task = store.claim_one();
    store.claims.release(task.id);
    store.complete(task, mapped(vec![upsert("1", None)]));
    assert_eq!(store.log(), ["+1"]);
    assert!(store.claim().is_empty(), "its task has ended");
}

fn a_task_is_not_given_before_it_is_due(bed: &Bed) {
    let mut store = bed.open();
    store.accept(&["a"]);
    let task = store.claim_one();
    let due = store.now.plus(HOUR);
    let received = store.now;
    store.complete(task, crate::bed::again(2, due, None));
    assert!(store.claim().is_empty());
    let oldest = store.claims.backlogs(Work::Map)[0].oldest;
    assert_eq!(
        oldest, received,
        "it is as old as before, whenever it is due"
    );
    assert_eq!(store.claims.next_due(Work::Map), Some(due));
    store.pass(HOUR);
    let task = store.claim_one();
    assert_eq!(
        task.state,
        TaskState::Scheduled {
            attempt: 2,
            due,
            since: due.minus(HOUR),
            limited_since: None
        }
    );
}

fn a_restart_resumes_everything_unfinished(bed: &Bed) {
    let mut store = bed.open();
    let ids = store.accept(&["a", "b", "c"]);
    let claimed = store.claim();
    store.complete(claimed[1].task.clone(), mapped(vec![upsert("1", None)]));
    drop(store);
    let store = bed.open();
    let resumed: Vec<_> = store
        .claim()
        .iter()
        .map(|one| event_of(&one.task))
        .collect();
    assert_eq!(resumed, [ids[0].id, ids[2].id]);
}

//! Reading and listing, the same for every engine.

use tidegate_core::ids::{ChangeSeq, ConnectionId, TaskId};
use tidegate_core::limits::MIB;
use tidegate_core::ports::End;
use tidegate_core::task::DeadCause;
use tidegate_store::{
    ChangeFilter, ChangesError, DeadLetterFilter, EntityFilter, EventFilter, EventsFrom, Submission,
};

use crate::bed::{Bed, DAY, accepted, acme, delete, event, mapped, said, upsert};

for_every_engine![
    changes_are_gapless_under_every_filter,
    a_cursor_from_elsewhere_is_refused,
    a_list_of_events_pages_and_filters,
    pages_of_events_and_dead_letters_are_bounded_in_bytes,
    the_newest_event_of_each_connection_is_found,
    the_mirror_lists_pages_and_filters,
    grants_are_kept,
    a_touch_changes_nothing,
    counts_survive_a_restart,
];

fn changes_are_gapless_under_every_filter(bed: &Bed) {
    let mut store = bed.open();
    for number in 0..12_i64 {
        let kept = if number % 3 == 0 { "rare" } else { "often" };
        let mut change = upsert(&number.to_string(), Some(number));
        change.entity.kind = kept.into();
        store.map(&number.to_string(), vec![change]);
    }
    assert_eq!(store.reader.newest_change(), ChangeSeq::new(12));
    let all: Vec<_> = store
        .changes()
        .iter()
        .map(|change| change.seq.get())
        .collect();
    assert_eq!(all, (1..=12).collect::<Vec<_>>());

    let rare = ChangeFilter {
        kind: Some("rare".into()),
        ..ChangeFilter::default()
    };
    let mut cursor = ChangeSeq::new(0);
    let mut found = Vec::new();
    while cursor < store.reader.newest_change() {
        let page = store.reader.changes(cursor, &rare, 2).unwrap();
        assert!(
            page.next > cursor,
            "a page goes on, past what is filtered out"
        );
        found.extend(page.changes.iter().map(|change| change.seq.get()));
        cursor = page.next;
    }
    assert_eq!(found, [1, 4, 7, 10]);
    let nothing = store.reader.changes(cursor, &rare, 2).unwrap();
    assert_eq!((nothing.changes.len(), nothing.next), (0, cursor));
    let none = ChangeFilter {
        connection: Some("github/beta".parse().unwrap()),
        ..ChangeFilter::default()
    };
    let page = store.reader.changes(ChangeSeq::new(0), &none, 5).unwrap();
    assert_eq!((page.changes.len(), page.next), (0, ChangeSeq::new(12)));
    let one = ChangeFilter {
        id: Some("5".into()),
        ..ChangeFilter::default()
    };
    let page = store.reader.changes(ChangeSeq::new(0), &one, 5).unwrap();
    assert_eq!(page.changes.len(), 1);
}

fn a_cursor_from_elsewhere_is_refused(bed: &Bed) {
    let store = bed.open();
    let ahead = store
        .reader
        .changes(ChangeSeq::new(9), &ChangeFilter::default(), 5);
    let Err(ChangesError::CursorAhead { newest, .. }) = ahead else {
        panic!("a cursor of the future was taken: {ahead:?}");
    };
    assert_eq!(newest, ChangeSeq::new(0));
}

fn a_list_of_events_pages_and_filters(bed: &Bed) {
    let mut store = bed.open();
    let beta: ConnectionId = "github/beta".parse().unwrap();
    let mut ids = Vec::new();
    for number in 0..10 {
        let connection = if number % 2 == 0 {
            acme()
        } else {
            ConnectionId::clone(&beta)
        };
        let event = event(&connection, &number.to_string(), store.now);
        let answers = store.commit(vec![store.request(vec![event])]);
        ids.extend(answers.into_iter().flat_map(accepted).map(|one| one.id));
        // Pages go across buckets.
        store.pass(DAY);
    }
    let task = store.claim().remove(9).task;
    store.complete(
        task,
        End::Skipped {
            reason: "nothing".into(),
        },
    );

    let list = |filter: &EventFilter, limit| {
        let mut before = None;
        let mut found = Vec::new();
        loop {
            let page = store
                .reader
                .events(filter, EventsFrom { before, limit })
                .unwrap();
            assert!(page.rows.len() <= limit);
            found.extend(page.rows);
            before = page.next;
            if before.is_none() {
                break found;
            }
        }
    };
    let all = list(&EventFilter::default(), 3);
    let listed: Vec<_> = all.iter().map(|row| row.id).collect();
    assert_eq!(
        listed,
        ids.iter().rev().copied().collect::<Vec<_>>(),
        "newest first"
    );
    assert_eq!(all[9].partner_id, "0");
    assert_eq!(all[9].body_bytes, store.event("0").body.len());
    let of_beta = EventFilter {
        connection: Some(beta),
        ..EventFilter::default()
    };
    assert_eq!(list(&of_beta, 2).len(), 5);
    let skipped = EventFilter {
        state: Some("skipped".into()),
        ..EventFilter::default()
    };
    assert_eq!(
        list(&skipped, 2)
            .iter()
            .map(|row| row.id)
            .collect::<Vec<_>>(),
        [ids[9]]
    );
    let stripe = EventFilter {
        connector: Some("stripe".parse().unwrap()),
        ..skipped
    };
    assert_eq!(list(&stripe, 2), []);
}

fn the_mirror_lists_pages_and_filters(bed: &Bed) {
    let mut store = bed.open();
    let mut changes: Vec<_> = ["1", "2", "3"].map(|id| upsert(id, None)).to_vec();
    let mut pull = upsert("1", None);
    pull.entity.kind = "pull_request".into();
    changes.push(pull);
    changes.push(delete("4", None));
    store.map("a", changes);
    let other = event(&"github/acme-two".parse().unwrap(), "b", store.now);
    store.commit(vec![store.request(vec![other])]);
    let task = store.claim_one();
    store.complete(task, mapped(vec![upsert("1", None)]));

    let list = |filter: &EntityFilter| {
        let mut after = None;
        let mut found = Vec::new();
        loop {
            let page = store.reader.entities(filter, after.as_ref(), 2).unwrap();
            assert_eq!(page.position, ChangeSeq::new(6));
            found.extend(page.entities);
            after = page.next;
            if after.is_none() {
                break found;
            }
        }
    };
    assert_eq!(list(&EntityFilter::default()).len(), 6);
    let of_acme = EntityFilter {
        connection: Some(acme()),
        ..EntityFilter::default()
    };
    assert_eq!(
        list(&of_acme).len(),
        5,
        "a longer account is not among them"
    );
    let issues = EntityFilter {
        kind: Some("issue".into()),
        ..of_acme
    };
    let said: Vec<_> = list(&issues)
        .iter()
        .map(|entity| said(&entity.change))
        .collect();
    assert_eq!(said, ["+1", "+2", "+3", "-4"]);
    let pulls = EntityFilter {
        kind: Some("pull_request".into()),
        ..EntityFilter::default()
    };
    assert_eq!(list(&pulls).len(), 1);
    let stripe = EntityFilter {
        connector: Some("stripe".parse().unwrap()),
        ..pulls
    };
    assert_eq!(list(&stripe), []);
}

fn grants_are_kept(bed: &Bed) {
    let mut store = bed.open();
    let github = "github".parse().unwrap();
    let put = |grant: &'static str| Submission::PutGrant {
        connector: "github".parse().unwrap(),
        grant: grant.into(),
        audit: None,
    };
    assert_eq!(store.reader.grant(&github).unwrap(), None);
    store.commit(vec![put("{}"), put("{\"hosts\":[]}")]);
    drop(store);
    let store = bed.open();
    assert_eq!(
        store.reader.grant(&github).unwrap().unwrap(),
        "{\"hosts\":[]}"
    );
}

fn pages_of_events_and_dead_letters_are_bounded_in_bytes(bed: &Bed) {
    // Each reason takes six bytes a character in JSON: 6 KiB a row, 6.6 MiB in all.
    const EVENTS: usize = 1_100;
    let mut store = bed.open();
    let ids: Vec<String> = (0..EVENTS).map(|number| number.to_string()).collect();
    store.accept(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let ends = store.claim().into_iter().map(|claimed| {
        let end = End::Park {
            cause: DeadCause::Mapping,
            reason: "\u{1}".repeat(1_024),
        };
        store.completion(claimed.task, end)
    });
    let ends = ends.collect();
    store.commit(ends);

    let (mut seen, mut pages, mut before) = (Vec::new(), 0, None);
    loop {
        let from = EventsFrom {
            before,
            limit: 1_000,
        };
        let page = store.reader.events(&EventFilter::default(), from).unwrap();
        assert!(
            page.rows.len() <= 4 * MIB / (6 * 1_024),
            "{}",
            page.rows.len()
        );
        seen.extend(page.rows.iter().map(|row| row.id.get()));
        pages += 1;
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!((seen.len(), pages), (EVENTS, 2));
    assert!(seen.is_sorted_by(|one, next| one > next), "each once");

    let (mut letters, mut pages, mut before) = (Vec::new(), 0, None);
    loop {
        let page = store
            .reader
            .dead_letters(&DeadLetterFilter::default(), before, 1_000)
            .unwrap();
        letters.extend(page.letters.iter().map(|letter| letter.task.id.get()));
        pages += 1;
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(letters, seen);
    assert!(pages > 1);
}

fn the_newest_event_of_each_connection_is_found(bed: &Bed) {
    let mut store = bed.open();
    let beta: ConnectionId = "github/beta".parse().unwrap();
    let gamma: ConnectionId = "github/gamma".parse().unwrap();
    let first = store.now;
    let accept = store.request(vec![event(&beta, "b", first)]);
    store.commit(vec![accept]);
    store.accept(&["a"]);
    store.pass(DAY);
    store.accept(&["c"]);
    let wanted = [acme(), beta.clone(), gamma].into_iter().collect();
    let found = store.reader.last_received(&wanted).unwrap();
    assert_eq!(
        found,
        [(acme(), store.now), (beta, first)].into_iter().collect()
    );
}

fn a_touch_changes_nothing(bed: &Bed) {
    let mut store = bed.open();
    store.map("a", vec![upsert("1", None)]);
    store.accept(&["b"]);
    let before = store.reader.counts();
    store.commit(vec![Submission::Touch, Submission::Touch]);
    store.commit(vec![Submission::Touch]);
    assert_eq!(store.reader.counts(), before);
    drop(store);
    let store = bed.open();
    assert_eq!(store.claim().len(), 1);
    let everything = EventsFrom {
        before: None,
        limit: 100,
    };
    let events = store
        .reader
        .events(&EventFilter::default(), everything)
        .unwrap();
    assert_eq!(events.rows.len(), 2);
    let entities = store
        .reader
        .entities(&EntityFilter::default(), None, 100)
        .unwrap();
    assert_eq!(entities.entities.len(), 1);
    assert_eq!(store.letters().len(), 0);
    assert_eq!(store.reader.waiting(10).unwrap().len(), 0);
}

fn counts_survive_a_restart(bed: &Bed) {
    let mut store = bed.open();
    store.map("a", vec![upsert("1", None)]);
    store.accept(&["b", "c"]);
    let task = store.claim().remove(0).task;
    store.complete(
        task,
        End::Park {
            cause: DeadCause::Mapping,
            reason: "odd".into(),
        },
    );
    let before = store.reader.counts();
    assert_eq!(before.oldest_open, Some(store.now));
    drop(store);
    let store = bed.open();
    assert_eq!(store.reader.counts(), before);
    let page = store
        .reader
        .dead_letters(&DeadLetterFilter::default(), Some(TaskId::new(1)), 10)
        .unwrap();
    assert_eq!(page.letters.len(), 0, "none before the first");
}

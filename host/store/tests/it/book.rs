//! Alerts, the audit log and the counts of dead letters, the same for every engine.

use tidegate_core::alert::{AlertKey, AlertRecord, AlertRule, AlertUpdate, Notice, NoticeKind};
use tidegate_core::audit::{AuditAction, AuditEntry};
use tidegate_core::ids::{ConnectionId, TaskId};
use tidegate_core::limits::{AUDIT_ENTRIES_MAX, PAGE_BYTES_MAX};
use tidegate_core::ports::End;
use tidegate_core::replay::ReplayItem;
use tidegate_core::task::{DeadCause, Owner, TaskKind};
use tidegate_store::{DeadLetterFilter, Subject, Submission};

use crate::bed::{Bed, HOUR, Store, acme, again, event, note_of, parked};

for_every_engine![
    alerts_stand_and_their_notices_are_tasks,
    a_notice_that_no_channel_takes_is_a_dead_letter,
    the_audit_log_pages_and_survives,
    dead_counts_equal_a_recount,
    dead_letters_are_filtered_by_their_heads,
    a_page_of_dead_letters_is_bounded_in_bytes,
];

fn alert(subject: &str, store: &Store) -> AlertRecord {
    AlertRecord {
        key: AlertKey {
            rule: AlertRule::DeadLetters,
            subject: subject.into(),
        },
        since: store.now,
        count: 3,
        oldest: Some(store.now),
        summary: "three dead letters".into(),
        excerpt: "odd".into(),
        link: "/dead-letters".into(),
        last_notice: store.now,
        noticed_count: 3,
        clear_since: None,
    }
}

fn notice(record: &AlertRecord) -> Notice {
    Notice {
        key: record.key.clone(),
        kind: NoticeKind::Opened,
        summary: record.summary.clone(),
        count: record.count,
        oldest: record.oldest,
        excerpt: record.excerpt.clone(),
        link: record.link.clone(),
        since: record.since,
    }
}

fn open_alerts(store: &mut Store) -> Vec<AlertRecord> {
    let records = vec![
        alert("github/acme mapping", store),
        alert("stripe/acme sink", store),
    ];
    let update = AlertUpdate {
        put: records.clone(),
        removed: Vec::new(),
        notices: vec![("ops".parse().unwrap(), notice(&records[0]))],
    };
    store.commit(vec![Submission::PutAlerts(Box::new(update))]);
    records
}

fn alerts_stand_and_their_notices_are_tasks(bed: &Bed) {
    let mut store = bed.open();
    let records = open_alerts(&mut store);
    assert_eq!(store.reader.alerts().unwrap(), records);
    drop(store);
    let mut store = bed.open();
    assert_eq!(store.reader.alerts().unwrap(), records);
    let task = store.claim_one();
    let TaskKind::Alert {
        channel,
        notice: said,
    } = &task.kind
    else {
        panic!("{task:?}");
    };
    assert_eq!(
        (channel.as_str(), said.as_ref()),
        ("ops", &notice(&records[0]))
    );
    let due = store.now.plus(HOUR);
    store.complete(task, again(2, due, None));
    store.pass(HOUR);
    let task = store.claim_one();
    store.complete(task, End::Delivered);
    assert_eq!(store.reader.counts().scheduled, 0);
    let update = AlertUpdate {
        removed: vec![records[0].key.clone()],
        ..AlertUpdate::default()
    };
    store.commit(vec![Submission::PutAlerts(Box::new(update))]);
    assert_eq!(store.reader.alerts().unwrap(), records[1..]);
}

fn a_notice_that_no_channel_takes_is_a_dead_letter(bed: &Bed) {
    let mut store = bed.open();
    open_alerts(&mut store);
    let task = store.claim_one();
    let due = store.now.plus(HOUR);
    store.complete(task, again(2, due, None));
    store.pass(HOUR);
    let task = store.claim_one();
    let id = task.id;
    store.complete(task, parked(DeadCause::AlertChannel));
    let letters = store.letters();
    assert_eq!(letters[0].subject, Subject::Notice);
    assert_eq!(letters[0].attempts.len(), 2);
    let counts = store.reader.dead_counts();
    assert_eq!(counts[0].owner, Owner::Channel("ops".parse().unwrap()));
    assert_eq!(store.reader.running(id).unwrap(), None);
    assert_eq!(store.replay(vec![ReplayItem::Letter(id)]), (1, 0));
    let running = store.reader.running(id).unwrap();
    assert!(
        matches!(running, Some(TaskKind::Alert { .. })),
        "{running:?}"
    );
    store.pass(HOUR);
    assert_eq!(store.claim_one().id, id);
}

/// What somebody agreed to, with who it was.
fn consent(entry: AuditEntry) -> Submission {
    Submission::PutGrant {
        connector: "github".parse().unwrap(),
        grant: "{}".into(),
        audit: Some(entry),
    }
}

fn the_audit_log_pages_and_survives(bed: &Bed) {
    let mut store = bed.open();
    for number in 0..5 {
        let mut entry = note_of(AuditAction::Consent, store.now);
        entry.count = number;
        store.commit(vec![consent(entry)]);
    }
    let grant = store.reader.grant(&"github".parse().unwrap()).unwrap();
    assert_eq!(grant.as_deref(), Some(&b"{}"[..]), "in the same commit");
    drop(store);
    let store = bed.open();
    let mut before = None;
    let mut counts = Vec::new();
    loop {
        let page = store.reader.audit(before, 2).unwrap();
        counts.extend(page.entries.iter().map(|(_, entry)| entry.count));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(counts, [4, 3, 2, 1, 0]);
}

#[test]
fn the_audit_log_is_bounded() {
    let mut store = Bed::memory().open();
    let entry = note_of(AuditAction::Consent, store.now);
    let batch = |count| vec![consent(entry.clone()); count];
    let all = usize::try_from(AUDIT_ENTRIES_MAX).unwrap();
    store.commit(batch(all - 1));
    let oldest = |store: &Store| store.reader.audit(Some(3), 9).unwrap().entries.len();
    assert_eq!(oldest(&store), 2);
    store.commit(batch(1));
    assert_eq!(oldest(&store), 2, "as many as may be");
    store.commit(batch(2));
    assert_eq!(oldest(&store), 0, "the oldest gave way");
    let newest = store.reader.audit(None, 1).unwrap().entries[0].0;
    assert_eq!(newest, AUDIT_ENTRIES_MAX + 2);
}

fn park_of(store: &mut Store, connection: &ConnectionId, name: &str, cause: DeadCause) -> TaskId {
    let event = event(connection, name, store.now);
    let accept = store.request(vec![event]);
    store.commit(vec![accept]);
    let task = store.claim_one();
    let id = task.id;
    store.complete(task, parked(cause));
    store.pass(HOUR);
    id
}

fn dead_counts_equal_a_recount(bed: &Bed) {
    let mut store = bed.open();
    let beta: ConnectionId = "github/beta".parse().unwrap();
    let first = park_of(&mut store, &acme(), "a", DeadCause::Mapping);
    let began = store.now;
    park_of(&mut store, &acme(), "b", DeadCause::Mapping);
    park_of(&mut store, &acme(), "c", DeadCause::PartnerData);
    park_of(&mut store, &beta, "d", DeadCause::Mapping);
    let said = |store: &Store| -> Vec<String> {
        let counts = store.reader.dead_counts();
        let one = |count: &tidegate_store::DeadCount| {
            let connection = count.connection.clone().unwrap();
            let since = count.oldest.since(crate::bed::START).as_secs() / 3_600;
            format!(
                "{connection} {} {} since {since}",
                count.cause.code(),
                count.count
            )
        };
        counts.iter().map(one).collect()
    };
    let all = [
        "github/acme mapping 2 since 0",
        "github/acme partner-data 1 since 2",
        "github/beta mapping 1 since 3",
    ];
    assert_eq!(said(&store), all);
    store.replay(vec![ReplayItem::Letter(first)]);
    assert_eq!(said(&store)[0], "github/acme mapping 1 since 1");
    let before = store.reader.dead_counts();
    assert_eq!(before[0].oldest, began);
    drop(store);
    let store = bed.open();
    assert_eq!(
        store.reader.dead_counts(),
        before,
        "as built from the heads"
    );
    assert_eq!(store.reader.counts().dead, 3);
}

fn dead_letters_are_filtered_by_their_heads(bed: &Bed) {
    let mut store = bed.open();
    let beta: ConnectionId = "github/beta".parse().unwrap();
    let ids: Vec<TaskId> = (0..9)
        .map(|number| {
            let connection = if number % 3 == 0 {
                beta.clone()
            } else {
                acme()
            };
            let cause = if number % 2 == 0 {
                DeadCause::Mapping
            } else {
                DeadCause::PluginFault
            };
            park_of(&mut store, &connection, &number.to_string(), cause)
        })
        .collect();
    let list = |filter: &DeadLetterFilter, limit| {
        let (mut before, mut found) = (None, Vec::new());
        loop {
            let page = store.reader.dead_letters(filter, before, limit).unwrap();
            found.extend(page.letters.iter().map(|letter| letter.task.id));
            before = page.next;
            if before.is_none() {
                break found;
            }
        }
    };
    let newest_first: Vec<_> = ids.iter().rev().copied().collect();
    assert_eq!(list(&DeadLetterFilter::default(), 2), newest_first);
    let of_beta = DeadLetterFilter {
        connection: Some(beta),
        ..DeadLetterFilter::default()
    };
    assert_eq!(list(&of_beta, 1), [ids[6], ids[3], ids[0]]);
    let both = DeadLetterFilter {
        cause: Some(DeadCause::PluginFault),
        kind: Some("map".into()),
        ..of_beta.clone()
    };
    assert_eq!(list(&both, 1), [ids[3]]);
    let of_sink = DeadLetterFilter {
        sink: Some("app".parse().unwrap()),
        ..DeadLetterFilter::default()
    };
    assert_eq!(list(&of_sink, 5), []);
}

fn a_page_of_dead_letters_is_bounded_in_bytes(bed: &Bed) {
    let mut store = bed.open();
    for number in 0..3 {
        let mut large = event(&acme(), &number.to_string(), store.now);
        large.body = vec![b'x'; PAGE_BYTES_MAX / 2 + 1].into();
        let accept = store.request(vec![large]);
        store.commit(vec![accept]);
        let task = store.claim_one();
        store.complete(task, parked(DeadCause::Mapping));
    }
    let filter = DeadLetterFilter::default();
    let page = store.reader.dead_letters(&filter, None, 100).unwrap();
    assert_eq!(page.letters.len(), 2);
    let rest = store.reader.dead_letters(&filter, page.next, 100).unwrap();
    assert_eq!((rest.letters.len(), rest.next), (1, None));
}

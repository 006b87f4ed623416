//! Every record leads back to its value, and no bytes make a reader panic.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tidegate_core::change::{
    Change, ChangeResult, EntityRef, Fate, Operation, Origin, ProposedChange,
};
use tidegate_core::event::{BodyAuthenticated, Event, EventProgress, EventState};
use tidegate_core::failure::{Failure, FailureClass, PluginFault};
use tidegate_core::ids::{ChangeSeq, ConnectionId, EventId, PluginDigest, TaskId};
use tidegate_core::task::{Attempt, DeadCause, Task, TaskKind, TaskState, WaitReason};
use tidegate_core::time::Timestamp;
use tidegate_core::version::{Content, Standing};

use super::*;
use crate::dead::DeadLetter;

fn instant() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_micros)
}

fn data() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn connection() -> impl Strategy<Value = ConnectionId> {
    ("[a-z][a-z0-9-]{0,10}", "[^/\\p{Cc}]{1,12}")
        .prop_map(|(connector, account)| format!("{connector}/{account}").parse().unwrap())
}

fn entity() -> impl Strategy<Value = EntityRef> {
    ("[a-z_]{1,12}", ".{1,20}").prop_map(|(kind, id)| EntityRef { kind, id })
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![Just(Operation::Upsert), Just(Operation::Delete)]
}

fn proposed() -> impl Strategy<Value = ProposedChange> {
    let occurred = option::of(instant());
    (
        entity(),
        operation(),
        option::of(any::<i64>()),
        ".{0,20}",
        occurred,
        option::of(data()),
    )
        .prop_map(
            |(entity, operation, version, revision, occurred, data)| ProposedChange {
                entity,
                operation,
                version,
                revision,
                occurred,
                data,
            },
        )
}

fn change() -> impl Strategy<Value = Change> {
    let origin = prop_oneof![
        Just(Origin::Webhook),
        Just(Origin::Poll),
        Just(Origin::Fetch),
        Just(Origin::Reconcile)
    ];
    (
        any::<u64>(),
        connection(),
        proposed(),
        origin,
        option::of(any::<u64>()),
        instant(),
    )
        .prop_map(
            |(seq, connection, change, origin, event, committed)| Change {
                seq: ChangeSeq::new(seq),
                connection,
                change,
                origin,
                event: event.map(EventId::new),
                committed,
            },
        )
}

fn standing() -> impl Strategy<Value = Standing> {
    let content = (operation(), option::of(any::<i64>()), ".{0,20}").prop_map(
        |(operation, version, revision)| Content {
            operation,
            version,
            revision,
        },
    );
    (content, any::<u64>(), any::<u64>(), any::<bool>()).prop_map(
        |(content, receipt, change, tied)| Standing {
            content,
            receipt: EventId::new(receipt),
            change: ChangeSeq::new(change),
            tied,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let text = ".{0,12}";
    let body_authenticated = prop_oneof![
        Just(BodyAuthenticated::Full),
        Just(BodyAuthenticated::Fields),
        Just(BodyAuthenticated::None)
    ];
    let request = (
        text,
        vec(text, 0..3),
        text,
        vec((text, data()), 0..4),
        data(),
    );
    (connection(), text, instant(), request, body_authenticated).prop_map(
        |(connection, partner_id, received, request, body_authenticated)| {
            let (method, path, query, headers, body) = request;
            Event {
                connection,
                partner_id,
                received,
                method,
                path,
                query,
                headers,
                body,
                body_authenticated,
            }
        },
    )
}

fn cause() -> impl Strategy<Value = DeadCause> {
    prop::sample::select(DeadCause::ALL.to_vec())
}

fn class() -> impl Strategy<Value = FailureClass> {
    let delay = option::of((0u64..1 << 50).prop_map(Duration::from_micros));
    prop_oneof![
        Just(FailureClass::Transient),
        delay.prop_map(|delay| FailureClass::RateLimited { delay }),
        Just(FailureClass::Unauthorized),
        Just(FailureClass::Permanent),
        Just(FailureClass::NotFound),
        Just(FailureClass::CheckpointExpired),
        Just(FailureClass::Refused),
        prop::sample::select(PluginFault::ALL.to_vec()).prop_map(FailureClass::PluginFault),
    ]
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let failure = (class(), ".{0,20}").prop_map(|(class, message)| Failure { class, message });
    let digest = || option::of(any::<[u8; 32]>());
    let took = (0u64..1 << 50).prop_map(Duration::from_micros);
    (
        any::<u32>(),
        instant(),
        took,
        digest(),
        digest(),
        option::of(failure),
        ".{0,20}",
    )
        .prop_map(
            |(number, started, took, plugin, settings, failure, stderr)| Attempt {
                number,
                started,
                took,
                plugin: plugin.map(PluginDigest::new),
                settings,
                failure,
                stderr,
            },
        )
}

fn task() -> impl Strategy<Value = Task> {
    let event = || any::<u64>().prop_map(EventId::new);
    let kind = prop_oneof![
        (event(), connection()).prop_map(|(event, connection)| TaskKind::Map { event, connection }),
        (event(), connection(), entity()).prop_map(|(event, connection, entity)| {
            TaskKind::Fetch {
                event,
                connection,
                entity,
            }
        }),
        connection().prop_map(|connection| TaskKind::Poll { connection }),
    ];
    let state = prop_oneof![
        (any::<u32>(), instant(), option::of(instant())).prop_map(
            |(attempt, due, limited_since)| TaskState::Scheduled {
                attempt,
                due,
                limited_since
            }
        ),
        Just(TaskState::Waiting {
            reason: WaitReason::CapabilityNotBuilt
        }),
        (cause(), ".{0,20}", instant()).prop_map(|(cause, reason, at)| TaskState::Dead {
            cause,
            reason,
            at
        }),
    ];
    (any::<u64>(), kind, state).prop_map(|(id, kind, state)| Task {
        id: TaskId::new(id),
        kind,
        state,
    })
}

fn progress() -> impl Strategy<Value = EventProgress> {
    let state = prop_oneof![
        (any::<u32>(), instant()).prop_map(|(attempt, due)| EventState::Pending { attempt, due }),
        any::<u32>().prop_map(|open| EventState::Fetching { open }),
        Just(EventState::Mapped),
        ".{0,20}".prop_map(|reason| EventState::Skipped { reason }),
        (cause(), ".{0,20}").prop_map(|(cause, reason)| EventState::Dead { cause, reason }),
    ];
    let fate = prop_oneof![
        any::<u64>().prop_map(|seq| Fate::Applied(ChangeSeq::new(seq))),
        Just(Fate::Superseded),
        Just(Fate::Unchanged),
    ];
    let result = (entity(), operation(), fate).prop_map(|(entity, operation, fate)| ChangeResult {
        entity,
        operation,
        fate,
    });
    let fetch = (any::<u64>().prop_map(TaskId::new), entity());
    let plugin = option::of(any::<[u8; 32]>().prop_map(PluginDigest::new));
    (
        state,
        vec(attempt(), 0..3),
        vec(result, 0..3),
        vec(fetch, 0..3),
        plugin,
    )
        .prop_map(
            |(state, attempts, changes, fetches, plugin)| EventProgress {
                state,
                attempts,
                changes,
                fetches,
                plugin,
            },
        )
}

/// The record leads back, and every shorter one is refused without a panic.
#[track_caller]
fn check<T: Record + PartialEq + std::fmt::Debug>(value: &T) {
    let record = Bytes::from(value.to_record());
    assert_eq!(T::from_record(record.clone()).as_ref(), Ok(value));
    for length in 0..record.len() {
        assert!(
            T::from_record(record.slice(..length)).is_err(),
            "cut at {length} it is read"
        );
    }
    let mut longer = record.to_vec();
    longer.push(0);
    assert!(
        T::from_record(longer.into()).is_err(),
        "a byte too many is read"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn events_lead_back(event in event()) {
        check(&event);
        prop_assert_eq!(&*event_record(&event), event.to_record());
        let head = EventHead::from_record(event.to_record().into()).unwrap();
        prop_assert_eq!(head.partner_id, event.partner_id);
        prop_assert_eq!(head.body_bytes, event.body.len());
    }

    #[test]
    fn changes_lead_back(change in change()) {
        check(&change);
        let head = ChangeHead::from_record(change.to_record().into()).unwrap();
        prop_assert_eq!(head.entity, change.change.entity);
    }

    #[test]
    fn standings_lead_back(standing in standing()) {
        check(&standing);
    }

    #[test]
    fn states_lead_back(occurred in option::of(instant()), data in option::of(data())) {
        check(&State { occurred, data });
    }

    #[test]
    fn tasks_lead_back(task in task()) {
        check(&task);
    }

    #[test]
    fn progress_leads_back(progress in progress()) {
        check(&progress);
    }

    #[test]
    fn dead_letters_lead_back(task in task(), event in option::of(event()), progress in progress()) {
        check(&DeadLetter { task, event, progress });
    }

    #[test]
    fn key_holders_lead_back(event: u64, body: u64) {
        check(&KeyHolder { event: EventId::new(event), body });
    }

    #[test]
    fn flipped_bits_and_noise_never_panic(
        letter in (task(), option::of(event()), progress()),
        flips in vec((any::<prop::sample::Index>(), 0u8..8), 1..6),
        noise in vec(any::<u8>(), 0..200),
    ) {
        let (task, event, progress) = letter;
        let mut record = DeadLetter { task, event, progress }.to_record();
        for (place, bit) in flips {
            let index = place.index(record.len());
            record[index] ^= 1 << bit;
        }
        let _ = DeadLetter::from_record(record.into());
        let mut noise = noise;
        noise.insert(0, VERSION);
        let noise = Bytes::from(noise);
        let _ = Event::from_record(noise.clone());
        let _ = Change::from_record(noise.clone());
        let _ = EventProgress::from_record(noise.clone());
        let _ = QueueEntry::from_record(noise.clone());
        let _ = crate::ledger::LedgerRecord::from_record(noise);
    }
}

#[test]
fn a_newer_record_is_refused_by_its_version() {
    let mut record = Timestamp::EPOCH.to_record();
    record[0] = VERSION + 1;
    let read = Timestamp::from_record(record.into());
    assert_eq!(read, Err(Corrupt::Version { found: VERSION + 1 }));
}

#[test]
fn a_length_beyond_the_record_reserves_nothing() {
    let mut to = Writer::new();
    to.number(u64::MAX >> 8);
    let mut from = Reading::new(to.finish().into()).unwrap();
    assert_eq!(from.list(Reading::byte), Err(Corrupt::Truncated));
}

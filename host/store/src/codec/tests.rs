//! Every record leads back to its value, and no bytes make a reader panic.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tidegate_core::alert::{AlertRecord, Notice};
use tidegate_core::audit::{AuditAction, AuditEntry};
use tidegate_core::change::Change;
use tidegate_core::event::{Event, EventProgress};
use tidegate_core::ids::{EventId, ReplayId, TaskId};
use tidegate_core::replay::{ReplayFilter, ReplayMode, ReplayRun};
use tidegate_core::sink::SinkStanding;
use tidegate_core::time::Timestamp;

use super::*;
use crate::dead::DeadHead;
use crate::dead::DeadLetter;
use crate::keys::BodyDigest;
use crate::paused::PausedConnection;

mod values;

use values::{
    attempt, change, connection, event, instant, letter, notice, progress, replay_run,
    sink_standing, standing, task,
};

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
    fn states_lead_back(change in change()) {
        check(&State::of(&change));
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
    fn dead_letters_lead_back(letter in letter()) {
        check(&letter);
        if let Some(head) = DeadHead::of(&letter, Timestamp::EPOCH) {
            check(&head);
        }
    }

    #[test]
    fn what_is_kept_aside_leads_back(
        event in option::of(event()),
        progress in progress(),
        change in change(),
    ) {
        check(&Kept::Event { event, progress });
        check(&Kept::Change(change));
    }

    #[test]
    fn delivery_rows_lead_back(
        numbers: (u64, u32),
        forced: bool,
        since in instant(),
        limited_since in option::of(instant()),
        due in option::of(instant()),
        attempts in vec(attempt(), 0..3),
    ) {
        let (task, attempt) = numbers;
        let task = TaskId::new(task);
        check(&DeliveryRow { task, forced, attempt, since, limited_since, due });
        check(&Attempts(attempts));
    }

    #[test]
    fn sinks_lead_back(standing in sink_standing()) {
        check(&standing);
    }

    #[test]
    fn alerts_lead_back(notice in notice(), noticed_count: u64, clear_since in option::of(instant())) {
        check(&notice);
        let Notice { key, summary, count, oldest, excerpt, link, since, .. } = notice;
        let last_notice = since;
        check(&AlertRecord {
            key, since, count, oldest, summary, excerpt, link, last_notice, noticed_count,
            clear_since,
        });
    }

    #[test]
    fn what_operators_do_leads_back(
        run in replay_run(),
        texts in (".{0,20}", ".{0,20}", option::of(".{0,20}")),
        action in prop::sample::select(AuditAction::ALL.to_vec()),
        at in instant(),
        connection in connection(),
        secrets in option::of(any::<[u8; 32]>()),
        flags: (bool, bool),
    ) {
        check(&run);
        let (who, subject, reason) = texts;
        let reason_of_pause = subject.clone();
        check(&AuditEntry { at, who, action, subject, reason, count: run.total });
        let (refused, resuming) = flags;
        check(&PausedConnection {
            connection, reason: reason_of_pause, refused, secrets, since: at, resuming,
        });
    }

    #[test]
    fn key_holders_lead_back(event: u64, body in option::of(any::<u128>())) {
        let body = body.map(BodyDigest);
        check(&KeyHolder { event: EventId::new(event), body });
    }

    #[test]
    fn key_holders_of_the_first_form_are_read_without_their_digest(event: u64, body: u64) {
        let mut to = Writer::with_capacity(16);
        to.number(event);
        to.fixed(&body.to_be_bytes());
        let holder = KeyHolder { event: EventId::new(event), body: None };
        prop_assert_eq!(KeyHolder::from_record(to.finish().into()), Ok(holder));
    }

    #[test]
    fn flipped_bits_and_noise_never_panic(
        letter in letter(),
        flips in vec((any::<prop::sample::Index>(), 0u8..8), 1..6),
        noise in vec(any::<u8>(), 0..200),
    ) {
        let mut record = letter.to_record();
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
        let _ = DeadHead::from_record(noise.clone());
        let _ = Kept::from_record(noise.clone());
        let _ = SinkStanding::from_record(noise.clone());
        let _ = ReplayRun::from_record(noise.clone());
        let _ = crate::ledger::LedgerRecord::from_record(noise);
    }
}

#[test]
fn a_newer_record_is_refused_by_its_version() {
    let mut record = Timestamp::EPOCH.to_record();
    record[0] = VERSION + 1;
    let read = Timestamp::from_record(record.into());
    let refused = Corrupt::Version {
        found: VERSION + 1,
        known: VERSION,
    };
    assert_eq!(read, Err(refused));
}

#[test]
fn a_replay_of_an_older_host_is_read_without_a_reason() {
    let run = ReplayRun {
        id: ReplayId::new(7),
        filter: ReplayFilter::default(),
        mode: ReplayMode::default(),
        who: "ann".into(),
        reason: None,
        began: Timestamp::EPOCH,
        newest: 9,
        before: 3,
        total: 4,
        queued: 2,
        passed: 1,
        ended: None,
    };
    let mut record = run.to_record();
    assert_eq!(record.pop(), Some(0), "no reason is its last byte");
    record[0] = 1;
    assert_eq!(ReplayRun::from_record(record.into()), Ok(run));
}

#[test]
fn a_length_beyond_the_record_reserves_nothing() {
    let mut to = Writer::with_capacity(16);
    to.number(u64::MAX >> 8);
    let mut from = Reading::new(to.finish().into()).unwrap();
    assert_eq!(from.list(Reading::byte), Err(Corrupt::Truncated));
}

//! Alerts by table, and over random stories.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::ids::EventId;
use crate::sink::{PauseCause, SinkState};
use crate::task::{DeadCause, Owner};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn dead(count: u64) -> Observed {
    Observed {
        dead: vec![DeadLetters {
            owner: Owner::Connection("github/Åcme & Co".parse().unwrap()),
            cause: DeadCause::Mapping,
            count,
            oldest: at(5),
            excerpt: "no field \"id\"".into(),
        }],
        ..Observed::default()
    }
}

fn channels() -> Vec<Subscription> {
    let named = |name: &str, rules: &[AlertRule]| Subscription {
        channel: name.parse().unwrap(),
        rules: rules.to_vec(),
    };
    vec![
        named("ops", &AlertRule::ALL),
        named("disk", &[AlertRule::DiskLow]),
    ]
}

/// A store of alerts that takes every update.
#[derive(Default)]
struct Book {
    records: Vec<AlertRecord>,
}

impl Book {
    /// Looks at things at `secs`; what is said to whom.
    fn look(&mut self, observed: &Observed, secs: i64) -> Vec<String> {
        let policy = AlertPolicy::default();
        let findings = observed.findings(&policy, at(secs));
        let update = evaluate(&self.records, findings, &channels(), &policy, at(secs));
        self.write(&update);
        let said = update.notices.iter();
        said.map(|(channel, notice)| format!("{channel}: {}", notice.summary))
            .collect()
    }

    fn write(&mut self, update: &AlertUpdate) {
        self.records.retain(|record| {
            !update.removed.contains(&record.key)
                && !update.put.iter().any(|put| put.key == record.key)
        });
        self.records.extend(update.put.iter().cloned());
    }
}

#[track_caller]
fn check(observed: &Observed, secs: i64, subject: &str, summary: &str, link: &str) {
    let findings = observed.findings(&AlertPolicy::default(), at(secs));
    let found = findings.first().expect("a finding");
    assert_eq!(found.key.subject, subject);
    assert_eq!(found.summary, summary);
    assert_eq!(found.link, link);
}

#[test]
fn each_rule_says_what_is_wrong_and_where_to_look() {
    check(
        &dead(2),
        9,
        "github/Åcme & Co mapping",
        "2 dead letters of github/Åcme & Co (mapping)",
        "/dead-letters?connection=github%2F%C3%85cme%20%26%20Co&cause=mapping",
    );
    let backlog = Observed {
        backlog: vec![Backlog {
            owner: Owner::Sink("app".parse().unwrap()),
            oldest: at(0),
            open: 7,
            excerpt: "503".into(),
        }],
        ..Observed::default()
    };
    let expect = "Work of sink app has been open since 1970-01-01T00:00:00Z";
    check(&backlog, 300, "sink app", expect, "/sinks");
    assert_eq!(backlog.findings(&AlertPolicy::default(), at(299)), []);
    let sink = |state| Observed {
        sinks: vec![SinkTrouble {
            sink: "app".parse().unwrap(),
            state,
        }],
        ..Observed::default()
    };
    let paused = SinkState::Paused {
        why: PauseCause::Gone,
        reason: "410".into(),
        since: at(1),
    };
    let expect = "Sink app is paused (gone): nothing is delivered until a person resumes it";
    check(&sink(paused), 2, "sink app", expect, "/sinks");
    let failing = |probes| SinkState::Failing {
        reason: "503".into(),
        since: at(1),
        probes,
        next: at(9),
    };
    let expect = "Sink app keeps failing: one change at a time is tried";
    check(&sink(failing(1)), 2, "sink app", expect, "/sinks");
    let policy = AlertPolicy::default();
    assert_eq!(sink(failing(0)).findings(&policy, at(2)), []);
    assert_eq!(sink(SinkState::Running).findings(&policy, at(2)), []);
    let unreadable = Observed {
        unreadable: vec![UnreadableSink {
            sink: "app".parse().unwrap(),
            reason: "record 2 is corrupt".into(),
        }],
        ..Observed::default()
    };
    let expect =
        "Sink app delivers nothing: what it is to be given next cannot be read from the store";
    check(&unreadable, 2, "sink app", expect, "/sinks");
    // It counts for more than that the sink fails.
    let both = Observed {
        sinks: sink(failing(3)).sinks,
        ..unreadable
    };
    let update = evaluate(&[], both.findings(&policy, at(2)), &[], &policy, at(2));
    assert_eq!((update.put.len(), &*update.put[0].summary), (1, expect));
    let latched = Observed {
        latched: Some("fdatasync: I/O error".into()),
        ..Observed::default()
    };
    let expect = "A write to the store failed: it takes nothing until the host has restarted";
    check(&latched, 2, "store", expect, "/status");
}

#[test]
fn refused_signatures_are_an_alert_from_the_third_in_a_row_until_it_is_quiet() {
    let refused = |in_a_row| Observed {
        refusals: vec![SignatureFailures {
            connection: "github/acme".parse().unwrap(),
            in_a_row,
            first: at(0),
            last: at(10),
            reason: "no_match".into(),
            alert_from: None,
        }],
        ..Observed::default()
    };
    let policy = AlertPolicy::default();
    assert_eq!(refused(2).findings(&policy, at(10)), []);
    assert_eq!(refused(3).findings(&policy, at(10)).len(), 1);
    assert_eq!(refused(3).findings(&policy, at(3_610)), []);
}

#[test]
fn a_partner_that_gives_up_early_is_an_alert_before_the_policys_time() {
    let refused = |in_a_row, alert_from| Observed {
        refusals: vec![SignatureFailures {
            connection: "gitlab/acme".parse().unwrap(),
            in_a_row,
            first: at(0),
            last: at(10),
            reason: "no_match".into(),
            alert_from,
        }],
        ..Observed::default()
    };
    let policy = AlertPolicy {
        signature_failures: 20,
        ..AlertPolicy::default()
    };
    let found = |in_a_row, alert_from| {
        let observed = refused(in_a_row, alert_from);
        observed.findings(&policy, at(10)).len()
    };
    assert_eq!((found(19, None), found(20, None)), (0, 1));
    assert_eq!((found(1, Some(2)), found(2, Some(2))), (0, 1));
    assert_eq!(found(20, Some(100)), 1, "the policy's own holds on");
}

#[test]
fn duplicates_that_differ_are_an_alert_for_an_hour() {
    let observed = Observed {
        differing: vec![DifferingDuplicates {
            connection: "github/acme".parse().unwrap(),
            count: 3,
            first: at(0),
            last: at(10),
            event: EventId::new(1),
        }],
        ..Observed::default()
    };
    let policy = AlertPolicy::default();
    let findings = observed.findings(&policy, at(10));
    assert_eq!((findings.len(), findings[0].count), (1, 3));
    assert_eq!(findings[0].key.rule.code(), "duplicate-differs");
    assert!(findings[0].excerpt.contains("evt_0000000000000001"));
    assert_eq!(observed.findings(&policy, at(3_610)), []);
}

#[test]
fn dead_letters_of_one_owner_and_cause_are_one_alert() {
    let mut observed = dead(1);
    let mut more = dead(2).dead;
    more[0].oldest = at(1);
    observed.dead.append(&mut more);
    let findings = observed.findings(&AlertPolicy::default(), at(9));
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].count, findings[0].oldest), (3, Some(at(1))));
}

#[test]
fn an_alert_opens_once_is_repeated_and_is_over_once() {
    let (mut book, nothing, quiet) = (Book::default(), Observed::default(), [""; 0]);
    let what = "dead letter of github/Åcme & Co (mapping)";
    assert_eq!(book.look(&dead(1), 10), [format!("ops: 1 {what}")]);
    assert_eq!(book.look(&dead(1), 11), quiet);
    assert_eq!(book.look(&dead(1), 10 + 4 * 3_600 - 1), quiet);
    let repeated = book.look(&dead(1), 10 + 4 * 3_600);
    assert_eq!(repeated, [format!("ops: Still: 1 {what}")]);
    assert_eq!(book.look(&nothing, 20_000), quiet);
    assert_eq!(book.look(&nothing, 20_009), quiet);
    assert_eq!(
        book.look(&nothing, 20_010),
        [format!("ops: Over: 1 {what}")]
    );
    assert_eq!(book.records, []);
    assert_eq!(book.look(&nothing, 20_020), quiet);
}

#[test]
fn what_comes_back_at_once_was_not_over() {
    let (mut book, nothing, quiet) = (Book::default(), Observed::default(), [""; 0]);
    book.look(&dead(1), 10);
    assert_eq!(book.look(&nothing, 11), quiet);
    assert_eq!(book.look(&dead(1), 20), quiet);
    assert_eq!(book.look(&nothing, 21), quiet);
    assert_eq!(book.look(&nothing, 30), quiet);
    assert_eq!(book.look(&nothing, 31).len(), 1);
}

#[test]
fn tenfold_growth_is_said_before_its_time() {
    let (mut book, quiet) = (Book::default(), [""; 0]);
    book.look(&dead(1), 10);
    assert_eq!(book.look(&dead(9), 11), quiet);
    assert_eq!(book.records[0].count, 9);
    assert_eq!(book.look(&dead(10), 12).len(), 1);
    assert_eq!(book.look(&dead(99), 13), quiet);
    assert_eq!(book.look(&dead(100), 14).len(), 1);
}

#[test]
fn channels_are_told_what_they_subscribe_to() {
    let low = Observed {
        disk_low: true,
        ..Observed::default()
    };
    let said = Book::default().look(&low, 0);
    assert_eq!(said.len(), 2);
}

#[test]
fn alerts_are_bounded_and_the_rest_is_counted() {
    let observed = Observed {
        paused: (0..ALERTS_MAX + 50)
            .map(|number| PausedConnection {
                connection: format!("github/a{number:05}").parse().unwrap(),
                since: at(0),
                reason: String::new(),
            })
            .collect(),
        ..Observed::default()
    };
    let mut book = Book::default();
    for secs in 0..20 {
        let said = book.look(&observed, secs);
        assert!(said.len() <= ALERTS_TOLD_MAX, "{} at once", said.len());
    }
    assert_eq!(book.records.len(), ALERTS_MAX + 1);
    let others = book
        .records
        .iter()
        .find(|record| record.key.subject == "others");
    assert_eq!(others.unwrap().count, 50);
    for secs in 20..60 {
        book.look(&Observed::default(), secs);
    }
    assert_eq!(book.records, []);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes and goes: opened, repeated at most at the policy's pace or on growth,
    /// and exactly one over.
    #[test]
    fn every_alert_that_opened_ends_once(
        story in prop::collection::vec((0_i64..4_000, 0_u64..500), 1..120),
    ) {
        let policy = AlertPolicy::default();
        let (mut book, mut now) = (Book::default(), 0);
        // When the last notice was, and about how many.
        let mut standing: Option<(i64, u64)> = None;
        let quiet = [(11, 0); 3];
        for (wait, count) in story.into_iter().chain(quiet) {
            now += wait;
            let observed = if count == 0 { Observed::default() } else { dead(count) };
            let findings = observed.findings(&policy, at(now));
            let update = evaluate(&book.records, findings, &channels(), &policy, at(now));
            book.write(&update);
            prop_assert!(update.notices.len() <= 1);
            let Some((_, notice)) = update.notices.first() else {
                continue;
            };
            standing = match (notice.kind, standing) {
                (NoticeKind::Opened, None) => Some((now, count)),
                (NoticeKind::Repeated, Some((last, before))) => {
                    let paced = Duration::from_secs(u64::try_from(now - last).unwrap());
                    prop_assert!(paced >= policy.repeat || count >= before * 10);
                    Some((now, count))
                }
                (NoticeKind::Over, Some(_)) => None,
                (kind, before) => return Err(TestCaseError::fail(format!("{kind:?} after {before:?}"))),
            };
        }
        prop_assert_eq!(standing, None);
        prop_assert_eq!(book.records, vec![]);
    }
}

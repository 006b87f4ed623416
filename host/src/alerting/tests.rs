//! The desk over the store in memory, and a channel that is a program.

use tidegate_core::alert::{AlertKey, NoticeKind};
use tidegate_core::task::{DeadCause, TaskState};

use super::*;
use crate::bed::{Bed, until};

/// Appends each notice to a file.
const TOLD: &str = "[alerts.ops]\nkind = \"command\"\n";

fn command(bed: &Bed) -> String {
    let file = bed.path("told").display().to_string();
    format!("{TOLD}command = [\"tee\", \"-a\", \"{file}\"]\n")
}

fn config(bed: &Bed) -> Config {
    bed.config(&command(bed))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_told_once_with_its_reason_and_a_whole_link() {
    let bed = Bed::new();
    let desk = bed.alerts();
    desk.configure(&config(&bed));
    bed.letter("no such field").await;
    let running = tokio::spawn(desk.run());
    until("somebody is told", || bed.text("told").contains('\n')).await;
    until("it has ended", || bed.reader.counts().scheduled == 0).await;
    let told = bed.text("told");
    for part in [
        "\"kind\":\"opened\"",
        "\"subject\":\"tide/acme partner-data\"",
        "\"excerpt\":\"no such field\"",
        "\"link\":\"http://127.0.0.1:8081/dead-letters?",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert_eq!(bed.reader.alerts().unwrap().len(), 1);
    // The second look finds it said.
    sleep(LOOK_EVERY + LOOK_EVERY / 2).await;
    assert_eq!(bed.text("told"), told);
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_has_failed_is_told_without_it_and_once() {
    let bed = Bed::new();
    let desk = bed.alerts();
    desk.configure(&config(&bed));
    bed.gate.latch("sync failed".into());
    let running = tokio::spawn(desk.run());
    until("somebody is told", || bed.text("told").contains('\n')).await;
    let told = bed.text("told");
    assert!(
        told.contains("store-read-only") && told.contains("sync failed"),
        "{told}"
    );
    sleep(LOOK_EVERY + LOOK_EVERY / 2).await;
    assert_eq!(bed.text("told"), told);
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_store_is_over_once_the_host_begins_with_one_that_takes_writes() {
    let failed = Bed::new();
    let folder = failed.path("");
    let told_in = |bed: &Bed| format!("{}\n[policy.alerts]\nclear_after = \"0s\"\n", command(bed));
    let desk = failed.alerts();
    desk.configure(&failed.config(&told_in(&failed)));
    failed.gate.latch("sync failed".into());
    let running = tokio::spawn(desk.run());
    until("somebody is told", || failed.text("told").contains('\n')).await;
    running.abort();

    // It fails again before it could say anything: what is to be said stays.
    let latched = Bed::new();
    latched.gate.latch("still".into());
    latched.alerts_beside(&folder).take_over().await;

    let again = Bed::new();
    let desk = again.alerts_beside(&folder);
    desk.configure(&again.config(&told_in(&again)));
    let running = tokio::spawn(desk.run());
    until("it is over", || again.text("told").contains('\n')).await;
    let told = again.text("told");
    for part in [
        "\"kind\":\"over\"",
        "store-read-only",
        "Over: A write to the store failed",
        "sync failed",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let stands = || again.reader.alerts().unwrap();
    until("it stands no more", || stands().is_empty()).await;
    running.abort();
    let next = again.alerts_beside(&folder);
    assert_eq!(*next.inherited.lock().await, None, "said once");
}

/// A notice that an alert is over.
fn over(channel: &str, number: usize) -> (ChannelName, Notice) {
    let notice = Notice {
        key: AlertKey {
            rule: AlertRule::StoreReadOnly,
            subject: format!("{channel}-{number}"),
        },
        kind: NoticeKind::Over,
        summary: "it is over".into(),
        count: 0,
        oldest: None,
        excerpt: String::new(),
        link: "/".into(),
        since: SystemClock.now(),
    };
    (channel.parse().unwrap(), notice)
}

/// A way out that breaks.
#[derive(Debug)]
struct Breaks;

impl Messenger for Breaks {
    async fn send(&self, _: &Notice) -> Result<(), Failure> {
        panic!("as a test")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_whose_sending_panics_is_tried_again_by_schedule() {
    let bed = Bed::new();
    let desk = bed.alerts();
    let update = AlertUpdate {
        notices: vec![over("ops", 0)],
        ..AlertUpdate::default()
    };
    let submission = Submission::PutAlerts(Box::new(update));
    bed.journal.submit(submission).await.unwrap();
    let owner = Owner::Channel("ops".parse().unwrap());
    let claims = &desk.parts.claims;
    let claim = |now| claims.claim_of(&owner, Work::Alert, 1, now).unwrap().pop();
    let notice = claim(SystemClock.now()).unwrap();
    let task = notice.id();
    let retry = RetryPolicy::default();
    desk.send_by(Some(&Breaks), notice, &retry).await;
    let due = || claims.next_due_of(&owner, Work::Alert);
    until("it is in the queue again", || due().is_some()).await;
    let due = due().unwrap();
    assert!(due > SystemClock.now(), "not at once: {due}");
    let again = claim(due).unwrap();
    assert_eq!(again.id(), task);
    let TaskState::Scheduled { attempt, .. } = again.task.state else {
        panic!("{again:?}")
    };
    assert_eq!(attempt, 2, "the one that broke off counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_hangs_keeps_no_other_waiting() {
    let bed = Bed::new();
    let desk = bed.alerts();
    let notices = |channel, count| (0..count).map(move |number| over(channel, number));
    let update = AlertUpdate {
        notices: notices("hangs", 3 * SENDING_MAX)
            .chain(notices("gone", 3 * SENDING_MAX))
            .chain(notices("ops", 1))
            .collect(),
        ..AlertUpdate::default()
    };
    let submission = Submission::PutAlerts(Box::new(update));
    bed.journal.submit(submission).await.unwrap();
    let submitted = SystemClock.now();
    let (begun, told) = (bed.path("begun"), bed.path("told"));
    let (begun, told) = (begun.display(), told.display());
    desk.configure(&bed.config(&format!(
        "{TOLD}command = [\"tee\", \"-a\", \"{told}\"]\n[alerts.hangs]\nkind = \"command\"\n\
         command = [\"sh\", \"-c\", \"echo begun >> {begun}; exec sleep 60\"]\n"
    )));
    let running = tokio::spawn(desk.clone().run());
    until("the other channel is told", || {
        bed.text("told").contains("ops-0")
    })
    .await;
    // A channel without a section is none that could hang: all of its notices end.
    let parked = || {
        let counts = bed.reader.dead_counts().into_iter();
        let of_channels = counts.filter(|count| count.cause == DeadCause::AlertChannel);
        of_channels.map(|count| count.count).sum::<u64>()
    };
    until("what has no channel is parked", || {
        parked() == 3 * SENDING_MAX as u64
    })
    .await;
    // It hangs within its bound: what is more is not even claimed.
    until("it hangs", || {
        bed.text("begun").lines().count() >= SENDING_MAX
    })
    .await;
    let owner = Owner::Channel("hangs".parse().unwrap());
    let due = desk.parts.claims.next_due_of(&owner, Work::Alert);
    assert!(due.is_some_and(|due| due <= submitted), "{due:?}");
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_cannot_be_built_leaves_a_letter_that_says_why() {
    let bed = Bed::new();
    let desk = bed.alerts();
    std::fs::write(bed.path("URL"), "hooks").unwrap();
    desk.configure(&bed.config("[alerts.ops]\nkind = \"slack\"\nurl = \"file:URL\"\n"));
    bed.letter("no such field").await;
    let running = tokio::spawn(desk.run());
    let parked = || {
        let counts = bed.reader.dead_counts().into_iter();
        counts
            .filter(|count| count.cause == DeadCause::AlertChannel)
            .map(|count| count.first)
            .next()
    };
    until("its notice is parked", || parked().is_some()).await;
    let letter = bed.reader.dead_letter(parked().unwrap()).unwrap().unwrap();
    assert!(format!("{:?}", letter.task.state).contains("its URL cannot be used"));
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_signatures_and_low_disk_are_observed() {
    use tidegate_core::ports::Observer as _;
    use tidegate_core::signature::Refusal;
    use tidegate_flow::ingest::Address;

    use crate::http::Refused;

    let bed = Bed::new();
    let desk = bed.alerts();
    let address = Address::Connection("tide/acme".parse().unwrap());
    for _ in 0..3 {
        let refused = Refused {
            at: SystemClock.now(),
            reason: (&Refusal::NoKeys).into(),
            seen: None,
        };
        bed.metrics.refused(&address, refused, None);
    }
    bed.gate.disk(Some(7));
    let observed = desk.observer.observe().unwrap();
    assert_eq!(observed.refusals[0].in_a_row, 3);
    assert!(observed.disk_low && observed.latched.is_none());
    bed.metrics.refusals().verified(&address);
    assert_eq!(desk.observer.observe().unwrap().refusals, []);
}

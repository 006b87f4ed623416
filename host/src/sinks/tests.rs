//! The desk over the store in memory and sinks that are files.

use std::fs;
use std::time::Duration;

use futures_util::FutureExt as _;
use tidegate_core::audit::AuditAction;
use tidegate_core::ids::ChangeSeq;

use super::*;
use crate::bed::{Bed, until};

const LOG: &str = "[sinks.log]\nkind = \"file\"\npath = \"log.ndjson\"\n";

fn log() -> SinkName {
    "log".parse().unwrap()
}

async fn settled(bed: &Bed, lines: usize) {
    let is_so = || bed.text("log.ndjson").lines().count() == lines;
    until(&format!("{lines} lines"), is_so).await;
    let newest = bed.reader.newest_change();
    let cursor = || bed.reader.sink(&log()).unwrap().unwrap().cursor;
    until("the cursor follows", || cursor() == newest).await;
}

/// Long enough for a delivery that should not be.
async fn a_while() {
    tokio::time::sleep(Duration::from_millis(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_delivers_is_paused_and_resumed() {
    let bed = Bed::new();
    let desk = bed.sinks();
    bed.change("before").await;
    desk.configure(&bed.config(LOG)).await;
    bed.change("1").await;
    settled(&bed, 1).await;

    let paused = desk.pause(&log(), Some("maintenance".into()), "ann").await;
    assert_eq!(paused.unwrap().state.code(), "paused");
    bed.change("2").await;
    a_while().await;
    assert_eq!(bed.text("log.ndjson").lines().count(), 1);
    let views = desk.standings().unwrap();
    let [view] = views.as_slice() else {
        panic!("{views:?}")
    };
    assert_eq!((view.backlog, view.problem.as_deref()), (1, None));
    assert!(view.oldest.is_some());

    desk.resume(&log(), None, "bob").await.unwrap();
    settled(&bed, 2).await;
    let audit = bed.reader.audit(None, 9).unwrap().entries;
    let audit: Vec<_> = audit
        .iter()
        .map(|(_, one)| (one.action, &*one.who))
        .collect();
    let (paused, resumed) = (AuditAction::PauseSink, AuditAction::ResumeSink);
    assert_eq!(audit, [(resumed, "bob"), (paused, "ann")]);
    desk.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_leaves_no_sink_without_its_loop() {
    let bed = Bed::new();
    let desk = bed.sinks();
    desk.configure(&bed.config(LOG)).await;
    bed.change("1").await;
    settled(&bed, 1).await;
    let name = log();
    // Dropped while the loop is waited for, as of a connection that is closed; seldom it
    // has ended by then.
    drop(desk.resume(&name, None, "ann").now_or_never());
    bed.change("2").await;
    settled(&bed, 2).await;
    drop(desk.pause(&name, None, "ann").now_or_never());
    let state = || bed.reader.sink(&name).unwrap().unwrap().state.code();
    until("it is paused all the same", || state() == "paused").await;
    desk.resume(&name, None, "ann").await.unwrap();
    bed.change("3").await;
    settled(&bed, 3).await;
    desk.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_section_goes_on_and_a_removed_one_takes_its_sink_along() {
    let bed = Bed::new();
    let desk = bed.sinks();
    desk.configure(&bed.config(LOG)).await;
    bed.change("1").await;
    settled(&bed, 1).await;
    let changed = format!("{LOG}kinds = [\"ship\"]\n");
    desk.configure(&bed.config(&changed)).await;
    bed.change("2").await;
    settled(&bed, 2).await;
    desk.configure(&bed.config("")).await;
    assert_eq!(bed.reader.sinks().unwrap(), []);
    assert_eq!(desk.standings().unwrap().len(), 0);
    let unknown = desk.pause(&log(), None, "ann").await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no sink log");
    bed.change("3").await;
    a_while().await;
    assert_eq!(bed.text("log.ndjson").lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_cannot_be_built_says_why_and_concerns_no_other() {
    let bed = Bed::new();
    let desk = bed.sinks();
    fs::write(bed.path("SECRET"), "whsec_???").unwrap();
    let app = "[sinks.app]\nkind = \"webhook\"\nurl = \"https://app.example/\"\nsecret = \"file:SECRET\"\n";
    desk.configure(&bed.config(&format!("{app}{LOG}"))).await;
    bed.change("1").await;
    settled(&bed, 1).await;
    let views = desk.standings().unwrap();
    let problems: Vec<_> = views.iter().map(|view| view.problem.as_deref()).collect();
    let said = "its secret cannot sign: secret 1 has no base64 after whsec_";
    assert_eq!(problems, [Some(said), None]);
    // It began when it was configured all the same.
    assert_eq!(views[0].standing.cursor, ChangeSeq::new(0));
    desk.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_delivered_while_the_gate_is_not_open() {
    let bed = Bed::new();
    let desk = bed.sinks();
    desk.configure(&bed.config(LOG)).await;
    bed.change("1").await;
    settled(&bed, 1).await;
    bed.change("2").await;
    settled(&bed, 2).await;
    bed.gate.disk(Some(7));
    a_while().await;
    let name = "tide/acme".parse().unwrap();
    let resume = Submission::ResumeConnection {
        connection: name,
        audit: None,
    };
    // Any commit rings.
    bed.journal.submit(resume).await.unwrap();
    bed.gate.disk(None);
    bed.change("3").await;
    settled(&bed, 3).await;
    desk.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_is_waited_for_and_given_everything() {
    let bed = Bed::new();
    let desk = bed.sinks();
    // A folder where the file should be.
    fs::create_dir(bed.path("log.ndjson")).unwrap();
    desk.configure(&bed.config(LOG)).await;
    bed.change("1").await;
    let open = || {
        let open = bed.reader.open_deliveries(&log()).unwrap();
        open.values().sum::<usize>()
    };
    until("it becomes a task", || open() == 1).await;
    bed.change("1").await;
    until("the next one waits behind it", || open() == 2).await;
    fs::remove_dir(bed.path("log.ndjson")).unwrap();
    // The first retry is due after 2 s.
    settled(&bed, 2).await;
    until("both have ended", || open() == 0).await;
    let lines = bed.text("log.ndjson");
    let numbers: Vec<_> = lines.lines().map(|line| &line[..10]).collect();
    assert_eq!(numbers, ["{\"seq\":\"1\"", "{\"seq\":\"2\""]);
    desk.end().await;
}

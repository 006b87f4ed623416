//! Ten thousand dead letters through the command line, while events come in.

use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_e2e::host::{self, PATH, PLAIN, SECRET};
use tidegate_e2e::load::{self, Load, Outcome, Pace};
use tidegate_e2e::reload::{digest, wait_active};
use tidegate_e2e::requests::Requests;

use crate::support::{Running, SOON, patched, wait_until};

const LETTERS: usize = 10_000;

/// Events a second that come in meanwhile.
const RATE: u32 = 100;

/// Longest answer to one of those.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

fn dead(running: &Running) -> u64 {
    let counts = running.operator().get("/v1/dead-letters/counts").unwrap();
    counts["total"].as_u64().unwrap()
}

/// Sends events of these numbers until told to stop, or all of them; so many a second, or
/// as fast as they are answered.
fn send(
    running: &Running,
    numbers: std::ops::Range<usize>,
    rate: Option<u32>,
    stop: &AtomicBool,
) -> Vec<Outcome> {
    let requests = Requests::pull_requests(numbers, PATH, SECRET);
    let load = Load {
        address: running.site.ingress(),
        connections: 16,
        requests: &requests,
        pace: rate.map_or(Pace::AsAnswered, Pace::PerSecond),
        deadline: Instant::now() + Duration::from_mins(2),
        stop,
    };
    let mut outcomes = Vec::new();
    load::run(&load, &mut (0..requests.len()), &mut |outcome| {
        outcomes.push(outcome);
    })
    .unwrap();
    assert!(outcomes.iter().all(|one| one.status == Some(200)));
    outcomes
}

/// A host that has dead letters of a faulty plugin, whose correction serves now.
fn with_dead_letters() -> Running {
    let running = Running::start_after(PLAIN, |site| {
        let good = std::fs::read(site.plugin()).unwrap();
        // It no longer finds the header that says what an event is.
        let faulty = patched(&good, "X-GitHub-Event", "X-GitHub-Evemt");
        site.replace_plugin(&faulty).unwrap();
    });
    let never = AtomicBool::new(false);
    send(&running, 0..LETTERS, None, &never);
    wait_until(SOON, "all are dead letters", || {
        dead(&running) == LETTERS as u64
    });
    let good = std::fs::read(host::plugin().unwrap()).unwrap();
    running.site.replace_plugin(&good).unwrap();
    wait_active(running.operator(), &digest(&good)).unwrap();
    running
}

fn listed(running: &Running, arguments: &[&str]) -> Value {
    let list = ["dead-letters", "--json"];
    serde_json::from_str(&running.said(&[&list, arguments].concat())).unwrap()
}

/// All of them, page by page.
fn all_ids(running: &Running) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut cursor: Option<String> = None;
    loop {
        let from = cursor.iter().flat_map(|cursor| ["--cursor", cursor]);
        let page = listed(
            running,
            &from.chain(["--limit", "1000"]).collect::<Vec<_>>(),
        );
        for letter in page["items"].as_array().unwrap() {
            assert_eq!(
                (&letter["cause"], &letter["kind"]),
                (&json!("partner-data"), &json!("map"))
            );
            assert!(
                ids.insert(letter["id"].as_str().unwrap().to_owned()),
                "{letter} twice"
            );
        }
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return ids,
        }
    }
}

#[track_caller]
fn check_filter(running: &Running, arguments: &[&str], expect: usize) {
    let rows = listed(running, &[&["--limit", "10"], arguments].concat());
    assert_eq!(
        rows["items"].as_array().unwrap().len(),
        expect,
        "{arguments:?}"
    );
}

fn list_and_filter(running: &Running) {
    let ids = all_ids(running);
    assert_eq!(ids.len(), LETTERS);
    check_filter(running, &["--connection", "github/acme"], 10);
    check_filter(
        running,
        &["--cause", "partner-data", "--connector", "github"],
        10,
    );
    check_filter(running, &["--cause", "sink"], 0);
    check_filter(running, &["--connection", "github/other"], 0);
    check_filter(running, &["--kind", "deliver"], 0);
    let id = ids.first().unwrap();
    let table = running.said(&["dead-letters", "--limit", "3"]);
    assert!(
        table.contains("partner-data") && table.lines().count() >= 4,
        "{table}"
    );
    let one = running.said(&["dead-letters", id]);
    for part in [
        "X-GitHub-Evemt",
        "pull_request",
        "correct the plugin",
        "tidegate replay",
    ] {
        assert!(one.contains(part), "no {part:?} in\n{one}");
    }
}

/// At a terminal, which is what a progress bar is for.
fn at_a_terminal(running: &Running, arguments: &str) -> Output {
    let (binary, config) = (host::binary().unwrap(), running.site.config());
    let line = format!(
        "{} --config {} {arguments}",
        binary.display(),
        config.display()
    );
    let mut script = Command::new("script");
    let script = script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script.output().unwrap()
}

fn replay_and_drain(running: &Running) {
    let filter = [
        "replay",
        "--connection",
        "github/acme",
        "--cause",
        "partner-data",
    ];
    let counted = running.said(&[&filter[..], &["--dry-run", "--json"]].concat());
    let counted: Value = serde_json::from_str(&counted).unwrap();
    assert_eq!(counted["would_replay"], LETTERS);
    let unasked = running.tidegate(&filter).output().unwrap();
    assert!(!unasked.status.success(), "replayed without a yes");
    assert_eq!(dead(running), LETTERS as u64);

    let words = format!("{} --yes --reason 'corrected it'", filter.join(" "));
    let replayed = at_a_terminal(running, &words);
    let said = String::from_utf8_lossy(&replayed.stdout).into_owned();
    assert!(replayed.status.success(), "{said}");
    for part in [
        format!("{LETTERS} queued"),
        format!("dead letters: 0, {LETTERS} before"),
        format!("/{LETTERS}"),
    ] {
        assert!(said.contains(&part), "no {part:?} in\n{said}");
    }
    assert_eq!(dead(running), 0);
}

#[test]
fn ten_thousand_dead_letters_are_listed_filtered_replayed_and_drained_under_load() {
    let running = with_dead_letters();
    let stop = AtomicBool::new(false);
    let outcomes = std::thread::scope(|scope| {
        let numbers = LETTERS..LETTERS + 120 * RATE as usize;
        let ingest = scope.spawn(|| send(&running, numbers, Some(RATE), &stop));
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            list_and_filter(&running);
            replay_and_drain(&running);
        }));
        stop.store(true, Ordering::Relaxed);
        let outcomes = ingest.join().unwrap();
        worked.map_or_else(|panic| std::panic::resume_unwind(panic), |()| outcomes)
    });
    let slowest = outcomes
        .iter()
        .map(|one| one.answered.duration_since(one.sent))
        .max();
    assert!(slowest < Some(ANSWERED_WITHIN), "{slowest:?}");
    running.operator().wait_until_mapped(SOON).unwrap();
    let changes = running.operator().changes().unwrap();
    assert_eq!(changes.len(), LETTERS + outcomes.len());
    let runs = running.operator().items("/v1/replays").unwrap();
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!(
        (&runs[0]["state"], &runs[0]["queued"]),
        (&json!("ended"), &json!(LETTERS))
    );
    let listed = running.said(&["replays"]);
    for said in ["generated", "corrected it"] {
        assert!(listed.contains(said), "who began it and why: {listed}");
    }
}

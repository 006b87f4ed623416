//! What a host makes of a receiver's answers, as Standard Webhooks says: one sink for each
//! kind of receiver, and the same change for all of them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tidegate_e2e::host::{PLAIN, free_address};
use tidegate_e2e::receiver::{Received, Receiver, Reply};

use crate::support::{Running, SOON, wait_until};

/// Two waits, so three attempts; and the longest delay that a receiver is granted.
const RETRY: &str = "[policy.retry]\nschedule = [\"300ms\", \"300ms\"]\ndelay_max = \"3s\"\n";

/// How a receiver answers, what is then sent, and how it ends.
struct Case {
    name: &'static str,
    /// The answer to its first request, its second, and so on.
    reply: fn(usize) -> Reply,
    requests: usize,
    /// The shortest time between two requests.
    gap: Duration,
    /// What the dead letter says, where it ends as one.
    dead: Option<&'static str>,
}

/// That many bad answers of a kind, then good ones.
fn first(bad: usize, before: usize, reply: Reply) -> Reply {
    if before < bad { reply } else { Reply::TAKEN }
}

fn again(status: u16, after: &str) -> Reply {
    Reply::Status(status, Some(after.to_owned()))
}

const fn status(status: u16) -> Reply {
    Reply::Status(status, None)
}

const fn taken(name: &'static str, requests: usize, gap: u64, reply: fn(usize) -> Reply) -> Case {
    Case {
        name,
        reply,
        requests,
        gap: Duration::from_millis(gap),
        dead: None,
    }
}

/// For a date, which has whole seconds.
#[expect(
    clippy::disallowed_methods,
    reason = "a receiver has a clock of its own"
)]
fn in_three_seconds() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3)
}

const LONG: Duration = Duration::from_secs(4);

const CASES: [Case; 12] = [
    taken("takes", 1, 0, |_| status(200)),
    taken("limits-by-seconds", 2, 2_000, |n| {
        first(1, n, again(429, "2"))
    }),
    taken("rests-by-date", 2, 1_900, |n| {
        let date = in_three_seconds();
        first(1, n, again(503, &httpdate::fmt_http_date(date)))
    }),
    taken("fails", 3, 300, |n| first(2, n, status(500))),
    taken("redirects", 2, 300, |n| first(1, n, status(302))),
    // Refused credentials say nothing of a change: it is tried more often than a schedule has
    // attempts, and is no dead letter.
    taken("refuses-the-signature", 6, 300, |n| {
        first(5, n, status(401))
    }),
    taken("forbids", 6, 300, |n| first(5, n, status(403))),
    taken("hangs", 2, 300, |n| first(1, n, Reply::Silence(LONG))),
    taken("dribbles", 2, 300, |n| first(1, n, Reply::Dribble(LONG))),
    Case {
        dead: Some("3 attempts failed"),
        ..taken("fails-for-ever", 3, 300, |_| status(500))
    },
    Case {
        dead: Some("(asked for 3600 s, granted 3 s by policy.retry.delay_max)"),
        ..taken("asks-for-too-long", 3, 3_000, |_| again(503, "3600"))
    },
    Case {
        dead: Some("3 attempts failed"),
        ..taken("hangs-for-ever", 3, 300, |_| Reply::Silence(LONG))
    },
];

fn answer(received: &Received) -> Reply {
    let name = received.path.trim_start_matches('/');
    let case = CASES.iter().find(|case| case.name == name).unwrap();
    (case.reply)(received.before)
}

fn sink(name: &str, receiver: &Receiver, secret: &str) -> String {
    let address = receiver.address();
    format!(
        "[sinks.{name}]\nkind = \"webhook\"\nurl = \"http://{address}/{name}\"\n\
         secret = \"{secret}\"\ntimeout = \"1s\"\n"
    )
}

fn sending_to<'s>(receiver: &Receiver, sinks: impl IntoIterator<Item = &'s str>) -> Running {
    Running::start_after(PLAIN, |site| {
        let secret = site.keep_secret("sink-secret", "a secret").unwrap();
        let sinks = sinks.into_iter().map(|name| sink(name, receiver, &secret));
        let sinks: String = sinks.collect();
        let egress = "[egress]\nallow = [\"127.0.0.1\"]\n";
        site.configure(&format!("{egress}{RETRY}{sinks}")).unwrap();
    })
}

#[track_caller]
fn check(case: &Case, tries: &[Received], running: &Running) {
    let Case { name, dead, .. } = case;
    assert_eq!(tries.len(), case.requests, "{name}");
    for pair in tries.windows(2) {
        let gap = pair[1].at.duration_since(pair[0].at);
        assert!(gap >= case.gap, "{name}: again after {gap:?}");
        for header in ["webhook-id", "content-type"] {
            assert_eq!(pair[0].header(header), pair[1].header(header), "{name}");
        }
        assert_eq!(pair[0].body, pair[1].body, "{name}");
    }
    let sink = running.operator().sink(name).unwrap();
    let open = ["backlog", "deliveries"].map(|count| sink[count].as_u64());
    assert_eq!(open, [Some(0); 2], "{sink}");
    assert_eq!(sink["dead"], json!(u8::from(dead.is_some())), "{sink}");
    let Some(dead) = dead else { return };
    let path = format!("/v1/dead-letters?sink={name}");
    let letters = running.operator().get(&path).unwrap();
    let letter = &letters["items"][0];
    assert_eq!(
        (&letter["cause"], &letter["attempts"], &letter["kind"]),
        (&json!("sink"), &json!(3), &json!("deliver")),
    );
    let id = letter["id"].as_str().unwrap();
    let whole = running.operator().get(&format!("/v1/dead-letters/{id}"));
    let whole = whole.unwrap().to_string();
    assert!(whole.contains(dead), "{name}: no {dead:?} in {whole}");
}

#[test]
fn every_answer_of_a_receiver_is_handled_as_standard_webhooks_says() {
    let receiver = Receiver::start(free_address().unwrap(), answer).unwrap();
    let running = sending_to(&receiver, CASES.iter().map(|case| case.name));
    assert_eq!(running.send_issue(1).status, 200);
    let all: usize = CASES.iter().map(|case| case.requests).sum();
    let came = receiver.wait_until(SOON, "every attempt", |came| came.len() == all);
    came.unwrap();
    let sinks = || running.operator().get("/v1/sinks").unwrap();
    wait_until(SOON, "every delivery has ended", || {
        let sinks = sinks();
        let mut sinks = sinks["items"].as_array().unwrap().iter();
        sinks.all(|sink| sink["deliveries"] == 0 && sink["backlog"] == 0)
    });
    // Nothing may follow.
    std::thread::sleep(Duration::from_millis(500));
    for case in &CASES {
        check(case, &receiver.at(&format!("/{}", case.name)), &running);
    }
}

#[test]
fn a_receiver_that_refuses_the_credentials_is_probed_and_alerted_until_they_are_right() {
    let right = Arc::new(AtomicBool::new(false));
    let secret = Arc::clone(&right);
    let refuses = move |_: &Received| status(if secret.load(Relaxed) { 200 } else { 401 });
    let receiver = Receiver::start(free_address().unwrap(), refuses).unwrap();
    let running = sending_to(&receiver, ["refuses"]);
    for issue in 1..=3 {
        assert_eq!(running.send_issue(issue).status, 200);
    }
    let sink = || running.operator().sink("refuses").unwrap();
    let alerts = || -> Vec<Value> {
        let page = running.operator().get("/v1/alerts").unwrap();
        page["items"].as_array().unwrap().clone()
    };
    wait_until(SOON, "somebody is alerted", || !alerts().is_empty());
    let (failing, alert) = (sink(), alerts().remove(0));
    assert_eq!(failing["state"], "failing", "at once, not after many");
    assert_eq!(
        (&alert["rule"], &alert["subject"]),
        (&json!("sink-paused"), &json!("sink refuses"))
    );
    for said in [&failing["reason"], &alert["excerpt"]] {
        assert!(said.as_str().unwrap().contains("answered 401"), "{said}");
    }
    let before = receiver.received().len();
    receiver
        .wait_until(SOON, "it is probed", |came| came.len() > before + 3)
        .unwrap();
    let probes = receiver.received().split_off(before);
    let change = |probe: &Received| probe.json()["subject"].clone();
    let same = probes
        .iter()
        .all(|probe| change(probe) == change(&probes[0]));
    assert!(
        same,
        "with one change, which none of them is counted against"
    );

    right.store(true, Relaxed);
    wait_until(SOON, "it has all of them", || {
        let sink = sink();
        sink["backlog"] == 0 && sink["deliveries"] == 0 && sink["state"] == "running"
    });
    assert_eq!(sink()["dead"], 0, "nothing was given up");
    wait_until(SOON, "the alert is over", || alerts().is_empty());
}

#[test]
fn a_receiver_that_is_gone_is_left_alone_until_a_person_resumes_it() {
    let gone = |received: &Received| first(1, received.before, status(410));
    let receiver = Receiver::start(free_address().unwrap(), gone).unwrap();
    let running = sending_to(&receiver, ["leaves"]);
    assert_eq!(running.send_issue(1).status, 200);
    let sink = || running.operator().sink("leaves").unwrap();
    wait_until(SOON, "it is paused", || sink()["state"] == "paused");
    assert_eq!(running.send_issue(2).status, 200);
    running.operator().wait_until_mapped(SOON).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let paused = sink();
    assert_eq!(
        (&paused["cause"], receiver.received().len()),
        (&json!("gone"), 1)
    );
    assert!(
        paused["reason"].as_str().unwrap().contains("410"),
        "{paused}"
    );

    running.said(&["sinks", "resume", "leaves", "--reason", "they are back"]);
    wait_until(SOON, "it has both", || {
        sink()["backlog"] == 0 && sink()["deliveries"] == 0
    });
    let came = receiver.received();
    let mut subjects: Vec<Value> = came
        .iter()
        .map(|one| one.json()["subject"].clone())
        .collect();
    // They are two entities: either may come first.
    subjects.sort_by_key(Value::to_string);
    assert_eq!(
        (json!(subjects), sink()["state"].as_str()),
        (json!(["1", "1", "2"]), Some("running"))
    );
}

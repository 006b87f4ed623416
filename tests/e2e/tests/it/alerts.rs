//! Every alert rule, provoked on a real host: it reaches a receiver once and soon,
//! survives the receiver's absence, and says when it is over.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_disk::control::{OFF, Word};
use tidegate_e2e::disk::{STORE, WatchedSite};
use tidegate_e2e::host::{Host, Operator, PATH, PLAIN, Storage, free_address};
use tidegate_e2e::http;
use tidegate_e2e::receiver::{Received, Receiver, Reply};

use crate::support::{SOON, folder, issue, said, signed, wait_until};

/// Longest time from a cause to its notice.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// What five rules have to say at once; disk and store have stories of their own.
const FIVE: [&str; 5] = [
    "backlog-age",
    "connection-paused",
    "dead-letters",
    "signature-failures",
    "sink-paused",
];

struct Story {
    watched: WatchedSite,
    host: Option<Host>,
    address: SocketAddr,
    told: Option<Receiver>,
    /// What earlier receivers were told.
    before: Vec<Received>,
    /// Whether the slow sink's receiver answers.
    answers: Arc<AtomicBool>,
    _apps: Receiver,
    script_file: PathBuf,
    _folder: TempDir,
}

impl Story {
    fn start() -> Self {
        let folder = folder();
        let storage = Storage {
            folder: STORE,
            reserve: "32MiB",
            linger: "2s",
        };
        let mut watched = WatchedSite::new(folder.path(), PLAIN, storage).unwrap();
        watched.record_no_more().unwrap();
        let answers = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&answers);
        let apps = Receiver::start(free_address().unwrap(), move |received| {
            while received.path == "/slow" && !asked.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(20));
            }
            Reply::TAKEN
        })
        .unwrap();
        let address = free_address().unwrap();
        let site = &watched.site;
        let script_file = site.config().with_file_name("told-by-script");
        site.keep_secret("secret", "a secret").unwrap();
        site.keep_secret("slack-url", &format!("http://{address}/slack"))
            .unwrap();
        site.configure(&sections(address, apps.address(), &script_file))
            .unwrap();
        let host = Some(watched.site.start().unwrap());
        let mut story = Self {
            watched,
            host,
            address,
            told: None,
            before: Vec::new(),
            answers,
            _apps: apps,
            script_file,
            _folder: folder,
        };
        story.receiver_returns();
        story
    }

    fn operator(&self) -> Operator {
        self.watched.site.operator()
    }

    fn restart(&mut self) {
        if let Some(host) = self.host.take() {
            assert!(host.stop().unwrap().success());
        }
        self.host = Some(self.watched.site.start().unwrap());
    }

    fn receiver_returns(&mut self) {
        self.told = Some(Receiver::start(self.address, |_| Reply::TAKEN).unwrap());
    }

    fn receiver_leaves(&mut self) {
        self.before = self.told();
        self.told = None;
    }

    fn told(&self) -> Vec<Received> {
        let now = self.told.iter().flat_map(Receiver::received);
        self.before.iter().cloned().chain(now).collect()
    }

    /// How often each rule's notices of that kind came.
    fn notices(&self, kind: &str) -> BTreeMap<String, usize> {
        let mut by_rule = BTreeMap::new();
        let wanted = format!("tidegate.alert.{kind}");
        for one in self.told().iter().filter(|one| one.path == "/hook") {
            let notice = one.json();
            if notice["type"] == *wanted && !is_beside(&notice["data"]) {
                let rule = notice["data"]["rule"].as_str().unwrap();
                *by_rule.entry(rule.to_owned()).or_default() += 1;
            }
        }
        by_rule
    }

    /// Each of these rules is heard of just once, within that time.
    #[track_caller]
    fn check(&self, kind: &str, rules: &[&str], within: Duration) {
        let once = |rule: &&str| ((*rule).to_owned(), 1);
        let expect: BTreeMap<String, usize> = rules.iter().map(once).collect();
        let what = format!("{kind}: {rules:?}");
        let began = std::time::Instant::now();
        while self.notices(kind).len() < expect.len() {
            let so_far = (self.notices(kind), self.told().len());
            assert!(began.elapsed() < within, "{what}; so far {so_far:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(self.notices(kind), expect, "{what}");
    }

    fn send(&self, delivery: &str, body: &str) -> u16 {
        self.raw(&signed("issues", delivery, body.as_bytes()))
    }

    fn raw(&self, request: &[u8]) -> u16 {
        let answer = http::exchange(self.watched.site.ingress(), request);
        answer.unwrap().status
    }

    fn said(&self, arguments: &[&str]) -> String {
        said(&self.watched.site, arguments)
    }

    fn standing(&self) -> Vec<Value> {
        let alerts = self.operator().get("/v1/alerts").unwrap();
        let items = alerts["items"].as_array().unwrap().iter();
        items.filter(|alert| !is_beside(alert)).cloned().collect()
    }

    fn begin_five(&self) {
        // The slow sink hangs over this one.
        assert_eq!(self.send("good", &issue(1)), 200);
        self.operator().wait_until_mapped(SOON).unwrap();
        assert_eq!(self.send("bad", r#"{"action":"opened"}"#), 200);
        let unsigned = format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        for _ in 0..3 {
            assert_eq!(self.raw(unsigned.as_bytes()), 401);
        }
        self.said(&["sinks", "pause", "app", "--reason", "moving it"]);
        self.said(&[
            "connections",
            "pause",
            "github/acme",
            "--reason",
            "their move",
        ]);
    }

    fn end_five(&self) {
        let letters = self.operator().get("/v1/dead-letters").unwrap();
        let id = letters["items"][0]["id"].as_str().unwrap();
        self.said(&[
            "dead-letters",
            "discard",
            id,
            "--reason",
            "a test of theirs",
        ]);
        self.said(&["sinks", "resume", "app", "--reason", "moved"]);
        self.said(&["connections", "resume", "github/acme"]);
        assert_eq!(self.send("good-again", &issue(2)), 200);
        self.answers.store(true, Ordering::Relaxed);
    }
}

/// Other work than the slow sink's grows old as well while a receiver is away or the store
/// takes nothing: when depends on the machine.
fn is_beside(alert: &Value) -> bool {
    alert["rule"] == "backlog-age" && alert["subject"] != "sink slow"
}

fn sections(told: SocketAddr, apps: SocketAddr, script_file: &std::path::Path) -> String {
    let only = "rules = [\"dead-letters\"]";
    let webhook = |name: &str| {
        format!(
            "[sinks.{name}]\nkind = \"webhook\"\nurl = \"http://{apps}/{name}\"\n\
             secret = \"file:secret\"\ntimeout = \"2m\"\n"
        )
    };
    format!(
        "[egress]\nallow = [\"127.0.0.1\"]\n\
         [policy.alerts]\nbacklog_age = \"2s\"\nclear_after = \"1s\"\n\
         [policy.retry]\nschedule = [\"500ms\", \"500ms\", \"500ms\", \"500ms\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\"]\n\
         {}{}\
         [alerts.hook]\nkind = \"webhook\"\nurl = \"http://{told}/hook\"\nsecret = \"file:secret\"\n\
         [alerts.slack]\nkind = \"slack\"\nurl = \"file:slack-url\"\n{only}\n\
         [alerts.pager]\nkind = \"pagerduty\"\nurl = \"http://{told}/pager\"\n\
         routing_key = \"file:secret\"\n{only}\n\
         [alerts.script]\nkind = \"command\"\ncommand = [\"/bin/sh\", \"-c\", \"cat >> {}\"]\n{only}\n",
        webhook("app"),
        webhook("slow"),
        script_file.display(),
    )
}

#[test]
fn alerts_reach_a_receiver_once_survive_its_absence_and_say_when_they_are_over() {
    let mut story = Story::start();
    story.begin_five();
    story.check("opened", &FIVE, TOLD_WITHIN);
    check_words(&story);

    story.receiver_leaves();
    story.end_five();
    wait_until(TOLD_WITHIN, "nothing stands", || {
        story.standing().is_empty()
    });
    // The next one begins and is told while nobody listens.
    let used = story.watched.used().unwrap();
    story
        .watched
        .control
        .set(Word::Budget, used + (16 << 20))
        .unwrap();
    wait_until(TOLD_WITHIN, "it stands", || story.standing().len() == 1);
    std::thread::sleep(Duration::from_secs(1));
    story.receiver_returns();
    let mut six = FIVE.to_vec();
    six.insert(3, "disk-low");
    story.check("over", &FIVE, TOLD_WITHIN);
    story.check("opened", &six, TOLD_WITHIN);

    // A restart neither opens it again nor forgets to say that it is over.
    story.restart();
    story.watched.control.set(Word::Budget, OFF).unwrap();
    story.check("over", &six, TOLD_WITHIN);
    story.check("opened", &six, Duration::ZERO);
    check_other_channels(&story);
    check_audit(&story);
    check_latch(story);
}

/// What the notices of the first five say.
fn check_words(story: &Story) {
    let told = story.told();
    let notices = told.iter().filter(|one| one.path == "/hook");
    let data: Vec<Value> = notices.map(|one| one.json()["data"].clone()).collect();
    let of = |rule: &str| data.iter().find(|data| data["rule"] == rule).unwrap();
    let operator = format!("http://{}/", story.operator().address);
    for (rule, subject, count, excerpt) in [
        ("dead-letters", "github/acme partner-data", 1, "issue"),
        ("signature-failures", "github/acme", 3, ""),
        ("sink-paused", "sink app", 1, "moving it"),
        ("connection-paused", "github/acme", 1, "their move"),
    ] {
        let notice = of(rule);
        assert_eq!(
            (&notice["subject"], &notice["count"]),
            (&json!(subject), &json!(count))
        );
        assert!(notice["oldest"].is_string(), "{notice}");
        let says = notice["excerpt"].as_str().unwrap();
        assert!(says.contains(excerpt) && !says.is_empty(), "{notice}");
        let link = notice["link"].as_str().unwrap();
        assert!(link.starts_with(&operator), "{notice}");
    }
    assert_eq!(of("backlog-age")["subject"], "sink slow");
}

/// The channels that were told of dead letters only, in their own words.
fn check_other_channels(story: &Story) {
    let told = story.told();
    let came = |path: &str| -> Vec<Value> {
        let came = told.iter().filter(|one| one.path == path);
        came.map(Received::json).collect()
    };
    let slack = came("/slack");
    assert_eq!(slack.len(), 2, "{slack:?}");
    assert!(
        slack.iter().all(|notice| notice["text"].is_string()),
        "{slack:?}"
    );
    let pager = came("/pager");
    let actions: Vec<&str> = pager
        .iter()
        .filter_map(|one| one["event_action"].as_str())
        .collect();
    assert_eq!(actions, ["trigger", "resolve"], "{pager:?}");
    assert_eq!(pager[0]["dedup_key"], pager[1]["dedup_key"]);
    let script = std::fs::read_to_string(&story.script_file).unwrap();
    let kinds: Vec<Value> = script
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].clone())
        .collect();
    assert_eq!(kinds, ["opened", "over"]);
}

/// What the person did, with who and why.
fn check_audit(story: &Story) {
    let audit = story.operator().items("/v1/audit").unwrap();
    let mut done: Vec<[&str; 2]> = audit
        .iter()
        .map(|entry| {
            assert_eq!(entry["who"], "generated", "{entry}");
            ["action", "reason"].map(|member| entry[member].as_str().unwrap_or_default())
        })
        .collect();
    done.sort_unstable();
    let expect = [
        ["discard", "a test of theirs"],
        ["pause-connection", "their move"],
        ["pause-sink", "moving it"],
        ["resume-connection", ""],
        ["resume-sink", "moved"],
    ];
    assert_eq!(done, expect);
}

/// A store that takes nothing any more keeps no task; it is said all the same, the host
/// ends, and the next one says that it is over.
fn check_latch(mut story: Story) {
    story.watched.control.set(Word::FailingSync, 1).unwrap();
    let status = story.send("last", &issue(3));
    assert!(status == 503 || status == 200, "{status}");
    let mut seven = FIVE.to_vec();
    seven.insert(3, "disk-low");
    seven.push("store-read-only");
    story.check("opened", &seven, TOLD_WITHIN);
    let ended = story.host.take().unwrap().ended(SOON).unwrap();
    assert_eq!(ended.code(), Some(tidegate_e2e::full_disk::LATCHED));
    story.restart();
    story.check("over", &seven, TOLD_WITHIN);
    story.check("opened", &seven, Duration::ZERO);
    assert_eq!(story.standing(), [Value::Null; 0]);
}

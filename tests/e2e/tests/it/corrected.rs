//! A plugin that mapped wrongly is corrected, and its events are replayed.

use serde_json::Value;
use tidegate_e2e::host::{PATH, PLAIN, SECRET, free_address};
use tidegate_e2e::http;
use tidegate_e2e::receiver::{Receiver, Reply};
use tidegate_e2e::reload::{digest, wait_active};
use tidegate_e2e::requests::{Requests, entity_id};

use crate::support::{Running, SOON, patched, wait_until};

const EVENTS: usize = 30;

/// A field of a pull request.
const RIGHT: &str = "merged_at";

/// What the faulty version calls it.
const WRONG: &str = "merged_on";

struct Story {
    running: Running,
    receiver: Receiver,
    file: std::path::PathBuf,
}

impl Story {
    /// With events that a faulty version has mapped.
    fn mapped_by(plugin: impl FnOnce(&[u8]) -> Vec<u8>) -> Self {
        let receiver = Receiver::start(free_address().unwrap(), |_| Reply::TAKEN).unwrap();
        let mut file = std::path::PathBuf::new();
        let running = Running::start_after(PLAIN, |site| {
            let good = std::fs::read(site.plugin()).unwrap();
            site.replace_plugin(&plugin(&good)).unwrap();
            site.keep_secret("sink-secret", "a secret").unwrap();
            file = site.config().with_file_name("changes.ndjson");
            let sinks = format!(
                "[egress]\nallow = [\"127.0.0.1\"]\n\
                 [sinks.app]\nkind = \"webhook\"\nurl = \"http://{}/\"\n\
                 secret = \"file:sink-secret\"\nbatch = 10\n\
                 [sinks.archive]\nkind = \"file\"\npath = \"changes.ndjson\"\n",
                receiver.address()
            );
            site.configure(&sinks).unwrap();
        });
        let requests = Requests::pull_requests(0..EVENTS, PATH, SECRET);
        for number in 0..EVENTS {
            let request = requests.get(number).unwrap();
            let answer = http::exchange(running.site.ingress(), request).unwrap();
            assert_eq!(answer.status, 200);
        }
        running.operator().wait_until_mapped(SOON).unwrap();
        Self {
            running,
            receiver,
            file,
        }
    }

    /// Replays what that plugin version mapped last, and waits until it has drained.
    fn replay(&self, arguments: &[&str]) -> Value {
        let replay = [
            "replay",
            "--yes",
            "--json",
            "--reason",
            "the field was misnamed",
        ];
        let run = self.running.said(&[&replay, arguments].concat());
        self.running.operator().wait_until_mapped(SOON).unwrap();
        serde_json::from_str(&run).unwrap()
    }

    /// What went to the receiver, to the file and into the log, oldest first.
    fn gone_out(&self) -> [Vec<Value>; 3] {
        let came = self.receiver.received();
        let mut given: Vec<Value> = came
            .iter()
            .flat_map(|one| match one.json() {
                Value::Array(events) => events,
                event => vec![event],
            })
            .map(|event| event["data"].clone())
            .collect();
        given.sort_by_key(|change| change["seq"].as_str().unwrap().parse::<u64>().unwrap());
        let lines = std::fs::read_to_string(&self.file).unwrap_or_default();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let log = self.running.operator().changes().unwrap();
        [given, lines.collect(), log]
    }

    /// So often each event's change has gone out everywhere, the last time with that field;
    /// the mirror holds it, and nothing follows.
    #[track_caller]
    fn check(&self, times: usize, field: &str, other: &str) {
        let wanted = [times * EVENTS; 3];
        wait_until(SOON, "all has gone out", || {
            self.gone_out().map(|changes| changes.len()) >= wanted
        });
        std::thread::sleep(std::time::Duration::from_millis(300));
        let [given, lines, log] = self.gone_out();
        assert_eq!([given.len(), lines.len(), log.len()], wanted);
        assert!(
            given == log && lines == log,
            "the sinks hold something else"
        );
        let mirror = self.running.operator().entities().unwrap();
        assert_eq!(mirror.len(), EVENTS);
        for entity in log[(times - 1) * EVENTS..].iter().chain(&mirror) {
            let data = entity["data"].as_object().unwrap();
            assert!(
                data.contains_key(field) && !data.contains_key(other),
                "{entity}"
            );
        }
        for number in 0..EVENTS {
            let id = entity_id(number);
            let of_it = log.iter().filter(|change| change["entity"]["id"] == id);
            assert_eq!(of_it.count(), times, "entity {id}");
        }
    }
}

#[test]
fn a_corrected_plugin_corrects_mirror_and_sinks_and_then_nothing_goes_out() {
    let story = Story::mapped_by(|good| patched(good, RIGHT, WRONG));
    story.check(1, WRONG, RIGHT);
    let (site, operator) = (&story.running.site, story.running.operator());
    let faulty = std::fs::read(site.plugin()).unwrap();
    let good = patched(&faulty, WRONG, RIGHT);
    let (faulty, corrected) = (digest(&faulty), digest(&good));
    site.replace_plugin(&good).unwrap();
    wait_active(operator, &corrected).unwrap();

    let run = story.replay(&["--plugin", &faulty]);
    assert_eq!(
        (&run["queued"], &run["total"]),
        (&EVENTS.into(), &EVENTS.into()),
        "{run}"
    );
    story.check(2, RIGHT, WRONG);
    let again = story.replay(&["--plugin", &faulty]);
    assert_eq!(
        again["queued"], 0,
        "the corrected version mapped them: {again}"
    );
    let again = story.replay(&["--state", "mapped", "--connection", "github/acme"]);
    assert_eq!(again["queued"], EVENTS, "{again}");
    story.check(2, RIGHT, WRONG);

    // The old version is kept, and stands for what it said.
    let back = story.replay(&["--plugin", &corrected, "--with", &faulty]);
    assert_eq!(back["queued"], EVENTS, "{back}");
    story.check(3, WRONG, RIGHT);
    let audit = operator.items("/v1/audit").unwrap();
    let replays = audit.iter().filter(|entry| {
        let why = &entry["reason"];
        entry["action"] == "replay"
            && entry["who"] == "generated"
            && why == "the field was misnamed"
    });
    assert_eq!(replays.count(), 4, "{audit:?}");
}

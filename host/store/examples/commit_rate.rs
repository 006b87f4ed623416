//! How fast the store commits: accepted events and mapped completions a second.
//!
//! `cargo run --release -p tidegate-store --features sled --example commit_rate -- [engine] [group] [seconds]`
//! runs on the file system of the working directory, in a folder that it removes.

#![expect(clippy::print_stdout, reason = "printing numbers is its purpose")]
#![expect(clippy::cast_precision_loss, reason = "rates are rounded anyway")]
#![expect(clippy::expect_used, reason = "a failed measurement has no other use")]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate_core::change::{EntityRef, Operation, ProposedChange};
use tidegate_core::event::{BodyAuthenticated, Event};
use tidegate_core::ids::PluginDigest;
use tidegate_core::policy::Policy;
use tidegate_core::ports::{Completion, End};
use tidegate_core::task::{Attempt, Work};
use tidegate_core::time::Timestamp;
use tidegate_store::engine::{Engine, fjall, memory::Memory};
use tidegate_store::{Committer, Marks, Opened, Options, Submission, open};

const BODY_BYTES: usize = 2_048;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let engine = arguments.next();
    let group = arguments
        .next()
        .map(|group| group.parse().expect("a group is a number"));
    let seconds = arguments
        .next()
        .map_or(5, |seconds| seconds.parse().expect("a number"));
    let engines: Vec<String> = match engine {
        Some(engine) => vec![engine],
        None => ["fjall", "sled", "memory"].map(String::from).to_vec(),
    };
    let groups = group.map_or_else(|| vec![16, 64, 256], |group| vec![group]);
    println!(
        "{:8} {:>6} {:>12} {:>12} {:>10} {:>10}",
        "engine", "group", "accept/s", "complete/s", "fsync us", "MiB"
    );
    for engine in &engines {
        for group in &groups {
            measure(engine, *group, Duration::from_secs(seconds));
        }
    }
}

fn make(name: &str, dir: &Path) -> Option<Arc<dyn Engine>> {
    match name {
        "fjall" => Some(Arc::new(fjall::open(dir).expect("fjall opens"))),
        #[cfg(feature = "sled")]
        "sled" => Some(Arc::new(
            tidegate_store::engine::sled::open(dir).expect("sled opens"),
        )),
        "memory" => Some(Arc::new(Memory::new())),
        other => {
            println!("no engine {other} in this build");
            None
        }
    }
}

fn measure(name: &str, group: usize, span: Duration) {
    let dir = tempfile::tempdir_in(".").expect("a folder");
    let Some(engine) = make(name, dir.path()) else {
        return;
    };
    let options = Options {
        policy: Policy::default(),
        seed: [7; 16],
        marks: Marks::default(),
    };
    let opened = open(engine, options, clock()).expect("a store opens");
    let Opened {
        mut committer,
        reader,
        claims,
    } = opened;
    let body = body();

    let mut number = 0;
    let accept = rate(span, || {
        let submissions = (0..group)
            .map(|_| {
                number += 1;
                let event = event(number, body.clone());
                Submission::Accept(vec![committer.sealer().seal(event)])
            })
            .collect();
        commit(&mut committer, submissions)
    });

    let complete = rate(span, || {
        let claimed = claims
            .claim(Work::Map, group, clock())
            .expect("tasks can be claimed");
        let submissions: Vec<_> = claimed
            .into_iter()
            .map(|claimed| {
                let entity = format!("{}", claimed.task.id);
                Submission::Complete(Box::new(completion(claimed.task, entity)))
            })
            .collect();
        commit(&mut committer, submissions)
    });
    let disk = reader.disk().expect("its size").bytes / (1024 * 1024);
    println!(
        "{name:8} {group:>6} {accept:>12.0} {complete:>12.0} {:>10} {disk:>10}",
        fsync_micros(dir.path()),
    );
}

fn commit(committer: &mut Committer, submissions: Vec<Submission>) -> usize {
    let count = submissions.len();
    committer.commit(submissions, clock()).expect("a commit");
    count
}

fn rate(span: Duration, mut work: impl FnMut() -> usize) -> f64 {
    let start = Instant::now();
    let mut done = 0;
    while start.elapsed() < span {
        let count = work();
        if count == 0 {
            break;
        }
        done += count;
    }
    done as f64 / start.elapsed().as_secs_f64()
}

/// What the disk takes for a sync of 128 KiB, by itself.
fn fsync_micros(dir: &Path) -> u128 {
    use std::io::Write;

    const ROUNDS: u32 = 50;
    let mut file = std::fs::File::create(dir.join("fsync")).expect("a file");
    let block = vec![1; 128 * 1024];
    let start = Instant::now();
    for _ in 0..ROUNDS {
        file.write_all(&block).expect("a write");
        file.sync_data().expect("a sync");
    }
    (start.elapsed() / ROUNDS).as_micros()
}

fn clock() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "a measurement has no clock port")]
    let now = std::time::SystemTime::now();
    let since = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::EPOCH.plus(since)
}

/// JSON-like: compresses as webhooks do.
fn body() -> Bytes {
    let mut body = String::new();
    let mut number: u64 = 0x9e37_79b9;
    while body.len() < BODY_BYTES {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        // Writing to a string cannot fail.
        let _ = write!(
            body,
            "{{\"node_id\":\"{number:016x}\",\"url\":\"https://api\"}},"
        );
    }
    body.truncate(BODY_BYTES);
    body.into()
}

fn event(number: u64, body: Bytes) -> Event {
    let header =
        |name: &str, value: &'static str| (name.to_owned(), Bytes::from_static(value.as_bytes()));
    Event {
        connection: "github/acme".parse().expect("a connection"),
        partner_id: format!("72d3162e-cc78-11e3-81ab-{number:012x}"),
        received: clock(),
        method: "POST".into(),
        path: Vec::new(),
        query: String::new(),
        headers: vec![
            header("content-type", "application/json"),
            header("user-agent", "GitHub-Hookshot/044aadd"),
            header("x-github-event", "issues"),
            header("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ],
        body,
        body_authenticated: BodyAuthenticated::Full,
    }
}

fn completion(task: tidegate_core::task::Task, id: String) -> Completion {
    let data = Bytes::from(format!("{{\"title\":\"{}\"}}", "x".repeat(400)));
    let change = ProposedChange {
        entity: EntityRef {
            kind: "issue".into(),
            id,
        },
        operation: Operation::Upsert,
        version: Some(1),
        revision: ProposedChange::content_revision(Some(&data)),
        occurred: Some(clock()),
        data: Some(data),
    };
    Completion {
        task,
        attempt: Attempt {
            number: 1,
            started: clock(),
            took: Duration::from_micros(40),
            plugin: Some(PluginDigest::new([3; 32])),
            settings: Some([4; 32]),
            failure: None,
            stderr: String::new(),
        },
        end: End::Mapped {
            changes: vec![change],
            fetch: Vec::new(),
            poll_now: false,
        },
    }
}

//! What age costs: accepting with every bucket of the dedupe window full, and dropping
//! buckets.
//!
//! `cargo run --release -p tidegate-store --example retention -- [events per bucket]`
//! runs on the file system of the working directory, in a folder that it removes.

#![expect(clippy::print_stdout, reason = "printing numbers is its purpose")]
#![expect(clippy::cast_precision_loss, reason = "rates are rounded anyway")]
#![expect(clippy::expect_used, reason = "a failed measurement has no other use")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate_core::event::{BodyAuthenticated, Event};
use tidegate_core::policy::Policy;
use tidegate_core::ports::{Completion, End};
use tidegate_core::task::{Attempt, Work};
use tidegate_core::time::Timestamp;
use tidegate_store::engine::fjall;
use tidegate_store::{Marks, Opened, Options, Submission, open};

const GROUP: u64 = 256;
const BUCKET: Duration = Duration::from_hours(30 * 24 / 8);

fn main() {
    let events = std::env::args()
        .nth(1)
        .map_or(100_000, |text| text.parse().expect("a number"));
    let dir = tempfile::tempdir_in(".").expect("a folder");
    let engine = Arc::new(fjall::open(dir.path()).expect("fjall opens"));
    let options = Options {
        policy: Policy::default(),
        seed: [7; 16],
        marks: Marks::default(),
    };
    let mut now = Timestamp::from_secs(1_000_000);
    let mut opened = open(engine, options, now).expect("a store opens");

    let mut number = 0;
    for bucket in 1..=9 {
        let begun = Instant::now();
        for _ in 0..events / GROUP {
            accept(&mut opened, &mut number, now);
        }
        let took = begun.elapsed().as_secs_f64();
        skip_all(&mut opened, now);
        println!(
            "bucket {bucket}: {:.0} accepted/s, {} MiB in files",
            events as f64 / took,
            mib(dir.path())
        );
        now = now.plus(BUCKET);
        opened
            .committer
            .commit(vec![Submission::Touch], now)
            .expect("a touch");
    }
    // One bucket of events and one of keys at a time is what a busy host would see.
    for _ in 0..9 {
        now = now.plus(BUCKET);
        let before = mib(dir.path());
        let begun = Instant::now();
        opened
            .committer
            .commit(vec![Submission::Retain], now)
            .expect("retention");
        let took = begun.elapsed();
        println!(
            "retain: {:6.1} ms, {before} MiB became {}",
            took.as_secs_f64() * 1e3,
            mib(dir.path())
        );
        accept(&mut opened, &mut number, now);
        skip_all(&mut opened, now);
        opened
            .committer
            .commit(vec![Submission::Touch], now)
            .expect("a touch");
        std::thread::sleep(Duration::from_secs(1));
        println!("  then {} MiB", mib(dir.path()));
    }
    std::thread::sleep(Duration::from_secs(2));
    let disk = opened.reader.disk().expect("its size");
    println!(
        "in the end {} MiB in files, of that {} MiB journals",
        mib(dir.path()),
        disk.journal_bytes / (1024 * 1024)
    );
}

fn accept(opened: &mut Opened, number: &mut u64, now: Timestamp) {
    let batch = (0..GROUP)
        .map(|_| {
            *number += 1;
            let event = opened.committer.sealer().seal(event(*number, now));
            Submission::Accept(vec![event])
        })
        .collect();
    opened.committer.commit(batch, now).expect("a commit");
}

fn skip_all(opened: &mut Opened, now: Timestamp) {
    loop {
        let claimed = opened
            .claims
            .claim(Work::Map, 1_024, now)
            .expect("tasks can be claimed");
        if claimed.is_empty() {
            return;
        }
        let batch = claimed
            .into_iter()
            .map(|claimed| {
                let attempt = Attempt {
                    number: 1,
                    started: now,
                    took: Duration::ZERO,
                    plugin: None,
                    settings: None,
                    failure: None,
                    stderr: String::new(),
                };
                let end = End::Skipped {
                    reason: "measured".into(),
                };
                Submission::Complete(Box::new(Completion {
                    task: claimed.task,
                    attempt,
                    end,
                }))
            })
            .collect();
        opened.committer.commit(batch, now).expect("a commit");
    }
}

/// Blocks that the folder takes, as the file system counts them.
fn mib(dir: &Path) -> u64 {
    fn bytes(dir: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt;

        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .map(|entry| match entry.metadata() {
                Ok(meta) if meta.is_dir() => bytes(&entry.path()),
                Ok(meta) => meta.blocks() * 512,
                Err(_) => 0,
            })
            .sum()
    }
    bytes(dir) / (1024 * 1024)
}

fn event(number: u64, received: Timestamp) -> Event {
    // Hardly compressible, so that sizes speak of the store and not of the codec.
    let mut state = number;
    let body: Vec<u8> = (0..256)
        .flat_map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()
        })
        .collect();
    Event {
        connection: "github/acme".parse().expect("a connection"),
        partner_id: format!("72d3162e-cc78-11e3-81ab-{number:012x}"),
        received,
        method: "POST".into(),
        path: Vec::new(),
        query: String::new(),
        headers: Vec::new(),
        body: Bytes::from(body),
        body_authenticated: BodyAuthenticated::Full,
    }
}

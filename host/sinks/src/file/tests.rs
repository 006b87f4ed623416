use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::*;
use tidegate_core::time::Timestamp;

use crate::samples::{Stopped, change};

fn sink(folder: &Path) -> FileSink {
    FileSink {
        path: folder.join("changes.ndjson"),
        rotate_bytes: 1 << 20,
        rotate_every: Duration::from_hours(1),
        keep: 3,
    }
}

async fn deliver(outlet: &FileOutlet, seqs: &[u64]) {
    let changes: Vec<Change> = seqs.iter().map(|seq| change(*seq, "7", "{}")).collect();
    let results = outlet.deliver(&changes).await;
    assert_eq!(results, vec![Ok(()); seqs.len()]);
}

/// The changes of each file, by its name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u64>> {
    let seq = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["seq"].as_str().unwrap().parse().unwrap()
    };
    let entries = fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (
            name,
            fs::read_to_string(path).unwrap().lines().map(seq).collect(),
        )
    });
    entries.collect()
}

#[tokio::test]
async fn each_change_stands_there_once_whatever_is_handed_over_again() {
    let folder = tempfile::tempdir().unwrap();
    let outlet = || FileOutlet::new(sink(folder.path()), Stopped::at(0));
    let first = outlet();
    deliver(&first, &[1, 2, 3]).await;
    deliver(&first, &[2, 3, 4]).await;
    drop(first);
    // A host that was killed before the store heard of it, with a line half-written.
    let path = folder.path().join("changes.ndjson");
    let mut file = fs::File::options().append(true).open(path).unwrap();
    file.write_all(b"{\"seq\":\"5\",\"connec").unwrap();
    let second = outlet();
    deliver(&second, &[3, 4, 5, 6]).await;
    // A change that failed before and comes late is no repetition.
    deliver(&second, &[9]).await;
    deliver(&second, &[8, 9]).await;
    assert_eq!(
        files(folder.path())["changes.ndjson"],
        [1, 2, 3, 4, 5, 6, 9, 8]
    );
}

#[tokio::test]
async fn what_another_store_has_under_the_same_numbers_is_delivered_too() {
    let folder = tempfile::tempdir().unwrap();
    let outlet = || FileOutlet::new(sink(folder.path()), Stopped::at(0));
    deliver(&outlet(), &[1, 2, 3]).await;
    // The store was begun anew, and the file stayed: the same entities at the same numbers.
    let later = [1, 2].map(|seq| {
        let mut later = change(seq, "7", "{}");
        later.committed = Timestamp::from_secs(3);
        later
    });
    for outlet in [outlet(), outlet()] {
        assert_eq!(outlet.deliver(&later).await, [Ok(()), Ok(())]);
    }
    assert_eq!(files(folder.path())["changes.ndjson"], [1, 2, 3, 1, 2]);
    let text = fs::read_to_string(folder.path().join("changes.ndjson")).unwrap();
    assert!(text.ends_with('\n'));
    assert_eq!(
        text.matches("\"committed_at\":\"1970-01-01T00:00:03Z\"")
            .count(),
        2
    );
}

#[tokio::test]
async fn two_writers_of_one_file_do_not_cut_each_others_lines() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = sink(folder.path());
    sink.rotate_bytes = 600;
    let (first, second) = (
        FileOutlet::new(sink.clone(), Stopped::at(0)),
        FileOutlet::new(sink, Stopped::at(0)),
    );
    deliver(&first, &[1, 2]).await;
    let path = folder.path().join("changes.ndjson");
    let before = fs::read(&path).unwrap();
    let refused = async || {
        let results = second.deliver(&[change(3, "7", "{}")]).await;
        let failure = results[0].clone().unwrap_err();
        assert_eq!(failure.class, FailureClass::TRANSIENT);
        let names_it = format!("could not lock {}", path.display());
        assert!(failure.message.starts_with(&names_it), "{failure}");
        assert!(
            failure.message.contains("another sink or host writes it"),
            "{failure}"
        );
    };
    refused().await;
    assert_eq!(fs::read(&path).unwrap(), before);
    // The file that a rotation begins is the first one's too.
    deliver(&first, &[4]).await;
    refused().await;
    drop(first);
    deliver(&second, &[3]).await;
    let files = files(folder.path());
    assert_eq!(files["changes.ndjson.000001"], [1, 2]);
    assert_eq!(files["changes.ndjson"], [4, 3]);
}

#[test]
fn a_file_that_was_rotated_while_it_was_opened_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changes.ndjson");
    let opened = fs::File::create(&path).unwrap();
    fs::rename(&path, folder.path().join("changes.ndjson.000001")).unwrap();
    fs::File::create(&path).unwrap();
    let error = writer::lock(&opened, &path).unwrap_err();
    assert_eq!(error.to_string(), "it was rotated meanwhile");
}

#[tokio::test]
async fn full_files_are_rotated_and_the_oldest_leave() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = sink(folder.path());
    sink.rotate_bytes = 600;
    for seq in 1..=12 {
        // Opened anew each time: what was rotated away is still known.
        let outlet = FileOutlet::new(sink.clone(), Stopped::at(0));
        deliver(&outlet, &[seq]).await;
        deliver(&outlet, &[seq.saturating_sub(1).max(1), seq]).await;
    }
    let expect: BTreeMap<String, Vec<u64>> = [
        ("changes.ndjson", vec![11, 12]),
        ("changes.ndjson.000003", vec![5, 6]),
        ("changes.ndjson.000004", vec![7, 8]),
        ("changes.ndjson.000005", vec![9, 10]),
    ]
    .map(|(name, seqs)| (name.to_owned(), seqs))
    .into();
    assert_eq!(files(folder.path()), expect);
}

#[test]
fn a_rotated_name_is_known_in_the_form_that_is_given() {
    let check = |name: &str, of: Option<&str>| {
        let found = rotated_from(&Path::new("x").join(name));
        assert_eq!(found, of.map(|of| Path::new("x").join(of)), "{name}");
    };
    check("changes.ndjson.000001", Some("changes.ndjson"));
    check("changes.1234567", Some("changes"));
    check("changes.000001.000002", Some("changes.000001"));
    for other in [
        "changes.ndjson",
        "changes.2026",
        "changes.1",
        "changes.0000001",
        "changes.+00001",
        "changes.00001a",
        "changes.",
        ".000001",
        "000001",
    ] {
        check(other, None);
    }
}

#[tokio::test]
async fn files_of_others_beside_it_are_never_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = sink(folder.path());
    (sink.rotate_bytes, sink.keep) = (600, 1);
    let others = ["changes.ndjson.2026", "changes.ndjson.7"];
    for other in others {
        fs::write(folder.path().join(other), "").unwrap();
    }
    let outlet = FileOutlet::new(sink, Stopped::at(0));
    for seq in 1..=8 {
        deliver(&outlet, &[seq]).await;
    }
    let files = files(folder.path());
    for other in others {
        assert_eq!(files.get(other), Some(&Vec::new()), "{files:?}");
    }
    assert_eq!(
        files.len(),
        4,
        "its own, and one that was rotated: {files:?}"
    );
}

#[tokio::test]
async fn old_files_are_rotated() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Stopped::at(0);
    let outlet = FileOutlet::new(sink(folder.path()), clock.clone());
    deliver(&outlet, &[1]).await;
    clock.set(3_599);
    deliver(&outlet, &[2]).await;
    clock.set(3_600);
    deliver(&outlet, &[3]).await;
    let files = files(folder.path());
    assert_eq!(files["changes.ndjson.000001"], [1, 2]);
    assert_eq!(files["changes.ndjson"], [3]);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_a_failure_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = sink(folder.path());
    sink.path = folder.path().join("missing/changes.ndjson");
    let outlet = FileOutlet::new(sink, Stopped::at(0));
    let results = outlet.deliver(&[change(1, "7", "{}")]).await;
    let failure = results[0].clone().unwrap_err();
    assert_eq!(failure.class, FailureClass::TRANSIENT);
    assert!(failure.message.starts_with("could not open"), "{failure}");
    fs::create_dir(folder.path().join("missing")).unwrap();
    deliver(&outlet, &[1]).await;
}

//! Reading the change log: pages, long poll, and streams that go on where they broke.

use std::io::BufRead as _;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidegate_e2e::follow::seq_and_entity;
use tidegate_e2e::http;

use crate::support::{Running, SOON};

fn with_changes(count: u64) -> Running {
    let running = Running::start();
    for number in 1..=count {
        assert_eq!(running.send_issue(number).status, 200);
    }
    running.operator().wait_until_mapped(SOON).unwrap();
    running
}

/// Places of the first changes of a stream.
fn stream(running: &Running, last: Option<&str>, count: usize) -> Vec<u64> {
    let operator = running.operator();
    let token = operator.token().unwrap();
    let (lines, _socket) =
        http::event_stream(operator.address, "/v1/changes", &token, last).unwrap();
    let data = lines.lines().map_while(Result::ok).filter_map(|line| {
        line.strip_prefix("data:")
            .map(|data| serde_json::from_str::<Value>(data).unwrap())
    });
    data.take(count)
        .map(|change| seq_and_entity(&change).unwrap().0)
        .collect()
}

#[test]
fn a_stream_goes_on_after_the_last_event_id() {
    let running = with_changes(5);
    assert_eq!(stream(&running, None, 5), [1, 2, 3, 4, 5]);
    assert_eq!(stream(&running, Some("3"), 2), [4, 5]);
    let late = std::thread::scope(|scope| {
        let reader = scope.spawn(|| stream(&running, Some("5"), 1));
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(running.send_issue(6).status, 200);
        reader.join().unwrap()
    });
    assert_eq!(late, [6]);
}

#[test]
fn pages_cover_the_log_without_gap_or_overlap() {
    let running = with_changes(7);
    let mut places = Vec::new();
    let mut since = "0".to_owned();
    loop {
        let page = running
            .operator()
            .get(&format!("/v1/changes?limit=3&since={since}"))
            .unwrap();
        let changes = page["changes"].as_array().unwrap();
        assert!(changes.len() <= 3);
        if changes.is_empty() {
            break;
        }
        places.extend(
            changes
                .iter()
                .map(|change| seq_and_entity(change).unwrap().0),
        );
        page["next"].as_str().unwrap().clone_into(&mut since);
    }
    assert_eq!(places, [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_long_poll_ends_with_the_next_change_or_its_time() {
    let running = with_changes(1);
    let poll = |wait: u32| {
        let start = Instant::now();
        let page = running
            .operator()
            .get(&format!("/v1/changes?since=1&wait={wait}"))
            .unwrap();
        (page["changes"].as_array().unwrap().len(), start.elapsed())
    };
    let (none, waited) = poll(1);
    assert_eq!(none, 0);
    assert!(waited >= Duration::from_millis(900), "{waited:?}");

    let (one, waited) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| poll(30));
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(running.send_issue(2).status, 200);
        reader.join().unwrap()
    });
    assert_eq!(one, 1);
    assert!(waited < Duration::from_secs(15), "{waited:?}");
}

#[test]
fn the_operator_api_wants_its_token() {
    let running = Running::start();
    let operator = running.operator();
    for path in ["/v1/changes", "/v1/events", "/v1/connectors", "/v1/status"] {
        for token in ["", "not-the-token"] {
            let answer = http::get(operator.address, path, token).unwrap();
            assert_eq!(answer.status, 401, "{path}: {}", answer.text());
        }
        operator.get(path).unwrap();
    }
}

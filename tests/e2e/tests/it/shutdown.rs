//! A clean end under load, and one at once.

use std::collections::HashSet;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tidegate_e2e::follow::seq_and_entity;
use tidegate_e2e::host::{PATH, SECRET};
use tidegate_e2e::load::{self, Load, Pace};
use tidegate_e2e::requests::{Requests, entity_id};

use crate::support::{Running, SOON};

#[test]
fn sigterm_under_load_keeps_every_promise() {
    let running = Running::start();
    let requests = Requests::pull_requests(0..20_000, PATH, SECRET);
    let load = Load {
        address: running.site.ingress(),
        connections: 16,
        requests: &requests,
        pace: Pace::PerSecond(4_000),
        deadline: Instant::now() + SOON,
        stop: &AtomicBool::new(false),
    };
    let mut answered = HashSet::new();
    let host = running.host;
    let status = std::thread::scope(|scope| {
        let stopper = scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(800));
            host.stop().unwrap()
        });
        load::run(
            &load,
            &mut (0..requests.len()),
            &mut |outcome| match outcome.status {
                Some(200) => {
                    answered.insert(entity_id(outcome.request));
                }
                None | Some(503) => {}
                Some(other) => panic!("answered {other}"),
            },
        )
        .unwrap();
        stopper.join().unwrap()
    });
    assert!(status.success(), "{status}");
    assert!(answered.len() > 100, "{} answered", answered.len());
    assert!(
        answered.len() < requests.len(),
        "the host ended after the load"
    );

    let host = running.site.start().unwrap();
    host.operator().wait_until_mapped(SOON).unwrap();
    let changes = host.operator().changes().unwrap();
    let logged: HashSet<String> = changes
        .iter()
        .map(|change| seq_and_entity(change).unwrap().1)
        .collect();
    assert_eq!(logged.len(), changes.len(), "some entity changed twice");
    let lost: Vec<&String> = answered.difference(&logged).collect();
    assert!(lost.is_empty(), "answered 200 and lost: {lost:?}");
}

#[test]
fn a_second_signal_ends_the_host_at_once_with_its_number() {
    let running = Running::start();
    // A request that never comes whole is in flight for seconds.
    let mut half = TcpStream::connect(running.site.ingress()).unwrap();
    let head = format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n");
    half.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    running.host.terminate().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let second = Instant::now();
    let status = running.host.stop().unwrap();
    assert_eq!(status.code(), Some(128 + 15), "{status}");
    assert!(second.elapsed() < Duration::from_secs(2));
    drop(half);
}

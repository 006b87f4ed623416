//! Plugin files that change while the host runs, for better and for worse.

use std::fs;
use std::time::Instant;

use tidegate_e2e::reload::{self, github_connector, variant, wait_active};

use crate::support::{Running, SOON, folder};

#[test]
fn replacing_the_plugin_under_load_loses_nothing() {
    let report = reload::run(5, folder().path()).unwrap();
    assert!(report.events > 0 && report.versions >= 3, "{report:?}");
}

/// Waits until the API says what is wrong with the file.
fn wait_refused(running: &Running, why: &str) -> String {
    let start = Instant::now();
    loop {
        let connector = github_connector(running.operator()).unwrap().to_string();
        if connector.contains(why) {
            return connector;
        }
        assert!(start.elapsed() < SOON, "no word of {why:?} in {connector}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_bad_file_leaves_the_old_version_serving_and_says_why() {
    let running = Running::start();
    let good = fs::read(running.site.plugin()).unwrap();
    let serving = reload::digest(&good);
    wait_active(running.operator(), &serving).unwrap();
    let core_module = b"\0asm\x01\0\0\0".to_vec();
    let empty_component = b"\0asm\x0d\0\x01\0".to_vec();
    let cases: [(&str, Vec<u8>, &str); 4] = [
        (
            "a text file",
            b"this is no plugin".to_vec(),
            "not WebAssembly",
        ),
        ("a core module", core_module, "not a component"),
        ("a component without exports", empty_component, "describer"),
        (
            "a file cut short",
            good[..good.len() / 2].to_vec(),
            "cut short",
        ),
    ];
    for (number, (name, bytes, why)) in cases.iter().enumerate() {
        running.site.replace_plugin(bytes).unwrap();
        let connector = wait_refused(&running, why);
        assert!(
            connector.contains(&serving),
            "{name}: the old version is gone: {connector}"
        );
        assert_eq!(running.send_issue(number as u64 + 1).status, 200, "{name}");
        running.operator().wait_until_mapped(SOON).unwrap();
        assert_eq!(
            running.operator().changes().unwrap().len(),
            number + 1,
            "{name}"
        );
    }
    let better = variant(&good, 1);
    running.site.replace_plugin(&better).unwrap();
    wait_active(running.operator(), &reload::digest(&better)).unwrap();
}

/// The good plugin asking for another header as the event's id, one way or another.
fn asking_for_more(good: &[u8], header: &[u8; 17]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let mut replaced = 0;
    for at in 0..bytes.len() - header.len() {
        let slot = &mut bytes[at..at + header.len()];
        if slot.eq_ignore_ascii_case(b"X-GitHub-Delivery") {
            slot.copy_from_slice(header);
            replaced += 1;
        }
    }
    assert!(replaced > 0, "the descriptor names no such header");
    bytes
}

#[test]
fn consent_is_to_the_version_that_was_read() {
    let running = Running::start();
    let good = fs::read(running.site.plugin()).unwrap();
    let (read, swapped) = (
        asking_for_more(&good, b"X-GitHub-Deliver1"),
        asking_for_more(&good, b"X-GitHub-Deliver2"),
    );
    let (read_digest, swapped_digest) = (reload::digest(&read), reload::digest(&swapped));
    let consent = |digest: &str| {
        let token = running.operator().token().unwrap();
        let request = format!(
            "POST /v1/connectors/github/consent?digest={digest} HTTP/1.1\r\nHost: localhost\r\n\
             Authorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
        );
        tidegate_e2e::http::exchange(running.operator().address, request.as_bytes()).unwrap()
    };
    assert_eq!(consent(&read_digest).status, 409, "nothing waits");

    running.site.replace_plugin(&read).unwrap();
    wait_refused(&running, &read_digest);
    running.site.replace_plugin(&swapped).unwrap();
    wait_refused(&running, &swapped_digest);
    let refused = consent(&read_digest);
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(
        refused.text().contains("another-version-waits"),
        "{}",
        refused.text()
    );
    wait_active(running.operator(), &reload::digest(&good)).unwrap();

    assert_eq!(consent(&swapped_digest).status, 200);
    wait_active(running.operator(), &swapped_digest).unwrap();
}

#[test]
fn events_wait_for_nothing_where_the_plugin_is_bad_from_the_start() {
    let running = Running::start();
    let site = &running.site;
    fs::write(site.plugin(), b"this is no plugin").unwrap();
    drop(running.host);
    let host = site.start().unwrap();
    // The grant of the first start stands, so events are still verified and kept.
    let body = crate::support::issue(1);
    let request = crate::support::signed("issues", "d1", body.as_bytes());
    let answer = tidegate_e2e::http::exchange(site.ingress(), &request).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(
        github_connector(host.operator())
            .unwrap()
            .to_string()
            .contains("not WebAssembly")
    );
}

/// The most memory that a process has had, in MiB.
fn peak_mib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() / 1024
}

/// A compiler needs 200 MiB and more for this plugin.
#[test]
fn a_plugin_is_compiled_in_a_process_of_its_own() {
    let running = Running::start();
    let serving = reload::digest(&fs::read(running.site.plugin()).unwrap());
    wait_active(running.operator(), &serving).unwrap();
    assert_eq!(running.send_issue(1).status, 200);
    running.operator().wait_until_mapped(SOON).unwrap();
    let peak = peak_mib(running.host.pid());
    assert!(peak < 150, "the host has had {peak} MiB");
}

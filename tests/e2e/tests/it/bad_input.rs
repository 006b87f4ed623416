//! What partners, strangers and broken networks send.

use std::time::Duration;

use tidegate_e2e::host::{PATH, SECRET};
use tidegate_e2e::http::{self, Answer};
use tidegate_e2e::requests::Signer;

use crate::support::{Running, issue, signed};

/// A signed webhook with other header lines, each with its line end.
fn with_headers(body: &[u8], lines: &[&[u8]]) -> Vec<u8> {
    let mut request = format!(
        "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n",
        body.len()
    )
    .into_bytes();
    for line in lines {
        request.extend_from_slice(line);
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body);
    request
}

/// A refusal: a 401 tells nothing, everything else is a problem document.
#[track_caller]
fn check(name: &str, answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{name}: {}", answer.text());
    if status == 401 {
        assert!(answer.body.is_empty(), "{name}: {}", answer.text());
        return;
    }
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("application/problem+json"), "{name}");
    let problem = answer.json().unwrap();
    assert!(problem["type"].is_string(), "{name}: {problem}");
    assert_eq!(problem["status"], status, "{name}: {problem}");
}

#[test]
fn what_is_not_signed_right_is_401_and_leaves_nothing() {
    let running = Running::start();
    let body = issue(1).into_bytes();
    let right = format!(
        "X-Hub-Signature-256: {}\r\n",
        Signer::new(SECRET).signature(&body)
    );
    let wrong = format!(
        "X-Hub-Signature-256: {}\r\n",
        Signer::new("other").signature(&body)
    );
    let (right, wrong) = (right.as_bytes(), wrong.as_bytes());
    let (event, delivery): (&[u8], &[u8]) =
        (b"X-GitHub-Event: issues\r\n", b"X-GitHub-Delivery: d1\r\n");
    let cases: [(&str, Vec<&[u8]>); 6] = [
        ("no signature", vec![event, delivery]),
        ("another secret's signature", vec![event, delivery, wrong]),
        (
            "two signatures, right first",
            vec![event, delivery, right, wrong],
        ),
        (
            "two signatures, right last",
            vec![event, delivery, wrong, right],
        ),
        (
            "an empty signature",
            vec![event, delivery, b"X-Hub-Signature-256:\r\n"],
        ),
        (
            "bytes that are not UTF-8",
            vec![event, delivery, b"X-Hub-Signature-256: sha256=\xff\xfe\r\n"],
        ),
    ];
    for (name, headers) in &cases {
        check(name, &running.raw(&with_headers(&body, headers)), 401);
    }
    assert!(running.operator().events().unwrap().is_empty());

    // Nothing was burned: the same event id is still to be had.
    let answer = running.raw(&with_headers(&body, &[event, delivery, right]));
    assert_eq!(answer.json().unwrap()["status"], "accepted");
}

#[test]
fn header_values_need_not_be_utf8() {
    let running = Running::start();
    let body = issue(1).into_bytes();
    let signature = format!(
        "X-Hub-Signature-256: {}\r\n",
        Signer::new(SECRET).signature(&body)
    );
    let lines: [&[u8]; 4] = [
        b"X-GitHub-Event: issues\r\n",
        b"X-GitHub-Delivery: d1\r\n",
        b"X-Odd: caf\xe9\r\n",
        signature.as_bytes(),
    ];
    assert_eq!(running.raw(&with_headers(&body, &lines)).status, 200);
    assert_eq!(running.only_event()["state"], "mapped");
}

#[test]
fn signed_json_that_breaks_off_is_kept_as_a_dead_letter_with_the_reason() {
    let running = Running::start();
    let whole = issue(1);
    let answer = running.send("issues", "d1", &whole.as_bytes()[..whole.len() / 2]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let event = running.only_event();
    assert_eq!(event["state"], "dead", "{event}");
    let reason = event["reason"].as_str().unwrap();
    assert!(
        reason.contains("JSON") || reason.contains("EOF"),
        "{reason}"
    );
    assert!(running.operator().changes().unwrap().is_empty());
}

#[test]
fn what_is_not_for_us_is_refused_by_name() {
    let running = Running::start();
    let request = |line: &str| {
        running.raw(
            format!("{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").as_bytes(),
        )
    };
    check("connection", &request("POST /in/github/nobody"), 404);
    check("connector", &request("POST /in/nothing/acme"), 404);
    check("GET /v1/events", &request("GET /v1/events"), 404);
    check("GET /metrics", &request("GET /metrics"), 404);
    check("POST /", &request("POST /"), 404);
    for method in ["GET", "DELETE", "PATCH"] {
        let answer = request(&format!("{method} {PATH}"));
        check(method, &answer, 405);
        assert_eq!(answer.header("allow"), Some("POST, PUT"));
    }
}

#[test]
fn broken_framing_is_refused() {
    let running = Running::start();
    let post = format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\n");
    for framing in [
        "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "Content-Length: two\r\n\r\n{}",
        "Content-Length: -2\r\n\r\n{}",
        "Transfer-Encoding: chunked\r\n\r\nXY\r\n{}\r\n0\r\n\r\n",
        " folded: header\r\n\r\n",
    ] {
        let answer = running.raw(format!("{post}{framing}").as_bytes());
        assert_eq!(answer.status, 400, "{framing:?}: {}", answer.text());
    }
    assert_eq!(running.raw(b"NOT HTTP AT ALL\r\n\r\n").status, 400);

    let padding = "x".repeat(40 * 1024);
    let answer = running.raw(format!("{post}X-Padding: {padding}\r\n\r\n").as_bytes());
    assert_eq!(answer.status, 431);
    let many = "X-Many: 1\r\n".repeat(150);
    let answer = running.raw(format!("{post}{many}\r\n").as_bytes());
    assert_eq!(answer.status, 431);
    assert!(running.operator().events().unwrap().is_empty());
}

#[test]
fn a_body_over_the_limit_is_413_announced_or_not() {
    let running = Running::start();
    let bytes = 11 << 20;
    let announced =
        format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {bytes}\r\n\r\n");
    check("announced", &running.raw(announced.as_bytes()), 413);

    let mut chunked = format!(
        "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{bytes:x}\r\n"
    )
    .into_bytes();
    chunked.resize(chunked.len() + bytes, b'x');
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    check("chunked", &running.raw(&chunked), 413);

    // One byte of the right size is still taken: the limit is the body's, not the host's.
    assert_eq!(running.send_issue(1).status, 200);
}

#[test]
fn a_body_that_breaks_off_leaves_nothing() {
    use std::io::Write as _;
    let running = Running::start();
    let whole = signed("issues", "d1", issue(1).as_bytes());
    let mut stream = std::net::TcpStream::connect(running.site.ingress()).unwrap();
    stream.write_all(&whole[..whole.len() - 10]).unwrap();
    drop(stream);
    // The same event id, whole: had the first one left anything, this were a duplicate.
    let answer = running.raw(&whole);
    assert_eq!(answer.json().unwrap()["status"], "accepted");
    assert_eq!(running.only_event()["state"], "mapped");
}

#[test]
fn who_is_too_slow_is_told_so_and_stops_nobody() {
    let running = Running::start();
    let whole = signed("issues", "slow", issue(1).as_bytes());
    let address = running.site.ingress();
    let split = |at: usize| {
        let (first, rest) = whole.split_at(at);
        let (first, rest) = (first.to_vec(), rest.to_vec());
        std::thread::spawn(move || {
            // Longer than a request may take to arrive.
            http::exchange_slowly(address, &[&first, &rest], Duration::from_secs(14)).unwrap()
        })
    };
    let (slow_head, slow_body) = (split(40), split(whole.len() - 10));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(running.send_issue(2).status, 200);
    assert_eq!(slow_body.join().unwrap().status, 408);
    assert_eq!(slow_head.join().unwrap().status, 408);
    assert_eq!(running.only_event()["partner_id"], "issue-2");
}

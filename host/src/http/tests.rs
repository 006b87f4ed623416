//! Ingress and the connection loop: requests as bytes, answers as partners see them.

use tidegate_core::limits::{
    HEADER_BLOCK_BYTES_MAX, HEADERS_MAX, KEEP_ALIVE_TIMEOUT, REQUEST_READ_TIMEOUT,
};
use tidegate_core::ports::Clock as _;
use tidegate_core::signature::Refusal;
use tokio::time::Instant;

use super::refusals::Reason;
use super::world::{Peer, Reply, SECRET, World, ask, get, webhook};
use crate::system::SystemClock;

mod partners;

const TIDE: &str = "/in/tide/acme";

#[track_caller]
fn expect(name: &str, reply: &Reply, status: u16, slug: &str) {
    assert_eq!(reply.status, status, "{name}: {reply:?}");
    if slug.is_empty() {
        assert_eq!(reply.body, "", "{name}");
    } else {
        let media_type = reply.header("content-type");
        assert_eq!(media_type, Some("application/problem+json"), "{name}");
        let problem = reply.json();
        assert_eq!(problem["type"], format!("/problems/{slug}"), "{name}");
        assert_eq!(problem["status"], status, "{name}");
    }
    assert_eq!(reply.header("allow").is_some(), status == 405, "{name}");
    assert_eq!(
        reply.header("retry-after").is_some(),
        status == 503,
        "{name}"
    );
}

/// Each request is answered so, and leaves nothing.
async fn check_refused(table: &[(&str, Vec<u8>, u16, &str)]) {
    let world = World::new().await;
    for (name, request, status, slug) in table {
        let reply = ask(world.ingress, request).await;
        expect(name, &reply, *status, slug);
    }
    assert_eq!(world.host.reader.counts().events, 0, "something was stored");
}

/// Bytes as they are, with the line ends of HTTP.
fn raw(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// A request to a connection with these header lines.
fn post(rest: &str) -> Vec<u8> {
    raw(&format!("POST {TIDE} HTTP/1.1\nHost: x\n{rest}"))
}

/// The same with a signature that verifies.
fn signed(rest: &str) -> Vec<u8> {
    post(&format!("X-Token: {SECRET}\n{rest}"))
}

#[tokio::test]
#[rustfmt::skip]
async fn paths_and_methods() {
    let to = |path: &str| webhook(path, &[], "");
    let with = |method: &str| raw(&format!("{method} {TIDE} HTTP/1.1\nHost: x\n\n"));
    check_refused(&[
        ("no such connection", to("/in/tide/other"), 404, "not-found"),
        ("no such connector", to("/in/other"), 404, "not-found"),
        ("an empty account", to("/in/tide/"), 404, "not-found"),
        ("outside /in", to("/v1/status"), 404, "not-found"),
        ("the operator's page", get("/", None, &[]), 404, "not-found"),
        ("a path that is no text", to("/in/tide/%ff"), 404, "not-found"),
        ("a long path", to(&format!("/in/{}", "x".repeat(66_000))), 431, "headers-too-large"),
        ("nothing to verify with", to("/in/bare/acme"), 503, "not-stored"),
        ("GET", with("GET"), 405, "method-not-allowed"),
        ("DELETE", with("DELETE"), 405, "method-not-allowed"),
        ("OPTIONS", with("OPTIONS"), 405, "method-not-allowed"),
    ]).await;
}

#[tokio::test]
#[rustfmt::skip]
async fn signatures() {
    check_refused(&[
        ("none", post("Content-Length: 0\n\n"), 401, ""),
        ("another", post("X-Token: no\nContent-Length: 0\n\n"), 401, ""),
        ("two", webhook(TIDE, &[("X-Token", SECRET)], ""), 401, ""),
    ]).await;
}

#[tokio::test]
#[rustfmt::skip]
async fn sizes() {
    let body = "x".repeat(64 * 1024 + 1);
    let chunks = format!("Transfer-Encoding: chunked\n\n10001\n{body}\n0\n\n");
    let header = "x".repeat(HEADER_BLOCK_BYTES_MAX);
    let headers = "X-H: 1\n".repeat(HEADERS_MAX + 1);
    check_refused(&[
        ("body", webhook(TIDE, &[], &body), 413, "body-too-large"),
        ("body in chunks", signed(&chunks), 413, "body-too-large"),
        ("header", webhook(TIDE, &[("X-Long", &header)], ""), 431, "headers-too-large"),
        ("headers", signed(&format!("{headers}\n")), 431, "headers-too-large"),
    ]).await;
}

#[tokio::test]
#[rustfmt::skip]
async fn framing() {
    const CHUNKED: &str = "Transfer-Encoding: chunked";
    let length = |value: &str| signed(&format!("Content-Length: {value}\n\n{{}}"));
    let chunked = |headers: &str| signed(&format!("{headers}\n\n2\n{{}}\n0\n\n"));
    check_refused(&[
        ("no HTTP", raw("EHLO example.org\n\n"), 400, "bad-request"),
        ("a header without a name", signed(": x\n\n"), 400, "bad-request"),
        ("two lengths", length("2\nContent-Length: 3"), 400, "bad-request"),
        ("a length that is none", length("two"), 400, "bad-request"),
        ("length, chunks", chunked(&format!("Content-Length: 2\n{CHUNKED}")), 400, "bad-framing"),
        ("chunks, length", chunked(&format!("{CHUNKED}\nContent-Length: 2")), 400, "bad-framing"),
        ("another coding", chunked("Transfer-Encoding: gzip, chunked"), 400, "bad-framing"),
        ("chunked twice", chunked(&format!("{CHUNKED}\n{CHUNKED}")), 400, "bad-framing"),
        ("a broken chunk", signed(&format!("{CHUNKED}\n\nno\n{{}}\n0\n\n")), 400, "bad-framing"),
    ]).await;
}

#[tokio::test]
async fn what_verifies_is_stored_once() {
    let world = World::new().await;
    let first = ask(
        world.ingress,
        &webhook(TIDE, &[("X-Delivery", "d-1")], "{}"),
    )
    .await;
    assert_eq!(
        first.body,
        r#"{"status":"accepted","events":["evt_0000000000000001"]}"#
    );
    assert_eq!(first.header("content-type"), Some("application/json"));
    let again = ask(
        world.ingress,
        &webhook(TIDE, &[("X-Delivery", "d-1")], "{}"),
    )
    .await;
    assert_eq!(
        again.body,
        r#"{"status":"duplicate","events":["evt_0000000000000001"]}"#
    );
    for path in [
        "/in/tide/acme/a%20b/c?x=1",
        "/in/tide/%C3%85cme%20%26%20Co",
        "/in/tide",
    ] {
        let reply = ask(world.ingress, &webhook(path, &[("X-Delivery", path)], "{}")).await;
        assert_eq!((path, reply.status), (path, 200));
    }
    let further = world
        .host
        .reader
        .event("evt_0000000000000002".parse().unwrap());
    let further = further.unwrap().unwrap();
    assert_eq!(
        (further.path, further.query.as_str()),
        (vec!["a b".into(), "c".into()], "x=1")
    );
    let token = further.headers.iter().find(|(name, _)| name == "x-token");
    assert_eq!(token.unwrap().1, "[verified]");
}

#[tokio::test]
async fn bodies_may_come_in_chunks_and_ask_first() {
    let world = World::new().await;
    let mut peer = Peer::connect(world.ingress).await;
    let head = format!("POST {TIDE} HTTP/1.1\nHost: x\nX-Token: {SECRET}\n");
    peer.send(&raw(&format!(
        "{head}Transfer-Encoding: chunked\n\n1\n{{\n1\n}}\n0\n\n"
    )))
    .await;
    assert_eq!(peer.reply().await.unwrap().status, 200);
    peer.send(&raw(&format!(
        "{head}Expect: 100-continue\nContent-Length: 3\n\n"
    )))
    .await;
    assert_eq!(peer.reply().await.unwrap().status, 100);
    peer.send(b"[1]").await;
    assert_eq!(peer.reply().await.unwrap().status, 200);
    peer.send(&raw(&format!(
        "{head}Expect: 100-continue\nContent-Length: 99999\n\n"
    )))
    .await;
    assert_eq!(
        peer.reply().await.unwrap().status,
        413,
        "without a 100 before it"
    );
}

#[tokio::test]
async fn requests_may_follow_each_other_without_waiting() {
    let world = World::new().await;
    let mut peer = Peer::connect(world.ingress).await;
    let [one, two] = ["1", "2"].map(|id| webhook(TIDE, &[("X-Delivery", id)], "{}"));
    peer.send(&[one, two, raw("EHLO example.org\n\n")].concat())
        .await;
    for _ in 0..2 {
        assert_eq!(peer.reply().await.unwrap().status, 200);
    }
    assert_eq!(peer.reply().await.unwrap().status, 400);
    assert!(peer.ends().await);
}

#[tokio::test]
async fn what_the_store_does_not_take_is_to_be_sent_again() {
    let world = World::new().await;
    for (close, seconds) in [(true, Some("5")), (false, None)] {
        world.host.gate.disk(close.then_some(7));
        let reply = ask(
            world.ingress,
            &webhook(TIDE, &[("X-Delivery", "d-1")], "{}"),
        )
        .await;
        assert_eq!(reply.status, if close { 503 } else { 200 });
        assert_eq!(reply.header("retry-after"), seconds);
    }
    world.host.gate.shut_down();
    let reply = ask(
        world.ingress,
        &webhook(TIDE, &[("X-Delivery", "d-2")], "{}"),
    )
    .await;
    expect("shutting down", &reply, 503, "not-stored");
}

#[tokio::test]
async fn refusals_are_kept_without_anything_of_the_sender() {
    let world = World::new().await;
    let forged = "POST /in/tide/acme HTTP/1.1\nHost: x\nX-Token: guess\nContent-Length: 5\n\nguess";
    ask(world.ingress, &raw(forged)).await;
    let kept = world
        .host
        .metrics
        .refusals()
        .of_connection(&"tide/acme".parse().unwrap(), SystemClock.now());
    assert_eq!(kept.last.len(), 1);
    let reason = Reason::from(&Refusal::NoMatch { keys: 1 });
    assert_eq!(kept.last[0].reason, reason);
    let seen = kept.last[0].seen.as_ref().unwrap();
    assert_eq!(&*seen.header_names, "host x-token content-length");
    assert!(!format!("{kept:?}").contains("guess"));
}

/// The connection ends after `patience`, with that status if any.
#[track_caller]
fn check_slow(sent: &[u8], status: Option<u16>, patience: std::time::Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = World::new().await;
        let mut peer = Peer::connect(world.ingress).await;
        peer.send(sent).await;
        let began = Instant::now();
        let reply = peer.reply().await;
        let text = String::from_utf8_lossy(sent);
        assert_eq!(reply.as_ref().map(|reply| reply.status), status, "{text}");
        if let Some(reply) = &reply {
            expect(&text, reply, 408, "too-slow");
            assert_eq!(reply.header("connection"), Some("close"));
        }
        let waited = began.elapsed();
        assert!(
            waited >= patience && waited < patience * 2,
            "{waited:?}: {text}"
        );
        assert!(peer.ends().await, "{text}");
    });
}

#[test]
fn slow_requests_are_given_up() {
    check_slow(b"", None, REQUEST_READ_TIMEOUT);
    check_slow(b"POST /in/tide/acme HT", Some(408), REQUEST_READ_TIMEOUT);
    check_slow(
        b"POST /in/tide/acme HTTP/1.1\r\nHost: x\r\n",
        Some(408),
        REQUEST_READ_TIMEOUT,
    );
    let head = format!(
        "POST {TIDE} HTTP/1.1\r\nHost: x\r\nX-Token: {SECRET}\r\nContent-Length: 9\r\n\r\n{{}}"
    );
    check_slow(head.as_bytes(), Some(408), REQUEST_READ_TIMEOUT);
}

#[test]
fn an_idle_connection_is_kept_for_a_while() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = World::new().await;
        let mut peer = Peer::connect(world.ingress).await;
        let unknown = webhook("/in/nobody", &[], "");
        for _ in 0..2 {
            peer.send(&unknown).await;
            assert_eq!(peer.reply().await.unwrap().status, 404);
            tokio::time::sleep(KEEP_ALIVE_TIMEOUT / 2).await;
        }
        peer.send(&unknown).await;
        assert_eq!(peer.reply().await.unwrap().status, 404);
        let began = Instant::now();
        assert!(peer.ends().await);
        assert!(began.elapsed() >= KEEP_ALIVE_TIMEOUT);
    });
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight() {
    let mut world = World::new().await;
    let mut idle = Peer::connect(world.ingress).await;
    idle.send(&webhook("/in/nobody", &[], "")).await;
    assert_eq!(idle.reply().await.unwrap().status, 404);
    let mut busy = Peer::connect(world.ingress).await;
    let request = webhook(TIDE, &[("X-Delivery", "d-1")], "{}");
    let (begun, rest) = request.split_at(request.len() - 1);
    busy.send(&[b"", begun].concat()).await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    world.tell_to_stop();
    assert!(idle.ends().await);
    busy.send(rest).await;
    let reply = busy.reply().await.unwrap();
    assert_eq!(
        (reply.status, reply.header("connection")),
        (200, Some("close"))
    );
    assert!(busy.ends().await);
    world.stop().await;
    assert!(tokio::net::TcpStream::connect(world.ingress).await.is_err());
}

#[tokio::test]
async fn a_large_refused_body_does_not_cost_the_answer() {
    let world = World::new().await;
    let body = "x".repeat(8 * 1024 * 1024);
    let reply = ask(world.ingress, &webhook(TIDE, &[], &body)).await;
    expect("large", &reply, 413, "body-too-large");
}

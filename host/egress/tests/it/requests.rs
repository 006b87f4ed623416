//! What comes back, and what does not.

use std::time::{Duration, Instant};

use tidegate_core::errors::chain;
use tidegate_egress::{EgressError, Stage};

use crate::server::{Server, Step, answer, egress, post};

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let server = Server::start(vec![answer("200 OK", "there")]).await;
    let egress = egress();
    let url = server.url("/x");
    for _ in 0..10 {
        let response = egress.request(post(&url)).await.unwrap();
        assert_eq!(
            (response.status.as_u16(), &*response.body),
            (200, &b"there"[..])
        );
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let inside = Server::start(vec![answer("200 OK", "inside")]).await;
    let location = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n",
        inside.address
    );
    let server = Server::start(vec![Step::Say(location)]).await;
    let response = egress().request(post(&server.url("/"))).await.unwrap();
    assert_eq!(response.status.as_u16(), 307);
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn a_connection_closed_while_idle_costs_nothing() {
    // It says that it keeps the connection, and closes it: the next request meets that.
    let server = Server::start(vec![answer("200 OK", ""), Step::Close]).await;
    let egress = egress();
    let url = server.url("/");
    for _ in 0..5 {
        egress.request(post(&url)).await.unwrap();
    }
    assert_eq!(server.connections(), 5);
}

#[track_caller]
fn time(error: &EgressError, expect: Stage) {
    match error {
        EgressError::Time { stage, .. } => assert_eq!(*stage, expect),
        other => panic!("{other:?}"),
    }
}

async fn fails(steps: Vec<Step>) -> EgressError {
    let server = Server::start(steps).await;
    let url = server.url("/secret-path?secret=query");
    let mut request = post(&url);
    request.timeout = Duration::from_millis(300);
    let begun = Instant::now();
    let error = egress().request(request).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(error.class().code(), "transient");
    assert!(!chain(&error).contains("secret"), "{error:?}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    error
}

#[tokio::test]
async fn slow_ones_run_out_of_time() {
    let wait = || Step::Wait(Duration::from_secs(30));
    time(&fails(vec![wait()]).await, Stage::Answer);
    let begun = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345";
    time(
        &fails(vec![Step::Say(begun.into()), wait()]).await,
        Stage::Body,
    );
    // A byte now and then does not keep it alive.
    let drip = (0..100).flat_map(|_| {
        let byte = Step::Say("x".into());
        [byte, Step::Wait(Duration::from_millis(50))]
    });
    let mut steps = vec![Step::Say(
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n".into(),
    )];
    steps.extend(drip);
    time(&fails(steps).await, Stage::Body);
}

#[tokio::test]
async fn large_bodies_are_refused_whether_announced_or_not() {
    let announced = fails(vec![answer("200 OK", &"x".repeat(1_001))]).await;
    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1_000));
    let chunked =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n");
    let unannounced = fails(vec![Step::Say(chunked)]).await;
    for error in [announced, unannounced] {
        assert!(
            matches!(
                error,
                EgressError::TooLarge {
                    bytes_max: 1_000,
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn what_is_no_http_is_an_error_of_its_own() {
    for steps in [
        vec![Step::Close],
        vec![Step::Say("SSH-2.0-OpenSSH\r\n".into()), Step::Close],
        vec![
            Step::Say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n123".into()),
            Step::Close,
        ],
        vec![Step::Say(format!(
            "HTTP/1.1 200 OK\r\nx: {}\r\n\r\n",
            "x".repeat(100_000)
        ))],
    ] {
        let error = fails(steps).await;
        assert!(matches!(error, EgressError::Exchange { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn nobody_there() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", gone.local_addr().unwrap());
    drop(gone);
    let error = egress()
        .request(post(&url.parse().unwrap()))
        .await
        .unwrap_err();
    assert!(matches!(error, EgressError::Connect { .. }), "{error:?}");
    assert!(chain(&error).contains("refused"), "{}", chain(&error));
}

use std::sync::Mutex;

use serde_json::Value;
use tidegate_core::time::Timestamp;
use tidegate_egress::EgressPolicy;

use super::*;
use crate::receiver::{Received, Receiver};
use crate::samples::{Stopped, change};

fn outlet(receiver: &Receiver, adapt: impl FnOnce(&mut WebhookSink)) -> WebhookOutlet {
    let mut sink = WebhookSink {
        url: receiver.url("/hook/secret-path"),
        secrets: vec![Secret::new(b"whsec_c2VjcmV0".to_vec()).unwrap()],
        binary: false,
        batch: 1,
        concurrency: 4,
        timeout: Duration::from_secs(2),
        handshake: None,
        source: "/tidegate/s1".into(),
    };
    adapt(&mut sink);
    let egress = Egress::new(EgressPolicy {
        allow: vec!["127.0.0.1".parse().unwrap()],
        roots: None,
    });
    WebhookOutlet::new(sink, Arc::new(egress.unwrap()), Stopped::at(1_000)).unwrap()
}

fn codes(results: &[Result<(), Failure>]) -> Vec<&'static str> {
    let code = |result: &Result<(), Failure>| match result {
        Ok(()) => "ok",
        Err(failure) => failure.class.code(),
    };
    results.iter().map(code).collect()
}

async fn check_answer(answer: &str, expect: &str, delay: Option<u64>) {
    let receiver = Receiver::start(vec![answer.to_owned()]).await;
    let results = outlet(&receiver, |_| ())
        .deliver(&[change(1, "7", "{}")])
        .await;
    assert_eq!(codes(&results), [expect], "{answer}");
    let Err(failure) = &results[0] else { return };
    assert!(!failure.message.contains("secret-path"), "{failure}");
    let asked = match failure.class {
        FailureClass::Transient { delay } | FailureClass::RateLimited { delay } => delay,
        _ => None,
    };
    assert_eq!(asked, delay.map(Duration::from_secs), "{answer}");
}

#[tokio::test]
async fn answers_as_standard_webhooks_reads_them() {
    check_answer("200 OK", "ok", None).await;
    check_answer("202 Accepted", "ok", None).await;
    check_answer("204 No Content", "ok", None).await;
    check_answer("302 Found\r\nlocation: /elsewhere", "transient", None).await;
    check_answer("400 Bad Request", "transient", None).await;
    check_answer("401 Unauthorized", "unauthorized", None).await;
    check_answer("403 Forbidden", "unauthorized", None).await;
    check_answer("404 Not Found", "transient", None).await;
    check_answer("410 Gone", "not-found", None).await;
    check_answer("429 Slow\r\nretry-after: 7", "rate-limited", Some(7)).await;
    check_answer("500 Oops\r\nretry-after: 7", "transient", None).await;
    check_answer("503 Busy\r\nretry-after: 7", "transient", Some(7)).await;
    let date = "503 Busy\r\nretry-after: Thu, 01 Jan 1970 00:17:40 GMT";
    check_answer(date, "transient", Some(60)).await;
}

/// What a receiver computes for that request with that secret.
fn signature(request: &Received) -> String {
    let signer = Signer::new(vec![Secret::new(b"whsec_c2VjcmV0".to_vec()).unwrap()]).unwrap();
    let mut headers = HeaderMap::new();
    let id = request.header("webhook-id");
    signer.sign(&mut headers, id, &request.body, Timestamp::from_secs(1_000));
    headers["webhook-signature"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_change_is_one_signed_event_with_the_same_id_at_each_try() {
    let receiver = Receiver::start(vec!["500 Oops".into(), "200 OK".into()]).await;
    let outlet = outlet(&receiver, |_| ());
    let change = [change(42, "7", r#"{"a":1}"#)];
    assert_eq!(codes(&outlet.deliver(&change).await), ["transient"]);
    assert_eq!(codes(&outlet.deliver(&change).await), ["ok"]);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        assert_eq!(
            request.head.lines().next(),
            Some("POST /hook/secret-path HTTP/1.1")
        );
        assert_eq!(
            request.header("content-type"),
            "application/cloudevents+json"
        );
        assert_eq!(request.header("webhook-id"), "chg_000000000000002a");
        assert_eq!(request.header("webhook-timestamp"), "1000");
        assert_eq!(request.header("webhook-signature"), signature(request));
    }
    let event: Value = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!(event["data"]["data"]["a"], 1);
}

#[tokio::test]
async fn binary_mode_has_the_attributes_in_fields() {
    let receiver = Receiver::start(vec!["200 OK".into()]).await;
    let outlet = outlet(&receiver, |sink| sink.binary = true);
    outlet.deliver(&[change(42, "é 7", r#"{"a":1}"#)]).await;
    let request = &receiver.requests()[0];
    for (name, value) in [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "chg_000000000000002a"),
        ("ce-source", "/tidegate/s1/github/acme"),
        ("ce-type", "tidegate.github.issue.upsert"),
        ("ce-subject", "%C3%A9%207"),
        ("ce-time", "1970-01-01T00:00:01Z"),
    ] {
        assert_eq!(request.header(name), value, "{name}");
    }
    let data: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(data["seq"], "42");
}

#[tokio::test]
async fn a_batch_is_one_request_and_the_same_one_again() {
    let receiver = Receiver::start(vec!["200 OK".into()]).await;
    let outlet = outlet(&receiver, |sink| sink.batch = 10);
    let changes: Vec<Change> = (1..=25).map(|seq| change(seq, "7", "{}")).collect();
    for _ in 0..2 {
        assert_eq!(outlet.deliver(&changes).await, vec![Ok(()); 25]);
    }
    let requests = receiver.requests();
    let lengths: Vec<usize> = requests
        .iter()
        .map(|request| {
            let batch: Value = serde_json::from_slice(&request.body).unwrap();
            batch.as_array().unwrap().len()
        })
        .collect();
    assert_eq!(lengths, [10, 10, 5, 10, 10, 5]);
    let id = |at: usize| requests[at].header("webhook-id").to_owned();
    assert_eq!(id(0), id(3));
    assert_ne!(id(0), id(1));
}

#[tokio::test]
async fn a_batch_that_is_not_understood_is_taken_apart() {
    let answers = ["413 Too Large", "200 OK", "400 Bad", "200 OK"];
    let receiver = Receiver::start(answers.map(str::to_owned).to_vec()).await;
    let outlet = outlet(&receiver, |sink| sink.batch = 10);
    let changes = [
        change(1, "a", "{}"),
        change(2, "b", "{}"),
        // Of the entity that fails: it must not overtake.
        change(3, "b", "{}"),
        change(4, "c", "{}"),
    ];
    let results = outlet.deliver(&changes).await;
    assert_eq!(codes(&results), ["ok", "transient", "transient", "ok"]);
    assert_eq!(receiver.requests().len(), 4);
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_tried_once_for_all() {
    let receiver = Receiver::start(vec!["503 Busy".into()]).await;
    let outlet = outlet(&receiver, |sink| sink.batch = 2);
    let changes: Vec<Change> = (1..=6).map(|seq| change(seq, "7", "{}")).collect();
    assert_eq!(codes(&outlet.deliver(&changes).await), ["transient"; 6]);
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn a_receiver_is_asked_before_the_first_delivery() {
    let yes = "200 OK\r\nWebHook-Allowed-Origin: tidegate.example\r\nWebHook-Allowed-Rate: 6000";
    let no = "200 OK\r\nWebHook-Allowed-Origin: other.example";
    let answers = [no, yes, "200 OK", "200 OK", "403 Forbidden", yes, "200 OK"];
    let receiver = Receiver::start(answers.map(str::to_owned).to_vec()).await;
    let outlet = outlet(&receiver, |sink| {
        sink.handshake = Some(HeaderValue::from_static("tidegate.example"));
    });
    let results = Mutex::new(Vec::new());
    for seq in 1..=5 {
        let result = outlet.deliver(&[change(seq, "7", "{}")]).await;
        results.lock().unwrap().extend(codes(&result));
    }
    let results = results.into_inner().unwrap();
    assert_eq!(results, ["unauthorized", "ok", "ok", "unauthorized", "ok"]);
    let methods: Vec<String> = receiver
        .requests()
        .iter()
        .map(|request| request.head.split(' ').next().unwrap().to_owned())
        .collect();
    let expect = [
        "OPTIONS", "OPTIONS", "POST", "POST", "POST", "OPTIONS", "POST",
    ];
    assert_eq!(methods, expect);
    assert_eq!(
        receiver.requests()[0].header("webhook-request-origin"),
        "tidegate.example"
    );
}

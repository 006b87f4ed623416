use std::sync::Arc;

use serde_json::{Value, json};
use tidegate_core::alert::{AlertKey, AlertRule, Notice, NoticeKind};
use tidegate_core::ports::Messenger;
use tidegate_core::signature::Secret;
use tidegate_egress::EgressPolicy;

use super::*;
use crate::receiver::Receiver;
use crate::samples::Stopped;

const OPERATOR: &str = "http://ops.example:8081/";

fn notice(kind: NoticeKind) -> Notice {
    Notice {
        key: AlertKey {
            rule: AlertRule::DeadLetters,
            subject: "github/acme <!channel> partner-data".into(),
        },
        kind,
        summary: "3 dead letters of github/acme & co".into(),
        count: 3,
        oldest: Some(Timestamp::from_secs(5)),
        excerpt: "no <id>".into(),
        link: "/v1/dead-letters?connection=github/acme".into(),
        since: Timestamp::from_secs(9),
    }
}

fn egress() -> Arc<Egress> {
    let policy = EgressPolicy {
        allow: vec!["127.0.0.1".parse().unwrap()],
        roots: None,
    };
    Arc::new(Egress::new(policy).unwrap())
}

fn secret(text: &str) -> Secret {
    Secret::new(text.into()).unwrap()
}

fn slack(receiver: &Receiver) -> SlackChannel {
    let url = receiver.url("/services/T0/B0/hunter2");
    SlackChannel::new(url, OPERATOR.into(), egress(), Stopped::at(10))
}

fn body(receiver: &Receiver, at: usize) -> Value {
    serde_json::from_slice(&receiver.requests()[at].body).unwrap()
}

#[tokio::test]
async fn slack_gets_text_that_mentions_nobody() {
    let receiver = Receiver::start(vec!["200 OK".into()]).await;
    slack(&receiver)
        .send(&notice(NoticeKind::Opened))
        .await
        .unwrap();
    let sent = body(&receiver, 0);
    assert_eq!(sent["text"], "3 dead letters of github/acme &amp; co");
    let text = sent["blocks"][0]["text"]["text"].as_str().unwrap();
    assert!(
        text.contains("&lt;!channel&gt;") && text.contains("> no &lt;id&gt;"),
        "{text}"
    );
    let facts = sent["blocks"][1]["elements"][0]["text"].as_str().unwrap();
    assert!(
        facts.contains("<http://ops.example:8081/v1/dead-letters?"),
        "{facts}"
    );
}

#[tokio::test]
async fn a_refusal_never_shows_the_secret_path() {
    let receiver = Receiver::start(vec!["404 Not Found".into()]).await;
    let channel = slack(&receiver);
    let failure = channel.send(&notice(NoticeKind::Opened)).await.unwrap_err();
    assert_eq!(failure.class.code(), "not-found");
    let shown = format!("{failure} {channel:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn pagerduty_triggers_and_resolves_under_one_key() {
    let receiver = Receiver::start(vec!["202 Accepted".into()]).await;
    let channel = PagerDutyChannel::new(
        receiver.url("/v2/enqueue"),
        secret("routing"),
        OPERATOR.into(),
        egress(),
        Stopped::at(10),
    );
    for kind in NoticeKind::ALL {
        channel.send(&notice(kind)).await.unwrap();
    }
    let (opened, repeated, over) = (body(&receiver, 0), body(&receiver, 1), body(&receiver, 2));
    assert_eq!(opened["event_action"], "trigger");
    assert_eq!(opened["routing_key"], "routing");
    assert_eq!(opened["payload"]["severity"], "error");
    assert_eq!(opened["payload"]["custom_details"]["count"], 3);
    assert_eq!(repeated["event_action"], "trigger");
    let key = &opened["dedup_key"];
    let resolved = json!({"routing_key": "routing", "event_action": "resolve", "dedup_key": key});
    assert_eq!(over, resolved);
    assert!(pagerduty_url().is_ok());
}

#[tokio::test]
async fn a_webhook_says_the_same_id_until_it_repeats_itself() {
    let receiver = Receiver::start(vec!["200 OK".into()]).await;
    let clock = Stopped::at(10);
    let channel = WebhookChannel::new(
        receiver.url("/"),
        vec![secret("key")],
        OPERATOR.into(),
        egress(),
        clock.clone(),
    )
    .unwrap();
    for (kind, secs) in [
        (NoticeKind::Opened, 10),
        (NoticeKind::Opened, 9_000),
        (NoticeKind::Repeated, 10),
        (NoticeKind::Repeated, 9_000),
    ] {
        clock.set(secs);
        channel.send(&notice(kind)).await.unwrap();
    }
    let requests = receiver.requests();
    let id = |at: usize| requests[at].header("webhook-id");
    assert_eq!(id(0), id(1));
    assert!(id(1) != id(2) && id(2) != id(3));
    assert!(requests[0].header("webhook-signature").starts_with("v1,"));
    let sent = body(&receiver, 0);
    assert_eq!(sent["type"], "tidegate.alert.opened");
    assert_eq!(sent["data"]["oldest"], "1970-01-01T00:00:05Z");
}

async fn run(script: &str) -> Result<(), String> {
    let channel = CommandChannel::new(
        "sh".into(),
        vec!["-c".into(), script.into()],
        OPERATOR.into(),
    )
    .within(Duration::from_millis(1_500));
    let result = channel.send(&notice(NoticeKind::Opened)).await;
    result.map_err(|failure| {
        assert_eq!(failure.class.code(), "transient");
        failure.message
    })
}

#[tokio::test]
async fn a_program_is_given_the_notice_and_nothing_else() {
    run("grep -q '\"rule\":\"dead-letters\"'").await.unwrap();
    run("test -z \"$HOME$CARGO_MANIFEST_DIR\"").await.unwrap();
    // One that does not read is not harmed by what it is given.
    run("exec <&-; true").await.unwrap();
}

#[tokio::test]
async fn a_program_that_fails_or_lingers_is_a_failure() {
    let failed = run("echo nobody there >&2; exit 3").await.unwrap_err();
    assert!(failed.contains("exit status: 3: nobody there"), "{failed}");
    let lingered = run("sleep 30").await.unwrap_err();
    assert!(lingered.contains("ended after 1500 ms"), "{lingered}");
    let talkative = run("yes x | head -c 1000000 >&2; exit 1")
        .await
        .unwrap_err();
    assert!(talkative.len() < 1_000, "{talkative}");
    let channel = CommandChannel::new("/no/such/program".into(), vec![], OPERATOR.into());
    let missing = channel.send(&notice(NoticeKind::Opened)).await.unwrap_err();
    assert!(
        missing.message.contains("could not be started"),
        "{missing}"
    );
}

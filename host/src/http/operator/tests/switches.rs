//! What a person pauses and resumes, and the alerts that stand.

use serde_json::{Value, json};
use tidegate_core::alert::{AlertKey, AlertRecord, AlertRule, AlertUpdate};
use tidegate_core::time::Timestamp;
use tidegate_store::Submission;

use super::letters::check_bodies;
use crate::http::world::{CONSUMER, SECRET, World};

#[tokio::test]
async fn a_sink_is_paused_and_resumed_by_a_person() {
    let world = World::new().await;
    let sinks = async || world.get("/v1/sinks").await.json()["items"][0].clone();
    let sink = sinks().await;
    for (pointer, expected) in [
        ("/name", json!("log")),
        ("/kind", json!("file")),
        ("/state", json!("running")),
        ("/cursor", json!("0")),
        ("/from", json!("now")),
        ("/filter/kinds", json!(["issue"])),
        ("/problem", Value::Null),
    ] {
        assert_eq!(sink.pointer(pointer), Some(&expected), "{pointer}");
    }
    let (pause, resume) = ("/v1/sinks/log/pause", "/v1/sinks/log/resume");
    check_bodies(
        &world,
        &[
            (pause, SECRET, "", 400, "bad-body"),
            (pause, CONSUMER, "{\"reason\":\"x\"}", 403, "forbidden"),
            (
                "/v1/sinks/other/pause",
                SECRET,
                "{\"reason\":\"x\"}",
                404,
                "not-found",
            ),
            ("/v1/sinks/other/resume", SECRET, "", 404, "not-found"),
        ],
    )
    .await;
    let paused = world.post(pause, "{\"reason\":\"moving\"}").await.json();
    assert_eq!(
        (&paused["state"], &paused["cause"]),
        (&json!("paused"), &json!("operator"))
    );
    world.changes(&["1"]).await;
    assert_eq!(sinks().await["backlog"], 1);
    let status = world.get("/v1/status").await.json();
    assert_eq!(status["sinks"][0]["reason"], "moving");
    assert_eq!(world.post(resume, "").await.json()["state"], "running");
    let audit = world.get("/v1/audit").await.json();
    for (place, action, reason) in [
        (0, "resume-sink", Value::Null),
        (1, "pause-sink", json!("moving")),
    ] {
        let entry = &audit["items"][place];
        assert_eq!(
            (&entry["action"], &entry["reason"]),
            (&json!(action), &reason)
        );
        assert_eq!(
            (&entry["subject"], &entry["who"]),
            (&json!("log"), &json!("all"))
        );
    }
}

#[tokio::test]
async fn a_paused_connection_says_so_and_since_when() {
    let world = World::new().await;
    let connection = "/v1/connections/tide/acme";
    let (pause, resume) = (
        format!("{connection}/pause"),
        format!("{connection}/resume"),
    );
    check_bodies(
        &world,
        &[
            (&pause, SECRET, "{}", 400, "bad-body"),
            (
                "/v1/connections/tide/other/pause",
                SECRET,
                "{\"reason\":\"x\"}",
                404,
                "not-found",
            ),
        ],
    )
    .await;
    let paused = world
        .post(&pause, "{\"reason\":\"they migrate\"}")
        .await
        .json();
    assert_eq!(paused["paused"]["reason"], "they migrate");
    assert_eq!(paused["paused"]["by"], "operator");
    let list = world.get("/v1/connections?connector=tide").await.json();
    assert_eq!(list["items"][0]["paused"], paused["paused"]);
    let resumed = world.post(&resume, "").await.json();
    assert_eq!(resumed, json!({"queued": 0, "more": false}));
    assert_eq!(world.get(connection).await.json()["paused"], Value::Null);
    let audit = world.get("/v1/audit").await.json();
    assert_eq!(audit["items"][0]["action"], "resume-connection");
    assert_eq!(audit["items"][1]["subject"], "tide/acme");
}

#[tokio::test]
async fn standing_alerts_are_shown() {
    let world = World::new().await;
    let alert = AlertRecord {
        key: AlertKey {
            rule: AlertRule::DeadLetters,
            subject: "tide/acme partner-data".into(),
        },
        since: Timestamp::from_secs(7),
        count: 3,
        oldest: None,
        summary: "3 dead letters of tide/acme".into(),
        excerpt: "not JSON".into(),
        link: "/v1/dead-letters?connection=tide/acme".into(),
        last_notice: Timestamp::from_secs(7),
        noticed_count: 3,
        clear_since: None,
    };
    let update = AlertUpdate {
        put: vec![alert],
        ..AlertUpdate::default()
    };
    let put = Submission::PutAlerts(Box::new(update));
    world.host.journal.submit(put).await.unwrap();
    let alerts = world.get("/v1/alerts").await.json();
    for (pointer, expected) in [
        ("/items/0/rule", json!("dead-letters")),
        ("/items/0/count", json!(3)),
        ("/items/0/since", json!("1970-01-01T00:00:07Z")),
        ("/items/0/oldest_at", Value::Null),
    ] {
        assert_eq!(alerts.pointer(pointer), Some(&expected), "{pointer}");
    }
    let status = world.get("/v1/status").await.json();
    assert_eq!(status["alerts"], alerts["items"]);
}

#[tokio::test]
async fn a_change_that_cannot_be_read_is_shown_and_hides_nothing_else() {
    let world = World::new().await;
    let pause = world.post("/v1/sinks/log/pause", "{\"reason\":\"moving\"}");
    assert_eq!(pause.await.status, 200);
    world.changes(&["1"]).await;
    let key = 1_u64.to_be_bytes();
    world.memory.corrupt("changes-00000001", &key, &[0xff]);
    let sink = world.get("/v1/sinks").await.json()["items"][0].clone();
    let shown = sink["problem"].as_str().unwrap_or_default().to_owned();
    assert!(shown.contains("is corrupt"), "{sink}");
    assert_eq!(sink["oldest_at"], Value::Null);
    let status = world.get("/v1/status").await.json();
    let is_of_sink = |what: &&Value| {
        what["what"]
            .as_str()
            .is_some_and(|what| what.contains(&shown))
    };
    let problems = status["problems"].as_array().unwrap();
    let told = problems.iter().find(is_of_sink).unwrap();
    let fix = told["fix"].as_str().unwrap();
    assert!(fix.contains("look at the disk"), "{fix}");
    let metrics = world.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.body.contains("sink_backlog{sink=\"log\"} 1"));
}

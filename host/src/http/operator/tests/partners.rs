//! What the operator API says of partners: connectors, connections, what was refused and
//! what was given up.

use serde_json::{Value, json};
use tidegate_core::ports::End;
use tidegate_core::task::DeadCause;

use super::check_table;
use crate::http::world::{SECRET, World, ask};

#[tokio::test]
async fn a_closed_connection_is_a_problem_and_a_dead_letter_is_counted() {
    let world = World::new().await;
    world.event("d-1").await;
    let reason = "not JSON".to_owned();
    world
        .map(End::Park {
            cause: DeadCause::PartnerData,
            reason,
        })
        .await;
    let letters = world.get("/v1/dead-letters").await.json();
    assert_eq!(letters["items"][0]["cause"], "partner-data");
    assert_eq!(letters["items"][0]["event"], "evt_0000000000000001");
    let status = world.get("/v1/status").await.json();
    assert_eq!(status["events"]["dead"], 1);
    let problems = status["problems"].to_string();
    assert!(!problems.contains("dead letter"), "{problems}");
    assert!(
        problems.contains("connection bare/acme takes no webhooks"),
        "{problems}"
    );
    let event = world.get("/v1/events/evt_0000000000000001").await.json();
    assert_eq!(
        (&event["state"], &event["reason"]),
        (&json!("dead"), &json!("not JSON"))
    );
}

#[tokio::test]
async fn connections_and_connectors_say_what_is_missing() {
    let world = World::new().await;
    let page = world.get("/v1/connections?limit=2").await.json();
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|item| item["url_path"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&page), ["/in/bare/acme", "/in/tide/acme"]);
    assert_eq!(page["items"][0]["state"], "closed");
    let next = format!("/v1/connections?cursor={}", page["next"].as_str().unwrap());
    assert_eq!(
        names(&world.get(&next).await.json()),
        ["/in/tide/%C3%85cme%20%26%20Co"]
    );
    let connectors = world.get("/v1/connectors").await.json();
    assert_eq!(
        connectors["items"][1]["scheme"],
        "shared-token in header x-token"
    );
    assert_eq!(connectors["items"][1]["state"], "no-plugin");
    let one = world
        .get("/v1/connections/tide/%C3%85cme%20%26%20Co")
        .await
        .json();
    assert_eq!(one["secrets"], json!({"webhook": 1}));
}

#[tokio::test]
async fn connections_say_when_they_were_last_heard_of() {
    let world = World::new().await;
    world.event("d-1").await;
    let page = world.get("/v1/connections?connector=tide").await.json();
    let event = world.get("/v1/events/evt_0000000000000001").await.json();
    assert_eq!(page["items"][0]["last_event_at"], event["received_at"]);
    assert_eq!(page["items"][1]["last_event_at"], Value::Null);
    let one = world.get("/v1/connections/tide/acme").await.json();
    assert_eq!(one["last_event_at"], event["received_at"]);
}

#[tokio::test]
async fn a_refused_configuration_file_is_a_problem_until_it_is_corrected() {
    let world = World::new().await;
    let missing = crate::config::ConfigSource::new(Some("/nowhere/t.toml".into()));
    let error = missing.load().unwrap_err();
    let problems = async || world.get("/v1/status").await.json()["problems"].to_string();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    world.host.reloads.note(Some((now, &error)));
    let told = problems().await;
    for words in [
        "refused at 2026-01-01T00:00:00Z",
        "/nowhere/t.toml",
        "tidegate check",
    ] {
        assert!(told.contains(words), "{words} is not in {told}");
    }
    world.host.reloads.note(None);
    assert!(!problems().await.contains("refused at"));
}

#[tokio::test]
async fn refusals_are_shown_to_the_operator() {
    let world = World::new().await;
    let forged = "POST /in/tide/acme HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(ask(world.ingress, forged.as_bytes()).await.status, 401);
    let page = world.get("/v1/connections/tide/acme/refusals").await.json();
    assert_eq!(page["items"][0]["code"], "signature_missing");
    assert_eq!(page["items"][0]["path"], "/in/tide/acme");
    let status = world.get("/v1/status").await.json();
    let refused = &status["ingress"]["refused_last_hour"];
    assert_eq!(refused.as_array().unwrap().len(), 1);
    assert_eq!(
        (&refused[0]["path"], &refused[0]["count"]),
        (&json!("/in/tide/acme"), &json!(1))
    );
    assert_eq!(refused[0]["code"], "signature_missing");
}

#[tokio::test]
async fn consent_is_to_a_version_by_its_digest() {
    let world = World::new().await;
    let path = |digest: &str| format!("/v1/connectors/tide/consent?digest={digest}");
    let good = format!("sha256:{}", "a7".repeat(32));
    let (none, odd, unknown) = (path(""), path("sha256:a7"), path(&good));
    check_table(
        &world,
        &[
            ("POST", &none, Some(SECRET), 400, "bad-query"),
            ("POST", &odd, Some(SECRET), 400, "bad-query"),
            // The desk of these tests has loaded nothing.
            ("POST", &unknown, Some(SECRET), 404, "not-found"),
        ],
    )
    .await;
}

//! Partners by their presets: handshakes, secrets that they hand over, thin pings, several
//! events in one body; and connections that a waiver leaves open.

use hmac::digest::KeyInit as _;
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;

const PARTNERS: &str = r#"
[connectors.meta]
preset = "meta"
[connections."meta/acme"]
secrets.webhook = "file:SECRET"
secrets.verify_token = "file:SECRET"
[connectors.asana]
preset = "asana"
[connections."asana/acme"]
[connectors.dropbox]
preset = "dropbox"
[connections."dropbox/acme"]
secrets.webhook = "file:SECRET"
[connectors.gocardless]
preset = "gocardless"
[connections."gocardless/acme"]
secrets.webhook = "file:SECRET"
[connectors.erp]
plugin = "not-there.wasm"
[connections."erp/open"]
[connections."erp/over"]
[[policy.waivers]]
connection = "erp/open"
reason = "they cannot sign"
until = 2999-01-01
[[policy.waivers]]
connection = "erp/over"
reason = "they could not sign"
until = 2001-01-01
"#;

async fn world() -> World {
    World::with(PARTNERS).await
}

/// A request with these header lines.
async fn send(world: &World, method: &str, target: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    let head =
        format!("{method} {target} HTTP/1.1\nHost: x\n{headers}Content-Length: {length}\n\n");
    let mut bytes = raw(&head);
    bytes.extend_from_slice(body.as_bytes());
    ask(world.ingress, &bytes).await
}

fn mac(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

#[tokio::test]
async fn a_challenge_is_echoed_to_whoever_has_the_token() {
    let world = world().await;
    let ask = async |token: &str| {
        let query = format!("hub.mode=subscribe&hub.challenge=%3Cb%3E1&hub.verify_token={token}");
        send(&world, "GET", &format!("/in/meta/acme?{query}"), "", "").await
    };
    let reply = ask(SECRET).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "<b>1"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert!(
        reply
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    for token in ["guess", ""] {
        expect("another token", &ask(token).await, 403, "");
    }
    let delete = send(&world, "DELETE", "/in/meta/acme", "", "").await;
    expect("DELETE", &delete, 405, "method-not-allowed");
    let refusals = world.get("/v1/connections/meta/acme/refusals").await.json();
    assert_eq!(
        refusals["counts"][0],
        json!({"path": "/in/meta/acme", "code": "handshake", "count": 2})
    );
    assert!(world.host.metrics.refusals().in_a_row().is_empty());
    assert_eq!(world.host.reader.counts().events, 0);
}

#[tokio::test]
async fn a_secret_is_taken_once_while_it_is_awaited_and_verified_with_at_once() {
    let world = world().await;
    let hand_over = async |secret: &str| {
        let header = format!("X-Hook-Secret: {secret}\n");
        send(&world, "POST", "/in/asana/acme", &header, "{}").await
    };
    expect("nobody awaits it", &hand_over("s-0").await, 403, "");
    let path = "/v1/connections/asana/acme/await-secret?for=1m";
    let awaits = world.post(path, "{\"reason\":\"new webhook\"}").await;
    assert_eq!(awaits.status, 200, "{awaits:?}");
    assert!(awaits.json()["awaits_secret_until"].is_string());
    let reply = hand_over("s-1").await;
    assert_eq!(
        (reply.status, reply.header("x-hook-secret")),
        (200, Some("s-1"))
    );
    expect("a stranger after it", &hand_over("s-2").await, 409, "");

    let body = r#"{"events":[{"action":"changed"}]}"#;
    let deliver = async |secret: &str| {
        let header = format!("X-Hook-Signature: {}\n", mac(secret, body));
        send(&world, "POST", "/in/asana/acme", &header, body)
            .await
            .status
    };
    assert_eq!(deliver("s-2").await, 401);
    assert_eq!(deliver("s-1").await, 200);
    let one = world.get("/v1/connections/asana/acme").await;
    assert!(!one.body.contains("s-1"), "{}", one.body);
    let one = one.json();
    assert_eq!(one["awaits_secret_until"], Value::Null);
    assert_eq!(one["received_secrets"][0]["origin"], "store-secret");
    assert_eq!(one["webhook_secrets"][0]["matched"], 1);
    let audit = world.get("/v1/audit").await.json();
    let actions: Vec<_> = audit["items"].as_array().unwrap().iter().collect();
    let actions: Vec<_> = actions.iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["receive-secret", "await-secret"]);

    let other = world
        .post("/v1/connections/tide/acme/await-secret", "")
        .await;
    assert_eq!(
        (other.status, other.json()["type"].as_str()),
        (409, Some("/problems/no-secret-handshake"))
    );
    let long = world
        .post("/v1/connections/asana/acme/await-secret?for=25h", "")
        .await;
    assert_eq!(long.status, 400);
}

#[tokio::test]
async fn thin_pings_are_one_wish_to_poll_and_no_events() {
    let world = world().await;
    let body = r#"{"list_folder":{"accounts":["dbid:1"]}}"#;
    let header = format!("X-Dropbox-Signature: {}\n", mac(SECRET, body));
    for _ in 0..3 {
        let reply = send(&world, "POST", "/in/dropbox/acme", &header, body).await;
        assert_eq!(reply.json(), json!({"status": "accepted", "events": []}));
    }
    let counts = world.host.reader.counts();
    assert_eq!((counts.events, counts.waiting), (0, 1));
    let challenge = send(&world, "GET", "/in/dropbox/acme?challenge=abc", "", "").await;
    assert_eq!((challenge.status, challenge.body.as_str()), (200, "abc"));
}

#[tokio::test]
async fn several_events_of_a_body_are_taken_together_and_known_apart() {
    let world = world().await;
    let deliver = async |ids: &[&str]| {
        let events: Vec<_> = ids.iter().map(|id| json!({"id": id})).collect();
        let body = json!({"events": events, "meta": {"webhook_id": "WB1"}}).to_string();
        let header = format!("Webhook-Signature: {}\n", mac(SECRET, &body));
        send(&world, "POST", "/in/gocardless/acme", &header, &body)
            .await
            .json()
    };
    let first = deliver(&["EV1", "EV2"]).await;
    assert_eq!(first["status"], "accepted");
    assert_eq!(first["events"].as_array().unwrap().len(), 2);
    let second = deliver(&["EV2", "EV3"]).await;
    assert_eq!(second["status"], "accepted");
    assert_eq!(second["events"][0], first["events"][1]);
    assert_eq!(deliver(&["EV3", "EV1"]).await["status"], "duplicate");
    assert_eq!(world.host.reader.counts().events, 3);
    let id = first["events"][1].as_str().unwrap();
    let event = world.get(&format!("/v1/events/{id}")).await.json();
    assert_eq!(
        (&event["partner_id"], &event["body"]),
        (&json!("EV2"), &json!("{\"id\":\"EV2\"}"))
    );
}

#[tokio::test]
async fn a_waiver_lets_anyone_in_until_it_is_over_and_is_shown() {
    let world = world().await;
    let open = send(
        &world,
        "POST",
        "/in/erp/open",
        "Authorization: Basic aHVudGVyMg==\n",
        "{}",
    )
    .await;
    assert_eq!(open.status, 200);
    expect(
        "over",
        &send(&world, "POST", "/in/erp/over", "", "{}").await,
        401,
        "",
    );
    expect(
        "GET",
        &send(&world, "GET", "/in/erp/open", "", "").await,
        405,
        "method-not-allowed",
    );
    let one = world.get("/v1/connections/erp/open").await.json();
    assert_eq!(one["waiver"]["state"], "in-force");
    let page = world.get("/v1/connections?connector=erp").await.json();
    assert_eq!(page["items"][1]["waiver"]["state"], "over");
    let status = world.get("/v1/status").await.json()["problems"].to_string();
    for said in [
        "requests of erp/open are not verified until 2999-01-02T00:00:00Z: they cannot sign",
        "requests of erp/over are refused since its waiver was over",
    ] {
        assert!(status.contains(said), "{said} is not in {status}");
    }
    let refusals = world.get("/v1/connections/erp/over/refusals").await.json();
    assert_eq!(refusals["items"][0]["code"], "waiver_over");
    let id = open.json()["events"][0].as_str().unwrap().to_owned();
    let event = world.get(&format!("/v1/events/{id}")).await;
    assert!(!event.body.contains("aHVudGVyMg"), "{}", event.body);
    assert_eq!(event.json()["body_authenticated"], "none");
}

#[tokio::test]
async fn a_duplicate_that_differs_is_counted_and_shown() {
    let world = world().await;
    for body in ["{}", "{}", "{\"a\":1}"] {
        let request = webhook(TIDE, &[("X-Delivery", "d-1")], body);
        assert_eq!(ask(world.ingress, &request).await.status, 200);
    }
    let one = world.get("/v1/connections/tide/acme").await.json();
    assert_eq!(one["duplicates_differing"]["count"], 1);
    assert_eq!(
        one["duplicates_differing"]["last_event"],
        "evt_0000000000000001"
    );
    let status = world.get("/v1/status").await.json();
    assert_eq!(status["events"]["duplicates_differing"], 1);
    let metrics = world.get("/metrics").await.body;
    let differing = "tidegate_events_total{connector=\"tide\",outcome=\"duplicate-differs\"} 1";
    assert!(metrics.contains(differing), "{metrics}");
    let matches = "tidegate_signature_matches_total{connector=\"tide\",position=\"1\"} 3";
    assert!(metrics.contains(matches), "{metrics}");
}

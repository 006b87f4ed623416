//! The operator API: requests and answers, permissions, and the document against the
//! table of routes.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::openapi::DOCUMENT;
use super::routes;
use crate::http::world::{CONSUMER, Peer, Reply, SECRET, World, ask, change, get, request};

mod letters;
mod partners;
mod switches;

#[test]
fn the_document_has_every_route_and_no_other() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let documented: BTreeSet<_> = paths
        .iter()
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .unwrap()
                .keys()
                .map(move |method| format!("{method} {path}"))
        })
        .collect();
    let served: BTreeSet<_> = routes()
        .iter()
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert_eq!(documented, served);
}

#[test]
fn the_document_refers_to_what_it_has() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let references = references(&document);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str);
            own.into_iter()
                .chain(members.values().flat_map(references))
                .collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// A table of requests: method, path, token, status, and the end of the problem's type.
type Row<'r> = (&'r str, &'r str, Option<&'r str>, u16, &'r str);

async fn check_table(world: &World, table: &[Row<'_>]) {
    for (method, path, token, status, slug) in table {
        let reply = ask(world.operator, &request(method, path, *token, &[])).await;
        assert_eq!(reply.status, *status, "{method} {path}: {reply:?}");
        if !slug.is_empty() {
            assert_eq!(
                reply.header("content-type"),
                Some("application/problem+json"),
                "{path}"
            );
            assert_eq!(
                reply.json()["type"],
                format!("/problems/{slug}"),
                "{method} {path}"
            );
            assert_ne!(reply.json()["detail"], "", "{path}");
        }
    }
}

#[tokio::test]
async fn tokens_open_what_their_scopes_say() {
    let world = World::new().await;
    let (all, consumer) = (Some(SECRET), Some(CONSUMER));
    check_table(
        &world,
        &[
            ("GET", "/healthz", None, 200, ""),
            ("GET", "/readyz", None, 200, ""),
            ("GET", "/", None, 200, ""),
            ("GET", "/v1/openapi.json", None, 200, ""),
            ("GET", "/metrics", None, 200, ""),
            ("GET", "/v1/status", None, 401, "unauthorized"),
            ("GET", "/v1/status", Some("guess"), 401, "unauthorized"),
            ("GET", "/v1/status", consumer, 403, "forbidden"),
            ("GET", "/v1/status", all, 200, ""),
            ("GET", "/v1/changes", None, 401, "unauthorized"),
            ("GET", "/v1/changes", consumer, 200, ""),
            ("GET", "/v1/entities", consumer, 200, ""),
            ("GET", "/v1/events", consumer, 403, "forbidden"),
            (
                "POST",
                "/v1/connectors/tide/consent",
                consumer,
                403,
                "forbidden",
            ),
        ],
    )
    .await;
    let reply = ask(world.operator, &get("/v1/status", None, &[])).await;
    assert_eq!(
        reply.header("www-authenticate"),
        Some("Bearer realm=\"tidegate\"")
    );
}

#[tokio::test]
async fn wrong_input_is_told_by_name() {
    let world = World::new().await;
    let all = Some(SECRET);
    check_table(
        &world,
        &[
            ("GET", "/v1/nothing", all, 404, "not-found"),
            ("GET", "/v1/status/", all, 404, "not-found"),
            ("DELETE", "/v1/status", all, 405, "method-not-allowed"),
            ("GET", "/v1/events/%ff", all, 400, "bad-path"),
            ("GET", "/v1/events/evt_1", all, 404, "not-found"),
            (
                "GET",
                "/v1/events/evt_00000000000000ff",
                all,
                404,
                "not-found",
            ),
            ("GET", "/v1/events?stat=dead", all, 400, "unknown-parameter"),
            ("GET", "/v1/events?state=ded", all, 400, "bad-query"),
            ("GET", "/v1/events?connection=tide", all, 400, "bad-query"),
            ("GET", "/v1/events?cursor=7", all, 400, "bad-cursor"),
            ("GET", "/v1/events?limit=1001", all, 400, "bad-query"),
            ("GET", "/v1/changes?since=x", all, 400, "bad-cursor"),
            ("GET", "/v1/changes?since=1", all, 409, "cursor-ahead"),
            ("GET", "/v1/changes?wait=61", all, 400, "bad-query"),
            ("GET", "/v1/changes?entity=/1", all, 400, "bad-query"),
            ("GET", "/v1/entities?account=acme", all, 400, "bad-query"),
            ("GET", "/v1/entities?cursor=x", all, 400, "bad-cursor"),
            (
                "GET",
                "/v1/entities/tide/acme/issue/1",
                all,
                404,
                "not-found",
            ),
            ("GET", "/v1/connections/tide/other", all, 404, "not-found"),
            (
                "PUT",
                "/v1/connections/tide/other",
                all,
                409,
                "connection-in-configuration",
            ),
            (
                "DELETE",
                "/v1/connections/tide/acme",
                all,
                409,
                "connection-in-configuration",
            ),
            (
                "DELETE",
                "/v1/connections/tide/other",
                all,
                404,
                "not-found",
            ),
            ("POST", "/v1/connectors/tide/consent", all, 400, "bad-query"),
            ("GET", "/in/tide/acme", all, 404, "not-found"),
        ],
    )
    .await;
    let reply = ask(world.operator, &request("DELETE", "/v1/status", all, &[])).await;
    assert_eq!(reply.header("allow"), Some("GET,HEAD"));
}

#[tokio::test]
async fn another_hosts_name_is_not_answered() {
    let world = World::new().await;
    let table = [
        ("localhost:99", 200),
        ("127.0.0.1", 200),
        ("[::1]:8081", 200),
        ("evil.example", 421),
        ("evil.example:8081", 421),
        ("a b", 421),
    ];
    for (name, status) in table {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {name}\r\n\r\n");
        assert_eq!(
            ask(world.operator, request.as_bytes()).await.status,
            status,
            "{name}"
        );
    }
    let nameless = ask(world.operator, b"GET /healthz HTTP/1.1\r\n\r\n").await;
    assert_eq!(nameless.status, 400);
    let old = ask(world.operator, b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.status, 200);
}

#[tokio::test]
async fn an_event_shows_its_request_and_what_became_of_it() {
    let world = World::new().await;
    world.changes(&["1"]).await;
    let events = world
        .get("/v1/events?connection=tide/acme&state=mapped")
        .await
        .json();
    assert_eq!(events["items"][0]["id"], "evt_0000000000000001");
    assert_eq!(events["items"][0]["changes"], 1);
    assert_eq!(events["next"], Value::Null);
    let event = world.get("/v1/events/evt_0000000000000001").await.json();
    for (pointer, expected) in [
        ("/method", json!("POST")),
        ("/url_path", json!("/in/tide/acme")),
        ("/body", json!("{}")),
        ("/body_bytes", json!(2)),
        ("/body_authenticated", json!("none")),
        ("/state", json!("mapped")),
        ("/attempts/0/outcome", json!("ok")),
        ("/attempts/0/took_us", json!(120)),
        ("/attempts/0/stderr", json!("hm")),
        (
            "/changes/0",
            json!({"kind": "issue", "id": "1", "operation": "upsert", "fate": "applied", "seq": "1"}),
        ),
    ] {
        assert_eq!(event.pointer(pointer), Some(&expected), "{pointer}");
    }
    assert!(!event.to_string().contains(SECRET));
}

#[tokio::test]
async fn pages_lead_through_everything_once() {
    let world = World::new().await;
    world.changes(&["1", "2", "3", "4", "5"]).await;
    let mut seen = Vec::new();
    let mut path = "/v1/changes?limit=2".to_owned();
    loop {
        let page = world.get(&path).await.json();
        let changes = page["changes"].as_array().unwrap().clone();
        if changes.is_empty() {
            break;
        }
        seen.extend(
            changes
                .iter()
                .map(|change| change["entity"]["id"].as_str().unwrap().to_owned()),
        );
        path = format!(
            "/v1/changes?limit=2&since={}",
            page["next"].as_str().unwrap()
        );
    }
    assert_eq!(seen, ["1", "2", "3", "4", "5"]);
    let first = world
        .get("/v1/entities?connector=tide&account=acme&kind=issue&limit=3")
        .await
        .json();
    assert_eq!(
        (&first["position"], first["items"].as_array().unwrap().len()),
        (&json!("5"), 3)
    );
    world.changes(&["6"]).await;
    let cursor = first["next"].as_str().unwrap();
    let path = format!("/v1/entities?connector=tide&account=acme&kind=issue&cursor={cursor}");
    let second = world.get(&path).await.json();
    assert_eq!(second["position"], "5", "the first page's");
    assert_eq!(second["items"].as_array().unwrap().len(), 3);
    let entity = world.get("/v1/entities/tide/acme/issue/6").await.json();
    assert_eq!(
        (&entity["data"]["id"], &entity["change"]),
        (&json!("6"), &json!("6"))
    );
}

#[tokio::test]
async fn filters_take_what_they_say() {
    let world = World::new().await;
    world.changes(&["1", "a/b"]).await;
    for (query, count) in [
        ("entity=issue", 2),
        ("entity=issue/a/b", 1),
        ("entity=issue%2Fa%2Fb", 1),
        ("entity=release", 0),
        ("connector=tide", 2),
        ("connection=tide/acme", 2),
        ("connection=tide/other", 0),
        ("connector=other", 0),
    ] {
        let page = world.get(&format!("/v1/changes?{query}")).await.json();
        assert_eq!(page["changes"].as_array().unwrap().len(), count, "{query}");
        assert_eq!(
            page["next"], "2",
            "{query}: what was passed over is not looked at again"
        );
    }
}

#[tokio::test]
async fn a_long_poll_ends_with_a_change_or_with_its_time() {
    let world = World::new().await;
    let mut waiting = Peer::connect(world.operator).await;
    waiting
        .send(&get(
            "/v1/changes?wait=30&connection=tide/acme",
            Some(CONSUMER),
            &[],
        ))
        .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.changes(&["1"]).await;
    let page = waiting.reply().await.unwrap().json();
    assert_eq!(
        (&page["changes"][0]["seq"], &page["next"]),
        (&json!("1"), &json!("1"))
    );
    let page = world.get("/v1/changes?since=1&wait=1").await.json();
    assert_eq!(page, json!({"changes": [], "next": "1"}));
}

async fn stream(world: &World, path: &str, headers: &[(&str, &str)]) -> Peer {
    let mut peer = Peer::connect(world.operator).await;
    let headers = [&[("Accept", "text/event-stream")], headers].concat();
    peer.send(&get(path, Some(CONSUMER), &headers)).await;
    peer
}

#[tokio::test]
async fn a_stream_gives_each_change_once_and_ends_with_the_host() {
    let mut world = World::new().await;
    world.changes(&["1", "2", "3"]).await;
    let mut peer = stream(&world, "/v1/changes?since=0", &[("Last-Event-ID", "1")]).await;
    peer.until(b"id: 3\n").await.unwrap();
    world.changes(&["4"]).await;
    peer.until(b"id: 4\n").await.unwrap();
    world.tell_to_stop();
    // The last chunk: the stream ended as a whole message.
    peer.until(b"0\r\n\r\n").await.unwrap();
    world.stop().await;
    let text = peer.taken();
    assert!(text.contains("content-type: text/event-stream"), "{text}");
    let ids: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .collect();
    assert_eq!(ids, ["2", "3", "4"]);
    assert_eq!(text.matches("event: change\ndata: {\"seq\":\"").count(), 3);
}

#[tokio::test]
async fn a_stream_that_cannot_begin_is_a_problem() {
    let world = World::new().await;
    for (path, id, status) in [
        ("/v1/changes?since=9", "", 409),
        ("/v1/changes", "9", 409),
        ("/v1/changes", "nine", 400),
        ("/v1/changes?sinse=0", "", 400),
    ] {
        let mut peer = stream(&world, path, &[("Last-Event-ID", id)]).await;
        assert_eq!(peer.reply().await.unwrap().status, status, "{path} {id:?}");
    }
}

#[tokio::test]
async fn a_closed_gate_turns_readiness_red() {
    let world = World::new().await;
    world.host.gate.disk(Some(7));
    let reply: Reply = world.get("/readyz").await;
    assert_eq!(
        (reply.status, &reply.json()["state"]),
        (503, &json!("disk-low"))
    );
    let status = world.get("/v1/status").await.json();
    assert_eq!(status["store"]["state"], "disk-low");
    assert!(
        status["problems"][0]["fix"]
            .as_str()
            .unwrap()
            .contains("free disk")
    );
}

#[tokio::test]
async fn numbers_are_counted() {
    let world = World::new().await;
    world.changes(&["1"]).await;
    ask(
        world.ingress,
        b"POST /in/nobody HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    .await;
    let text = world.get("/metrics").await.body;
    for line in [
        r#"tidegate_ingress_requests_total{connector="tide",outcome="accepted"} 1"#,
        r#"tidegate_ingress_requests_total{connector="",outcome="unknown"} 1"#,
        r#"tidegate_events_total{connector="tide",outcome="accepted"} 1"#,
        r#"tidegate_map_attempts_total{connector="tide",outcome="mapped"} 1"#,
        "tidegate_change_newest 1",
        r#"tidegate_gate{state="open"} 1"#,
        r#"tidegate_gate{state="latched"} 0"#,
        "tidegate_change_streams 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn the_change_of_the_tests_is_within_bounds() {
    change("1").check().unwrap();
}

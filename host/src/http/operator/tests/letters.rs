//! Dead letters and replays through the API: what a person sees, what they do about it,
//! and what is written down of it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_core::ids::ChangeSeq;
use tidegate_core::ports::End;
use tidegate_core::sink::{FailedDelivery, SinkAdvance, SinkStart};
use tidegate_core::task::{Attempt, DeadCause, Next};
use tidegate_core::time::Timestamp;
use tidegate_store::{ChangeFilter, Submission};

use super::DOCUMENT;
use crate::http::world::{CONSUMER, SECRET, World, ask, change, post};

/// A request with a body: path, token, body, status, and the end of the problem's type.
type Row<'r> = (&'r str, &'r str, &'r str, u16, &'r str);

pub(super) async fn check_bodies(world: &World, table: &[Row<'_>]) {
    for (path, token, body, status, slug) in table {
        let reply = ask(world.operator, &post(path, Some(token), body)).await;
        assert_eq!(reply.status, *status, "{path} {body}: {reply:?}");
        if !slug.is_empty() {
            let problem = format!("/problems/{slug}");
            assert_eq!(reply.json()["type"], problem, "{path} {body}");
        }
    }
}

/// Has an event taken and parked, and gives the number that it and its letter share.
async fn parked(world: &World, delivery: &str) -> String {
    let event = world.event(delivery).await;
    world
        .map(End::Park {
            cause: DeadCause::PartnerData,
            reason: "not JSON".into(),
        })
        .await;
    event.strip_prefix("evt_").unwrap().to_owned()
}

#[track_caller]
fn check(document: &Value, expected: &[(&str, Value)]) {
    for (pointer, value) in expected {
        assert_eq!(document.pointer(pointer), Some(value), "{pointer}");
    }
}

#[tokio::test]
async fn a_dead_letter_is_shown_whole_and_says_what_to_do() {
    let world = World::new().await;
    let number = parked(&world, "d-1").await;
    let path = format!("/v1/dead-letters/tsk_{number}");
    let list = world
        .get("/v1/dead-letters?cause=partner-data&kind=map")
        .await;
    check(
        &list.json()["items"][0],
        &[
            ("/id", json!(format!("tsk_{number}"))),
            ("/connection", json!("tide/acme")),
            ("/sink", Value::Null),
            ("/partner_id", json!("d-1")),
            ("/attempts", json!(1)),
        ],
    );
    let letter = world.get(&path).await.json();
    check(
        &letter,
        &[
            ("/cause", json!("partner-data")),
            ("/reason", json!("not JSON")),
            ("/attempts/0/stderr", json!("hm")),
            ("/about/method", json!("POST")),
            ("/about/url_path", json!("/in/tide/acme")),
            ("/about/body", json!("{}")),
        ],
    );
    assert!(letter["fix"].as_str().unwrap().contains("replay"));
    for elsewhere in [
        "connection=tide/other",
        "sink=log",
        "channel=ops",
        "cause=sink",
        "kind=deliver",
    ] {
        let list = world.get(&format!("/v1/dead-letters?{elsewhere}")).await;
        assert_eq!(list.json()["items"], json!([]), "{elsewhere}");
    }
    let counts = world.get("/v1/dead-letters/counts").await.json();
    assert_eq!(
        (&counts["total"], &counts["items"][0]["count"]),
        (&json!(1), &json!(1))
    );
    let status = world.get("/v1/status").await.json();
    assert_eq!(status["dead_letters"][0]["cause"], "partner-data");
}

#[tokio::test]
async fn a_torn_letter_is_named_and_hides_no_other() {
    let world = World::new().await;
    let torn = parked(&world, "d-1").await;
    let whole = parked(&world, "d-2").await;
    let key = u64::from_str_radix(&torn, 16).unwrap().to_be_bytes();
    for room in ["dead", "dead-heads"] {
        world.memory.corrupt(room, &key, &[0xff]);
    }
    // Seen from the next commit on.
    world.event("d-3").await;
    let page = world.get("/v1/dead-letters").await.json();
    check(
        &page,
        &[
            ("/items/0/id", json!(format!("tsk_{whole}"))),
            ("/unreadable", json!([format!("tsk_{torn}")])),
            ("/next", Value::Null),
        ],
    );
}

#[tokio::test]
async fn a_replayed_letter_leaves_runs_and_is_in_the_audit_log() {
    let world = World::new().await;
    let number = parked(&world, "d-1").await;
    let (letter, event) = (format!("tsk_{number}"), format!("evt_{number}"));
    let path = format!("/v1/dead-letters/{letter}/replay");
    let reply = world.post(&path, "{\"reason\":\"mended\"}").await;
    assert_eq!(reply.json(), json!({"queued": 1, "event": event}));
    check_bodies(
        &world,
        &[
            (&path, SECRET, "", 409, "running-again"),
            (
                &format!("/v1/events/{event}/replay"),
                SECRET,
                "",
                409,
                "not-ended",
            ),
        ],
    )
    .await;
    assert_eq!(
        world
            .get(&format!("/v1/dead-letters/{letter}"))
            .await
            .status,
        404
    );
    world
        .map(End::Mapped {
            changes: vec![change("1")],
            fetch: Vec::new(),
            poll_now: false,
        })
        .await;
    let shown = world.get(&format!("/v1/events/{event}")).await.json();
    assert_eq!(shown["state"], "mapped");
    // An event that has ended runs again as well.
    let reply = world
        .post(&format!("/v1/events/{event}/replay"), "{}")
        .await;
    assert_eq!(reply.json()["queued"], 1);
    let audit = world.get("/v1/audit").await.json();
    check(
        &audit,
        &[
            ("/items/0/subject", json!(event)),
            ("/items/1/subject", json!(letter)),
            ("/items/1/who", json!("all")),
            ("/items/1/action", json!("replay")),
            ("/items/1/reason", json!("mended")),
            ("/items/1/count", json!(1)),
            ("/next", Value::Null),
        ],
    );
}

/// A change that a sink of no configuration did not take, so that nothing tries it again;
/// its letter's id.
async fn undelivered(world: &World) -> String {
    world.changes(&["1"]).await;
    let reader = &world.host.reader;
    let change = reader.changes(ChangeSeq::new(0), &ChangeFilter::default(), 1);
    let change = change.unwrap().changes.remove(0);
    let standing = reader.new_sink("old".parse().unwrap(), SinkStart::Now);
    let attempt = Attempt {
        number: 1,
        started: Timestamp::EPOCH,
        took: Duration::ZERO,
        plugin: None,
        settings: None,
        failure: None,
        stderr: String::new(),
    };
    let give_up = Next::Park {
        cause: DeadCause::Sink,
        reason: "never".into(),
    };
    let failed = FailedDelivery {
        seq: change.seq,
        connection: change.connection,
        entity: change.change.entity,
        since: change.committed,
        tried: Some((attempt, give_up)),
    };
    let put = Submission::PutSink {
        standing: Box::new(standing.clone()),
        audit: None,
    };
    world.host.journal.submit(put).await.unwrap();
    let failed = vec![failed];
    let advance = Submission::Advance(Box::new(SinkAdvance { standing, failed }));
    world.host.journal.submit(advance).await.unwrap();
    let list = world.get("/v1/dead-letters?sink=old").await.json();
    list["items"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_delivery_that_runs_again_is_a_conflict_and_not_unknown() {
    let world = World::new().await;
    let letter = undelivered(&world).await;
    let path = format!("/v1/dead-letters/{letter}/replay");
    assert_eq!(world.post(&path, "").await.json()["queued"], 1);
    let discard = format!("/v1/dead-letters/{letter}/discard");
    check_bodies(
        &world,
        &[
            (&path, SECRET, "", 409, "running-again"),
            (&discard, SECRET, "{\"reason\":\"x\"}", 409, "running-again"),
        ],
    )
    .await;
    let detail = world.post(&path, "").await.json()["detail"].to_string();
    assert!(
        detail.contains("nothing to do but wait") && detail.contains("/v1/sinks says how old"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_plugin_version_for_what_is_mapped_already_is_refused() {
    let world = World::new().await;
    let letter = undelivered(&world).await;
    let path = format!("/v1/dead-letters/{letter}/replay");
    let with = format!("\"with\":\"sha256:{}\"", "7".repeat(64));
    let of_cause = |cause: &str| format!("{{{with},\"cause\":\"{cause}\",\"dry_run\":true}}");
    check_bodies(
        &world,
        &[
            (&path, SECRET, &format!("{{{with}}}"), 400, "bad-body"),
            ("/v1/replays", SECRET, &of_cause("sink"), 400, "bad-body"),
            (
                "/v1/replays",
                SECRET,
                &of_cause("alert-channel"),
                400,
                "bad-body",
            ),
            ("/v1/replays", SECRET, &of_cause("mapping"), 200, ""),
            (&path, SECRET, "{}", 200, ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_discarded_letter_is_gone_and_its_event_says_why() {
    let world = World::new().await;
    let number = parked(&world, "d-1").await;
    let path = format!("/v1/dead-letters/tsk_{number}/discard");
    check_bodies(
        &world,
        &[
            (&path, SECRET, "", 400, "bad-body"),
            (&path, SECRET, "{\"reason\":\"\"}", 400, "bad-body"),
            (&path, SECRET, "{\"why\":\"x\"}", 400, "unknown-member"),
            (&path, CONSUMER, "{\"reason\":\"x\"}", 403, "forbidden"),
        ],
    )
    .await;
    let reply = world.post(&path, "{\"reason\":\"a test of theirs\"}").await;
    assert_eq!(reply.json(), json!({"discarded": 1}));
    let event = world.get(&format!("/v1/events/evt_{number}")).await.json();
    assert_eq!(
        (&event["state"], &event["reason"]),
        (&json!("skipped"), &json!("discarded: a test of theirs"))
    );
    let again = world.post(&path, "{\"reason\":\"x\"}").await;
    assert_eq!(again.status, 404);
    let audit = world.get("/v1/audit?limit=1").await.json();
    assert_eq!(audit["items"][0]["action"], "discard");
}

#[tokio::test]
async fn a_replay_by_filter_counts_first_and_tells_how_far_it_is() {
    let world = World::new().await;
    for delivery in ["d-1", "d-2", "d-3"] {
        parked(&world, delivery).await;
    }
    world.changes(&["1"]).await;
    let dry = |filter: &str| format!("{{{filter},\"dry_run\":true}}");
    for (filter, count) in [
        ("\"cause\":\"partner-data\"", 3),
        ("\"state\":\"mapped\"", 1),
        ("\"connection\":\"tide/acme\"", 4),
        ("\"connector\":\"bare\"", 0),
        ("\"until\":\"2020-01-01T00:00:00Z\"", 0),
    ] {
        let reply = world.post("/v1/replays", &dry(filter)).await;
        let expect = json!({"would_replay": count, "at_least": false});
        assert_eq!(reply.json(), expect, "{filter}");
    }
    let body = "{\"cause\":\"partner-data\",\"reason\":\"mended\"}";
    let begun = world.post("/v1/replays", body).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    let path = begun.header("location").unwrap().to_owned();
    let run = async {
        loop {
            let run = world.get(&path).await.json();
            if run["state"] == "ended" {
                break run;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let run = tokio::time::timeout(Duration::from_secs(10), run).await;
    check(
        &run.unwrap(),
        &[
            ("/filter", json!({"cause": "partner-data"})),
            ("/total", json!(3)),
            ("/queued", json!(3)),
            ("/passed", json!(0)),
            ("/who", json!("all")),
        ],
    );
    let status = world.get("/v1/status").await.json();
    assert_eq!(
        (&status["events"]["dead"], &status["replays"]),
        (&json!(0), &json!([]))
    );
    let runs = world.get("/v1/replays").await.json();
    check(
        &runs["items"][0],
        &[
            ("/queued", json!(3)),
            ("/who", json!("all")),
            ("/reason", json!("mended")),
        ],
    );
    let audit = world.get("/v1/audit").await.json();
    check(
        &audit["items"][0],
        &[("/reason", json!("mended")), ("/count", json!(3))],
    );
}

#[tokio::test]
async fn the_document_has_every_member_of_every_body() {
    let world = World::new().await;
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let mut bodies = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let pointer = "/post/requestBody/content/application~1json/schema/properties";
        let Some(members) = methods.pointer(pointer) else {
            continue;
        };
        let path = path.replace(['{', '}'], "");
        let refused = world.post(&path, "{\"xxxxxxxxxxxx\":1}").await.json();
        let detail = refused["detail"].as_str().unwrap().to_owned();
        let (_, taken) = detail
            .split_once("there are ")
            .unwrap_or_else(|| panic!("{refused}"));
        let taken: BTreeSet<_> = taken.split(", ").collect();
        let documented = members.as_object().unwrap().keys().map(String::as_str);
        assert_eq!(documented.collect::<BTreeSet<_>>(), taken, "{path}");
        bodies += 1;
    }
    assert_eq!(bodies, 9);
}

#[tokio::test]
async fn bodies_that_cannot_be_meant_are_refused_by_name() {
    let world = World::new().await;
    let large = format!("{{\"reason\":\"{}\"}}", "x".repeat(70_000));
    let replays = "/v1/replays";
    check_bodies(
        &world,
        &[
            (replays, SECRET, "", 400, "bad-body"),
            (replays, SECRET, "{}", 400, "bad-body"),
            (replays, SECRET, "{\"dry_run\":true}", 400, "bad-body"),
            (
                replays,
                SECRET,
                "{\"conection\":\"tide/acme\"}",
                400,
                "unknown-member",
            ),
            (replays, SECRET, "{\"connection\":\"\"}", 400, "bad-body"),
            (replays, SECRET, "{\"cause\":\"fate\"}", 400, "bad-body"),
            (replays, SECRET, "{\"state\":\"pending\"}", 400, "bad-body"),
            (
                replays,
                SECRET,
                "{\"cause\":\"sink\",\"state\":\"mapped\"}",
                400,
                "bad-body",
            ),
            (
                replays,
                SECRET,
                "{\"plugin\":\"sha256:7\"}",
                400,
                "bad-body",
            ),
            (replays, SECRET, &large, 413, "body-too-large"),
            (replays, CONSUMER, "{\"state\":\"dead\"}", 403, "forbidden"),
            (
                "/v1/dead-letters/tsk_00000000000000ff/replay",
                SECRET,
                "",
                404,
                "not-found",
            ),
            (
                "/v1/dead-letters/evt_0000000000000001/replay",
                SECRET,
                "",
                404,
                "not-found",
            ),
            (
                "/v1/events/evt_00000000000000ff/replay",
                SECRET,
                "",
                404,
                "not-found",
            ),
        ],
    )
    .await;
    assert_eq!(
        world.get("/v1/replays/rpl_00000000000000ff").await.status,
        404
    );
    assert_eq!(world.get("/v1/dead-letters?cause=fate").await.status, 400);
}

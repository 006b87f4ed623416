//! Answers inside and outside the contract's bounds.

use std::time::Duration;

use tidegate_core::change::{Operation, ProposedChange};
use tidegate_core::failure::FailureClass;
use tidegate_core::mapping::Mapped;
use tidegate_core::time::Timestamp;

use crate::guest::{call, check_unharmed, said};

#[track_caller]
fn check(order: &str, expect: &str) {
    let said = said(&call(order));
    assert!(
        said.starts_with(expect),
        "{order}: {said:?} does not begin with {expect:?}"
    );
    check_unharmed();
}

#[track_caller]
fn check_outside(order: &str, expect: &str) {
    check(
        order,
        &format!("plugin-answer: map-webhook answered outside the contract: {expect}"),
    );
}

#[test]
fn good_answers_arrive_as_given() {
    check("skip nothing in it", "skip: nothing in it");
    check("poll-now", "mapped: 0 changes, 0 fetches, poll true");
    check("delete", "mapped: 1 changes");
    check("fetches 100", "mapped: 0 changes, 100 fetches, poll false");
    check("changes 1000", "mapped: 1000 changes");
    check("id 512", "mapped: 1 changes");
    check("revision 256", "mapped: 1 changes");
    check("long-skip 1024", "skip: rrr");
    check("data-large 1000000", "mapped: 1 changes");
}

#[test]
fn a_change_arrives_whole() {
    let Ok(Mapped::Mapping(mapping)) = call("map").answer else {
        panic!("not mapped");
    };
    let change = &mapping.changes[0];
    assert_eq!((&*change.entity.kind, &*change.entity.id), ("thing", "1"));
    assert_eq!(change.operation, Operation::Upsert);
    assert_eq!(change.version, Some(7));
    assert_eq!(change.occurred, Some(Timestamp::from_secs(1)));
    assert_eq!(change.data.as_deref(), Some(&b"{\"n\":1}"[..]));
    assert_eq!(
        change.revision,
        ProposedChange::content_revision(Some(b"{\"n\":1}"))
    );
}

#[test]
fn mappings_over_a_bound() {
    check_outside("empty", "the mapping is empty");
    check_outside("changes 1001", "the mapping has 1001 changes, over 1000");
    check_outside(
        "fetches 101",
        "the mapping names 101 entities to fetch, over 100",
    );
    check_outside("skip", "the reason of a skip is 0 bytes long");
    check_outside("long-skip 1025", "the reason of a skip is 1025 bytes long");
}

#[test]
fn changes_over_a_bound() {
    check_outside("kind Thing", "entity kind \"Thing\" is not");
    check_outside("kind", "entity kind \"\" is not");
    check_outside("id 0", "an id of entity kind thing is 0 bytes long");
    check_outside("id 513", "an id of entity kind thing is 513 bytes long");
    check_outside("revision 257", "the revision of thing 1 is 257 bytes long");
    check_outside("no-data", "the upsert of thing 1 has no data");
    check_outside("data-large 1048577", "the data of thing 1 is");
}

#[test]
fn data_that_is_no_json_object() {
    check_outside("data nonsense", "the data of thing 1 is not a JSON object");
    check_outside("data [1]", "the data of thing 1 is not a JSON object");
    check_outside("data {\"a\":", "the data of thing 1 is not a JSON object");
    check_outside(
        "data-not-text",
        "the data of thing 1 is not a JSON object: invalid utf-8",
    );
}

#[test]
fn text_that_is_none() {
    check_outside("text-not-utf8", "invalid utf-8");
}

#[test]
fn failures_keep_their_class() {
    for class in [
        "transient",
        "rate-limited",
        "unauthorized",
        "permanent",
        "not-found",
        "checkpoint-expired",
        "refused",
    ] {
        check(
            &format!("fail {class}"),
            &format!("{class}: {class} on purpose"),
        );
    }
}

#[test]
fn a_rate_limit_keeps_its_delay() {
    let delay = |order| match call(order).answer.unwrap_err().class {
        FailureClass::RateLimited { delay } => delay,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        delay("fail rate-limited"),
        Some(Duration::from_millis(1_500))
    );
    assert_eq!(
        delay("fail rate-limited-for-ever"),
        Some(Duration::from_millis(u64::MAX))
    );
}

#[test]
fn a_failures_text_has_a_bound() {
    check("long-failure 4096", "transient: fff");
    check_outside(
        "long-failure 4097",
        "the text of a failure (transient) is 4097 bytes long, over 4096: fff",
    );
}

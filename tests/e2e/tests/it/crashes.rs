//! kill -9, in few rounds; `cargo xtask sim kill9` does many.

use std::fs;

use tidegate_e2e::host::{Engine, Options, PLAIN};
use tidegate_e2e::kill9::{self, Plan};

use crate::support::{Running, SOON, folder};

const ON_SLED: Options = Options {
    engine: Engine::Sled,
    mapping: true,
};

#[test]
fn kill_9_under_load_keeps_every_promise() {
    let plan = Plan {
        rounds: 8,
        seed: 20_260_301,
        options: PLAIN,
        sinks: false,
    };
    let report = kill9::run(&plan, folder().path(), &mut |_| {}).unwrap();
    assert_eq!((report.kills, report.kills_while_starting), (8, 2));
    assert!(report.events > 500, "{report:?}");
}

#[test]
fn kill_9_with_sinks_one_of_them_postgres_keeps_every_promise() {
    let plan = Plan {
        rounds: 5,
        seed: 20_260_303,
        options: PLAIN,
        sinks: true,
    };
    let report = kill9::run(&plan, folder().path(), &mut |_| {}).unwrap();
    assert_eq!((report.kills, report.kills_while_starting), (5, 1));
    assert!(report.left_to_deliver > 0, "{report:?}");
}

#[test]
fn kill_9_on_sled_keeps_every_promise() {
    let plan = Plan {
        rounds: 3,
        seed: 20_260_302,
        options: ON_SLED,
        sinks: false,
    };
    kill9::run(&plan, folder().path(), &mut |_| {}).unwrap();
}

#[test]
fn sled_says_at_start_what_it_cannot_keep() {
    let running = Running::start_with(ON_SLED);
    assert_eq!(running.send_issue(1).status, 200);
    assert_eq!(running.only_event()["state"], "mapped");
    let log = fs::read_to_string(running.site.log()).unwrap();
    assert!(log.contains("power loss"), "{log}");
    let status = running.operator().get("/v1/status").unwrap().to_string();
    assert!(status.contains("power loss"), "{status}");
    running.operator().wait_until_mapped(SOON).unwrap();
}

//! The player that `cargo xtask run` starts.

use std::time::Duration;

use tidegate_e2e::host::SECRET;
use tidegate_e2e::play::{self, Plan};

use crate::support::{Running, workspace};

#[test]
fn playing_the_fixtures_shows_events_and_changes() {
    let running = Running::start();
    let plan = Plan {
        ingress: running.site.ingress(),
        operator: running.operator().clone(),
        secret: SECRET.into(),
        fixtures: workspace().join("plugins/github/fixtures"),
        pause: Duration::ZERO,
    };
    let mut shown = Vec::new();
    play::run(&plan, &mut shown).unwrap();
    let shown = String::from_utf8(shown).unwrap();
    for expect in [
        "200 accepted",
        "mapped",
        "skipped: ",
        "change 1 ",
        "upsert",
        "delete",
    ] {
        assert!(shown.contains(expect), "{expect:?} is not in\n{shown}");
    }
    assert!(!shown.contains("dead"), "{shown}");
}

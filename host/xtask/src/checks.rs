//! `cargo xtask test`: exactly what CI runs.
//!
//! Each dependency is compiled at most three times: checked (clippy and docs share
//! that), for tests, and for the release binaries that the end-to-end tests drive.

use std::process::Command;

use crate::project::{build_plugin, build_release, cargo, succeed};
use crate::{install, step::Steps};

/// Runs every check and says what it took.
pub(crate) fn run() -> Result<(), String> {
    println!("xtask test: everything that CI checks");
    let mut steps = Steps::default();
    steps.need("toolchain: target and linters", || {
        install::wasm_target().and_then(|()| install::lint_components())
    })?;
    let octokit = steps.prepare("octokit replay: node and npm packages", install::octokit);
    let postgres = steps.prepare("bench baseline: PostgreSQL", install::postgres);

    steps.check("formatting", || {
        succeed(&mut cargo(["fmt", "--all", "--check"]))
    });
    steps.check("clippy", || {
        let all = ["clippy", "--workspace", "--all-targets", "--all-features"];
        succeed(cargo(all).args(["--", "--deny", "warnings"]))
    });
    steps.check("documentation", || {
        let all = ["doc", "--workspace", "--no-deps", "--all-features"];
        succeed(cargo(all).env("RUSTDOCFLAGS", "--deny warnings"))
    });
    steps.need("the GitHub plugin, for wasm32-wasip2", build_plugin)?;
    steps.need("release binaries", build_release)?;
    steps.check("tests", || {
        let all = ["test", "--workspace", "--all-features", "--no-fail-fast"];
        let mut tests = cargo(all);
        tests.arg("--");
        leave_out(&mut tests, "octokit", octokit.is_none());
        leave_out(&mut tests, "postgres", postgres.is_none());
        succeed(&mut tests)
    });
    steps.conclude()
}

/// Tests that need what is missing have its name in theirs.
fn leave_out(tests: &mut Command, name: &str, missing: bool) {
    if missing {
        tests.args(["--skip", name]);
    }
}

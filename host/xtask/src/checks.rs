//! `cargo xtask test`: exactly what CI runs.
//!
//! Each dependency is compiled at most three times: checked (clippy and docs share
//! that), for tests, and for the release binaries that the end-to-end tests drive.

use crate::install;
use crate::project::{Problem, build_plugin, build_release, cargo, succeed};
use crate::step::Steps;

/// Runs every check and says what it took.
pub(crate) fn run() -> Result<(), Problem> {
    println!("xtask test: everything that CI checks");
    let mut steps = Steps::default();
    let toolchain = steps.need("toolchain: target and linters", || {
        install::wasm_target().and_then(|()| install::lint_components())
    });
    if toolchain {
        let octokit = steps.prepare("octokit replay: node and npm packages", install::octokit);
        let svix = steps.prepare("receiver on svix: npm packages", install::svix);
        let python = steps.prepare(
            "receiver on standardwebhooks and cloudevents: PyPI packages",
            install::standardwebhooks,
        );
        let signers = steps.prepare(
            "partners' signatures: npm and PyPI packages",
            install::signers,
        );
        let postgres = steps.prepare("PostgreSQL", install::postgres);
        let there = [
            ("octokit", octokit.is_some()),
            ("svix", svix.is_some()),
            ("standardwebhooks", python.is_some()),
            ("signers", signers.is_some()),
            ("postgres", postgres.is_some()),
        ];
        check_sources(&mut steps);
        if steps.need("the GitHub plugin, for wasm32-wasip2", build_plugin)
            && steps.need("release binaries", build_release)
        {
            steps.check("tests", || test(&there));
        }
    }
    steps.conclude()
}

fn check_sources(steps: &mut Steps) {
    steps.check("formatting", || {
        succeed(&mut cargo(["fmt", "--all", "--check"]))
    });
    steps.check("clippy", || {
        let all = ["clippy", "--workspace", "--all-targets", "--all-features"];
        succeed(cargo(all).args(["--", "--deny", "warnings"]))
    });
    steps.check("documentation", || {
        let all = ["doc", "--workspace", "--no-deps", "--all-features"];
        let mut docs = cargo(all);
        // Whoever reads these docs reads the source too.
        docs.arg("--document-private-items");
        docs.env(
            "RUSTDOCFLAGS",
            "--deny warnings --allow rustdoc::private-intra-doc-links",
        );
        succeed(&mut docs)
    });
}

/// All tests, but for those whose needs are missing: they have its name in theirs.
fn test(there: &[(&str, bool)]) -> Result<(), Problem> {
    let mut tests = cargo([
        "test",
        "--workspace",
        "--all-features",
        "--no-fail-fast",
        "--",
    ]);
    for (name, is_there) in there {
        if !is_there {
            tests.args(["--skip", name]);
        }
    }
    succeed(&mut tests)
}

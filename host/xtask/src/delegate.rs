//! Benches and long runs: built, then handed over to.

use std::os::unix::process::CommandExt as _;

use crate::install;
use crate::project::{
    Problem, build_plugin, build_release, cargo, command, github_plugin, preload, release, succeed,
    target,
};

/// `cargo xtask bench ingest|latency|deliver|isolation`.
pub(crate) fn bench(name: &str, options: &[&str]) -> Result<(), Problem> {
    let folder = target().join("bench").display().to_string();
    become_binary(
        "tidegate-bench",
        &[&["--folder", &folder, name], options].concat(),
    )
}

/// `cargo xtask bench map`.
pub(crate) fn bench_map(options: &[&str]) -> Result<(), Problem> {
    become_binary("tidegate-bench-map", options)
}

/// `cargo xtask sim kill9|powercut|full-disk|sync-failure|reload`.
pub(crate) fn sim(name: &str, options: &[&str]) -> Result<(), Problem> {
    become_binary("tidegate-e2e", &[&[name], options].concat())
}

/// `cargo xtask bench verify`.
pub(crate) fn bench_verify(options: &[&str]) -> Result<(), Problem> {
    eprintln!("xtask: building the bench");
    become_own_binary("tidegate-bench-verify", options)
}

/// `cargo xtask sim` with seeds, or with mutations.
pub(crate) fn simulation(options: &[&str]) -> Result<(), Problem> {
    eprintln!("xtask: building the simulation");
    become_own_binary("tidegate-sim", options)
}

/// Ends as a binary that needs no other.
fn become_own_binary(name: &str, options: &[&str]) -> Result<(), Problem> {
    succeed(&mut cargo(["build", "--release", "--package", name]))?;
    let failed = command(release(name)).args(options).exec();
    Err(format!("could not start {name}: {failed}"))
}

/// Ends as that binary, so that signals and exit codes are its own.
fn become_binary(name: &str, arguments: &[&str]) -> Result<(), Problem> {
    eprintln!("xtask: building the plugin and the release binaries");
    install::wasm_target()?;
    build_plugin()?;
    build_release()?;
    let failed = command(release(name))
        .args(arguments)
        .env("TIDEGATE_BIN", release("tidegate"))
        .env("TIDEGATE_PLUGIN_GITHUB", github_plugin())
        .env("TIDEGATE_PRELOAD", preload())
        .exec();
    Err(format!("could not start {name}: {failed}"))
}

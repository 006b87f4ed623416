//! Where things of this workspace are, and the cargo that built this.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What went wrong, for a person.
pub(crate) type Problem = String;

/// Target of plugins.
pub(crate) const WASM_TARGET: &str = "wasm32-wasip2";

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_path_buf()
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    let chosen = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root().join(chosen)
}

/// A release binary.
pub(crate) fn release(name: &str) -> PathBuf {
    target().join("release").join(name)
}

/// The GitHub plugin's file.
pub(crate) fn github_plugin() -> PathBuf {
    target()
        .join(WASM_TARGET)
        .join("plugin/tidegate_plugin_github.wasm")
}

/// The library that stands between a host and its disk.
pub(crate) fn preload() -> PathBuf {
    release("libtidegate_preload.so")
}

/// Where this tool installs what it needs for tests.
pub(crate) fn tools() -> PathBuf {
    root().join(".tools")
}

/// The cargo that started this.
pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments);
    cargo
}

/// A command in the workspace's folder.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// Runs it to its end, and says what failed where it fails.
pub(crate) fn succeed(command: &mut Command) -> Result<(), Problem> {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    let shown: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    let shown = shown.join(" ");
    let status = command
        .status()
        .map_err(|error| format!("could not run {shown}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{status}: {shown}"))
    }
}

/// Builds the GitHub plugin as it ships.
pub(crate) fn build_plugin() -> Result<(), Problem> {
    let arguments = ["build", "--profile", "plugin", "--target", WASM_TARGET];
    succeed(cargo(arguments).args(["--package", "tidegate-plugin-github"]))
}

/// Builds everything that runs as a release binary, in one go: cargo unifies features
/// over what it builds together, so another selection would build much of it again.
pub(crate) fn build_release() -> Result<(), Problem> {
    let packages = [
        "tidegate",
        "tidegate-bench",
        "tidegate-bench-map",
        "tidegate-e2e",
        "tidegate-preload",
    ];
    let packages = packages.iter().flat_map(|name| ["--package", name]);
    let features = ["--features", "tidegate/sled", "--bins", "--lib"];
    succeed(cargo(["build", "--release"]).args(packages).args(features))
}

//! What is needed and missing, installed: by rustup, by apt where this is root, by npm
//! and pip into folders of the project's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::project::{self, Problem, WASM_TARGET, command, succeed};

/// The target that plugins are built for. A toolchain file does not add it where
/// rustup's automatic installation is off.
pub(crate) fn wasm_target() -> Result<(), Problem> {
    if target_is_installed()? {
        return Ok(());
    }
    rustup(&["target", "add", WASM_TARGET])
}

fn target_is_installed() -> Result<bool, Problem> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let found = command(rustc)
        .args(["--print", "target-libdir", "--target", WASM_TARGET])
        .output()
        .map_err(|error| format!("could not run rustc: {error}"))?;
    let folder = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    Ok(found.status.success() && Path::new(&folder).exists())
}

/// The linters that the checks run.
pub(crate) fn lint_components() -> Result<(), Problem> {
    if ["fmt", "clippy"]
        .iter()
        .all(|tool| answers(project::cargo([tool, "--version"])))
    {
        return Ok(());
    }
    rustup(&["component", "add", "clippy", "rustfmt"])
}

fn rustup(arguments: &[&str]) -> Result<(), Problem> {
    succeed(command("rustup").args(arguments)).map_err(|problem| {
        format!(
            "{problem}\n  Tidegate needs Rust {} with clippy, rustfmt and the target {WASM_TARGET}: \
             install rustup (https://rustup.rs), or install them with what installed your Rust",
            env!("CARGO_PKG_RUST_VERSION"),
        )
    })
}

/// A PostgreSQL server for the bench's baseline.
pub(crate) fn postgres() -> Result<(), Problem> {
    let debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut folders: Vec<PathBuf> = debian.map(|version| version.path().join("bin")).collect();
    folders.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    if folders.iter().any(|folder| folder.join("initdb").exists()) {
        return Ok(());
    }
    debian_packages(&["postgresql"])
}

/// GitHub's own payloads and signing, from npm.
pub(crate) fn octokit() -> Result<PathBuf, Problem> {
    npm("octokit", "sign.mjs")
}

/// A receiver of webhooks on Svix's library, from npm.
pub(crate) fn svix() -> Result<PathBuf, Problem> {
    npm("receivers", "receive.mjs")
}

/// Partners' own libraries that sign, from npm and `PyPI`.
pub(crate) fn signers() -> Result<PathBuf, Problem> {
    python("signers")?;
    npm("signers", "sign.mjs")
}

/// What a folder of `tests/partners` asks for, at the versions of its lock file, with a
/// script beside it: node looks for packages from there.
fn npm(name: &str, script: &str) -> Result<PathBuf, Problem> {
    if !answers(command("node").arg("--version")) || !answers(command("npm").arg("--version")) {
        debian_packages(&["nodejs", "npm"])?;
    }
    let from = project::root().join("tests/partners").join(name);
    let into = project::tools().join(name);
    fs::create_dir_all(&into).map_err(|error| format!("{}: {error}", into.display()))?;
    for file in ["package.json", "package-lock.json", script] {
        let copied = fs::copy(from.join(file), into.join(file));
        copied.map_err(|error| format!("could not copy {file}: {error}"))?;
    }
    let quiet = [
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
    ];
    succeed(
        command("npm")
            .arg("ci")
            .args(quiet)
            .arg("--prefix")
            .arg(&into),
    )?;
    Ok(into)
}

/// A Python with the packages `standardwebhooks` and `cloudevents`.
pub(crate) fn standardwebhooks() -> Result<PathBuf, Problem> {
    python("receivers")
}

/// A Python with the packages that a folder of `tests/partners` asks for.
fn python(name: &str) -> Result<PathBuf, Problem> {
    let into = project::tools().join(format!("{name}-python"));
    let environment = |into: &Path| {
        let mut python = command("python3");
        python.args(["-m", "venv"]).arg(into);
        python
    };
    // Debian's Python has no `venv` that works unless it is asked for.
    if !answers(environment(&into)) {
        debian_packages(&["python3", "python3-venv"])?;
        succeed(&mut environment(&into))?;
    }
    let quiet = ["--quiet", "--disable-pip-version-check", "--no-input"];
    succeed(
        command(into.join("bin/python"))
            .args(["-m", "pip", "install"])
            .args(quiet)
            .arg("--requirement")
            .arg(format!("tests/partners/{name}/requirements.txt")),
    )?;
    Ok(into)
}

fn debian_packages(packages: &[&str]) -> Result<(), Problem> {
    let list = packages.join(" ");
    let by_hand = format!("not installed here: apt-get install {list}");
    if !is_root() || !answers(command("apt-get").arg("--version")) {
        return Err(by_hand);
    }
    let apt = |arguments: &[&str]| {
        let mut apt = command("apt-get");
        apt.args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null());
        succeed(&mut apt)
    };
    let install = ["install", "--yes", "--no-install-recommends"];
    apt(&["update"])
        .and_then(|()| apt(&[&install, packages].concat()))
        .map_err(|problem| format!("{by_hand} ({problem})"))
}

fn is_root() -> bool {
    let id = command("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

fn answers(mut command: impl std::borrow::BorrowMut<Command>) -> bool {
    let command = command.borrow_mut().stdin(Stdio::null());
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

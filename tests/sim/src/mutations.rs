//! The proof of the proof: each invariant is broken on purpose, in a copy of the sources,
//! and the simulation must object.
//!
//! A mutation is a small patch in `tests/sim/mutations`, with a sentence before it. One
//! that does not apply any more is a failure: it proves nothing.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use std::{fs, io};

use anyhow::{Context as _, bail};

/// Folders and files of the workspace that a build of the simulation needs.
const SOURCES: [&str; 8] = [
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    "host",
    "plugins",
    "sdk",
    "tests",
    "wit",
];

/// One way to break what must hold.
struct Mutation {
    name: String,
    patch: PathBuf,
    breaks: String,
}

/// Which seed and checker objected first, and how many seeds did.
struct Caught {
    seed: String,
    checker: String,
    seeds: String,
}

/// Runs every mutation, or the one of that name, and writes the table; whether each was
/// caught.
pub fn run_all(only: Option<&str>, seeds: u64) -> anyhow::Result<bool> {
    let root = root()?;
    let mut table = String::from(TABLE_HEAD);
    let mut all_caught = true;
    for mutation in mutations(&root)? {
        if only.is_some_and(|only| only != mutation.name) {
            continue;
        }
        let began = Instant::now();
        let caught = run_one(&root, &mutation, seeds)?;
        all_caught &= caught.is_some();
        let Caught {
            seed,
            checker,
            seeds: caught,
        } = caught.unwrap_or_else(Caught::nobody);
        say(&format!(
            "{}: {checker}, seed {seed}, {caught} seeds ({:.0} s)",
            mutation.name,
            began.elapsed().as_secs_f64()
        ));
        writeln!(
            table,
            "| {} | {} | {checker} | {seed} | {caught} |",
            mutation.name, mutation.breaks
        )?;
    }
    if only.is_none() {
        fs::write(root.join("tests/sim/MUTATIONS.md"), table)?;
    }
    Ok(all_caught)
}

const TABLE_HEAD: &str = "\
# What the simulation catches

Each row breaks one thing on purpose. The checker is the one that objected at the first seed, named by the number of its invariant; the last column says at how many seeds one did, up to twenty, and where that is few of many, the next change of the code may hide what is caught today. Written by `cargo xtask sim mutations`, which runs all of them again.

| mutation | what it breaks | caught by | first seed | seeds |
|---|---|---|---|---|
";

impl Caught {
    fn nobody() -> Self {
        Self {
            seed: "-".into(),
            checker: "**not caught**".into(),
            seeds: "none".into(),
        }
    }
}

#[expect(clippy::print_stderr, reason = "the progress of a command line tool")]
fn say(what: &str) {
    eprintln!("tidegate-sim: {what}");
}

/// The workspace: where it is run in, or the one that it was built from.
fn root() -> anyhow::Result<PathBuf> {
    let mut folder = std::env::current_dir()?;
    while !folder.join("tests/sim/mutations").is_dir() {
        if !folder.pop() {
            bail!("this is not inside a checkout of the workspace");
        }
    }
    Ok(folder)
}

fn mutations(root: &Path) -> anyhow::Result<Vec<Mutation>> {
    let folder = root.join("tests/sim/mutations");
    let mut all = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let patch = entry?.path();
        if patch.extension().is_none_or(|ending| ending != "patch") {
            continue;
        }
        let text = fs::read_to_string(&patch)?;
        let breaks = text.split("\n--- ").next().unwrap_or_default();
        let name = patch.file_stem().unwrap_or_default().to_string_lossy();
        all.push(Mutation {
            name: name.into_owned(),
            breaks: breaks.trim().replace('\n', " "),
            patch,
        });
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}

fn run_one(root: &Path, mutation: &Mutation, seeds: u64) -> anyhow::Result<Option<Caught>> {
    let place = target(root).join("mutations");
    let tree = place.join("tree");
    fs::create_dir_all(&tree)?;
    for name in SOURCES {
        bring(&root.join(name), &tree.join(name))
            .with_context(|| format!("could not copy {name}"))?;
    }
    let applied = Command::new("patch")
        .args(["-p1", "--batch", "--forward", "--silent", "-i"])
        .arg(&mutation.patch)
        .current_dir(&tree)
        .status()
        .context("could not start patch")?;
    if !applied.success() {
        bail!(
            "{} does not apply any more: bring it up to date, or it proves nothing",
            mutation.patch.display()
        );
    }
    let built = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--package", "tidegate-sim"])
        .current_dir(&tree)
        .env("CARGO_TARGET_DIR", place.join("target"))
        // What matters is how soon the next one is built.
        .env("CARGO_INCREMENTAL", "1")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "none")
        .env("RUSTFLAGS", "--cap-lints=allow")
        .status()
        .context("could not start cargo")?;
    if !built.success() {
        bail!("{} does not compile", mutation.patch.display());
    }
    let ran = Command::new(place.join("target/release/tidegate-sim"))
        .args(["--brief", "--seeds", &seeds.to_string()])
        .output()
        .context("could not start the mutated simulation")?;
    let said = String::from_utf8_lossy(&ran.stdout);
    let violation = said
        .lines()
        .find_map(|line| line.strip_prefix("violation\t"));
    Ok(violation.map(|violation| {
        let mut parts = violation.split('\t');
        let mut part = || parts.next().unwrap_or_default().to_owned();
        Caught {
            seed: part(),
            checker: part(),
            seeds: part(),
        }
    }))
}

fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// Copies what differs, so that only what was mutated is built again.
fn bring(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        if from.ends_with("target") || from.ends_with("node_modules") {
            return Ok(());
        }
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            bring(&from.join(&name), &to.join(&name))?;
        }
        return Ok(());
    }
    let new = fs::read(from)?;
    if fs::read(to).ok().as_ref() != Some(&new) {
        fs::write(to, new)?;
    }
    Ok(())
}

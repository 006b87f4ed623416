//! Coverage-guided fuzzing: builds a target with LLVM's coverage, and lets libFuzzer run it.
//!
//! The instrumentation is the compiler's own and works on the pinned toolchain, so that
//! nothing has to be installed. Findings and what was learnt stay under `target/fuzz`.

use std::fs;
use std::path::Path;

use crate::project::{Problem, cargo, command, root, succeed, target};

/// What can be fuzzed.
const TARGETS: [&str; 3] = ["headers", "template", "structured-fields"];

/// What libFuzzer needs to see which way the code went.
const INSTRUMENTATION: &str = "--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 \
    -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Bytes of one input: far beyond what any of the parsers takes.
const INPUT_BYTES_MAX: u32 = 16_384;

/// `cargo xtask fuzz [TARGET …] [--minutes N]`: those targets, or all, one after the other.
pub(crate) fn run(words: &[&str]) -> Result<(), Problem> {
    let (targets, minutes) = read(words)?;
    let host = host_triple()?;
    let folder = target().join("fuzz");
    for name in targets {
        eprintln!("xtask: fuzzing {name} for {minutes} min");
        let binary = format!("fuzz-{name}");
        // With a target named, build scripts and macros are not instrumented.
        let build = ["build", "--release", "--package", "tidegate-fuzz"];
        let done = cargo(build)
            .args(["--bin", &binary, "--target", &host])
            .arg("--target-dir")
            .arg(&folder)
            .env("RUSTFLAGS", INSTRUMENTATION)
            .status();
        if !done.is_ok_and(|status| status.success()) {
            return Err(format!("could not build {binary}"));
        }
        fuzz(
            name,
            &folder.join(&host).join("release").join(binary),
            minutes,
        )?;
    }
    Ok(())
}

fn fuzz(name: &str, binary: &Path, minutes: u32) -> Result<(), Problem> {
    let corpus = target().join("fuzz/corpus").join(name);
    let findings = target().join("fuzz/findings").join(name);
    for folder in [&corpus, &findings] {
        fs::create_dir_all(folder)
            .map_err(|error| format!("could not create {}: {error}", folder.display()))?;
    }
    let seeds = root().join("tests/fuzz/seeds").join(name);
    succeed(
        command(binary)
            .arg(&corpus)
            .arg(seeds)
            .arg(format!("-max_total_time={}", minutes * 60))
            .arg(format!("-max_len={INPUT_BYTES_MAX}"))
            .arg(format!("-artifact_prefix={}/", findings.display()))
            .args(["-timeout=5", "-rss_limit_mb=1024", "-print_final_stats=1"]),
    )
}

fn read<'a>(words: &[&'a str]) -> Result<(Vec<&'a str>, u32), Problem> {
    let (mut targets, mut minutes) = (Vec::new(), 5);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if *word == "--minutes" {
            let number = words.next().and_then(|number| number.parse().ok());
            minutes = number.ok_or("--minutes needs a number, like --minutes 30")?;
        } else if TARGETS.contains(word) {
            targets.push(*word);
        } else {
            return Err(format!(
                "there is no fuzz target {word:?}: {}",
                TARGETS.join(", ")
            ));
        }
    }
    if targets.is_empty() {
        targets = TARGETS.to_vec();
    }
    Ok((targets, minutes))
}

/// What this toolchain builds for.
fn host_triple() -> Result<String, Problem> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = command(rustc)
        .args(["--version", "--verbose"])
        .output()
        .map_err(|error| format!("could not ask rustc: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| "rustc does not say what it builds for".to_owned())
}

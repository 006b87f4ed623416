//! `cargo xtask …`: what a person types. Starts other programs and says what it does.
//!
//! Deliberately absent: dependencies, ours and others', so that it builds in a second
//! and prints its first line at once. Whatever needs more is a binary under `tests/`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool: results on stdout, progress on stderr"
)]

use std::process::ExitCode;

mod checks;
mod delegate;
mod fuzz;
mod install;
mod project;
mod run;
mod step;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  run [--serve-only]       build all, start a host with an example connection, play
                           signed GitHub webhooks at it; Ctrl-C ends it
  test                     everything that CI checks, installing what it needs

  bench ingest [--json]    requests per second, beside axum and axum with PostgreSQL
  bench map [--json]       microseconds per mapped event, native and sandboxed
  bench verify [--json]    nanoseconds per verification, beside the bare primitive
  bench latency [--json]   from the 200 to the change being visible to a reader
  bench deliver [--json]   events accepted, mapped and delivered per second, beside axum
                           with an outbox in PostgreSQL; --kill kills the host meanwhile
  bench isolation [--json] what a hanging sink, and 100,000 failing tasks, cost the others

  sim [--seeds N] [--first N]
                           the seeded simulation: a failing seed tells its shortest story
  sim mutations            break each invariant on purpose; the simulation has to object
  sim kill9 [--rounds N] [--sinks]
                           kill -9 under load, again and again; what was promised holds
  sim powercut [--rounds N] [--engine embedded|sled]
                           cut the power under load; only what was synced is left
  sim full-disk            run the disk full; nothing is acknowledged that is not kept
  sim sync-failure         let a sync fail; the host ends, and recovers without help
  sim reload               replace the plugin under load, 20 times

  fuzz [TARGET ...] [--minutes N]
                           coverage-guided fuzzing of what reads unverified bytes: headers,
                           template, structured-fields; 5 min each

bench and sim take further options: cargo xtask bench ingest --help";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["run"] => run::run(run::Play::Fixtures),
        ["run", "--serve-only"] => run::run(run::Play::Nothing),
        ["test"] => checks::run(),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["bench", "map", rest @ ..] => delegate::bench_map(rest),
        ["bench", "verify", rest @ ..] => delegate::bench_verify(rest),
        [
            "bench",
            bench @ ("ingest" | "latency" | "deliver" | "isolation"),
            rest @ ..,
        ] => delegate::bench(bench, rest),
        [
            "sim",
            sim @ ("kill9" | "powercut" | "full-disk" | "sync-failure" | "reload"),
            rest @ ..,
        ] => delegate::sim(sim, rest),
        ["sim", rest @ ..] if rest.first().is_none_or(|word| is_of_simulation(word)) => {
            delegate::simulation(rest)
        }
        [] | ["help" | "--help" | "-h", ..] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Whether that word is the simulation's own, and not another long run's.
fn is_of_simulation(word: &str) -> bool {
    word == "mutations" || word.starts_with("--")
}

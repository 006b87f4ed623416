//! The long runs that `cargo xtask` starts: playing fixtures at a host for a person to
//! watch, killing hosts, replacing plugins.

#![expect(clippy::print_stdout, reason = "a person watches it")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tidegate_disk::{Names, Rules};
use tidegate_e2e::{full_disk, host, kill9, play, powercut, reload, sync_failure};

#[derive(Debug, Parser)]
#[command(about = "Drives a real host from outside")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plays the GitHub plugin's fixtures, signed, at a running host.
    Play {
        /// The host's address for partners.
        #[arg(long)]
        ingress: SocketAddr,
        /// The host's operator API.
        #[arg(long)]
        operator: SocketAddr,
        /// Where the host keeps its token.
        #[arg(long)]
        token_file: PathBuf,
        /// The webhook secret.
        #[arg(long)]
        secret_file: PathBuf,
        /// The folder with the fixtures.
        #[arg(long)]
        fixtures: PathBuf,
        /// Pause between two events, in milliseconds.
        #[arg(long, default_value_t = 800)]
        pause_ms: u64,
    },
    /// kill -9 at random moments under load.
    Kill9 {
        #[arg(long, default_value_t = 50)]
        rounds: u32,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// On sled instead of the default engine.
        #[arg(long)]
        sled: bool,
        /// With a receiver, a file and a PostgreSQL database that are given the changes.
        #[arg(long)]
        sinks: bool,
    },
    /// Cuts the power under load: what was synced is all that is left.
    Powercut {
        #[arg(long, default_value_t = 100)]
        rounds: u32,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// One engine; both where it is not given.
        #[arg(long, value_parser = engine)]
        engine: Option<host::Engine>,
        /// Names count as ext4 and XFS keep them, not as POSIX alone says.
        #[arg(long)]
        journaled_names: bool,
        /// Takes `sync_file_range` for a sync, which it is not.
        #[arg(long)]
        range_syncs_count: bool,
        /// One JSON object an engine, and nothing else on stdout.
        #[arg(long)]
        json: bool,
    },
    /// Runs the disk full, seen coming and too late.
    FullDisk,
    /// Lets a sync fail, each time a later one.
    SyncFailure {
        #[arg(long, default_value_t = 20)]
        rounds: u32,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Replaces the plugin file under load.
    Reload {
        #[arg(long, default_value_t = 20)]
        replacements: u32,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Play {
            ingress,
            operator,
            token_file,
            secret_file,
            fixtures,
            pause_ms,
        } => {
            let plan = play::Plan {
                ingress,
                operator: host::Operator::new(operator, token_file),
                secret: std::fs::read_to_string(secret_file)?.trim().to_owned(),
                fixtures,
                pause: Duration::from_millis(pause_ms),
            };
            play::run(&plan, &mut std::io::stdout())
        }
        Command::Kill9 {
            rounds,
            seed,
            sled,
            sinks,
        } => {
            let engine = if sled {
                host::Engine::Sled
            } else {
                host::Engine::Fjall
            };
            let options = host::Options {
                engine,
                mapping: true,
            };
            kill(&kill9::Plan {
                rounds,
                seed,
                options,
                sinks,
            })
        }
        Command::Powercut {
            rounds,
            seed,
            engine,
            journaled_names,
            range_syncs_count,
            json,
        } => {
            let names = if journaled_names {
                Names::Journaled
            } else {
                Names::Strict
            };
            let rules = Rules {
                names,
                torn: None,
                range_syncs_count,
            };
            let engines = match engine {
                Some(engine) => vec![engine],
                None => vec![host::Engine::Fjall, host::Engine::Sled],
            };
            let plans = engines.into_iter().map(|engine| powercut::Plan {
                rounds,
                seed,
                engine,
                rules,
            });
            cut_power(plans, json)
        }
        Command::FullDisk => fill(),
        Command::SyncFailure { rounds, seed } => fail_syncs(rounds, seed),
        Command::Reload { replacements } => {
            let report = reload::run(replacements, folder()?.path())?;
            println!(
                "plugin replaced {} times under {} events: none lost, none mapped twice; {} versions mapped; slowest to become active {:.1?}",
                report.replacements, report.events, report.versions, report.slowest
            );
            Ok(())
        }
    }
}

fn kill(plan: &kill9::Plan) -> anyhow::Result<()> {
    let (rounds, seed) = (plan.rounds, plan.seed);
    println!("killing a host {rounds} times under load, seed {seed}");
    let report = kill9::run(plan, folder()?.path(), &mut |report| {
        println!(
            "kill {:>3}: {} events so far, {} sent again, slowest start {:.1?}",
            report.kills, report.events, report.sent_again, report.slowest_start
        );
    })?;
    println!(
        "{} kills under load and {} while starting: {} events answered 200, each once in the change log; {} were in flight at a kill and sent again; the reader opened {} streams, missed none and repeated none",
        report.kills, report.kills_while_starting, report.events, report.sent_again, report.streams
    );
    if plan.sinks {
        println!(
            "receiver, file and database have each event as the mirror has it: {} changes came to the receiver again, none twice to the file, none was applied twice; of {} starts with something left to deliver the slowest moved after {:.1?}",
            report.delivered_again, report.left_to_deliver, report.slowest_delivery
        );
    }
    Ok(())
}

fn engine(name: &str) -> Result<host::Engine, String> {
    [host::Engine::Fjall, host::Engine::Sled]
        .into_iter()
        .find(|engine| engine.name() == name)
        .ok_or_else(|| "embedded or sled".to_owned())
}

fn cut_power(plans: impl Iterator<Item = powercut::Plan>, json: bool) -> anyhow::Result<()> {
    let mut broken = None;
    let mut table = vec![powercut::HEAD.to_owned()];
    for plan in plans {
        let name = plan.engine.name();
        let report = powercut::run(&plan, folder()?.path(), &mut |report| {
            if !json {
                println!("{name}, cut {:>3}: {}", report.cuts, report.line());
            }
        })?;
        if json {
            println!("{}", report.to_json(plan.engine));
        }
        table.push(report.row(plan.engine));
        if plan.engine == host::Engine::Fjall && !report.is_clean() {
            broken = Some(report);
        }
    }
    if !json {
        println!("{}", table.join("\n"));
    }
    match broken {
        Some(report) => anyhow::bail!("the default engine broke its promise: {report:?}"),
        None => Ok(()),
    }
}

fn fill() -> anyhow::Result<()> {
    let report = full_disk::run(folder()?.path())?;
    println!(
        "seen coming: {} events answered 200, then {} refused with 503; taken again {:.1?} after there was room, {} events more; none lost",
        report.before, report.refused, report.resumed_after, report.after
    );
    println!(
        "too late: {} events answered 200, then none; the host ended with exit code 3 after {:.1?}; started again on the full disk: {}; with room again it recovered; none lost",
        report.before_latch,
        report.ended_after,
        match report.restarted_while_full {
            Some(code) => format!("exit code {code}"),
            None => "it stayed up".to_owned(),
        }
    );
    Ok(())
}

fn fail_syncs(rounds: u32, seed: u64) -> anyhow::Result<()> {
    let plan = sync_failure::Plan { rounds, seed };
    let report = sync_failure::run(&plan, folder()?.path(), &mut |report| {
        println!(
            "failed sync {:>3}: {} events answered 200 so far, {} refused",
            report.failures, report.acknowledged, report.refused
        );
    })?;
    println!(
        "{} failed syncs: {} events answered 200 before, none after ({} refused); each host ended with exit code 3, at most {:.1?} after the first refusal; each recovered in place and after a power cut, none lost",
        report.failures, report.acknowledged, report.refused, report.slowest_end
    );
    Ok(())
}

/// On the disk that the project is on: the system's folder for temporary files may be memory.
fn folder() -> anyhow::Result<tempfile::TempDir> {
    let place = PathBuf::from("target/sim");
    std::fs::create_dir_all(&place)?;
    Ok(tempfile::tempdir_in(place)?)
}

//! The long runs that `cargo xtask` starts: playing fixtures at a host for a person to
//! watch, killing hosts, replacing plugins.

#![expect(clippy::print_stdout, reason = "a person watches it")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tidegate_e2e::{host, kill9, play, reload};

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
        Command::Kill9 { rounds, seed, sled } => kill(rounds, seed, sled),
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

fn kill(rounds: u32, seed: u64, on_sled: bool) -> anyhow::Result<()> {
    let engine = if on_sled {
        host::Engine::Sled
    } else {
        host::Engine::Fjall
    };
    let options = host::Options {
        engine,
        mapping: true,
    };
    let plan = kill9::Plan {
        rounds,
        seed,
        options,
    };
    println!("killing a host {rounds} times under load, seed {seed}");
    let report = kill9::run(&plan, folder()?.path(), &mut |report| {
        println!(
            "kill {:>3}: {} events so far, {} sent again, slowest start {:.1?}",
            report.kills, report.events, report.sent_again, report.slowest_start
        );
    })?;
    println!(
        "{} kills under load and {} while starting: {} events answered 200, each once in the change log; {} were in flight at a kill and sent again; the reader opened {} streams, missed none and repeated none",
        report.kills, report.kills_while_starting, report.events, report.sent_again, report.streams
    );
    Ok(())
}

/// On the disk that the project is on: the system's folder for temporary files may be memory.
fn folder() -> anyhow::Result<tempfile::TempDir> {
    let place = PathBuf::from("target/sim");
    std::fs::create_dir_all(&place)?;
    Ok(tempfile::tempdir_in(place)?)
}

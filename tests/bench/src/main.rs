//! Load and comparisons: what Tidegate takes in and delivers on this machine, beside the
//! servers that one would write instead.
//!
//! Deliberately absent: wasmtime and the plugins, which `tests/bench-map` measures, so
//! that the load generator builds in seconds.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "results are its output, progress goes to stderr"
)]

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tidegate_e2e::postgres;

mod baseline;
mod deliver;
mod destination;
mod ingest;
mod isolation;
mod latency;
mod server;
mod usage;

#[derive(Debug, Parser)]
#[command(about = "Load and comparisons")]
struct Arguments {
    /// Where stores and databases are laid: the disk that is measured.
    #[arg(long, global = true, default_value = "target/bench")]
    folder: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Requests per second, side by side with the baselines.
    Ingest(ingest::Plan),
    /// From the 200 to the change being visible to a reader who waits.
    Latency(latency::Plan),
    /// Events accepted, mapped and delivered per second, beside an outbox.
    Deliver(deliver::Plan),
    /// What a hanging sink and very many failing tasks cost the others.
    Isolation(isolation::Plan),
    /// Baseline: checks the HMAC and stores nothing.
    #[command(hide = true)]
    ServeAxumHmac {
        #[arg(long)]
        secret: String,
    },
    /// Baseline: checks the HMAC and inserts the event.
    #[command(hide = true)]
    ServeAxumPostgres {
        #[arg(long)]
        secret: String,
        #[arg(long)]
        database: String,
        #[arg(long)]
        pool: usize,
    },
    /// Baseline: checks the HMAC, inserts into an outbox, and delivers from it.
    #[command(hide = true)]
    ServeAxumOutbox(deliver::outbox::Options),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let folder = || -> anyhow::Result<tempfile::TempDir> {
        std::fs::create_dir_all(&arguments.folder)?;
        Ok(tempfile::tempdir_in(&arguments.folder)?)
    };
    match &arguments.command {
        Command::Ingest(plan) => ingest::run(plan, folder()?.path()),
        Command::Latency(plan) => latency::run(plan, folder()?.path()),
        Command::Deliver(plan) => deliver::run(plan, folder()?.path()),
        Command::Isolation(plan) => isolation::run(plan, folder()?.path()),
        Command::ServeAxumOutbox(options) => deliver::outbox::serve_outbox(options),
        Command::ServeAxumHmac { secret } => baseline::serve_hmac(secret),
        Command::ServeAxumPostgres {
            secret,
            database,
            pool,
        } => baseline::serve_postgres(secret, database, *pool),
    }
}

//! The `tidegate` binary: takes the command line apart and hands over.
//!
//! Nothing is decided here but which part of the host a command belongs to.

mod alerting;
#[cfg(test)]
mod bed;
mod carried;
mod cli;
mod committer;
mod compile;
mod config;
mod differing;
mod ending;
mod fetcher;
mod gate;
mod host;
mod housekeeping;
mod http;
mod key_cache;
mod logging;
mod metrics;
mod outlets;
mod panics;
mod plugin_file;
mod plugins;
mod received;
mod reload;
mod replays;
mod rules;
mod secret_key;
mod serve;
mod signals;
mod sinks;
mod system;
mod tokens;
mod versions;
mod waivers;
mod workers;

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use tidegate_core::limits::PLUGIN_BYTES_MAX;
use tidegate_core::ports::Clock as _;
use tidegate_core::time::Timestamp;
use tidegate_runtime::{Runtime, RuntimeOptions};

use crate::cli::{Cli, Command, Exit, GlobalArgs, ServeArgs, World};
use crate::ending::Ended;
use crate::reload::WatchedFile;
use crate::system::SystemClock;

/// Small allocations from many threads are most of what ingress and the committer do
/// beside hashing and syncing; ARCHITECTURE.md has what this buys and costs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Cli { command, global } = Cli::parse();
    let exit = match command {
        Command::Serve(args) => serve(&args, &global),
        Command::Compile => compile::run()
            .map(|()| Exit::Done)
            .map_err(|error| cli::report(&*error)),
        Command::Client(command) => {
            cli::run(command, &global, &ThisMachine).map_err(|error| cli::report(&error))
        }
    };
    match exit {
        Ok(exit) => exit.into(),
        Err(report) => {
            // Without stderr there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "{report}");
            Exit::No.into()
        }
    }
}

fn serve(args: &ServeArgs, global: &GlobalArgs) -> Result<Exit, String> {
    let source = global.config().accept_only(args.accept_only);
    let file = WatchedFile::new(source);
    let config = file.load().map_err(|error| cli::report(&error))?;
    match serve::run(config, file) {
        Ok(Ended::Clean) => Ok(Exit::Done),
        Ok(Ended::Latched) => Ok(Exit::Latched),
        Err(error) => Err(cli::report(&error)),
    }
}

/// The host's other parts, for commands.
struct ThisMachine;

impl World for ThisMachine {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn describe(&self, plugin: &Path) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        let wasm = config::read_bounded(plugin, PLUGIN_BYTES_MAX as u64)?;
        let runtime = Runtime::new(RuntimeOptions::default())?;
        Ok(runtime.load(&wasm)?.descriptor_json().to_vec())
    }
}

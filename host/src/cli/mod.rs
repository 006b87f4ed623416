//! The command line.
//!
//! `serve` runs the host; every other command speaks to a running host's operator API or
//! works on files. Answers go to stdout, everything else to stderr. With `--json` the
//! answer is the API's own JSON.
//!
//! What must not be here: anything that the operator API does not offer to others, and
//! the plugin runtime and the store, which `serve` alone needs: what a command wants of
//! them comes in through [`World`].

mod alerts;
mod api;
mod audit;
mod changes;
mod check;
mod connections;
mod connectors;
mod dead_letters;
mod error;
mod events;
mod follow;
mod measure;
mod output;
mod presets;
mod problem;
mod progress;
mod query;
mod replay;
mod replays;
mod sinks;
mod sse;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod vectors;
mod verify;
mod view;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tidegate_core::time::Timestamp;

use self::api::Api;
use self::output::{Output, When};
use crate::config::ConfigSource;

pub(crate) use self::error::{CliError, report};

/// How a command ends, for scripts; clap itself ends a wrong command line with 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It is done, and the answer is yes.
    Done,
    /// The answer is no, or it could not be had.
    No,
    /// The store failed under `serve`; a restart recovers.
    Latched,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::No => 1,
            Exit::Latched => 3,
        })
    }
}

/// What the commands need of the world and of the host's other parts.
pub(crate) trait World {
    /// The time.
    fn now(&self) -> Timestamp;

    /// The descriptor document of a plugin file.
    fn describe(&self, plugin: &Path) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>>;
}

/// The command line as it was given.
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version,
    about = "The reliable half of every partner integration",
    long_about = "Tidegate receives partners' webhooks, verifies and stores them before it answers, has \
                  sandboxed plugins map them to change records, and keeps those in one change log.",
    after_help = "Exit codes: 0 done · 1 the answer is no · 2 usage · 3 the store failed (serve) ·\n\
                  128 + n ended at once by a second signal n (serve).\n\
                  Start with: tidegate check --print-default > tidegate.toml, then tidegate serve",
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Under what help lists the options of every command.
const EVERYWHERE: &str = "Options of every command";

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct GlobalArgs {
    /// The configuration file [default: tidegate.toml in this folder, if it is there]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON for programs instead of tables for people
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    json: bool,
    /// The running host's operator listener [default: the configured one]
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
        value_name = "URL",
        env = "TIDEGATE_OPERATOR",
        hide_env_values = true
    )]
    operator: Option<String>,
    /// The operator token [default: the one that the host left in its store's folder]
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
        value_name = "TOKEN",
        env = "TIDEGATE_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
    /// Colours: on a terminal, or as told
    #[arg(long, global = true, help_heading = EVERYWHERE, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    color: When,
}

impl GlobalArgs {
    /// Which configuration the command is about.
    pub(crate) fn config(&self) -> ConfigSource {
        ConfigSource::new(self.config.clone())
    }

    /// How this command speaks to its user.
    pub(crate) fn output(&self) -> Output {
        Output::new(self.json, self.color)
    }

    fn api(&self) -> Result<Api, CliError> {
        Api::find(self.operator.as_deref(), self.token.clone(), &self.config())
    }
}

/// What is to be done.
#[derive(Debug, Subcommand)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, and it is taken apart at once"
)]
pub(crate) enum Command {
    Serve(ServeArgs),
    /// Compiles a plugin from stdin to stdout, for the host that started it
    #[command(name = crate::compile::COMMAND, hide = true)]
    Compile,
    #[command(flatten)]
    Client(ClientCommand),
}

/// Commands beside a host, and without one.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    Status(status::StatusArgs),
    Connectors(connectors::ConnectorsArgs),
    Connections(connections::ConnectionsArgs),
    Events(events::EventsArgs),
    Changes(changes::ChangesArgs),
    DeadLetters(dead_letters::DeadLettersArgs),
    Replay(replay::ReplayArgs),
    Replays(replays::ReplaysArgs),
    Sinks(sinks::SinksArgs),
    Alerts(alerts::AlertsArgs),
    Audit(audit::AuditArgs),
    Presets(presets::PresetsArgs),
    Verify(verify::VerifyArgs),
    Check(check::CheckArgs),
}

/// Run the host
///
/// Runs until it is stopped (Ctrl-C, SIGTERM); what is in flight then is finished or left
/// durable, within 20 s. A second signal ends it at once. Without a configuration file it starts with the embedded store in
/// ./tidegate-data, webhooks on 127.0.0.1:8080 and the operator API on 127.0.0.1:8081.
///
/// A SIGHUP or a change of the configuration file loads it again; a bad file changes
/// nothing. Exit code 3 means that the store failed: start it again. One that a second signal
/// ended exits with 128 and the signal's number.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidegate serve\n  \
    tidegate serve --config /etc/tidegate/tidegate.toml\n  \
    tidegate serve --accept-only    # receive during maintenance, map later")]
pub(crate) struct ServeArgs {
    /// Verify, store and acknowledge events without mapping them; they are mapped by the
    /// next start without this option
    #[arg(long)]
    pub(crate) accept_only: bool,
}

/// Carries out a command.
pub(crate) fn run(
    command: ClientCommand,
    global: &GlobalArgs,
    world: &dyn World,
) -> Result<Exit, CliError> {
    match carry_out(command, global, world, &mut global.output()) {
        // Whoever read the output has had enough.
        Err(CliError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Ok(Exit::Done)
        }
        done => done,
    }
}

fn carry_out(
    command: ClientCommand,
    global: &GlobalArgs,
    world: &dyn World,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let now = world.now();
    match command {
        ClientCommand::Check(args) => check::run(&args, &global.config(), now, output),
        ClientCommand::Presets(args) => presets::run(&args, output),
        ClientCommand::Verify(args) => verify::run(&args, global, world, output),
        ClientCommand::Status(args) => status::run(&args, &global.api()?, now, output),
        ClientCommand::Connectors(args) => connectors::run(&args, &global.api()?, output),
        ClientCommand::Connections(args) => connections::run(&args, &global.api()?, now, output),
        ClientCommand::Events(args) => events::run(&args, &global.api()?, now, output),
        ClientCommand::Changes(args) => changes::run(&args, &global.api()?, now, output),
        ClientCommand::DeadLetters(args) => dead_letters::run(&args, &global.api()?, now, output),
        ClientCommand::Replay(args) => replay::run(&args, &global.api()?, output),
        ClientCommand::Replays(args) => replays::run(&args, &global.api()?, now, output),
        ClientCommand::Sinks(args) => sinks::run(&args, &global.api()?, now, output),
        ClientCommand::Alerts(args) => alerts::run(&args, &global.api()?, now, output),
        ClientCommand::Audit(args) => audit::run(&args, &global.api()?, now, output),
    }
}

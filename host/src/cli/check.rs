//! `tidegate check`

use clap::Args;
use serde_json::{Value, json};
use tidegate_core::signature::Waiver;
use tidegate_core::time::Timestamp;

use super::Exit;
use super::error::CliError;
use super::output::{Output, Tone, plain};
use super::view::counted;
use crate::config::{Config, ConfigSource, DEFAULT_FILE, LoadError, Problem};

/// Check the configuration, and say everything that is wrong with it
///
/// Reads the file as `serve` would, secrets included, and lists every problem at once
/// with its line, its key and the fix; then what is not carried out by this version.
/// Exits with 1 where there is a problem; a warning is none.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidegate check\n  \
    tidegate check --config /etc/tidegate/tidegate.toml\n  \
    tidegate check --print-default > tidegate.toml    # every key with its default, explained")]
pub(crate) struct CheckArgs {
    /// Print a file with every key, its default and what it does
    #[arg(long)]
    print_default: bool,
}

pub(super) fn run(
    args: &CheckArgs,
    source: &ConfigSource,
    now: Timestamp,
    output: &mut Output,
) -> Result<Exit, CliError> {
    if args.print_default {
        output.line(DEFAULT_FILE.trim_end())?;
        return Ok(Exit::Done);
    }
    match source.load() {
        Ok(config) => {
            let over = over(&config, now);
            if over.is_empty() {
                write_good(source, &config, output)?;
                Ok(Exit::Done)
            } else {
                write_bad(source, &over, 0, output)?;
                Ok(Exit::No)
            }
        }
        Err(LoadError::Problems(problems)) => {
            write_bad(source, problems.as_slice(), problems.unlisted(), output)?;
            Ok(Exit::No)
        }
        Err(error @ LoadError::Read { .. }) => Err(error.into()),
    }
}

/// Waivers whose time is over: a host goes on, and refuses what they let in.
fn over(config: &Config, now: Timestamp) -> Vec<Problem> {
    let waivers = config.policy.waivers.iter().enumerate();
    let over = waivers.filter(|(_, waiver)| !waiver.holds_at(now));
    let told = over.filter_map(|(index, waiver)| {
        let Waiver {
            connection,
            reason,
            until,
        } = waiver;
        let key = format!("policy.waivers[{index}]");
        let text = format!(
            "{key}: the waiver of {connection} was over on {until} ({reason}), and nothing of it is let in: have its requests verified, or agree on another date"
        );
        // Each waiver has a warning, which knows where it stands.
        let placed = config.warnings.iter().find(|warning| warning.key == key)?;
        Some(Problem {
            text,
            ..placed.clone()
        })
    });
    told.collect()
}

fn write_good(source: &ConfigSource, config: &Config, output: &mut Output) -> Result<(), CliError> {
    if output.json() {
        let warnings: Vec<Value> = config.warnings.iter().map(to_json).collect();
        return output.line(json!({"file": name(source), "problems": [], "warnings": warnings}));
    }
    let head = output.paint(Tone::Attention, "warning").into_owned();
    for warning in &config.warnings {
        output.line(format_args!("{head}  {}", plain(&warning.to_string())))?;
    }
    let connectors = counted(config.connectors.len() as u64, "connector");
    let connections = counted(config.connections.len() as u64, "connection");
    let good = output.paint(Tone::Good, "good").into_owned();
    let name = name(source);
    output.line(format_args!("{name}: {good}, {connectors}, {connections}"))
}

fn write_bad(
    source: &ConfigSource,
    problems: &[Problem],
    unlisted: usize,
    output: &mut Output,
) -> Result<(), CliError> {
    if output.json() {
        let problems: Vec<Value> = problems.iter().map(to_json).collect();
        let document = json!({
            "file": name(source), "problems": problems, "unlisted": unlisted, "warnings": []
        });
        return output.line(document);
    }
    for problem in problems {
        output.line(plain(&problem.to_string()))?;
    }
    if unlisted > 0 {
        output.line(format_args!("… and {unlisted} more"))?;
    }
    let count = problems.len() + unlisted;
    let words = counted(count as u64, "problem");
    let words = output.paint(Tone::Bad, &words).into_owned();
    output.line(format_args!("{}: {words}", name(source)))
}

fn name(source: &ConfigSource) -> String {
    source.path().map_or_else(
        || "no file, the defaults".to_owned(),
        |path| path.display().to_string(),
    )
}

fn to_json(problem: &Problem) -> Value {
    json!({
        "line": problem.line,
        "column": problem.column,
        "key": problem.key,
        "message": problem.text,
    })
}

//! `tidegate presets`

use clap::Args;
use serde_json::{Value, json};
use tidegate_core::signature::{Handshake, HandshakeKind, Preset};

use super::Exit;
use super::error::CliError;
use super::output::Output;
use super::table::{Cell, Table};
use super::view::span;

/// List the partners whose signatures this program knows, or print one to copy
///
/// A preset says how a partner signs its webhooks, by what an event is known, which
/// handshakes it asks for and how it wants to be answered. Name it in the configuration with
/// preset = "NAME". The file that is printed can be edited and named with
/// scheme = "FILE.json" instead. Needs no running host.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidegate presets\n  \
    tidegate presets stripe > schemes/stripe.json")]
pub(crate) struct PresetsArgs {
    /// Print the file of this preset
    name: Option<String>,
}

pub(super) fn run(args: &PresetsArgs, output: &mut Output) -> Result<Exit, CliError> {
    match &args.name {
        Some(name) => print(name, output),
        None if output.json() => {
            let items: Vec<Value> = Preset::all().iter().map(to_json).collect();
            output.line(json!({ "items": items }))?;
            Ok(Exit::Done)
        }
        None => list(output),
    }
}

fn print(name: &str, output: &mut Output) -> Result<Exit, CliError> {
    let text = Preset::text_of(name).ok_or_else(|| not_known(name))?;
    output.line(text.trim_end())?;
    Ok(Exit::Done)
}

/// Why there is no preset of that name.
pub(super) fn not_known(name: &str) -> CliError {
    let names = Preset::all().iter().map(Preset::name);
    let hint = match tidegate_core::document::nearest(name, names) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => "`tidegate presets` lists them".to_owned(),
    };
    CliError::NotConfigured {
        what: format!("there is no preset {name:?}; {hint}"),
    }
}

fn list(output: &mut Output) -> Result<Exit, CliError> {
    let mut table = Table::new([
        "PRESET",
        "PARTNER",
        "ALGORITHM",
        "SIGNATURE",
        "HANDSHAKES",
        "RETRIES",
        "GIVES UP",
    ]);
    for preset in Preset::all() {
        let scheme = preset.scheme();
        table.row([
            Cell::text(preset.name()),
            Cell::text(preset.title()),
            Cell::text(scheme.algorithm().text()),
            Cell::text(scheme.signature().describe()),
            Cell::text(handshakes(preset).join(", ")),
            Cell::text(preset.retry_horizon_s().map(span).unwrap_or_default()),
            Cell::text(gives_up(preset)),
        ]);
    }
    table.write(output)?;
    Ok(Exit::Done)
}

fn handshakes(preset: &Preset) -> Vec<&'static str> {
    let kinds = preset.handshakes().iter().map(Handshake::kind);
    kinds.map(HandshakeKind::name).collect()
}

fn gives_up(preset: &Preset) -> String {
    let after = preset.disables_after();
    after.map_or_else(String::new, |count| format!("after {count} failures"))
}

fn to_json(preset: &Preset) -> Value {
    let config = preset.config().iter();
    let config = config.map(|value| json!({ "name": value.name, "what": value.what }));
    json!({
        "name": preset.name(),
        "aliases": preset.aliases(),
        "title": preset.title(),
        "documentation": preset.documentation(),
        "algorithm": preset.scheme().algorithm().text(),
        "signature": preset.scheme().signature().describe(),
        "handshakes": handshakes(preset),
        "config": config.collect::<Vec<_>>(),
        "retry_horizon_s": preset.retry_horizon_s(),
        "disables_after": preset.disables_after(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::output::capture;
    use super::*;

    fn said(name: Option<&str>, json: bool) -> Result<String, CliError> {
        let (mut output, answer, _) = capture::output(json);
        let args = PresetsArgs {
            name: name.map(str::to_owned),
        };
        run(&args, &mut output)?;
        Ok(answer.text())
    }

    #[test]
    fn a_preset_is_printed_as_a_file_that_can_be_used() {
        for preset in Preset::all() {
            let text = said(Some(preset.name()), false).unwrap();
            let document: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(Preset::parse(preset.name(), &document).as_ref(), Ok(preset));
        }
    }

    #[test]
    fn presets_are_a_table() {
        let text = said(None, false).unwrap();
        let stripe = text
            .lines()
            .find(|line| line.starts_with("stripe "))
            .unwrap();
        assert!(stripe.contains("hmac-sha256"), "{stripe}");
        let document: Value = serde_json::from_str(&said(None, true).unwrap()).unwrap();
        let items = document["items"].as_array().unwrap();
        assert_eq!(items.len(), text.lines().count() - 1);
    }

    #[test]
    fn a_name_that_is_none_is_told_the_nearest() {
        let error = said(Some("strpe"), false).unwrap_err().to_string();
        assert!(error.contains("did you mean \"stripe\"?"), "{error}");
    }
}

//! The sections about who is told when something needs a person: `[alerts.NAME]`.

use std::collections::BTreeMap;

use tidegate_core::alert::AlertRule;
use tidegate_core::ids::ChannelName;
use tidegate_core::limits;
use tidegate_core::signature::Secret;

use super::Surroundings;
use super::keys::printable;
use super::problem::Report;
use super::reader::{Entry, Section};
use super::secret::SecretRef;
use super::secrets::secret_list;
use super::sinks::target_url;

/// Most words of a command.
const COMMAND_WORDS_MAX: usize = 64;

/// One of `[alerts.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChannelConfig {
    /// What it is told about.
    pub(crate) rules: Vec<AlertRule>,
    /// What it is.
    pub(crate) kind: ChannelKind,
}

/// What a channel is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChannelKind {
    /// A signed webhook.
    Webhook {
        /// Where to.
        url: String,
        /// What it is signed with.
        secrets: Vec<Secret>,
    },
    /// An incoming webhook as Slack has it. Its URL is a secret.
    Slack {
        /// Where to.
        url: Secret,
    },
    /// `PagerDuty` Events API v2.
    PagerDuty {
        /// The integration's key.
        routing_key: Secret,
        /// Another address than `PagerDuty`'s own.
        url: Option<String>,
    },
    /// A program that is given the notice.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
    },
}

impl ChannelKind {
    /// The word in the file.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } => "slack",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Command { .. } => "command",
        }
    }
}

/// Reads `[alerts.*]`.
pub(super) fn alerts(
    root: &Section<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> BTreeMap<ChannelName, ChannelConfig> {
    let mut channels = BTreeMap::new();
    let Some(section) = root.section("alerts", report) else {
        return channels;
    };
    for (name, entry) in section.entries() {
        if channels.len() >= limits::ALERT_CHANNELS_MAX {
            let message = format!(
                "is one channel too many; there may be {}",
                limits::ALERT_CHANNELS_MAX
            );
            report.problem(entry.at, &entry.key, message);
            break;
        }
        match name.parse::<ChannelName>() {
            Err(error) => report.problem(entry.at, &entry.key, error),
            Ok(name) => {
                if let Some(channel) = channel(entry, surroundings, report) {
                    channels.insert(name, channel);
                }
            }
        }
    }
    channels
}

fn channel(
    entry: Entry<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<ChannelConfig> {
    let section = entry.into_section(report)?;
    let rules = section.texts("rules", AlertRule::ALL.len(), report, alert_rule);
    let Some((kind, at)) = section.text("kind", report) else {
        if section.entry("kind").is_none() {
            let message = "lacks \"kind\": \"webhook\", \"slack\", \"pagerduty\" or \"command\"";
            report.problem(section.at(), section.path(), message);
        }
        return None;
    };
    let kind = match kind {
        "webhook" => webhook(&section, surroundings, report),
        "slack" => slack(&section, surroundings, report),
        "pagerduty" => pagerduty(&section, surroundings, report),
        "command" => command(&section, report),
        _ => {
            let message = format!(
                "{:?} is no kind of channel; write \"webhook\", \"slack\", \"pagerduty\" or \"command\"",
                printable(kind)
            );
            report.problem(at.at, &at.key, message);
            None
        }
    };
    Some(ChannelConfig {
        rules: rules.unwrap_or_else(|| AlertRule::ALL.to_vec()),
        kind: kind?,
    })
}

fn alert_rule(text: &str) -> Result<AlertRule, String> {
    let found = AlertRule::ALL.into_iter().find(|rule| rule.code() == text);
    found.ok_or_else(|| {
        let known = AlertRule::ALL.map(|rule| format!("{:?}", rule.code()));
        format!(
            "{:?} is no rule; known: {}",
            printable(text),
            known.join(", ")
        )
    })
}

fn webhook(
    section: &Section<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<ChannelKind> {
    section.check_keys(&["kind", "rules", "url", "secret"], report);
    let secrets = secret_list(section, "secret", surroundings, report);
    Some(ChannelKind::Webhook {
        url: section.parsed("url", report, target_url).or_else(|| {
            lacks(section, "url", report);
            None
        })?,
        secrets: secrets?,
    })
}

fn slack(
    section: &Section<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<ChannelKind> {
    section.check_keys(&["kind", "rules", "url"], report);
    let mut url = secret_list(section, "url", surroundings, report)?;
    Some(ChannelKind::Slack { url: url.pop()? })
}

fn pagerduty(
    section: &Section<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<ChannelKind> {
    section.check_keys(&["kind", "rules", "routing_key", "url"], report);
    let url = section.parsed("url", report, target_url);
    let mut key = secret_list(section, "routing_key", surroundings, report)?;
    Some(ChannelKind::PagerDuty {
        routing_key: key.pop()?,
        url,
    })
}

fn command(section: &Section<'_>, report: &mut Report<'_>) -> Option<ChannelKind> {
    section.check_keys(&["kind", "rules", "command"], report);
    let words = section.texts("command", COMMAND_WORDS_MAX, report, |word| {
        // A secret would stand in every process list.
        if SecretRef::parse(word, std::path::Path::new("")).is_ok() {
            return Err("is a reference to a secret; a command reads its secrets itself");
        }
        Ok(word.to_owned())
    });
    let command = words.filter(|words| !words.is_empty());
    if command.is_none() && section.entry("command").is_none() {
        lacks(section, "command", report);
    }
    Some(ChannelKind::Command { command: command? })
}

fn lacks(section: &Section<'_>, key: &str, report: &mut Report<'_>) {
    if section.entry(key).is_none() {
        report.problem(section.at(), section.path(), format!("lacks {key:?}"));
    }
}

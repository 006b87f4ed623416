//! Presets: the schemes of known partners, with what else is known about them.
//!
//! Each is a data file in `presets/`, in the form in which an author writes a scheme by
//! hand with a few keys beside it, so that one can be read, copied and edited. They are
//! built in, and read once. A file that is not whole is left out, and a test refuses it.

mod document;
mod files;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use super::handshake::Handshake;
use super::scheme::Scheme;
use crate::descriptor::Acknowledge;

static ALL: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    let read = |(name, text): &(&str, &str)| {
        let document = serde_json::from_str(text).ok()?;
        Preset::parse(name, &document).ok()
    };
    files::ALL.iter().filter_map(read).collect()
});

/// The scheme of a partner, and how it delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    name: String,
    /// Other partners that sign in the same way, and other names of this one.
    aliases: Vec<String>,
    title: String,
    documentation: Option<String>,
    scheme: Scheme,
    handshakes: Vec<Handshake>,
    acknowledge: Option<Acknowledge>,
    retry_horizon_s: Option<u64>,
    disables_after: Option<u32>,
    config: Vec<ConfigValue>,
}

/// A value that a connection's configuration has to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigValue {
    /// Its name.
    pub name: String,
    /// What it is, for people.
    pub what: String,
}

impl Preset {
    /// The built-in preset of that name or alias, whatever marks stand between its words.
    pub fn find(name: &str) -> Option<&'static Self> {
        let plain = |text: &str| -> String {
            text.chars()
                .filter(char::is_ascii_alphanumeric)
                .map(|c| c.to_ascii_lowercase())
                .collect()
        };
        let name = plain(name);
        Self::all().iter().find(|preset| {
            plain(&preset.name) == name || preset.aliases.iter().any(|one| plain(one) == name)
        })
    }

    /// Every built-in preset, by name.
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// The text of the built-in preset's file, to copy and edit.
    pub fn text_of(name: &str) -> Option<&'static str> {
        let preset = Self::find(name)?;
        let found = files::ALL.iter().find(|(found, _)| *found == preset.name);
        found.map(|(_, text)| *text)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its other names.
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// The partner's name for people.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What an operator should know.
    pub fn documentation(&self) -> Option<&str> {
        self.documentation.as_deref()
    }

    /// How requests are verified and events told apart.
    pub const fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// The handshakes that the partner asks for.
    pub fn handshakes(&self) -> &[Handshake] {
        &self.handshakes
    }

    /// The success answer that the partner insists on.
    pub const fn acknowledge(&self) -> Option<&Acknowledge> {
        self.acknowledge.as_ref()
    }

    /// For how long the partner sends an event again, as far as is known.
    pub const fn retry_horizon_s(&self) -> Option<u64> {
        self.retry_horizon_s
    }

    /// Failed deliveries in a row after which the partner disables the endpoint.
    pub const fn disables_after(&self) -> Option<u32> {
        self.disables_after
    }

    /// The values that a connection's configuration has to give.
    pub fn config(&self) -> &[ConfigValue] {
        &self.config
    }
}

//! With what `tidegate verify` verifies: the scheme and the secrets, from files or from
//! the configuration.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tidegate_core::descriptor::Descriptor;
use tidegate_core::ids::ConnectionId;
use tidegate_core::signature::{Preset, Scheme, SchemeConfig, Secret};

use super::error::CliError;
use super::query::Query;
use super::verify::VerifyArgs;
use super::{World, presets};
use crate::config::{
    Config, ConfigSource, SecretRef, Whose, process_environment, read_bounded, resolve,
};

/// Largest scheme or descriptor document.
const DOCUMENT_BYTES_MAX: u64 = 512 * 1024;

/// With what to verify.
pub(super) struct Measure {
    /// How a request proves itself.
    pub(super) scheme: Scheme,
    /// With what.
    pub(super) secrets: Vec<Secret>,
    /// The values of `{config:NAME}` in the scheme.
    pub(super) config: SchemeConfig,
    /// How partners see the listener, if that is configured.
    pub(super) public_base: Option<String>,
    /// Where the connection's webhooks arrive, if that is configured.
    pub(super) public_url: Option<String>,
}

/// Finds it: from what the command line names, or from a connection of the configuration; its
/// own, or the `recorded` one.
pub(super) fn measure(
    args: &VerifyArgs,
    recorded: Option<&ConnectionId>,
    source: &ConfigSource,
    world: &dyn World,
) -> Result<Measure, CliError> {
    let mut secrets = Vec::new();
    let from_env = args.secret_env.iter().cloned().map(SecretRef::Env);
    let from_file = args.secret_file.iter().cloned().map(SecretRef::File);
    for reference in from_env.chain(from_file) {
        secrets.push(resolve(&reference, &process_environment).map_err(CliError::Secret)?);
    }
    let values = args.values.iter().map(|value| value_of(value));
    let values: BTreeMap<String, String> = values.collect::<Result<_, _>>()?;
    let named = match (&args.preset, args.scheme.as_deref()) {
        (Some(name), _) => {
            let preset = Preset::find(name).ok_or_else(|| presets::not_known(name))?;
            Some(preset.scheme().clone())
        }
        (None, Some(file)) => Some(scheme_of(file, world)?),
        (None, None) => None,
    };
    let Some(id) = args.connection.as_ref().or(recorded) else {
        // The command line asks for one of them.
        let scheme = named.ok_or_else(|| CliError::NotConfigured {
            what: "name a scheme or a preset".into(),
        })?;
        return Ok(Measure {
            scheme,
            secrets,
            config: values.into(),
            public_base: None,
            public_url: None,
        });
    };
    let config = source.load()?;
    let scheme = match named {
        Some(scheme) => scheme,
        None => configured_scheme(&config, id, world)?,
    };
    if secrets.is_empty() {
        let webhook = config
            .secrets_of(Whose::Connection(id))
            .map(|secrets| &secrets.webhook);
        secrets = webhook.into_iter().flatten().cloned().collect();
    }
    let configured = config.scheme_config_of(Whose::Connection(id));
    let own = configured
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let public_base = config.ingress.public_url;
    let public_url = public_base.as_ref().map(|base| {
        let path = Query::path(&["in", id.connector.as_str(), id.account.as_str()]);
        format!("{base}{}", path.as_str())
    });
    Ok(Measure {
        scheme,
        secrets,
        config: own.chain(values).collect(),
        public_base,
        public_url,
    })
}

fn value_of(value: &str) -> Result<(String, String), CliError> {
    let (name, text) = value
        .split_once('=')
        .ok_or_else(|| CliError::NotConfigured {
            what: format!("{value:?} is not written as NAME=VALUE"),
        })?;
    Ok((name.to_owned(), text.to_owned()))
}

/// The scheme that ingress applies: the connection's, its connector's, the descriptor's.
fn configured_scheme(
    config: &Config,
    id: &ConnectionId,
    world: &dyn World,
) -> Result<Scheme, CliError> {
    let missing = |what: String| CliError::NotConfigured { what };
    let connection = config.connections.get(id).ok_or_else(|| {
        missing(format!(
            "connection {id} is not configured; add [connections.\"{id}\"]"
        ))
    })?;
    let connector = config
        .connectors
        .get(&id.connector)
        .ok_or_else(|| missing(format!("connector {} is not configured", id.connector)))?;
    let described = connector
        .plugin
        .as_deref()
        .map(|plugin| scheme_of(plugin, world));
    // A plugin that is not built yet matters only where nothing else says how.
    let own = connection.signing.preset.is_some() || connector.signing.preset.is_some();
    let described = match described {
        Some(Err(_)) if own => None,
        Some(described) => Some(described?),
        None => None,
    };
    config
        .scheme_of(Whose::Connection(id), described.as_ref())
        .map_err(|problems| {
            missing(format!(
                "the event-id rule of {id} does not fit: {problems}"
            ))
        })?
        .ok_or_else(|| missing(format!("nothing says how requests of {id} are signed")))
}

/// The scheme in a file: a scheme, a descriptor with one, or a plugin that has one.
fn scheme_of(file: &Path, world: &dyn World) -> Result<Scheme, CliError> {
    let descriptor = |bytes: &[u8]| {
        let descriptor = Descriptor::parse(bytes)
            .map_err(|source| not(file, "a descriptor of this version", source))?;
        descriptor
            .scheme()
            .cloned()
            .ok_or_else(|| CliError::NotConfigured {
                what: format!("the descriptor in {} has no scheme", file.display()),
            })
    };
    if file
        .extension()
        .is_some_and(|extension| extension == "wasm")
    {
        let document = world.describe(file).map_err(|source| CliError::Describe {
            path: file.to_owned(),
            source,
        })?;
        return descriptor(&document);
    }
    let bytes = read_bounded(file, DOCUMENT_BYTES_MAX).map_err(|source| CliError::Read {
        path: file.to_owned(),
        source,
    })?;
    let document: Value =
        serde_json::from_slice(&bytes).map_err(|source| not(file, "JSON", source))?;
    if document.get("descriptor").is_some() {
        return descriptor(&bytes);
    }
    Preset::parse("own", &document)
        .map(|preset| preset.scheme().clone())
        .map_err(|source| not(file, "a signature scheme or a preset", source))
}

fn not(
    file: &Path,
    what: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> CliError {
    CliError::NotWhatItShouldBe {
        path: file.to_owned(),
        what,
        source: Box::new(source),
    }
}

//! `cargo xtask run`: from a clean checkout to events and changes that move.
//!
//! Builds, lays out an example in `target/run`, starts the player beside, and then
//! becomes the host: Ctrl-C reaches the host itself, whose clean end is this command's.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;

use crate::install;
use crate::project::{
    Problem, build_plugin, cargo, command, github_plugin, release, root, succeed, target,
};

/// What to do beside serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Play {
    /// Play the plugin's fixtures.
    Fixtures,
    /// Wait for whoever comes.
    Nothing,
}

/// Where the example listens.
#[derive(Clone, Copy)]
struct Addresses {
    ingress: SocketAddr,
    operator: SocketAddr,
}

/// Runs until Ctrl-C.
pub(crate) fn run(play: Play) -> Result<(), Problem> {
    println!(
        "xtask run: building the GitHub plugin and the host, which takes minutes the first time"
    );
    install::wasm_target()?;
    build_plugin()?;
    let packages = ["--package", "tidegate", "--package", "tidegate-e2e"];
    succeed(cargo(["build", "--release", "--bins"]).args(packages))?;

    let addresses = Addresses {
        ingress: address(8080)?,
        operator: address(8081)?,
    };
    // A second run beside this one gets another port, and must not empty this one's folder.
    let folder = target().join(match addresses.ingress.port() {
        8080 => "run".to_owned(),
        other => format!("run-{other}"),
    });
    lay_out(&folder, addresses).map_err(|error| format!("{}: {error}", folder.display()))?;
    explain(&folder, addresses);
    if play == Play::Fixtures {
        start_player(&folder, addresses)?;
    }
    let failed = command(release("tidegate"))
        .args(["serve", "--config"])
        .arg(folder.join("tidegate.toml"))
        .exec();
    Err(format!("could not start the host: {failed}"))
}

/// That port where it is free, another one where it is not.
fn address(port: u16) -> Result<SocketAddr, Problem> {
    let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|on| on.local_addr());
    free(port).or_else(|taken| {
        let other = free(0).map_err(|error| format!("no free port: {error}"))?;
        println!("port {port} is not free ({taken}): using {}", other.port());
        Ok(other)
    })
}

/// An empty store, a secret that only its owner can read, and a configuration.
fn lay_out(folder: &Path, addresses: Addresses) -> std::io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let mut random = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let secret = format!("{:032x}", u128::from_be_bytes(random));
    let mut file = File::options()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(folder.join("webhook-secret"))?;
    file.write_all(secret.as_bytes())?;
    let config = format!(
        "# Written by `cargo xtask run`.\n\
         [ingress]\nlisten = \"{}\"\n\n\
         [operator]\nlisten = \"{}\"\n\n\
         [store]\nurl = \"embedded:./tidegate-data\"\n\n\
         [log]\nlevel = \"warn\"\n\n\
         [connectors.github]\nplugin = \"{}\"\n\n\
         [connections.\"github/acme\"]\nsecrets.webhook = [\"file:webhook-secret\"]\n",
        addresses.ingress,
        addresses.operator,
        github_plugin().display(),
    );
    fs::write(folder.join("tidegate.toml"), config)
}

fn explain(folder: &Path, addresses: Addresses) {
    let Addresses { ingress, operator } = addresses;
    let shown = |name: &str| {
        let path = folder.join(name);
        path.strip_prefix(root())
            .unwrap_or(&path)
            .display()
            .to_string()
    };
    let tidegate = release("tidegate");
    let tidegate = tidegate.strip_prefix(root()).unwrap_or(&tidegate).display();
    let (secret, token) = (
        shown("webhook-secret"),
        shown("tidegate-data/operator-token"),
    );
    let config = shown("tidegate.toml");
    println!(
        "
webhooks   http://{ingress}/in/github/acme   signed with the secret in {secret}
operator   http://{operator}                 with the token in {token}

in another terminal:
  {tidegate} --config {config} changes --follow
  curl -H \"Authorization: Bearer $(cat {token})\" http://{operator}/v1/events

Ctrl-C ends the host; the next run begins with an empty store
"
    );
}

fn start_player(folder: &Path, addresses: Addresses) -> Result<(), Problem> {
    let player = command(release("tidegate-e2e"))
        .args(["play", "--ingress", &addresses.ingress.to_string()])
        .args(["--operator", &addresses.operator.to_string()])
        .arg("--token-file")
        .arg(folder.join("tidegate-data/operator-token"))
        .arg("--secret-file")
        .arg(folder.join("webhook-secret"))
        .arg("--fixtures")
        .arg(root().join("plugins/github/fixtures"))
        .stdin(Stdio::null())
        .spawn();
    player.map_err(|error| format!("could not start the player: {error}"))?;
    Ok(())
}

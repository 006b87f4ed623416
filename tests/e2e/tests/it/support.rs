//! A site for one test, and what most tests say to it.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tidegate_e2e::host::{self, Host, Operator, Options, PATH, PLAIN, SECRET, Site};
use tidegate_e2e::http::{self, Answer};
use tidegate_e2e::requests::{JSON, Signer, Webhook};

/// Longest wait for a few events to be mapped on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A folder on the disk that the project is on.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// The workspace's folder.
pub(crate) fn workspace() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A host of a test's own.
pub(crate) struct Running {
    pub(crate) site: Site,
    pub(crate) host: Host,
    _folder: TempDir,
}

impl Running {
    pub(crate) fn start() -> Self {
        Self::start_with(PLAIN)
    }

    pub(crate) fn start_with(options: Options) -> Self {
        Self::start_after(options, |_| {})
    }

    /// A host whose site is prepared further before it starts.
    pub(crate) fn start_after(options: Options, prepare: impl FnOnce(&Site)) -> Self {
        let folder = folder();
        let site = Site::new(folder.path(), options).unwrap();
        prepare(&site);
        let host = site.start().unwrap();
        Self {
            site,
            host,
            _folder: folder,
        }
    }

    /// The next process in the same place, after a kill.
    pub(crate) fn killed_and_started(self) -> Self {
        self.host.kill_9().unwrap();
        let host = self.site.start().unwrap();
        Self { host, ..self }
    }

    pub(crate) fn operator(&self) -> &Operator {
        self.host.operator()
    }

    /// The command line, against this host.
    pub(crate) fn tidegate(&self, arguments: &[&str]) -> Command {
        tidegate(&self.site, arguments)
    }

    /// What a command says on stdout; it has to end well.
    pub(crate) fn said(&self, arguments: &[&str]) -> String {
        said(&self.site, arguments)
    }

    /// One exchange with the ingress.
    pub(crate) fn raw(&self, request: &[u8]) -> Answer {
        http::exchange(self.site.ingress(), request).unwrap()
    }

    /// A signed webhook.
    pub(crate) fn send(&self, event: &str, delivery: &str, body: &[u8]) -> Answer {
        self.raw(&signed(event, delivery, body))
    }

    /// A signed webhook about the issue of that number.
    pub(crate) fn send_issue(&self, number: u64) -> Answer {
        self.send(
            "issues",
            &format!("issue-{number}"),
            issue(number).as_bytes(),
        )
    }

    /// The only event, once it has ended.
    pub(crate) fn only_event(&self) -> Value {
        self.operator().wait_until_mapped(SOON).unwrap();
        let mut events = self.operator().events().unwrap();
        assert_eq!(events.len(), 1, "{events:?}");
        events.pop().unwrap()
    }
}

/// The command line, against whatever host runs there.
pub(crate) fn tidegate(site: &Site, arguments: &[&str]) -> Command {
    let mut command = Command::new(host::binary().unwrap());
    command.arg("--config").arg(site.config()).args(arguments);
    command
}

/// What a command says on stdout; it has to end well.
pub(crate) fn said(site: &Site, arguments: &[&str]) -> String {
    let output = tidegate(site, arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Asks again and again until something holds.
#[track_caller]
pub(crate) fn wait_until(within: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A plugin in which a text stands for another of the same length, everywhere.
pub(crate) fn patched(plugin: &[u8], from: &str, to: &str) -> Vec<u8> {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    assert_eq!(from.len(), to.len());
    let mut bytes = plugin.to_vec();
    let mut replaced = 0;
    for at in 0..=bytes.len() - from.len() {
        let slot = &mut bytes[at..at + from.len()];
        if slot == from {
            slot.copy_from_slice(to);
            replaced += 1;
        }
    }
    assert!(replaced > 0, "the plugin holds no {from:?}");
    bytes
}

/// The bytes of a signed webhook.
pub(crate) fn signed(event: &str, delivery: &str, body: &[u8]) -> Vec<u8> {
    let webhook = Webhook {
        event,
        delivery,
        content_type: JSON,
        body,
    };
    webhook.signed(&Signer::new(SECRET), PATH)
}

/// What GitHub sends when that issue is opened, as far as a mapping needs it.
pub(crate) fn issue(number: u64) -> String {
    format!(
        r#"{{"action":"opened","issue":{{"id":{number},"number":{number},"title":"Tide {number}","state":"open","user":{{"login":"octo","id":1}},"labels":[],"assignees":[],"html_url":"https://github.com/acme/tide/issues/{number}","created_at":"2025-03-01T09:30:00Z","updated_at":"2025-03-01T09:30:00Z","closed_at":null}},"repository":{{"id":9,"name":"tide","full_name":"acme/tide"}},"sender":{{"login":"octo","id":1}}}}"#
    )
}

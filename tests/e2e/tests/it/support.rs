//! A site for one test, and what most tests say to it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tidegate_e2e::host::{Host, Operator, Options, PATH, PLAIN, SECRET, Site};
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
        let folder = folder();
        let site = Site::new(folder.path(), options).unwrap();
        let host = site.start().unwrap();
        Self {
            site,
            host,
            _folder: folder,
        }
    }

    pub(crate) fn operator(&self) -> &Operator {
        self.host.operator()
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

//! Webhooks signed by partners' own libraries, to connections that know their partner by a
//! preset alone. GitHub's library has a test of its own (`octokit`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;
use tidegate_e2e::host::{PLAIN, Site, Storage};
use tidegate_e2e::http::{self, Answer};

use crate::support::{Running, SOON, folder, wait_until, workspace};

/// Under which the partners know the host; nothing listens there.
const PUBLIC_URL: &str = "https://hooks.example.com";

/// The header that a signature is in, or the JSON field of the body.
const SIGNED: [(&str, &str); 7] = [
    ("stripe", "Stripe-Signature"),
    ("svix", "svix-signature"),
    ("standard-webhooks", "webhook-signature"),
    ("shopify", "X-Shopify-Hmac-Sha256"),
    ("slack", "X-Slack-Signature"),
    ("twilio", "X-Twilio-Signature"),
    ("adyen", "hmacSignature"),
];

/// What a script says of one webhook.
#[derive(Debug, Deserialize)]
struct Signed {
    partner: String,
    kind: String,
    secret: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Signed {
    fn is_genuine(&self) -> bool {
        self.kind == "genuine"
    }

    fn request(&self) -> Vec<u8> {
        let Self { partner, body, .. } = self;
        let length = body.len();
        let lines = self.headers.iter();
        let lines = lines.map(|(name, value)| format!("{name}: {value}\r\n"));
        let headers = lines.collect::<Vec<_>>().concat();
        format!(
            "POST /in/{partner}/acme HTTP/1.1\r\nHost: hooks.example.com\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
        )
        .into_bytes()
    }

    /// As somebody in between would change it: one byte of what is signed, and one of the
    /// signature.
    fn tampered(&self) -> [Vec<u8>; 2] {
        let (_, place) = SIGNED
            .iter()
            .find(|(name, _)| *name == self.partner)
            .unwrap();
        let request = String::from_utf8(self.request()).unwrap();
        let other_body = if self.partner == "adyen" {
            request.replacen("1130", "1131", 1)
        } else {
            let (before, last) = request.split_at(request.len() - 2);
            let changed = if last.starts_with('x') { "y" } else { "x" };
            format!("{before}{changed}{}", &last[1..])
        };
        let from = request.find(place).unwrap() + place.len();
        // Well inside the signature, whatever stands before it.
        let at = from + 30;
        let changed = if &request[at..=at] == "a" { "b" } else { "a" };
        let other_signature = format!("{}{changed}{}", &request[..at], &request[at + 1..]);
        assert!(other_body != request && other_signature != request);
        [other_body, other_signature].map(String::into_bytes)
    }
}

fn signed_by(program: &Path, script: &Path) -> Vec<Signed> {
    let said = Command::new(program)
        .arg(script)
        .arg(PUBLIC_URL)
        .output()
        .unwrap();
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    let lines = String::from_utf8(said.stdout).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Where `cargo xtask test` installs the libraries.
fn installed(path: &str) -> PathBuf {
    let path = workspace().join(".tools").join(path);
    assert!(
        path.exists(),
        "run `cargo xtask test`, which installs {}",
        path.display()
    );
    path
}

fn by_javascript() -> Vec<Signed> {
    signed_by(Path::new("node"), &installed("signers/sign.mjs"))
}

fn by_python() -> Vec<Signed> {
    signed_by(
        &installed("signers-python/bin/python"),
        &workspace().join("tests/partners/signers/sign.py"),
    )
}

/// A connection for each partner, which has nothing but a preset and a secret.
fn configure(site: &Site, webhooks: &[Signed]) {
    let text = std::fs::read_to_string(site.config()).unwrap();
    let ingress = format!("[ingress]\npublic_url = \"{PUBLIC_URL}\"\n");
    std::fs::write(site.config(), text.replacen("[ingress]\n", &ingress, 1)).unwrap();
    for one in webhooks.iter().filter(|one| one.is_genuine()) {
        let partner = &one.partner;
        let secret = site.keep_secret(&format!("secret-{partner}"), &one.secret);
        let sections = format!(
            "[connectors.{partner}]\npreset = \"{partner}\"\n\n\
             [connections.\"{partner}/acme\"]\nsecrets.webhook = [\"{}\"]\n",
            secret.unwrap()
        );
        site.configure(&sections).unwrap();
    }
}

#[track_caller]
fn refused(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 401, "{what}: {}", answer.text());
    assert!(answer.body.is_empty(), "{what}: {}", answer.text());
}

fn events(host: &Running) -> Vec<Value> {
    host.operator().events().unwrap()
}

/// What is not genuine is refused and leaves nothing: what is genuine is new afterwards, and
/// known when it comes again.
#[track_caller]
fn check(webhooks: &[Signed]) {
    let host = Running::start_after(PLAIN, |site| configure(site, webhooks));
    let genuine: Vec<_> = webhooks.iter().filter(|one| one.is_genuine()).collect();
    for one in webhooks.iter().filter(|one| !one.is_genuine()) {
        let what = format!("{} with {}", one.partner, one.kind);
        refused(&host.raw(&one.request()), &what);
    }
    for one in &genuine {
        for request in one.tampered() {
            refused(&host.raw(&request), &one.partner);
        }
    }
    assert_eq!(events(&host), Vec::<Value>::new());
    for one in &genuine {
        let answer = host.raw(&one.request());
        let (status, said) = (answer.status, answer.text());
        assert!((200..300).contains(&status), "{}: {said}", one.partner);
        if one.partner == "adyen" {
            assert_eq!(said, "[accepted]");
        }
    }
    assert_eq!(events(&host).len(), genuine.len(), "each is new");
    for one in &genuine {
        let status = host.raw(&one.request()).status;
        assert!((200..300).contains(&status), "{}: {status}", one.partner);
    }
    assert_eq!(events(&host).len(), genuine.len(), "each is known");
}

#[test]
fn what_javascript_libraries_sign_verifies_and_nothing_else_signers() {
    check(&by_javascript());
}

#[test]
fn what_python_libraries_sign_verifies_and_nothing_else_signers() {
    check(&by_python());
}

/// A sender that was answered 503 sends the very same bytes again.
#[test]
fn what_was_answered_503_is_new_when_it_is_sent_again_signers() {
    let webhooks = by_javascript();
    let folder = folder();
    let full = Storage {
        folder: "tidegate-data",
        reserve: "1000000GiB",
        linger: "30s",
    };
    let site = Site::storing(folder.path(), PLAIN, full).unwrap();
    configure(&site, &webhooks);
    let host = site.spawn().unwrap();
    let genuine: Vec<_> = webhooks.iter().filter(|one| one.is_genuine()).collect();
    wait_until(SOON, "it listens", || {
        http::exchange(site.ingress(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").is_ok()
    });
    for one in &genuine {
        let answer = http::exchange(site.ingress(), &one.request()).unwrap();
        assert_eq!(answer.status, 503, "{}: {}", one.partner, answer.text());
        assert!(answer.header("retry-after").is_some());
    }
    host.stop().unwrap();
    let text = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), text.replace(full.reserve, "1MiB")).unwrap();
    let host = site.start().unwrap();
    for one in &genuine {
        let answer = http::exchange(site.ingress(), &one.request()).unwrap();
        let status = answer.status;
        assert!((200..300).contains(&status), "{}: {status}", one.partner);
    }
    assert_eq!(host.operator().events().unwrap().len(), genuine.len());
}

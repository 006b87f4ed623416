//! `tidegate check`, and files that change while the host runs.

use std::fs;
use std::process::Command;
use std::time::Instant;

use tidegate_e2e::host;

use crate::support::{Running, SOON, folder};

#[test]
fn check_names_all_five_mistakes_at_once() {
    let folder = folder();
    let file = folder.path().join("tidegate.toml");
    let text = "\
[ingress]
listen = \"nowhere\"
[store]
urll = \"embedded:./data\"
[policy.dedupe]
window = \"1h\"
[connectors.github]
plugin = 7
[connections.\"github\"]
secrets.webhook = [\"my-secret\"]
";
    fs::write(&file, text).unwrap();
    let checked = Command::new(host::binary().unwrap())
        .arg("check")
        .arg("--config")
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(checked.status.code(), Some(1));
    let said = [checked.stdout, checked.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    for (line, what) in [
        (2, "nowhere"),
        (4, "urll"),
        (6, "window"),
        (8, "plugin"),
        (9, "github"),
    ] {
        let at = format!("tidegate.toml:{line}:");
        let named = said.lines().any(|one| one.contains(&at));
        assert!(
            named && said.contains(what),
            "line {line}, {what}: not in\n{said}"
        );
    }
    assert!(
        said.contains("url"),
        "the nearest known key is not named:\n{said}"
    );
    assert!(!said.contains("my-secret"), "a secret is shown:\n{said}");

    let serve = Command::new(host::binary().unwrap())
        .arg("serve")
        .arg("--config")
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(serve.status.code(), Some(1), "a host started with mistakes");
}

#[test]
fn a_new_secret_is_taken_and_a_bad_file_changes_nothing() {
    let running = Running::start();
    let config = fs::read_to_string(running.site.config()).unwrap();
    fs::write(
        running.site.config(),
        format!("{config}\n[connections.\"github/beta\"]\nbroken"),
    )
    .unwrap();
    let start = Instant::now();
    while !fs::read_to_string(running.site.log())
        .unwrap()
        .contains("refused")
    {
        assert!(start.elapsed() < SOON, "the bad file was not refused");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(running.send_issue(1).status, 200);

    let beta = format!(
        "{config}\n[connections.\"github/beta\"]\nsecrets.webhook = [\"file:webhook-secret\"]\n"
    );
    fs::write(running.site.config(), beta).unwrap();
    let probe = b"POST /in/github/beta HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    let start = Instant::now();
    // Unsigned, so 401 once the connection is known.
    while running.raw(probe).status != 401 {
        assert!(start.elapsed() < SOON, "the new connection did not appear");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

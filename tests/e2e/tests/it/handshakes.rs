//! What partners ask an endpoint before they deliver to it, on the running host: each answer
//! behind its guard, and nothing without one.

use tidegate_e2e::host::{PLAIN, Site};
use tidegate_e2e::http::Answer;
use tidegate_e2e::requests::Signer;

use crate::support::{Running, said};

const TOKEN: &str = "meatyhamhock";
const SECRET: &str = "a secret of the partner's";
const HANDED_OVER: &str = "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81";

fn configure(site: &Site) {
    let token = site.keep_secret("verify-token", TOKEN).unwrap();
    let secret = site.keep_secret("partner-secret", SECRET).unwrap();
    for partner in ["meta", "dropbox", "trello", "zoom", "asana"] {
        let secrets = match partner {
            "meta" => {
                format!("secrets.webhook = [\"{secret}\"]\nsecrets.verify_token = \"{token}\"\n")
            }
            "asana" => String::new(),
            _ => format!("secrets.webhook = [\"{secret}\"]\n"),
        };
        let sections = format!(
            "[connectors.{partner}]\npreset = \"{partner}\"\n\n[connections.\"{partner}/acme\"]\n{secrets}\n"
        );
        site.configure(&sections).unwrap();
    }
}

fn running() -> Running {
    Running::start_after(PLAIN, configure)
}

impl Running {
    fn knock(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let length = body.len();
        let headers = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        let headers = headers.collect::<Vec<_>>().concat();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        self.raw(request.as_bytes())
    }

    fn events(&self) -> usize {
        self.operator().events().unwrap().len()
    }
}

/// Signed as GitHub does, without what stands before the signature there.
fn signature(secret: &str, content: &str) -> String {
    let signed = Signer::new(secret).signature(content.as_bytes());
    signed.trim_start_matches("sha256=").to_owned()
}

#[test]
fn a_challenge_is_echoed_as_text_to_whoever_knows_the_token() {
    let host = running();
    let ask = |token: &str| {
        let query = format!("hub.mode=subscribe&hub.challenge=%3Cb%3E1&hub.verify_token={token}");
        host.knock(&format!("GET /in/meta/acme?{query}"), &[], "")
    };
    let answer = ask(TOKEN);
    assert_eq!((answer.status, &*answer.text()), (200, "<b>1"));
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    for token in ["other", ""] {
        let answer = ask(token);
        assert_eq!(answer.status, 403);
        assert!(!answer.text().contains("<b>1"), "{}", answer.text());
    }
    assert_eq!(host.events(), 0);
}

#[test]
fn probes_are_answered_and_a_get_without_a_challenge_is_no_event() {
    let host = running();
    assert_eq!(host.knock("HEAD /in/trello/acme", &[], "").status, 200);
    let answer = host.knock("GET /in/dropbox/acme?challenge=abc-123_X", &[], "");
    assert_eq!((answer.status, &*answer.text()), (200, "abc-123_X"));
    let answer = host.knock("GET /in/dropbox/acme", &[], "");
    assert!([400, 404, 405].contains(&answer.status), "{answer:?}");
    assert_eq!(host.events(), 0);
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a partner has a clock of its own"
)]
fn a_mac_is_given_to_nobody_who_has_not_signed() {
    let host = running();
    let body =
        r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.unwrap().as_secs().to_string();
    let ask = |signature: &str| {
        let headers = [
            ("x-zm-request-timestamp", &*seconds),
            ("x-zm-signature", signature),
        ];
        host.knock("POST /in/zoom/acme", &headers, body)
    };
    let signed = signature(SECRET, &format!("v0:{seconds}:{body}"));
    let answer = ask(&format!("v0={signed}")).json().unwrap();
    assert_eq!(answer["plainToken"], "qgg8vlvZRS6UYooatFL8Aw");
    let expected = signature(SECRET, "qgg8vlvZRS6UYooatFL8Aw");
    assert_eq!(answer["encryptedToken"], expected.as_str());
    let answer = ask(&format!("v0={}", "0".repeat(64)));
    assert_eq!((answer.status, &*answer.text()), (401, ""));
    assert_eq!(host.events(), 0);
}

#[test]
fn a_secret_is_kept_while_it_is_awaited_and_replaced_by_no_stranger() {
    let host = running();
    let hand_over =
        |secret: &str| host.knock("POST /in/asana/acme", &[("X-Hook-Secret", secret)], "{}");
    let deliver = |host: &Running, secret: &str| {
        let body = r#"{"events":[{"action":"changed","resource":{"gid":"1"}}]}"#;
        let signed = signature(secret, body);
        host.knock(
            "POST /in/asana/acme",
            &[("X-Hook-Signature", &signed)],
            body,
        )
    };
    let answer = hand_over(HANDED_OVER);
    assert!(
        [403, 503].contains(&answer.status),
        "nobody awaits it: {answer:?}"
    );
    host.said(&[
        "connections",
        "await-secret",
        "asana/acme",
        "--reason",
        "setup",
    ]);
    let answer = hand_over(HANDED_OVER);
    assert!([200, 204].contains(&answer.status), "{answer:?}");
    assert_eq!(answer.header("x-hook-secret"), Some(HANDED_OVER));
    let stranger = "a".repeat(64);
    let answer = hand_over(&stranger);
    assert!([401, 403, 409].contains(&answer.status), "{answer:?}");
    assert_eq!(deliver(&host, &stranger).status, 401);
    assert_eq!(deliver(&host, HANDED_OVER).status, 200);
    let shown = said(&host.site, &["connections", "--json"]);
    assert!(!shown.contains(HANDED_OVER), "{shown}");
    let host = host.killed_and_started();
    assert_eq!(
        deliver(&host, HANDED_OVER).status,
        200,
        "known after a kill"
    );
    assert_eq!(deliver(&host, &stranger).status, 401);
    assert_eq!(host.events(), 1, "the second was a duplicate");
}

//! What handshakes come to, and what they are not answered to.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::signature::request::{RawRequest, VerifiedRequest};
use crate::signature::scheme::Scheme;
use crate::signature::verify::{Proof, verify};
use crate::signature::{KeySet, Preset};
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::EPOCH;

fn scheme() -> Scheme {
    Scheme::parse(&json!({
        "algorithm": "hmac-sha256", "key": "utf8", "content": "{body}",
        "signature": {"in": "header", "name": "s", "encoding": "hex"},
    }))
    .unwrap()
}

fn keys(scheme: &Scheme) -> KeySet {
    KeySet::prepare(scheme, [Secret::new(b"key".to_vec()).unwrap()]).unwrap()
}

fn raw(method: &str, query: &str, headers: &[(&str, &str)], body: &str) -> RawRequest {
    RawRequest {
        method: method.into(),
        url: None,
        path: vec![],
        query: query.into(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Bytes::from((*value).to_owned())))
            .collect(),
        body: Bytes::from(body.to_owned()),
    }
}

fn of(preset: &str) -> &'static [Handshake] {
    Preset::find(preset).unwrap().handshakes()
}

/// The outcome in words: `200 body`, `refuse 403`, `store x`, `confirm url`, `event`.
fn words(outcome: Option<Outcome>) -> String {
    match outcome {
        None => "event".into(),
        Some(Outcome::Answer(reply)) => {
            let body = String::from_utf8_lossy(&reply.body).into_owned();
            format!("{} {body}", reply.status)
        }
        Some(Outcome::Store { secret, .. }) => {
            format!("store {}", String::from_utf8_lossy(secret.expose()))
        }
        Some(Outcome::Confirm { url, .. }) => format!("confirm {url}"),
        Some(Outcome::Refuse { status }) => format!("refuse {status}"),
        Some(Outcome::PollWish) => "poll".into(),
    }
}

#[track_caller]
fn check_before(list: &[Handshake], state: &HandshakeState, raw: &RawRequest, expected: &str) {
    let keys = keys(&scheme());
    let outcome = Handshake::before(list, raw, state, &keys, NOW);
    assert_eq!(words(outcome), expected);
}

#[track_caller]
fn check_after(list: &[Handshake], raw: RawRequest, expected: &str) {
    let scheme = scheme();
    let verified = VerifiedRequest::new(raw, &scheme, Proof::none(), NOW);
    let outcome = Handshake::after(list, &verified, &scheme, &keys(&scheme), NOW);
    assert_eq!(words(outcome), expected);
}

fn closed() -> HandshakeState {
    HandshakeState::default()
}

fn awaiting() -> HandshakeState {
    HandshakeState {
        awaiting: true,
        ..HandshakeState::default()
    }
}

#[test]
fn nothing_is_answered_by_default() {
    check_before(
        &[],
        &closed(),
        &raw("GET", "challenge=x", &[], ""),
        "refuse 405",
    );
    check_before(&[], &closed(), &raw("HEAD", "", &[], ""), "refuse 405");
    check_before(&[], &closed(), &raw("OPTIONS", "", &[], ""), "refuse 405");
    check_before(
        &[],
        &closed(),
        &raw("POST", "", &[("x-hook-secret", "s")], ""),
        "event",
    );
    check_after(
        &[],
        raw("POST", "", &[], r#"{"type":"url_verification"}"#),
        "event",
    );
}

#[test]
fn a_token_that_is_not_configured_matches_nothing() {
    let empty = raw(
        "GET",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=",
        &[],
        "",
    );
    check_before(of("meta"), &closed(), &empty, "refuse 403");
    let twice = "hub.mode=subscribe&hub.challenge=1&hub.verify_token=t&hub.verify_token=t";
    let mut state = closed();
    let token = Secret::new(b"t".to_vec()).unwrap();
    state.tokens.insert("verify_token".into(), token);
    check_before(
        of("meta"),
        &state,
        &raw("GET", twice, &[], ""),
        "refuse 403",
    );
    let good = "hub.mode=subscribe&hub.challenge=1&hub.verify_token=t";
    check_before(of("meta"), &state, &raw("GET", good, &[], ""), "200 1");
    check_before(
        of("meta"),
        &state,
        &raw("GET", "hub.challenge=1", &[], ""),
        "refuse 405",
    );
}

#[test]
fn secrets_are_taken_only_while_one_is_awaited() {
    let asana = raw("POST", "", &[("x-hook-secret", "s3")], "{}");
    check_before(of("asana"), &awaiting(), &asana, "store s3");
    check_before(of("asana"), &closed(), &asana, "refuse 403");
    let established = HandshakeState {
        established: true,
        ..closed()
    };
    check_before(of("asana"), &established, &asana, "refuse 409");
    check_before(
        of("asana"),
        &awaiting(),
        &raw("POST", "", &[], "{}"),
        "event",
    );
    let line = raw("POST", "", &[("x-hook-secret", "a b")], "{}");
    check_before(of("asana"), &awaiting(), &line, "refuse 403");
    let notion = raw("POST", "", &[], r#"{"verification_token":"s4"}"#);
    check_before(of("notion"), &awaiting(), &notion, "store s4");
    check_before(of("notion"), &closed(), &notion, "event");
}

#[test]
fn a_mac_is_given_only_for_what_can_be_no_payload() {
    let config = [("public_key".to_owned(), "pk".to_owned())]
        .into_iter()
        .collect();
    let scheme = Preset::find("braintree").unwrap().scheme();
    let secret = Secret::new(b"private".to_vec()).unwrap();
    let keys = KeySet::prepare_with(scheme, [secret], &config).unwrap();
    let check = |challenge: &str, expected: &str| {
        let raw = raw("GET", &format!("bt_challenge={challenge}"), &[], "");
        let outcome = Handshake::before(of("braintree"), &raw, &closed(), &keys, NOW);
        assert_eq!(words(outcome), expected);
    };
    check(
        "20f9f8ed05f77439fe955c977e4c8a53",
        "200 pk|3077328431565fee44b856ee88190b8a2abd06e4",
    );
    check("20f9f8ed05f77439fe955c977e4c8a53f", "refuse 403");
    check("20f9f8ed05f77439fe", "refuse 403");
    check("PG5vdGlmaWNhdGlvbj4K", "refuse 403");
    check("", "refuse 403");
}

/// What a challenge was answered with is a signature over that text: as an event it proves
/// nothing.
#[test]
fn a_mac_that_was_given_away_opens_nothing() {
    let config = [("public_key".to_owned(), "pk".to_owned())]
        .into_iter()
        .collect();
    let scheme = Preset::find("braintree").unwrap().scheme();
    let secret = Secret::new(b"private".to_vec()).unwrap();
    let keys = KeySet::prepare_with(scheme, [secret], &config).unwrap();
    let body = "bt_signature=pk%7C3077328431565fee44b856ee88190b8a2abd06e4\
        &bt_payload=20f9f8ed05f77439fe955c977e4c8a53";
    let raw = raw("POST", "", &[], body);
    let verified = verify(raw, scheme, &keys, None, NOW).unwrap();
    let outcome = Handshake::after(of("braintree"), &verified, scheme, &keys, NOW);
    assert_eq!(words(outcome), "refuse 403");
}

#[test]
fn signed_handshakes_are_answered_only_once_the_signature_held() {
    for (preset, body) in [
        ("slack", r#"{"type":"url_verification","challenge":"c"}"#),
        (
            "zoom",
            r#"{"event":"endpoint.url_validation","payload":{"plainToken":"c"}}"#,
        ),
        ("discord", r#"{"type":1}"#),
        (
            "aws-sns",
            r#"{"Type":"SubscriptionConfirmation","SubscribeURL":"https://sns.a.amazonaws.com/"}"#,
        ),
        ("xero", r#"{"events":[]}"#),
    ] {
        check_before(
            of(preset),
            &awaiting(),
            &raw("POST", "", &[], body),
            "event",
        );
    }
}

#[test]
fn verified_handshakes_are_answered() {
    let slack = r#"{"type":"url_verification","challenge":"<b>"}"#;
    check_after(of("slack"), raw("POST", "", &[], slack), "200 <b>");
    check_after(
        of("slack"),
        raw("POST", "", &[], r#"{"type":"event_callback"}"#),
        "event",
    );
    check_after(
        of("discord"),
        raw("POST", "", &[], r#"{"type":1}"#),
        r#"200 {"type":1}"#,
    );
    check_after(
        of("discord"),
        raw("POST", "", &[], r#"{"type":2}"#),
        "event",
    );
    check_after(of("xero"), raw("POST", "", &[], r#"{"events":[]}"#), "200 ");
    check_after(
        of("xero"),
        raw("POST", "", &[], r#"{"events":[1]}"#),
        "event",
    );
    check_after(
        of("asana"),
        raw("POST", "", &[], r#"{"events": [ ]}"#),
        "200 ",
    );
    let sync = [("x-goog-resource-state", "sync")];
    check_after(of("google-push"), raw("POST", "", &sync, ""), "200 ");
    let kind = [(
        "twitch-eventsub-message-type",
        "webhook_callback_verification",
    )];
    let twitch = raw("POST", "", &kind, r#"{"challenge":"pogchamp"}"#);
    check_after(of("twitch"), twitch, "200 pogchamp");
}

#[test]
fn only_urls_of_the_partner_are_confirmed() {
    let check = |url: &str, expected: &str| {
        let body = json!({"Type": "SubscriptionConfirmation", "SubscribeURL": url}).to_string();
        check_after(of("aws-sns"), raw("POST", "", &[], &body), expected);
    };
    let good = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription";
    check(good, &format!("confirm {good}"));
    check("https://169.254.169.254/latest", "refuse 403");
}

#[test]
fn probes_and_pings_are_answered_in_their_exact_form() {
    check_before(of("trello"), &closed(), &raw("HEAD", "", &[], ""), "200 ");
    check_before(
        of("woocommerce"),
        &closed(),
        &raw("POST", "", &[], "webhook_id=12"),
        "200 ",
    );
    check_before(
        of("woocommerce"),
        &closed(),
        &raw("POST", "", &[], "webhook_id=1&a=2"),
        "event",
    );
    check_before(
        of("woocommerce"),
        &closed(),
        &raw("POST", "", &[], "webhook_id="),
        "event",
    );
    let graph = raw("POST", "validationToken=a%20%3Cb%3E", &[], "");
    check_before(of("microsoft-graph"), &closed(), &graph, "200 a <b>");
    let okta = raw("GET", "", &[("x-okta-verification-challenge", "c\"}")], "");
    check_before(
        of("okta"),
        &closed(),
        &okta,
        r#"200 {"verification":"c\"}"}"#,
    );
}

#[test]
fn an_origin_is_allowed_by_name_only() {
    let allowed = |origin: &str| {
        let headers = [
            ("webhook-request-origin", origin),
            ("webhook-request-rate", "9"),
        ];
        let raw = raw("OPTIONS", "", &headers, "");
        let keys = keys(&scheme());
        match Handshake::before(of("cloudevents"), &raw, &closed(), &keys, NOW) {
            Some(Outcome::Answer(reply)) => reply.headers,
            other => panic!("{other:?}"),
        }
    };
    let granted = [
        ("webhook-allowed-origin", "eventgrid.azure.net"),
        ("webhook-allowed-rate", "*"),
    ];
    let granted = granted.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(allowed("eventgrid.azure.net"), granted);
    assert_eq!(allowed("evil.example"), []);
}

#[test]
fn an_echo_is_plain_text_that_nobody_sniffs() {
    let keys = keys(&scheme());
    let raw = raw("GET", "challenge=x", &[], "");
    let outcome = Handshake::before(of("dropbox"), &raw, &closed(), &keys, NOW);
    let Some(Outcome::Answer(reply)) = outcome else {
        panic!("{outcome:?}")
    };
    let expected = [
        ("content-type", "text/plain"),
        ("x-content-type-options", "nosniff"),
    ];
    assert_eq!(
        reply.headers,
        expected.map(|(n, v)| (n.to_owned(), v.to_owned()))
    );
}

#[track_caller]
fn check_refused(document: &Value, expected: &str) {
    let problems = Handshake::parse(document).unwrap_err().to_string();
    assert!(problems.contains(expected), "{problems}");
}

#[test]
fn descriptions_are_checked() {
    let header = json!({"in": "header", "name": "x"});
    check_refused(&json!("echo-challenge"), "needs a description");
    check_refused(
        &json!({"kind": "echo-challenge", "challenge": header}),
        "\"guard\" is missing",
    );
    let oracle = json!({
        "kind": "answer-challenge", "challenge": header, "guard": "none", "answer": "{mac}",
    });
    check_refused(&oracle, "unknown guard");
    check_refused(&json!({"kind": "acknowledge"}), "takes no event");
    check_refused(
        &json!({"kind": "pong", "answer": "{secret}"}),
        "no variables but",
    );
    check_refused(
        &json!({"kind": "confirm-url", "url": header, "hosts": ["a b"]}),
        "host's name",
    );
    check_refused(
        &json!({"kind": "store-secret", "secret": {"in": "json", "pointer": "/a"}, "echo": true}),
        "only for a header",
    );
}

proptest! {
    #[test]
    fn any_request_is_decided_on(
        method in "GET|HEAD|OPTIONS|POST",
        query in ".{0,48}",
        value in "[!-~]{0,24}",
        body in prop::collection::vec(any::<u8>(), 0..48),
    ) {
        let scheme = scheme();
        let keys = keys(&scheme);
        for preset in Preset::all() {
            let mut raw = raw(&method, &query, &[("x-hook-secret", &value)], "");
            raw.body = body.clone().into();
            let list = preset.handshakes();
            let outcome = Handshake::before(list, &raw, &closed(), &keys, NOW);
            let stores = matches!(outcome, Some(Outcome::Store { .. }));
            prop_assert!(!stores);
            let verified = VerifiedRequest::new(raw, &scheme, Proof::none(), NOW);
            _ = Handshake::after(list, &verified, &scheme, &keys, NOW);
        }
    }
}

//! What a request that may be a handshake comes to.

use subtle::ConstantTimeEq as _;

use super::answer::{Filling, is_challenge};
use super::{Action, Condition, Expected, Guard, Handshake, HandshakeState, MacGuard};
use super::{Outcome, Reply};
use crate::pointer::elements;
use crate::signature::keys::KeySet;
use crate::signature::request::{HeaderName, RawRequest, VerifiedRequest};
use crate::signature::scheme::Scheme;
use crate::signature::secret::Secret;
use crate::signature::source::Source;
use crate::signature::verify;
use crate::time::Timestamp;

/// The methods that carry events.
const EVENT_METHODS: [&str; 2] = ["POST", "PUT"];

/// Longest secret that is taken from a request, in bytes.
const SECRET_BYTES_MAX: usize = 512;

/// Longest URL that is fetched for a confirmation, in bytes.
const URL_BYTES_MAX: usize = 2_048;

/// Most digits of the id in an unsigned ping.
const PING_DIGITS_MAX: usize = 20;

/// What a decision looks at beside the request.
#[derive(Clone, Copy)]
struct Context<'a> {
    keys: &'a KeySet,
    now: Timestamp,
}

impl Handshake {
    /// Decides on a request before its signature is looked at. None means that it is none
    /// of the listed handshakes and may be an event, whose signature then decides.
    pub fn before(
        list: &[Self],
        raw: &RawRequest,
        state: &HandshakeState,
        keys: &KeySet,
        now: Timestamp,
    ) -> Option<Outcome> {
        let context = Context { keys, now };
        list.iter()
            .filter(|handshake| handshake.is_meant(raw))
            .find_map(|handshake| handshake.unsigned(raw, state, context))
            .or_else(|| {
                let carries_event = EVENT_METHODS.contains(&raw.method.as_str());
                (!carries_event).then_some(Outcome::Refuse { status: 405 })
            })
    }

    /// Decides on a verified request. None means that it is an event.
    pub fn after(
        list: &[Self],
        request: &VerifiedRequest,
        scheme: &Scheme,
        keys: &KeySet,
        now: Timestamp,
    ) -> Option<Outcome> {
        let (raw, context) = (request.raw(), Context { keys, now });
        // Its signature may be one that this endpoint gave to whoever asked with that text.
        let gives_away = |handshake: &Self| {
            handshake.action.is_mac_of_short_hex()
                && verify::signs(raw, scheme, keys.config(), is_short_hex)
        };
        if list.iter().any(gives_away) {
            return Some(Outcome::Refuse { status: 403 });
        }
        list.iter()
            .filter(|handshake| handshake.is_meant(raw))
            .find_map(|handshake| handshake.signed(raw, context))
            .or_else(|| scheme.is_thin_ping().then_some(Outcome::PollWish))
    }

    fn is_meant(&self, raw: &RawRequest) -> bool {
        self.method == raw.method && self.when.iter().all(|condition| condition.holds(raw))
    }

    fn unsigned(
        &self,
        raw: &RawRequest,
        state: &HandshakeState,
        context: Context<'_>,
    ) -> Option<Outcome> {
        match &self.action {
            Action::Echo {
                guard: Guard::Signature,
                ..
            }
            | Action::Mac {
                guard: MacGuard::Signature,
                ..
            }
            | Action::Pong(_)
            | Action::Confirm { .. }
            | Action::Acknowledge => None,
            Action::Echo {
                challenge,
                guard: Guard::Token { at, name },
                ..
            } => {
                let given = at.find(raw);
                let expected = state.tokens.get(name).filter(|t| t.counts_at(context.now));
                if !is_token(given.as_deref(), expected) {
                    return Some(Outcome::Refuse { status: 403 });
                }
                self.answer(challenge, raw, "", context)
            }
            Action::Echo { challenge, .. } => self.answer(challenge, raw, "", context),
            Action::Mac { challenge, .. } => {
                let text = challenge.find(raw)?;
                if !is_short_hex(&text) {
                    return Some(Outcome::Refuse { status: 403 });
                }
                self.answer_mac(challenge, raw, context)
            }
            Action::Store { secret, echo } => store(secret, echo.as_ref(), raw, state),
            Action::Probe => Some(Outcome::Answer(Reply::empty(200))),
            Action::AllowOrigin { origins, rate } => Some(allow(origins, *rate, raw)),
            Action::UnsignedPing { field } => {
                let digits = ping_id(&raw.body, field)?;
                let is_id = (1..=PING_DIGITS_MAX).contains(&digits.len())
                    && digits.iter().all(u8::is_ascii_digit);
                is_id.then(|| Outcome::Answer(Reply::empty(200)))
            }
        }
    }

    fn signed(&self, raw: &RawRequest, context: Context<'_>) -> Option<Outcome> {
        match &self.action {
            Action::Echo {
                challenge,
                guard: Guard::Signature,
                ..
            } => self.answer(challenge, raw, "", context),
            Action::Mac {
                challenge,
                guard: MacGuard::Signature,
                ..
            } => self.answer_mac(challenge, raw, context),
            Action::Pong(answer) => {
                let filling = Filling {
                    challenge: "",
                    mac: "",
                    config: context.keys.config(),
                };
                answer.fill(filling).map(Outcome::Answer)
            }
            Action::Confirm { url, hosts } => {
                let url = url.find(raw)?;
                Some(if is_allowed(&url, hosts) {
                    Outcome::Confirm {
                        url: url.into_owned(),
                        reply: Reply::empty(200),
                    }
                } else {
                    Outcome::Refuse { status: 403 }
                })
            }
            Action::Acknowledge => Some(Outcome::Answer(Reply::empty(200))),
            _ => None,
        }
    }
}

impl Handshake {
    /// The answer to a challenge whose guard held.
    fn answer(
        &self,
        challenge: &Source,
        raw: &RawRequest,
        mac: &str,
        context: Context<'_>,
    ) -> Option<Outcome> {
        let (Action::Echo { answer, .. } | Action::Mac { answer, .. }) = &self.action else {
            return None;
        };
        let challenge = challenge.find(raw).filter(|text| is_challenge(text))?;
        let filling = Filling {
            challenge: &challenge,
            mac,
            config: context.keys.config(),
        };
        let refused = Outcome::Refuse { status: 403 };
        Some(answer.fill(filling).map_or(refused, Outcome::Answer))
    }

    fn answer_mac(
        &self,
        challenge: &Source,
        raw: &RawRequest,
        context: Context<'_>,
    ) -> Option<Outcome> {
        let Context { keys, now } = context;
        let text = challenge.find(raw).filter(|text| is_challenge(text))?;
        match keys.mac_in_hex(text.as_bytes(), now) {
            Some(mac) => self.answer(challenge, raw, &mac, context),
            None => Some(Outcome::Refuse { status: 403 }),
        }
    }
}

impl Action {
    /// Whether it gives the MAC of a text to whoever asks with one of twenty-odd hex digits.
    const fn is_mac_of_short_hex(&self) -> bool {
        matches!(
            self,
            Self::Mac {
                guard: MacGuard::ShortHex,
                ..
            }
        )
    }
}

impl Condition {
    fn holds(&self, raw: &RawRequest) -> bool {
        match (&self.is, &self.at) {
            (Expected::Text(text), at) => at.find(raw).is_some_and(|found| found == text.as_str()),
            (Expected::EmptyList, Source::Json(pointer)) => {
                let found = pointer.raw_in(&raw.body).ok().flatten();
                found.is_some_and(|json| elements(json.as_bytes(), 0) == Ok(Vec::new()))
            }
            (Expected::EmptyList, _) => false,
        }
    }
}

/// Compares in a time that depends on lengths only. Without a configured token nothing
/// matches.
fn is_token(given: Option<&str>, expected: Option<&Secret>) -> bool {
    match (given, expected) {
        (Some(given), Some(expected)) => expected.expose().ct_eq(given.as_bytes()).into(),
        _ => false,
    }
}

fn is_short_hex(text: &str) -> bool {
    (20..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn store(
    at: &Source,
    echo: Option<&HeaderName>,
    raw: &RawRequest,
    state: &HandshakeState,
) -> Option<Outcome> {
    // Not found is asked first: events of the same partner come by without it.
    let text = at.find(raw)?;
    if !state.awaiting {
        // A field of a body may be an event's own; its signature decides.
        let is_header = matches!(at, Source::Header(_));
        let status = if state.established { 409 } else { 403 };
        return is_header.then_some(Outcome::Refuse { status });
    }
    let visible =
        (1..=SECRET_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if !visible {
        return Some(Outcome::Refuse { status: 403 });
    }
    let secret = Secret::new(text.as_bytes().to_vec()).ok()?;
    let reply = Reply::empty(200);
    Some(Outcome::Store {
        secret,
        reply: match echo {
            Some(name) => reply.with_header(name.as_str(), &text),
            None => reply,
        },
    })
}

/// `CloudEvents` leaves the header out to refuse; the status says nothing.
fn allow(origins: &[String], rate: Option<u32>, raw: &RawRequest) -> Outcome {
    let asked = single(raw, "webhook-request-origin");
    let allowed = origins.iter().find(|origin| {
        asked.is_some_and(|asked| *origin == "*" || origin.eq_ignore_ascii_case(asked))
    });
    let mut reply = Reply::empty(200);
    if let Some(origin) = allowed {
        reply = reply.with_header("webhook-allowed-origin", origin);
        if single(raw, "webhook-request-rate").is_some() {
            let rate = rate.map_or_else(|| "*".to_owned(), |rate| rate.to_string());
            reply = reply.with_header("webhook-allowed-rate", &rate);
        }
    }
    Outcome::Answer(reply)
}

fn single<'a>(raw: &'a RawRequest, name: &str) -> Option<&'a str> {
    let mut values = raw.headers.iter().filter(|(found, _)| found == name);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => std::str::from_utf8(value).ok(),
        _ => None,
    }
}

/// The value of a form that has that one field and nothing else.
fn ping_id<'a>(body: &'a [u8], field: &str) -> Option<&'a [u8]> {
    body.strip_prefix(field.as_bytes())?.strip_prefix(b"=")
}

/// Whether a URL is one of https on an allowed host and the usual port, without
/// credentials.
fn is_allowed(url: &str, hosts: &[String]) -> bool {
    let plain =
        url.len() <= URL_BYTES_MAX && url.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    let Some(rest) = url.strip_prefix("https://").filter(|_| plain) else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.strip_suffix(":443").unwrap_or(authority);
    hosts.iter().any(|pattern| is_host(host, pattern))
}

/// Label by label; `*` stands for one label of letters, digits and hyphens.
fn is_host(host: &str, pattern: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let (mut labels, mut patterns) = (host.split('.'), pattern.split('.'));
    loop {
        match (labels.next(), patterns.next()) {
            (None, None) => return true,
            (Some(label), Some("*")) if is_label(label) => {}
            (Some(label), Some(pattern)) if label.eq_ignore_ascii_case(pattern) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod host_tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: bool) {
        let hosts = ["sns.*.amazonaws.com".to_owned()];
        assert_eq!(is_allowed(url, &hosts), expected, "{url}");
    }

    #[test]
    fn only_https_urls_of_allowed_hosts_are_fetched() {
        check("https://sns.us-east-1.amazonaws.com/?Action=x", true);
        check("https://sns.us-east-1.amazonaws.com:443/", true);
        check("https://SNS.us-east-1.amazonaws.com", true);
        check("http://sns.us-east-1.amazonaws.com/", false);
        check("https://sns.us-east-1.amazonaws.com:8443/", false);
        check("https://sns.a.b.amazonaws.com/", false);
        check("https://sns..amazonaws.com/", false);
        check("https://evil.example/sns.us-east-1.amazonaws.com", false);
        check("https://evil.example#sns.us-east-1.amazonaws.com", false);
        check("https://sns.us-east-1.amazonaws.com@evil.example/", false);
        check("https://u:p@sns.us-east-1.amazonaws.com/", false);
        check("https://sns.us-east-1.amazonaws.com\\@evil.example/", false);
        check("https://sns.us-east-1.amazonaws.com.evil.example/", false);
        check("https://sns.us-east-1.amazonaws.com/a b", false);
    }
}

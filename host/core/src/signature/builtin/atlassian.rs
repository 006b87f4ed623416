//! Atlassian Connect: a token whose claim `qsh` is the hash of method, path and query.
//!
//! The token is in the `Authorization` header after `JWT `, or in the query item `jwt`.
//! The path counts from the app's base URL (`{config:base_url}`); without one, from the
//! host. The body is not bound.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{WebUrl, header_text};
use crate::signature::algorithm::{Hash, JwtAlgorithm};
use crate::signature::body_hash::is_hash_of;
use crate::signature::encoding::Encoding;
use crate::signature::form;
use crate::signature::jws::{self, Token};
use crate::signature::refusal::{ClaimFault, Malformed, Refusal};
use crate::signature::request::RawRequest;
use crate::signature::verify::{Attempt, Proof};

const BASE_URL: &str = "base_url";

pub(super) fn check(attempt: &Attempt<'_>) -> Result<Proof, Refusal> {
    let raw = attempt.raw;
    let url = raw.url.as_deref().ok_or(Refusal::UrlNotConfigured)?;
    let url = WebUrl::split(url).ok_or(Refusal::UrlNotConfigured)?;
    let text = token_text(raw)?;
    let token =
        Token::read(&text).ok_or_else(|| attempt.scheme.signature.malformed(Malformed::NotJws))?;
    let matched = token.matched(attempt, JwtAlgorithm::Hs256)?;
    let claimed = jws::text(&token.claims, "qsh")?;
    let base = attempt.config.get(BASE_URL).and_then(WebUrl::split);
    let canonical = canonical(&raw.method, url, base.map_or("", |base| base.path()));
    if !is_hash_of(claimed, Hash::Sha256, Encoding::Hex, canonical.as_bytes()) {
        return Err(Refusal::Claim {
            claim: "qsh".to_owned(),
            why: ClaimFault::Other,
        });
    }
    jws::check_times(&token.claims, &attempt.scheme.jwt, attempt.now)?;
    Ok(Proof {
        claims: Some(Box::new(token.claims)),
        ..matched
    })
}

fn token_text(raw: &RawRequest) -> Result<String, Refusal> {
    match form::only_value(raw.query.as_bytes(), "jwt") {
        Ok(Some(token)) => String::from_utf8(token).map_err(|_| missing()),
        Ok(None) => {
            let header = header_text(raw, "authorization")?;
            let token = header.strip_prefix("JWT ").ok_or_else(missing)?;
            Ok(token.trim().to_owned())
        }
        Err(form::Doubled) => Err(Refusal::SignatureDoubled {
            place: "query item \"jwt\"".to_owned(),
        }),
    }
}

fn missing() -> Refusal {
    Refusal::SignatureMissing {
        place: "the token in header authorization or query item \"jwt\"".to_owned(),
    }
}

/// What `qsh` is the hash of: `GET&/path&a=1&b=2,3`.
fn canonical(method: &str, url: WebUrl<'_>, base: &str) -> String {
    let path = url.path().strip_prefix(base.trim_end_matches('/'));
    let path = path.unwrap_or_else(|| url.path()).replace('&', "%26");
    let path = path.trim_end_matches('/');
    let path = if path.is_empty() { "/" } else { path };
    let mut query: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in form::fields(url.query().unwrap_or_default().as_bytes()) {
        if name != b"jwt" {
            query
                .entry(escaped(&name))
                .or_default()
                .push(escaped(&value));
        }
    }
    let mut text = format!("{}&{path}&", method.to_ascii_uppercase());
    for (index, (name, mut values)) in query.into_iter().enumerate() {
        values.sort_unstable();
        let separator = if index == 0 { "" } else { "&" };
        // Writing to a text never fails.
        let _ = write!(text, "{separator}{name}={}", values.join(","));
    }
    text
}

/// Percent-encoded as RFC 3986 has it: all but letters, digits and `-._~`.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a text never fails.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_canonical(url: &str, base: &str, expected: &str) {
        let url = WebUrl::split(url).unwrap();
        assert_eq!(canonical("get", url, base), expected);
    }

    #[test]
    fn requests_are_canonical() {
        check_canonical(
            "https://a.example/path/to/service?zee_last=param&repeated=parameter%201&first=param&repeated=parameter+2&jwt=x",
            "",
            "GET&/path/to/service&first=param&repeated=parameter%201,parameter%202&zee_last=param",
        );
        check_canonical("https://a.example/app/in?a=*", "/app", "GET&/in&a=%2A");
        check_canonical("https://a.example/app/", "/app/", "GET&/&");
        check_canonical("https://a.example", "", "GET&/&");
        check_canonical("https://a.example/a&b/?x", "", "GET&/a%26b&x=");
    }
}

//! Compact JWS (RFC 7515) as partners use it: a token with claims, one of which is a hash.
//!
//! Written here and not taken from a JWT crate: those bring a primitive library of their
//! own or a second copy of ours, choose the algorithm by the token's header unless told
//! otherwise, and check claims of sessions (`aud`, `sub`) that no webhook has. What is left
//! is a text in three parts, and each part is decoded strictly.
//!
//! The algorithm is pinned by the scheme; the token's `alg` is compared with it and decides
//! nothing. The signature is checked first, then the claims, the age at last: a refusal for
//! its age is about a genuine token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::JwtAlgorithm;
use super::body_hash;
use super::refusal::{ClaimFault, Malformed, Refusal};
use super::request::RawRequest;
use super::scheme::{BodyHashPlace, JwtRule, Scheme};
use super::template::Piece;
use super::timestamp::TimestampPlace;
use super::verify::{Attempt, Proof};
use super::{config::SchemeConfig, url};
use crate::time::Timestamp;

/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1_024;

/// How far clocks may differ where the scheme does not say.
const LEEWAY_S: u64 = 5;

/// Longest signature: RSA with 8,192 bits.
const SIGNATURE_BYTES_MAX: usize = 1_024;

/// A token, none of which is believed yet.
#[derive(Debug)]
pub(super) struct Token<'t> {
    /// Header and payload as they were signed.
    signed: &'t str,
    header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
    signature: Vec<u8>,
}

/// Checks the token of a request.
pub(super) fn check(attempt: &Attempt<'_>, pinned: JwtAlgorithm) -> Result<Proof, Refusal> {
    let located = attempt
        .scheme
        .signature
        .locate(attempt.raw, attempt.config)?;
    let text = located.texts.first().map(AsRef::as_ref).unwrap_or_default();
    let token =
        Token::read(text).ok_or_else(|| attempt.scheme.signature.malformed(Malformed::NotJws))?;
    let matched = token.matched(attempt, pinned)?;
    check_issuer(&token.claims, &attempt.scheme.jwt, attempt.config)?;
    check_body(&token.claims, attempt)?;
    check_url(&token.claims, attempt)?;
    check_times(&token.claims, &attempt.scheme.jwt, attempt.now)?;
    check_timestamp(&token.claims, attempt)?;
    Ok(Proof {
        claims: Some(Box::new(token.claims)),
        ..matched
    })
}

/// The `kid` of a request's token; None where the token has none.
pub(super) fn key_id(scheme: &Scheme, raw: &RawRequest) -> Result<Option<String>, Refusal> {
    let located = scheme.signature.locate(raw, &SchemeConfig::EMPTY)?;
    let text = located.texts.first().map(AsRef::as_ref).unwrap_or_default();
    let token = Token::read(text).ok_or_else(|| scheme.signature.malformed(Malformed::NotJws))?;
    Ok(token.key_id().map(str::to_owned))
}

impl<'t> Token<'t> {
    /// Reads three parts of base64url without padding, the first two JSON objects.
    pub(super) fn read(text: &'t str) -> Option<Self> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let object = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
            serde_json::from_slice::<Map<String, Value>>(&bytes).ok()
        };
        let (header, claims) = (object(header)?, object(payload)?);
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        // An extension that has to be understood, and is not.
        let critical = header.contains_key("crit");
        (!critical && signature.len() <= SIGNATURE_BYTES_MAX).then_some(Self {
            signed,
            header,
            claims,
            signature,
        })
    }

    fn key_id(&self) -> Option<&str> {
        self.header.get("kid").and_then(Value::as_str)
    }

    /// The key that signed it.
    pub(super) fn matched(
        &self,
        attempt: &Attempt<'_>,
        pinned: JwtAlgorithm,
    ) -> Result<Proof, Refusal> {
        if self.header.get("alg").and_then(Value::as_str) != Some(pinned.name()) {
            return Err(Refusal::OtherAlgorithm {
                expected: pinned.name(),
            });
        }
        let matched = match pinned.public() {
            None => {
                let pieces = [Piece::Bytes(self.signed.as_bytes().into())];
                attempt.maced_by(&pieces, &self.signature)
            }
            Some(public) => {
                let signed = self.signed.as_bytes();
                attempt
                    .verified_by(public, signed, &self.signature, self.key_id())
                    // A JWK for another algorithm is no key for this one.
                    .filter(|key| key.public().is_some_and(|key| key.is_for(pinned.name())))
            }
        };
        matched.map(Proof::by).ok_or(Refusal::NoMatch {
            keys: attempt.keys.len(),
        })
    }
}

fn fault(claim: &str, why: ClaimFault) -> Refusal {
    Refusal::Claim {
        claim: claim.to_owned(),
        why,
    }
}

/// The text of a claim that has to be there.
pub(super) fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Result<&'c str, Refusal> {
    match claims.get(name) {
        None => Err(fault(name, ClaimFault::Missing)),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(fault(name, ClaimFault::Malformed)),
    }
}

fn check_issuer(
    claims: &Map<String, Value>,
    rule: &JwtRule,
    config: &SchemeConfig,
) -> Result<(), Refusal> {
    match &rule.issuer {
        Some(expected) if text(claims, "iss")? != config.fill(expected)? => {
            Err(fault("iss", ClaimFault::Other))
        }
        _ => Ok(()),
    }
}

fn check_body(claims: &Map<String, Value>, attempt: &Attempt<'_>) -> Result<(), Refusal> {
    let Some(rule) = &attempt.scheme.body_hash else {
        return Ok(());
    };
    match &rule.place {
        BodyHashPlace::Claim(name) => {
            let found = match claims.get(name) {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text.as_str()),
                Some(_) => return Err(fault(name, ClaimFault::Malformed)),
            };
            body_hash::check_text(rule, found, attempt.raw)
        }
        BodyHashPlace::Query(_) | BodyHashPlace::Header(_) => body_hash::check(rule, attempt.raw),
    }
}

fn check_url(claims: &Map<String, Value>, attempt: &Attempt<'_>) -> Result<(), Refusal> {
    let Some(rule) = &attempt.scheme.jwt.url_hash else {
        return Ok(());
    };
    let claimed = text(claims, &rule.name)?;
    let url = attempt
        .raw
        .url
        .as_deref()
        .ok_or(Refusal::UrlNotConfigured)?;
    let same = url::spellings(url, &attempt.scheme.url_variants)
        .iter()
        .any(|url| body_hash::is_hash_of(claimed, rule.hash, rule.encoding, url.as_bytes()));
    if same {
        Ok(())
    } else {
        Err(fault(&rule.name, ClaimFault::Other))
    }
}

/// Checks `exp`, `nbf` and `iat`, those that are there; `iat` has to be there where the
/// scheme bounds the age.
pub(super) fn check_times(
    claims: &Map<String, Value>,
    rule: &JwtRule,
    now: Timestamp,
) -> Result<(), Refusal> {
    let instant = |name: &str| match claims.get(name) {
        None => Ok(None),
        // Some libraries write fractions of a second.
        Some(value) => instant(value)
            .map(Some)
            .ok_or_else(|| fault(name, ClaimFault::Malformed)),
    };
    let leeway_s = rule.leeway_s.unwrap_or(LEEWAY_S);
    let leeway = std::time::Duration::from_secs(leeway_s);
    if let Some(end) = instant("exp")?
        && now.since(end) > leeway
    {
        return Err(Refusal::TimestampTooOld {
            age_s: now.since(end).as_secs(),
            tolerance_s: leeway_s,
        });
    }
    if let Some(start) = instant("nbf")?
        && start.since(now) > leeway
    {
        return Err(Refusal::TimestampInFuture {
            ahead_s: start.since(now).as_secs(),
            tolerance_s: leeway_s,
        });
    }
    let Some(max_age_s) = rule.max_age_s else {
        return Ok(());
    };
    let issued = instant("iat")?.ok_or_else(|| fault("iat", ClaimFault::Missing))?;
    let (age, ahead) = (now.since(issued).as_secs(), issued.since(now).as_secs());
    if age > max_age_s {
        Err(Refusal::TimestampTooOld {
            age_s: age,
            tolerance_s: max_age_s,
        })
    } else if ahead > max_age_s {
        Err(Refusal::TimestampInFuture {
            ahead_s: ahead,
            tolerance_s: max_age_s,
        })
    } else {
        Ok(())
    }
}

/// The timestamp that the scheme names among the claims, in the unit that it names.
fn check_timestamp(claims: &Map<String, Value>, attempt: &Attempt<'_>) -> Result<(), Refusal> {
    let Some(rule) = &attempt.scheme.timestamp else {
        return Ok(());
    };
    let TimestampPlace::Claim(name) = &rule.place else {
        return Err(Refusal::TimestampMissing);
    };
    let instant = match claims.get(name).ok_or(Refusal::TimestampMissing)? {
        Value::String(text) => rule.read(text)?,
        number => rule.read(&number.to_string())?,
    };
    rule.check(instant, attempt.now)
}

fn instant(value: &Value) -> Option<Timestamp> {
    if let Some(secs) = value.as_i64() {
        return Some(Timestamp::from_secs(secs));
    }
    // Up to 2^53 milliseconds a fraction is exact enough, and what is beyond is no date.
    let millis = value.as_f64()? * 1_000.0;
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    (millis.abs() < 9_007_199_254_740_992.0).then(|| Timestamp::from_millis(millis as i64))
}

//! Why a request does or does not verify, for a person.
//!
//! Says which scheme was applied, where the signature was looked for, which bytes were
//! signed, what was expected in length and encoding, what was there, how far off the
//! timestamp is, and what the likely cause is. Never the secret, nor the signature that
//! would have been right: whoever has that can forge the request.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::algorithm::{Algorithm, PublicAlgorithm};
use super::config::SchemeConfig;
use super::encoding::Encoding;
use super::fetched::FetchedKey;
use super::keys::KeySet;
use super::locate::timestamp_text;
use super::refusal::{Malformed, Refusal};
use super::request::RawRequest;
use super::scheme::{HeaderForm, Scheme, SignaturePlace};
use super::suspect;
use super::template::{Filling, Late, Piece, Template};
use super::timestamp::TimestampRule;
use super::verify::{self, Proof};
use crate::time::Timestamp;

/// Bytes of a signed content that are shown from its start, and from its end.
const EXCERPT_BYTES: usize = 96;

/// Everything an operator needs to find out why a request does not verify.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The verdict, as `verify` gives it.
    pub verdict: Result<(), Refusal>,
    /// The scheme's algorithm.
    pub algorithm: String,
    /// Where the signature is looked for.
    pub place: String,
    /// The text form that is expected there, with its length.
    pub expected: String,
    /// Each signature that was there: its length in characters and what is wrong with it.
    pub received: Vec<(usize, Option<Malformed>)>,
    /// How many secrets were given, expired ones included.
    pub secrets: usize,
    /// The position of the secret that matched, from 1; None where none did.
    pub matched: Option<usize>,
    /// The signed content's template; None where nothing is signed.
    pub template: Option<String>,
    /// The bytes that were taken as signed.
    pub signed: Option<Excerpt>,
    /// The URL that was taken as signed, where the scheme signs it.
    pub url: Option<String>,
    /// Bytes of the body.
    pub body_bytes: usize,
    /// SHA-256 of the body in hex, to compare with what the partner says it sent.
    pub body_sha256: String,
    /// Seconds between the timestamp and now, negative in the future, and the tolerance.
    pub age_s: Option<(i64, Option<u64>)>,
    /// What probably happened; empty where the request verifies.
    pub causes: Vec<Cause>,
}

/// The start and end of a signed content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// Its first bytes, escaped.
    pub head: String,
    /// Its last bytes, escaped; None where the head is all of it.
    pub tail: Option<String>,
    /// Its length.
    pub bytes: usize,
}

/// A likely reason why a request does not verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The signature verifies once this is undone.
    Changed(&'static str),
    /// The header is not there, and these look like signatures.
    OtherHeaders(Vec<String>),
    /// The signature begins with another prefix.
    OtherPrefix(String),
    /// The signature has the length of another hash.
    OtherHash(&'static str),
    /// A signature that is right, at the wrong time.
    Clock,
    /// The configuration lacks something.
    Configuration,
    /// The signature is right, and for another body.
    OtherBody,
    /// The partner's key has to be fetched, and was not.
    KeyNotFetched,
    /// Nothing that was tried explains it.
    OtherSecretOrBody,
}

/// Explains what [`verify()`](super::verify()) says about a request.
pub fn explain(
    raw: &RawRequest,
    scheme: &Scheme,
    keys: &KeySet,
    fetched: Option<&FetchedKey>,
    now: Timestamp,
) -> Explanation {
    let judge = Judge {
        scheme,
        keys,
        fetched,
        now,
    };
    let proof = judge.check(raw);
    let matched = proof.as_ref().ok().and_then(|proof| proof.matched);
    let verdict = proof.map(|_| ());
    let timestamp = scheme
        .timestamp
        .as_ref()
        .and_then(|rule| Some((rule, timestamp_text(scheme, rule, raw).ok()?)));
    let text = timestamp.as_ref().map(|(_, text)| text.as_ref());
    let url = scheme.needs_url().then(|| raw.url.clone()).flatten();
    let signed = scheme.content.as_ref().and_then(|content| {
        let filling = Filling {
            raw,
            signature: &scheme.signature,
            timestamp: text,
            config: keys.config(),
        };
        let pieces = content.resolve(&filling).ok()?;
        Some(Excerpt::of(&pieces, url.as_deref().unwrap_or_default()))
    });
    let causes = match &verdict {
        Ok(()) => Vec::new(),
        Err(refusal) => causes(refusal, raw, &judge),
    };
    Explanation {
        verdict,
        algorithm: scheme.algorithm.text(),
        place: scheme.signature.describe(),
        expected: expected_form(scheme),
        received: received(raw, scheme, keys.config()),
        secrets: keys.len(),
        matched,
        template: scheme
            .content
            .as_ref()
            .map(Template::to_string)
            .or_else(|| scheme.content_note.clone()),
        signed,
        url,
        body_bytes: raw.body.len(),
        body_sha256: hex::encode(Sha256::digest(&raw.body)),
        age_s: timestamp.and_then(|(rule, text)| age(rule, &text, now)),
        causes,
    }
}

/// By what a request and the guesses at it are judged.
struct Judge<'a> {
    scheme: &'a Scheme,
    keys: &'a KeySet,
    fetched: Option<&'a FetchedKey>,
    now: Timestamp,
}

impl Judge<'_> {
    fn check(&self, raw: &RawRequest) -> Result<Proof, Refusal> {
        verify::check(raw, self.scheme, self.keys, self.fetched, self.now)
    }

    /// The age is judged after the signature: a refusal for it means that the rest held.
    fn matches_but_for_time(&self, raw: &RawRequest) -> bool {
        matches!(
            self.check(raw),
            Ok(_) | Err(Refusal::TimestampTooOld { .. } | Refusal::TimestampInFuture { .. })
        )
    }
}

fn age(rule: &TimestampRule, text: &str, now: Timestamp) -> Option<(i64, Option<u64>)> {
    let instant = rule.read(text).ok()?;
    Some((
        now.as_secs().saturating_sub(instant.as_secs()),
        rule.tolerance_s,
    ))
}

fn mac_bytes(scheme: &Scheme) -> Option<usize> {
    match &scheme.algorithm {
        Algorithm::Public(PublicAlgorithm::Ed25519 | PublicAlgorithm::EcdsaP256Fixed) => Some(64),
        algorithm => algorithm.mac_bytes(),
    }
}

fn expected_form(scheme: &Scheme) -> String {
    let prefix = match prefix(scheme) {
        Some(prefix) => format!("{prefix:?}, then "),
        None => String::new(),
    };
    let form = match (mac_bytes(scheme), scheme.signature.encoding) {
        (Some(bytes), Some(Encoding::Hex)) => format!("{} hex digits ({bytes} bytes)", bytes * 2),
        (Some(bytes), Some(Encoding::Base64)) => {
            format!(
                "{} characters of base64 ({bytes} bytes)",
                bytes.div_ceil(3) * 4
            )
        }
        (Some(bytes), Some(Encoding::Base64Url)) => {
            format!(
                "{} characters of base64url ({bytes} bytes)",
                (bytes * 4).div_ceil(3)
            )
        }
        _ if scheme.algorithm == Algorithm::HttpBasic => {
            "Basic, then user:password in base64".into()
        }
        (_, Some(encoding)) => format!("a signature in {}", encoding.name()),
        _ if matches!(scheme.algorithm, Algorithm::Jwt(_)) => "a token in three parts".into(),
        _ if scheme.algorithm.is_special() => "signatures and what they cover".into(),
        _ => "the secret itself".into(),
    };
    format!("{prefix}{form}")
}

fn prefix(scheme: &Scheme) -> Option<&str> {
    match &scheme.signature.place {
        SignaturePlace::Header {
            form: HeaderForm::Single { prefix } | HeaderForm::List { prefix, .. },
            ..
        } => prefix.as_deref(),
        _ => None,
    }
}

fn received(
    raw: &RawRequest,
    scheme: &Scheme,
    config: &SchemeConfig,
) -> Vec<(usize, Option<Malformed>)> {
    let Ok(located) = scheme.signature.locate(raw, config) else {
        return Vec::new();
    };
    let judge = |text: &str| match (mac_bytes(scheme), scheme.signature.encoding) {
        (Some(bytes), Some(encoding)) => encoding.decode(text, bytes).err(),
        _ => None,
    };
    located
        .texts
        .iter()
        .map(|text| (text.chars().count(), judge(text)))
        .collect()
}

fn causes(refusal: &Refusal, raw: &RawRequest, judge: &Judge<'_>) -> Vec<Cause> {
    match refusal {
        Refusal::NoMatch { .. } => {
            let found: Vec<_> = suspect::guesses(raw)
                .filter(|guess| judge.matches_but_for_time(&guess.raw))
                .map(|guess| Cause::Changed(guess.what))
                .collect();
            if found.is_empty() {
                vec![Cause::OtherSecretOrBody]
            } else {
                found
            }
        }
        Refusal::SignatureMissing { .. } => {
            let alike = lookalikes(raw);
            if alike.is_empty() {
                Vec::new()
            } else {
                vec![Cause::OtherHeaders(alike)]
            }
        }
        Refusal::SignatureMalformed {
            why: Malformed::Prefix,
            ..
        } => other_prefix(raw, judge.scheme)
            .map(Cause::OtherPrefix)
            .into_iter()
            .collect(),
        Refusal::SignatureMalformed {
            why: Malformed::Length { got, .. },
            ..
        } => {
            let other = match got {
                20 => Some("SHA-1"),
                32 => Some("SHA-256"),
                64 => Some("SHA-512"),
                _ => None,
            };
            other.map(Cause::OtherHash).into_iter().collect()
        }
        Refusal::TimestampTooOld { .. } | Refusal::TimestampInFuture { .. } => vec![Cause::Clock],
        Refusal::NoKeys
        | Refusal::KeysExpired
        | Refusal::KeysForOtherScheme
        | Refusal::UrlNotConfigured
        | Refusal::WaiverOver
        | Refusal::ConfigMissing { .. } => vec![Cause::Configuration],
        Refusal::BodyHash => vec![Cause::OtherBody],
        Refusal::KeyNotFetched => vec![Cause::KeyNotFetched],
        Refusal::SignatureDoubled { .. }
        | Refusal::SignatureMalformed { .. }
        | Refusal::HeaderMissing { .. }
        | Refusal::PartMissing { .. }
        | Refusal::HeaderDoubled { .. }
        | Refusal::TimestampMissing
        | Refusal::TimestampDoubled
        | Refusal::TimestampMalformed { .. }
        | Refusal::KeyIdMalformed
        | Refusal::KeyUrlForeign { .. }
        | Refusal::OtherAlgorithm { .. }
        | Refusal::Claim { .. }
        | Refusal::NotCovered { .. }
        | Refusal::TooManyItems { .. }
        | Refusal::BodyNotForm
        | Refusal::BodyNotJson => Vec::new(),
    }
}

fn lookalikes(raw: &RawRequest) -> Vec<String> {
    let like_one = |name: &str| {
        ["sign", "hmac", "token", "digest"]
            .iter()
            .any(|word| name.contains(word))
    };
    raw.headers
        .iter()
        .map(|(name, _)| name)
        .filter(|name| like_one(name))
        .take(8)
        .cloned()
        .collect()
}

/// What stands where the prefix should, if it looks like one; never of a token.
fn other_prefix(raw: &RawRequest, scheme: &Scheme) -> Option<String> {
    mac_bytes(scheme)?;
    let SignaturePlace::Header { name, .. } = &scheme.signature.place else {
        return None;
    };
    let value = std::str::from_utf8(raw.header(name).ok()??).ok()?;
    let end = value.find(['=', ','])? + 1;
    let prefix = value.get(..end)?;
    // A long one is a signature whose padding was found.
    (prefix.len() <= 16).then(|| prefix.to_owned())
}

impl Excerpt {
    fn of(pieces: &[Piece<'_>], url: &str) -> Self {
        // A secret in it is shown as what it is, and never itself.
        let late = Late {
            url,
            secret: b"{secret}",
        };
        let bytes: usize = pieces.iter().map(|piece| piece.bytes(late).len()).sum();
        let all = || pieces.iter().flat_map(|piece| piece.bytes(late)).copied();
        let head = escaped(&all().take(EXCERPT_BYTES).collect::<Vec<_>>());
        let rest = bytes.saturating_sub(EXCERPT_BYTES).min(EXCERPT_BYTES);
        let mut tail: Vec<u8> = all().rev().take(rest).collect();
        tail.reverse();
        Self {
            head,
            tail: (!tail.is_empty()).then(|| escaped(&tail)),
            bytes,
        }
    }
}

fn escaped(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).escape_debug().to_string()
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes: {}", self.bytes, self.head)?;
        match &self.tail {
            Some(tail) if self.bytes > 2 * EXCERPT_BYTES => write!(f, " … {tail}"),
            Some(tail) => f.write_str(tail),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(what) => {
                write!(f, "{what}: the signature matches once that is undone")
            }
            Self::OtherHeaders(names) => {
                write!(
                    f,
                    "the signature may be in another header: {}",
                    names.join(", ")
                )
            }
            Self::OtherPrefix(prefix) => write!(f, "the signature begins with {prefix:?} instead"),
            Self::OtherHash(hash) => {
                write!(f, "the signature has the length of an HMAC with {hash}")
            }
            Self::Clock => f.write_str(
                "the signature is right: the delivery is late or replayed, or the clocks differ",
            ),
            Self::Configuration => f.write_str("the connection's configuration is not complete"),
            Self::OtherBody => f.write_str(
                "the signature is right, and the body was changed on its way: compare its SHA-256 \
                 and length with what the partner sent",
            ),
            Self::KeyNotFetched => f.write_str(
                "the partner publishes the key: fetch it, or give it as a secret in its place",
            ),
            Self::OtherSecretOrBody => f.write_str(
                "the secret is not the one the partner signs with, or the body was changed on its \
                 way: compare its SHA-256 and length with what the partner sent",
            ),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Ok(()) => writeln!(f, "verified")?,
            Err(refusal) => writeln!(f, "not verified: {refusal} ({})", refusal.code())?,
        }
        let ending = if self.secrets == 1 { "" } else { "s" };
        writeln!(
            f,
            "algorithm  {}, {} secret{ending}",
            self.algorithm, self.secrets
        )?;
        writeln!(f, "signature  {}", self.place)?;
        writeln!(f, "expected   {}", self.expected)?;
        for (characters, problem) in &self.received {
            write!(f, "received   {characters} characters")?;
            match problem {
                Some(problem) => writeln!(f, ": {problem}")?,
                None => writeln!(f)?,
            }
        }
        if let Some(template) = &self.template {
            writeln!(f, "content    {template}")?;
        }
        if let Some(signed) = &self.signed {
            writeln!(f, "signed     {signed}")?;
        }
        if let Some(url) = &self.url {
            writeln!(f, "url        {url}")?;
        }
        writeln!(
            f,
            "body       {} bytes, sha256 {}",
            self.body_bytes, self.body_sha256
        )?;
        if let Some((age_s, tolerance_s)) = self.age_s {
            write!(f, "timestamp  {age_s} s old")?;
            match tolerance_s {
                Some(tolerance_s) => writeln!(f, ", {tolerance_s} s tolerated")?,
                None => writeln!(f, ", any age tolerated")?,
            }
        }
        for cause in &self.causes {
            writeln!(f, "likely     {cause}")?;
        }
        Ok(())
    }
}

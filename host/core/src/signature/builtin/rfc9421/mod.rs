//! HTTP Message Signatures (RFC 9421), with the digest of the body (RFC 9530).
//!
//! A request may carry several signatures, each under a label, by the sender, a gateway or
//! someone else. One that holds, covers what the scheme asks for and is in time is enough.
//! What a signature does not cover is not believed: a covered `content-digest` is compared
//! with the body, and a scheme that does not ask for it vouches for no body.
//!
//! The key decides the algorithm; `alg`, where it is there, has to agree. A `nonce` is not
//! remembered here: replays end at `created`, `expires` and the event's id.

mod base;
mod digest;
mod input;

use input::Candidate;

use crate::signature::algorithm::PublicAlgorithm;
use crate::signature::keys::KeyInUse;
use crate::signature::refusal::{Malformed, Refusal};
use crate::signature::request::RawRequest;
use crate::signature::scheme::Scheme;
use crate::signature::template::Piece;
use crate::signature::timestamp::{TimestampPlace, TimestampRule};
use crate::signature::verify::{Attempt, Proof};
use crate::time::Timestamp;

/// What a signature has to cover where the scheme does not say.
pub(in crate::signature) const COMPONENTS: [&str; 3] = ["@method", "@target-uri", "content-digest"];

/// The component that binds the body.
const CONTENT_DIGEST: &str = "content-digest";

pub(super) fn check(attempt: &Attempt<'_>) -> Result<Proof, Refusal> {
    let candidates = input::candidates(attempt.raw, &attempt.scheme.signature)?;
    let mut told: Option<Refusal> = None;
    for candidate in &candidates {
        match check_one(attempt, candidate) {
            Ok(proof) => return Ok(proof),
            // Of several refusals the one that is about a genuine signature says most.
            Err(refusal) if told.is_none() || refusal.is_after_the_match() => {
                told = Some(refusal);
            }
            Err(_) => {}
        }
    }
    Err(told.unwrap_or_else(|| attempt.scheme.signature.missing()))
}

fn check_one(attempt: &Attempt<'_>, candidate: &Candidate) -> Result<Proof, Refusal> {
    for component in &attempt.scheme.components {
        if !candidate.covers(component) {
            return Err(Refusal::NotCovered {
                component: component.clone(),
            });
        }
    }
    let base = base::of(candidate, attempt.raw)
        .map_err(|fault| fault.refusal(&attempt.scheme.signature))?;
    let key = signed_by(attempt, candidate, &base)?;
    if candidate.covers(CONTENT_DIGEST) {
        digest::check(attempt.raw)?;
    }
    check_times(attempt, candidate)?;
    Ok(Proof::by(key))
}

/// The key that made a signature.
fn signed_by<'a>(
    attempt: &Attempt<'a>,
    candidate: &Candidate,
    base: &[u8],
) -> Result<KeyInUse<'a>, Refusal> {
    let algorithms: &[Option<PublicAlgorithm>] = match candidate.text("alg") {
        Some("ed25519") => &[Some(PublicAlgorithm::Ed25519)],
        Some("ecdsa-p256-sha256") => &[Some(PublicAlgorithm::EcdsaP256Fixed)],
        Some("rsa-pss-sha512") => &[Some(PublicAlgorithm::RsaPssSha512)],
        Some("rsa-v1_5-sha256") => &[Some(PublicAlgorithm::RsaPkcs1Sha256)],
        Some("hmac-sha256") => &[None],
        None => &[
            Some(PublicAlgorithm::Ed25519),
            Some(PublicAlgorithm::EcdsaP256Fixed),
            Some(PublicAlgorithm::RsaPssSha512),
            Some(PublicAlgorithm::RsaPkcs1Sha256),
            None,
        ],
        Some(_) => {
            return Err(Refusal::OtherAlgorithm {
                expected: "those of RFC 9421",
            });
        }
    };
    let key_id = candidate.text("keyid");
    let pieces = [Piece::Bytes(base.into())];
    let mut matched = None;
    for algorithm in algorithms {
        let found = match algorithm {
            Some(public) => attempt.verified_by(*public, base, &candidate.signature, key_id),
            None => attempt.maced_by(&pieces, &candidate.signature),
        };
        matched = matched.or(found);
    }
    matched.ok_or(Refusal::NoMatch {
        keys: attempt.keys.len(),
    })
}

/// `expires` counts wherever it is there, `created` as the scheme's timestamp.
fn check_times(attempt: &Attempt<'_>, candidate: &Candidate) -> Result<(), Refusal> {
    let malformed = || attempt.scheme.signature.malformed(Malformed::NotStructured);
    let instant = |name: &str| -> Result<Option<Timestamp>, Refusal> {
        let secs = candidate.whole_number(name).map_err(|_| malformed())?;
        Ok(secs.map(Timestamp::from_secs))
    };
    if let Some(end) = instant("expires")?
        && end < attempt.now
    {
        return Err(Refusal::TimestampTooOld {
            age_s: attempt.now.since(end).as_secs(),
            tolerance_s: 0,
        });
    }
    if let Some(TimestampRule {
        place: TimestampPlace::Parameter(name),
        ..
    }) = &attempt.scheme.timestamp
        && let Some(rule) = &attempt.scheme.timestamp
    {
        let created = instant(name)?.ok_or(Refusal::TimestampMissing)?;
        rule.check(created, attempt.now)?;
        return Ok(());
    }
    super::check_age(attempt)
}

/// Whether a list of components has one.
pub(super) fn covers(components: &[String], name: &str) -> bool {
    components.iter().any(|component| component == name)
}

/// Whether one of the components is part of the URL.
pub(super) fn needs_url(components: &[String]) -> bool {
    components
        .iter()
        .any(|component| component.starts_with('@') && component != "@method")
}

/// The id of the key of the first signature that names one.
pub(super) fn key_id(scheme: &Scheme, raw: &RawRequest) -> Result<Option<String>, Refusal> {
    let candidates = input::candidates(raw, &scheme.signature)?;
    let mut ids = candidates
        .iter()
        .filter_map(|candidate| candidate.text("keyid"));
    Ok(ids.next().map(str::to_owned))
}

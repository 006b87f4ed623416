//! Amazon SNS: the fields of a JSON message, signed under a certificate of the region.
//!
//! The message says where its certificate is. Only `sns.<region>.amazonaws.com` (and the
//! same in China) over https is believed, and only a path that ends in `.pem`: whoever may
//! choose another URL may sign anything. The certificate is the same for every customer of the
//! region, so that it does not say whose topic it is: `{config:topic_arn}` does.

use std::borrow::Cow;

use super::{WebUrl, check_age, signed_content};
use crate::pointer::JsonPointer;
use crate::signature::algorithm::PublicAlgorithm;
use crate::signature::fetched::{KeySource, KeySourceKind};
use crate::signature::refusal::{ClaimFault, Malformed, Refusal};
use crate::signature::request::RawRequest;
use crate::signature::verify::{Attempt, Proof};

/// Where certificates are believed, for people.
const ALLOWED: &str = "https://sns.<region>.amazonaws.com/….pem";

/// The configured topic; several with commas between them.
const TOPIC: &str = "topic_arn";

/// Signed of a notification, in this order; those that are there.
const NOTIFICATION: [&str; 6] = [
    "Message",
    "MessageId",
    "Subject",
    "Timestamp",
    "TopicArn",
    "Type",
];

/// Signed of a confirmation.
const CONFIRMATION: [&str; 7] = [
    "Message",
    "MessageId",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
];

pub(super) fn check(attempt: &Attempt<'_>) -> Result<Proof, Refusal> {
    let body = &attempt.raw.body;
    let malformed = || attempt.scheme.signature.malformed(Malformed::Version);
    let algorithm = match field(body, "SignatureVersion")?.as_deref() {
        Some("1") => PublicAlgorithm::RsaPkcs1Sha1,
        Some("2") => PublicAlgorithm::RsaPkcs1Sha256,
        _ => return Err(malformed()),
    };
    let names: &[&str] = match field(body, "Type")?.as_deref() {
        Some("Notification") => &NOTIFICATION,
        Some("SubscriptionConfirmation" | "UnsubscribeConfirmation") => &CONFIRMATION,
        _ => return Err(malformed()),
    };
    let mut content = String::with_capacity(body.len());
    for name in names {
        if let Some(value) = field(body, name)? {
            for part in [name, "\n", &value, "\n"] {
                content.push_str(part);
            }
        }
    }
    let proof = signed_content(attempt, algorithm, content.as_bytes())?;
    check_topic(attempt)?;
    check_age(attempt)?;
    Ok(proof)
}

/// Whether the topic is one of those that are configured, where any is.
fn check_topic(attempt: &Attempt<'_>) -> Result<(), Refusal> {
    let Some(topics) = attempt.config.get(TOPIC) else {
        return Ok(());
    };
    let found = field(&attempt.raw.body, "TopicArn")?;
    let known = found.is_some_and(|found| topics.split(',').any(|topic| topic.trim() == found));
    known.then_some(()).ok_or_else(|| Refusal::Claim {
        claim: "TopicArn".to_owned(),
        why: ClaimFault::Other,
    })
}

/// The certificate that a message names.
pub(super) fn certificate(raw: &RawRequest) -> Result<KeySource, Refusal> {
    let foreign = Refusal::KeyUrlForeign { allowed: ALLOWED };
    let url = field(&raw.body, "SigningCertURL")?;
    let url = match url {
        Some(url) => url,
        None => field(&raw.body, "SigningCertUrl")?.ok_or_else(|| foreign.clone())?,
    };
    if is_allowed(&url) {
        Ok(KeySource {
            kind: KeySourceKind::Certificate,
            url: url.into_owned(),
            kid: None,
            post: None,
        })
    } else {
        Err(foreign)
    }
}

fn is_allowed(url: &str) -> bool {
    let Some(parts) = WebUrl::split(url) else {
        return false;
    };
    let region = parts.https_host().and_then(|host| {
        let host = host.strip_suffix(".cn").unwrap_or(host);
        host.strip_prefix("sns.")?.strip_suffix(".amazonaws.com")
    });
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_/.".contains(&b);
    region.is_some_and(|region| region.len() >= 3 && !region.contains('.'))
        && parts
            .target
            .strip_suffix(".pem")
            .is_some_and(|path| path.bytes().all(plain))
        && !parts.target.contains("..")
}

fn field<'b>(body: &'b [u8], name: &str) -> Result<Option<Cow<'b, str>>, Refusal> {
    let pointer = JsonPointer::to_member(name);
    pointer.text_in(body).map_err(|_| Refusal::BodyNotJson)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_come_from_the_region_alone() {
        for (url, expected) in [
            ("https://sns.us-east-1.amazonaws.com/a-1.pem", true),
            ("https://sns.us-east-1.amazonaws.com:443/a.pem", true),
            ("https://sns.cn-north-1.amazonaws.com.cn/a.pem", true),
            ("http://sns.us-east-1.amazonaws.com/a.pem", false),
            ("https://sns.us-east-1.amazonaws.com:8443/a.pem", false),
            ("https://sns.us-east-1.amazonaws.com/a.pem?x", false),
            ("https://sns.us-east-1.amazonaws.com/a", false),
            ("https://sns.us-east-1.amazonaws.com/../a.pem", false),
            (
                "https://sns.us-east-1.amazonaws.com.evil.example/a.pem",
                false,
            ),
            (
                "https://sns.evil.example/sns.us-east-1.amazonaws.com/a.pem",
                false,
            ),
            ("https://x@sns.us-east-1.amazonaws.com/a.pem", false),
            ("https://s3.amazonaws.com/a.pem", false),
            ("https://sns.a.b.amazonaws.com/a.pem", false),
            ("https://SNS.us-east-1.amazonaws.com/a.pem", false),
        ] {
            assert_eq!(is_allowed(url), expected, "{url}");
        }
    }
}

//! Constructions that no template expresses, each in a file of its own.
//!
//! A scheme names one as `special: NAME`. It builds the signed content from the request,
//! and asks `verify` which key made the signature: no primitive is used here.

mod atlassian;
mod aws_sns;
mod contentful;
mod hygraph;
mod paypal;
mod rfc9421;

pub(super) use rfc9421::COMPONENTS;

use std::fmt;

use super::algorithm::{Hash, PublicAlgorithm};
use super::encoding::Encoding;
use super::fetched::KeySource;
use super::locate::{MacsReceived, timestamp_text};
use super::refusal::Refusal;
use super::request::{HeaderName, RawRequest};
use super::scheme::{HeaderForm, Scheme, SignaturePlace, SignatureRule};
use super::template::Piece;
use super::verify::{Attempt, Proof};
use crate::event::BodyAuthenticated;
use crate::pointer::JsonPointer;

/// A construction with code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// Messages of Amazon SNS.
    AwsSns,
    /// HTTP Message Signatures.
    Rfc9421,
    /// Contentful's canonical request.
    Contentful,
    /// `PayPal`'s checksum under a certificate.
    PayPal,
    /// Atlassian Connect's token with a hash of the query.
    AtlassianQsh,
    /// Hygraph's JSON text around the body.
    Hygraph,
}

impl Builtin {
    /// Each of them.
    pub const ALL: [Self; 6] = [
        Self::AwsSns,
        Self::Rfc9421,
        Self::Contentful,
        Self::PayPal,
        Self::AtlassianQsh,
        Self::Hygraph,
    ];

    /// The word of a scheme document, after `special: `.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AwsSns => "aws-sns",
            Self::Rfc9421 => "rfc9421",
            Self::Contentful => "contentful",
            Self::PayPal => "paypal",
            Self::AtlassianQsh => "atlassian-qsh",
            Self::Hygraph => "hygraph",
        }
    }

    /// Reads a name, in any case and with any marks between its words.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let plain = |text: &str| -> String {
            text.chars()
                .filter(char::is_ascii_alphanumeric)
                .map(|c| c.to_ascii_lowercase())
                .collect()
        };
        let name = plain(name);
        let own = Self::ALL.into_iter().find(|one| plain(one.name()) == name);
        own.or(match name.as_str() {
            "sns" => Some(Self::AwsSns),
            "httpmessagesignatures" | "rfc9421ed25519" => Some(Self::Rfc9421),
            "atlassianconnect" | "atlassian" => Some(Self::AtlassianQsh),
            _ => None,
        })
    }

    /// Where the partner puts the signature, where the document does not say.
    pub(super) fn signature(self) -> Option<SignatureRule> {
        let header = |name, encoding| {
            Some(SignatureRule {
                place: SignaturePlace::Header {
                    name: HeaderName::known(name),
                    form: HeaderForm::Single { prefix: None },
                },
                encoding,
            })
        };
        match self {
            Self::AwsSns => Some(SignatureRule {
                place: SignaturePlace::Json(JsonPointer::parse("/Signature").ok()?),
                encoding: Some(Encoding::Base64),
            }),
            Self::Rfc9421 => header("signature", None),
            Self::Contentful => header("x-contentful-signature", Some(Encoding::Hex)),
            Self::PayPal => header("paypal-transmission-sig", Some(Encoding::Base64)),
            Self::AtlassianQsh => header("authorization", None),
            Self::Hygraph => Some(SignatureRule {
                place: SignaturePlace::Header {
                    name: HeaderName::known("gcms-signature"),
                    form: HeaderForm::KeyValueList {
                        item_separator: ",".into(),
                        pair_separator: "=".into(),
                        key: "sign".into(),
                        multiple: false,
                        trim: true,
                    },
                },
                encoding: Some(Encoding::Base64),
            }),
        }
    }

    /// How much of the body it can vouch for, with what an RFC 9421 signature has to cover.
    pub(super) fn body_authenticated(self, components: &[String]) -> BodyAuthenticated {
        match self {
            Self::AwsSns => BodyAuthenticated::Fields,
            Self::Rfc9421 if !rfc9421::covers(components, "content-digest") => {
                BodyAuthenticated::None
            }
            Self::Rfc9421 | Self::Contentful | Self::Hygraph => BodyAuthenticated::Full,
            // A CRC finds accidents and no attackers: four bytes of a body make it any.
            Self::PayPal | Self::AtlassianQsh => BodyAuthenticated::None,
        }
    }

    /// Whether it signs the public URL.
    pub(super) fn needs_url(self, components: &[String]) -> bool {
        match self {
            Self::AtlassianQsh | Self::Contentful => true,
            Self::Rfc9421 => rfc9421::needs_url(components),
            Self::AwsSns | Self::PayPal | Self::Hygraph => false,
        }
    }
}

impl fmt::Display for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Checks the proof of a request.
pub(super) fn check(named: Builtin, attempt: &Attempt<'_>) -> Result<Proof, Refusal> {
    match named {
        Builtin::AwsSns => aws_sns::check(attempt),
        Builtin::Rfc9421 => rfc9421::check(attempt),
        Builtin::Contentful => contentful::check(attempt),
        Builtin::PayPal => paypal::check(attempt),
        Builtin::AtlassianQsh => atlassian::check(attempt),
        Builtin::Hygraph => hygraph::check(attempt),
    }
}

/// The certificate that a request says it was signed with, where the construction has one.
pub(super) fn wanted_certificate(
    named: Builtin,
    raw: &RawRequest,
) -> Result<Option<KeySource>, Refusal> {
    match named {
        Builtin::AwsSns => aws_sns::certificate(raw).map(Some),
        Builtin::PayPal => paypal::certificate(raw).map(Some),
        Builtin::Rfc9421 | Builtin::Contentful | Builtin::AtlassianQsh | Builtin::Hygraph => {
            Ok(None)
        }
    }
}

/// The id of the key that a request says it was signed with.
pub(super) fn key_id(
    named: Builtin,
    scheme: &Scheme,
    raw: &RawRequest,
) -> Result<Option<String>, Refusal> {
    match named {
        Builtin::Rfc9421 => rfc9421::key_id(scheme, raw),
        _ => Ok(None),
    }
}

/// The proof of one signature over a content under a public key.
fn signed_content(
    attempt: &Attempt<'_>,
    algorithm: PublicAlgorithm,
    content: &[u8],
) -> Result<Proof, Refusal> {
    let rule = &attempt.scheme.signature;
    let located = rule.locate(attempt.raw, attempt.config)?;
    let signatures = rule.decode_long(&located, &algorithm.signature_bytes())?;
    signatures
        .iter()
        .find_map(|signature| attempt.verified_by(algorithm, content, signature, None))
        .map(Proof::by)
        .ok_or(Refusal::NoMatch {
            keys: attempt.keys.len(),
        })
}

/// The proof of one HMAC over a content that is given in pieces.
fn maced_content(attempt: &Attempt<'_>, pieces: &[Piece<'_>]) -> Result<Proof, Refusal> {
    let rule = &attempt.scheme.signature;
    let located = rule.locate(attempt.raw, attempt.config)?;
    let mut macs = MacsReceived::new();
    rule.decode(&located, Hash::Sha256.digest_bytes(), &mut macs)?;
    macs.iter()
        .find_map(|mac| attempt.maced_by(pieces, mac.as_slice()))
        .map(Proof::by)
        .ok_or(Refusal::NoMatch {
            keys: attempt.keys.len(),
        })
}

/// A header's text, which has to be there once.
fn header_text<'r>(raw: &'r RawRequest, name: &'static str) -> Result<&'r str, Refusal> {
    let name = HeaderName::known(name);
    let value = raw.header(&name)?.map(|value| std::str::from_utf8(value));
    match value {
        Some(Ok(text)) => Ok(text),
        Some(Err(_)) | None => Err(Refusal::HeaderMissing { name }),
    }
}

/// Refuses a request whose timestamp is too far off. Each construction signs its own.
fn check_age(attempt: &Attempt<'_>) -> Result<(), Refusal> {
    let Some(rule) = &attempt.scheme.timestamp else {
        return Ok(());
    };
    let text = timestamp_text(attempt.scheme, rule, attempt.raw)?;
    rule.check(rule.read(&text)?, attempt.now)
}

/// Path and query of the public URL.
pub(super) fn request_target(raw: &RawRequest) -> Result<&str, Refusal> {
    let url = raw.url.as_deref().ok_or(Refusal::UrlNotConfigured)?;
    Ok(WebUrl::split(url).map_or("/", |url| url.target))
}

/// The parts of a URL that constructions sign or judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WebUrl<'u> {
    scheme: &'u str,
    /// Host and port as they are written.
    authority: &'u str,
    /// Path and query; a slash where both are empty.
    target: &'u str,
}

impl<'u> WebUrl<'u> {
    fn split(url: &'u str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end)?;
        Some(Self {
            scheme,
            authority,
            target: if target.is_empty() { "/" } else { target },
        })
    }

    /// The host, where it is reached over https at the default port and nothing else is
    /// written beside it.
    fn https_host(self) -> Option<&'u str> {
        let host = self
            .authority
            .strip_suffix(":443")
            .unwrap_or(self.authority);
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        (self.scheme == "https" && !host.is_empty() && host.bytes().all(plain)).then_some(host)
    }

    fn path(self) -> &'u str {
        let path = self
            .target
            .split_once('?')
            .map_or(self.target, |(path, _)| path);
        if path.is_empty() { "/" } else { path }
    }

    fn query(self) -> Option<&'u str> {
        self.target.split_once('?').map(|(_, query)| query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_any_marks() {
        for builtin in Builtin::ALL {
            assert_eq!(Builtin::parse(builtin.name()), Some(builtin));
        }
        assert_eq!(Builtin::parse("RFC 9421"), Some(Builtin::Rfc9421));
        assert_eq!(Builtin::parse("AWS SNS"), Some(Builtin::AwsSns));
        assert_eq!(Builtin::parse("none"), None);
    }

    #[track_caller]
    fn check_host(url: &str, expected: Option<&str>) {
        let host = WebUrl::split(url).and_then(WebUrl::https_host);
        assert_eq!(host, expected, "{url}");
    }

    #[test]
    fn hosts_are_read_strictly() {
        check_host("https://a.example/x", Some("a.example"));
        check_host("https://a.example:443/x", Some("a.example"));
        check_host("https://a.example?x", Some("a.example"));
        check_host("https://a.example:8443/x", None);
        check_host("http://a.example/x", None);
        check_host("HTTPS://a.example/x", None);
        check_host("https://a.example@evil.example/x", None);
        check_host("https://evil.example\\.a.example/x", None);
        check_host("https://A.example/x", None);
        check_host("https:///x", None);
        check_host("a.example", None);
    }
}

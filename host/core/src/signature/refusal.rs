//! Why a request was not believed.
//!
//! Every text here is safe to log and to show an operator: it holds names from the
//! scheme, lengths and spans, never a secret, an expected signature or a byte that the
//! sender chose. The sender sees none of it.

use super::request::HeaderName;

/// The reason for which a request was refused. Counted by [`Refusal::code`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The connection has no secret.
    #[error("no secret is configured to verify with")]
    NoKeys,
    /// Every secret's time is over.
    #[error("every configured secret has expired")]
    KeysExpired,
    /// The keys were prepared for a scheme with another algorithm.
    #[error("the keys were prepared for another scheme")]
    KeysForOtherScheme,
    /// The place where the signature should be is empty.
    #[error("{place} is missing")]
    SignatureMissing {
        /// Where the scheme looks for it.
        place: String,
    },
    /// Two signatures where the scheme has one.
    #[error("{place} is there twice, which is ambiguous")]
    SignatureDoubled {
        /// Where the scheme looks for it.
        place: String,
    },
    /// No signature of the form that the scheme describes.
    #[error("{place} {why}")]
    SignatureMalformed {
        /// Where the scheme looks for it.
        place: String,
        /// What is wrong with it.
        why: Malformed,
    },
    /// Well formed, and made with none of the keys over this content.
    #[error("the signature matches none of the {keys} secrets in use")]
    NoMatch {
        /// How many secrets were tried.
        keys: usize,
    },
    /// A signed header is absent.
    #[error("header {name} is missing, and the scheme signs it")]
    HeaderMissing {
        /// Which.
        name: HeaderName,
    },
    /// A header that the scheme relies on is there twice.
    #[error("header {name} is there twice, which is ambiguous")]
    HeaderDoubled {
        /// Which.
        name: HeaderName,
    },
    /// The scheme has a timestamp and the request has none.
    #[error("the timestamp is missing")]
    TimestampMissing,
    /// Two timestamps.
    #[error("the timestamp is there twice, which is ambiguous")]
    TimestampDoubled,
    /// Not a timestamp in the scheme's unit.
    #[error("the timestamp is not one in {unit}")]
    TimestampMalformed {
        /// The scheme's unit.
        unit: &'static str,
    },
    /// Signed, and too long ago.
    #[error("the timestamp is {age_s} s old, and {tolerance_s} s are tolerated")]
    TimestampTooOld {
        /// Whole seconds between the timestamp and now.
        age_s: u64,
        /// What the scheme tolerates.
        tolerance_s: u64,
    },
    /// Signed, and too far ahead of our clock.
    #[error("the timestamp is {ahead_s} s in the future, and {tolerance_s} s are tolerated")]
    TimestampInFuture {
        /// Whole seconds between now and the timestamp.
        ahead_s: u64,
        /// What the scheme tolerates.
        tolerance_s: u64,
    },
    /// The scheme signs fields of a JSON body.
    #[error("the body is not JSON, and the scheme signs fields of it")]
    BodyNotJson,
    /// More signed items in one body than the bound.
    #[error("the body has more than {max} signed items")]
    TooManyItems {
        /// The bound.
        max: usize,
    },
    /// A signed part that is absent, or there twice.
    #[error("{part} is missing or ambiguous, and the scheme signs it")]
    PartMissing {
        /// Which.
        part: String,
    },
    /// The scheme signs a form.
    #[error("the body is no form, and the scheme reads fields of it")]
    BodyNotForm,
    /// The content has a value of the connection's configuration in it.
    #[error("the scheme needs the configured value {name:?}, which is not there")]
    ConfigMissing {
        /// Which.
        name: String,
    },
    /// The partner's key is not here yet.
    #[error("the key that the request is signed with was not fetched")]
    KeyNotFetched,
    /// The request names a key in no form of an id.
    #[error("the id of the key is malformed")]
    KeyIdMalformed,
    /// The request names a key at a place where the partner publishes none.
    #[error("the key's URL is not one of {allowed}")]
    KeyUrlForeign {
        /// Where the partner publishes keys.
        allowed: &'static str,
    },
    /// The signature says that it was made in another way than the scheme's.
    #[error("the signature names another algorithm than {expected}")]
    OtherAlgorithm {
        /// The scheme's.
        expected: &'static str,
    },
    /// A token with a claim that does not hold.
    #[error("claim {claim:?} {why}")]
    Claim {
        /// Which.
        claim: String,
        /// What is wrong with it.
        why: ClaimFault,
    },
    /// The signature holds, and is for another body.
    #[error("the signed hash of the body is missing or another body's")]
    BodyHash,
    /// A signature that covers less than the scheme asks for.
    #[error("the signature does not cover {component}")]
    NotCovered {
        /// What it should cover.
        component: String,
    },
    /// The scheme signs the URL.
    #[error("the scheme signs the URL, and no public URL is configured")]
    UrlNotConfigured,
    /// Nothing verifies it, and the waiver that let it in without is over.
    #[error("the waiver that let requests in without verification is over")]
    WaiverOver,
}

/// What is wrong with a token's claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimFault {
    /// Not there.
    #[error("is missing")]
    Missing,
    /// Not of the kind that it has to be.
    #[error("is not what it has to be")]
    Malformed,
    /// For another issuer, URL or request.
    #[error("is another's")]
    Other,
}

/// What is wrong with a signature's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Bytes that are not text.
    #[error("is not text")]
    NotText,
    /// The prefix of the scheme is not there.
    #[error("lacks the scheme's prefix")]
    Prefix,
    /// Not hex digits.
    #[error("is not hexadecimal")]
    NotHex,
    /// Not base64 with its padding.
    #[error("is not base64")]
    NotBase64,
    /// Not base64url.
    #[error("is not base64url")]
    NotBase64Url,
    /// Decodes to the wrong number of bytes.
    #[error("decodes to {got} bytes, and has to decode to {expected}")]
    Length {
        /// What the algorithm makes.
        expected: usize,
        /// What was sent.
        got: usize,
    },
    /// More signatures than anyone sends.
    #[error("holds too many signatures")]
    TooMany,
    /// Not `Basic` credentials.
    #[error("does not hold Basic credentials")]
    NotBasic,
    /// No compact JWS.
    #[error("is no compact JWS")]
    NotJws,
    /// Of a version or kind that is not known.
    #[error("is of a version or kind that is not known")]
    Version,
    /// No structured field.
    #[error("is no structured field of signatures")]
    NotStructured,
    /// Nothing between the separators.
    #[error("is empty")]
    Empty,
}

impl Refusal {
    /// Whether it is about a request whose signature held.
    pub(super) const fn is_after_the_match(&self) -> bool {
        matches!(
            self,
            Self::TimestampTooOld { .. } | Self::TimestampInFuture { .. } | Self::BodyHash
        )
    }

    /// A stable word for metrics and the API.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoKeys => "no_keys",
            Self::KeysExpired => "keys_expired",
            Self::KeysForOtherScheme => "keys_for_other_scheme",
            Self::SignatureMissing { .. } => "signature_missing",
            Self::SignatureDoubled { .. } => "signature_doubled",
            Self::SignatureMalformed { .. } => "signature_malformed",
            Self::NoMatch { .. } => "no_match",
            Self::HeaderMissing { .. } => "header_missing",
            Self::HeaderDoubled { .. } => "header_doubled",
            Self::TimestampMissing => "timestamp_missing",
            Self::TimestampDoubled => "timestamp_doubled",
            Self::TimestampMalformed { .. } => "timestamp_malformed",
            Self::TimestampTooOld { .. } => "timestamp_too_old",
            Self::TimestampInFuture { .. } => "timestamp_in_future",
            Self::BodyNotJson => "body_not_json",
            Self::TooManyItems { .. } => "too_many_items",
            Self::BodyNotForm => "body_not_form",
            Self::PartMissing { .. } => "part_missing",
            Self::ConfigMissing { .. } => "config_missing",
            Self::KeyNotFetched => "key_not_fetched",
            Self::KeyIdMalformed => "key_id_malformed",
            Self::KeyUrlForeign { .. } => "key_url_foreign",
            Self::OtherAlgorithm { .. } => "other_algorithm",
            Self::Claim { .. } => "claim",
            Self::BodyHash => "body_hash",
            Self::NotCovered { .. } => "not_covered",
            Self::UrlNotConfigured => "url_not_configured",
            Self::WaiverOver => "waiver_over",
        }
    }
}

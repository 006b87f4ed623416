//! The document form of a [`Scheme`](super::Scheme), read and written.
//!
//! Reading (`read`) checks more than shape (`check`): that a scheme does not promise more
//! than its content covers, that a timestamp is signed unless the document says
//! otherwise, that no key stands where it has no meaning. Every problem is reported at
//! once. What is written (`write`) is canonical: equal schemes give equal documents, and
//! reading one gives the scheme back.

mod check;
mod event_id;
mod read;
mod read_claims;
mod read_signature;
mod write;

pub(crate) use event_id::read_event_id;
pub(crate) use read::{read_header_name, read_pointer};
pub(super) use write::present;

use crate::event::BodyAuthenticated;

/// Keys of a scheme document, here and in the published schema.
pub(crate) const SCHEME_KEYS: [&str; 19] = [
    "algorithm",
    "body_authenticated",
    "body_bound",
    "body_hash",
    "components",
    "content",
    "content_variants",
    "event_id",
    "issuer",
    "key",
    "key_url",
    "leeway_s",
    "max_age_s",
    "signature",
    "split",
    "then",
    "timestamp",
    "url_hash",
    "url_variants",
];
pub(crate) const SINGLE_KEYS: [&str; 4] = ["encoding", "in", "name", "prefix"];
pub(crate) const LIST_KEYS: [&str; 6] = [
    "encoding",
    "format",
    "in",
    "item_separator",
    "name",
    "prefix",
];
pub(crate) const KEY_VALUE_LIST_KEYS: [&str; 9] = [
    "encoding",
    "format",
    "in",
    "item_separator",
    "key",
    "multiple",
    "name",
    "pair_separator",
    "trim",
];
pub(crate) const NUMBERED_HEADERS_KEYS: [&str; 3] = ["encoding", "in", "name_prefix"];
pub(crate) const SIGNATURE_HEADERS_KEYS: [&str; 3] = ["encoding", "in", "names"];
pub(crate) const SIGNATURE_QUERY_KEYS: [&str; 3] = ["encoding", "in", "name"];
pub(crate) const SIGNATURE_JSON_KEYS: [&str; 3] = ["encoding", "in", "pointer"];
pub(crate) const JSON_EACH_KEYS: [&str; 5] = ["each", "encoding", "in", "item", "pointer"];
pub(crate) const TIMESTAMP_HEADER_KEYS: [&str; 5] = ["in", "name", "signed", "tolerance_s", "unit"];
pub(crate) const TIMESTAMP_ITEM_KEYS: [&str; 5] = ["in", "key", "signed", "tolerance_s", "unit"];
pub(crate) const TIMESTAMP_JSON_KEYS: [&str; 5] =
    ["in", "pointer", "signed", "tolerance_s", "unit"];
pub(crate) const EVENT_ID_HEADER_KEYS: [&str; 2] = ["in", "name"];
pub(crate) const EVENT_ID_POINTER_KEYS: [&str; 3] = ["in", "of", "pointer"];
pub(crate) const EVENT_ID_TEMPLATE_KEYS: [&str; 3] = ["in", "of", "template"];
pub(crate) const EVENT_ID_PATH_KEYS: [&str; 2] = ["in", "segment"];
pub(crate) const EVENT_ID_FIRST_KEYS: [&str; 2] = ["in", "rules"];

/// Where an event id may be.
pub(crate) const EVENT_ID_PLACES: [&str; 9] = [
    "header",
    "json",
    "query",
    "form",
    "path",
    "claim",
    "template",
    "body-hash",
    "first",
];

/// Most places of which the first that has an id gives it.
pub(crate) const EVENT_ID_RULES_MAX: usize = 4;

/// Highest path segment that an event id may be in.
pub(crate) const PATH_SEGMENT_MAX: u64 = 15;
pub(crate) const BODY_HASH_KEYS: [&str; 6] = [
    "encoding",
    "hash",
    "in",
    "name",
    "optional_when_empty",
    "unless_form",
];
pub(crate) const URL_HASH_KEYS: [&str; 4] = ["encoding", "hash", "in", "name"];
pub(crate) const KEY_URL_KEYS: [&str; 2] = ["post", "url"];

/// Where a signature may be.
pub(crate) const SIGNATURE_PLACES: [&str; 7] = [
    "header",
    "headers",
    "numbered-headers",
    "json",
    "json-each",
    "form",
    "query",
];

/// Where a timestamp may be.
pub(crate) const TIMESTAMP_PLACES: [&str; 6] = [
    "header",
    "signature-item",
    "json",
    "form",
    "claim",
    "signature-parameter",
];

/// Longest text of a scheme document, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 1_024;

/// Longest tolerance of a timestamp: a week, above the longest retry with an old one.
pub(crate) const TOLERANCE_S_MAX: u64 = 7 * 24 * 3_600;

/// Greatest difference of clocks that a scheme may ask for.
pub(crate) const LEEWAY_S_MAX: u64 = 3_600;

/// Most headers that a signature may be in.
pub(crate) const HEADERS_MAX: usize = 16;

/// Most components that a signature may have to cover.
pub(crate) const COMPONENTS_MAX: usize = 32;

/// Most spellings of the URL.
pub(crate) const URL_VARIANTS_MAX: usize = 8;

/// The word for how much of a body is vouched for.
const fn body_word(body: BodyAuthenticated) -> &'static str {
    match body {
        BodyAuthenticated::Full => "full",
        BodyAuthenticated::Fields => "fields",
        BodyAuthenticated::None => "none",
    }
}

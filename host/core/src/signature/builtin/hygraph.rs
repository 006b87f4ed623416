//! Hygraph: the body as a JSON text within a JSON object, with environment and timestamp
//! from the signature's header.

use super::{check_age, maced_content};
use crate::signature::refusal::{Malformed, Refusal};
use crate::signature::template::Piece;
use crate::signature::verify::{Attempt, Proof};

pub(super) fn check(attempt: &Attempt<'_>) -> Result<Proof, Refusal> {
    let rule = &attempt.scheme.signature;
    let malformed = || rule.malformed(Malformed::NotText);
    let item = |key: &str| rule.item(attempt.raw, key);
    let timestamp = item("t")?;
    if timestamp.is_empty() || !timestamp.bytes().all(|b| b.is_ascii_digit()) {
        return Err(malformed());
    }
    let body = std::str::from_utf8(&attempt.raw.body).map_err(|_| malformed())?;
    let quoted = |text: &str| serde_json::to_string(text).map_err(|_| malformed());
    let content = format!(
        r#"{{"Body":{},"EnvironmentName":{},"TimeStamp":{timestamp}}}"#,
        quoted(body)?,
        quoted(item("env")?)?,
    );
    let proof = maced_content(attempt, &[Piece::Bytes(content.as_bytes().into())])?;
    check_age(attempt)?;
    Ok(proof)
}

//! The signed items of a JSON body, each with the bytes it has there.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::refusal::Refusal;
use crate::pointer::JsonPointer;

/// Most items of one body.
const ITEMS_MAX: usize = 1_000;

/// The elements of the list `each`, or what `item` names within each of them.
pub(super) fn items(
    body: &Bytes,
    each: &JsonPointer,
    item: Option<&JsonPointer>,
) -> Result<Vec<Bytes>, Refusal> {
    let list = each.raw_in(body).map_err(|_| Refusal::BodyNotJson)?;
    let elements: Vec<&RawValue> = list
        .and_then(|list| serde_json::from_str(list).ok())
        .unwrap_or_default();
    if elements.len() > ITEMS_MAX {
        return Err(Refusal::TooManyItems { max: ITEMS_MAX });
    }
    elements
        .iter()
        .map(|element| {
            let text = element.get();
            let found = match item {
                Some(pointer) => pointer.raw_in(text.as_bytes()),
                None => Ok(Some(text)),
            };
            let found = found.map_err(|_| Refusal::BodyNotJson)?;
            Ok(body.slice_ref(found.unwrap_or_default().as_bytes()))
        })
        .collect()
}

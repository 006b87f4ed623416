//! One adapter from an error and its sources to text.

use std::error::Error;

/// The whole chain, outermost first: `could not open the store: permission denied`.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

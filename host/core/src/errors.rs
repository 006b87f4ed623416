//! One adapter from an error and its sources to text.

use std::error::Error;

/// The whole chain in one line, outermost first: `could not open the store: permission
/// denied`.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Link(&'static str, #[source] Option<Box<Link>>);

    #[test]
    fn causes_follow_in_their_order() {
        let third = Link("permission denied", None);
        let second = Link("could not open it", Some(Box::new(third)));
        let first = Link("no store", Some(Box::new(second)));
        assert_eq!(
            chain(&first),
            "no store: could not open it: permission denied"
        );
    }
}

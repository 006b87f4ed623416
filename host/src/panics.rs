//! What a caught panic said.

use std::any::Any;

/// The words of a panic, where it had some.
pub(crate) fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_however_they_were_said() {
        let number = 7;
        let said: [(Box<dyn Any + Send>, &str); 3] = [
            (Box::new("as it is"), "as it is"),
            (Box::new(format!("number {number}")), "number 7"),
            (Box::new(number), "a panic without words"),
        ];
        for (panic, expect) in said {
            assert_eq!(words(&*panic), expect);
        }
    }
}

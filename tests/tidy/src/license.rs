//! SPDX licence expressions, as far as crates write them.

/// Whether some choice that the expression leaves uses nothing but `allowed` licences.
pub fn satisfied(expression: &str, allowed: &[&str]) -> bool {
    // Old crates write a slash for OR.
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let holds = any(&mut rest, allowed);
    holds && rest.is_empty()
}

fn any(rest: &mut &[&str], allowed: &[&str]) -> bool {
    let mut holds = all(rest, allowed);
    while let ["OR", after @ ..] = rest {
        *rest = after;
        holds |= all(rest, allowed);
    }
    holds
}

fn all(rest: &mut &[&str], allowed: &[&str]) -> bool {
    let mut holds = one(rest, allowed);
    while let ["AND", after @ ..] = rest {
        *rest = after;
        holds &= one(rest, allowed);
    }
    holds
}

fn one(rest: &mut &[&str], allowed: &[&str]) -> bool {
    match rest {
        ["(", after @ ..] => {
            *rest = after;
            let holds = any(rest, allowed);
            let closed = matches!(rest, [")", ..]);
            *rest = rest.get(1..).unwrap_or_default();
            holds && closed
        }
        // An exception only takes conditions away.
        [license, "WITH", _, after @ ..] | [license, after @ ..] => {
            let holds = allowed.contains(license);
            *rest = after;
            holds
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, expect: bool) {
        assert_eq!(
            satisfied(expression, &["MIT", "ISC"]),
            expect,
            "{expression}"
        );
    }

    #[test]
    fn choices_and_conditions() {
        check("MIT", true);
        check("GPL-3.0", false);
        check("GPL-3.0 OR MIT", true);
        check("Apache-2.0/MIT", true);
        check("MIT AND GPL-3.0", false);
        check("(GPL-3.0 OR MIT) AND ISC", true);
        check("GPL-3.0 AND (MIT OR ISC)", false);
        check("MIT WITH some-exception", true);
        check("", false);
        check("(MIT", false);
    }
}

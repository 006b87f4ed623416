//! Spellings of a URL that a partner may have signed.
//!
//! Partners that sign the URL disagree with operators about whether the default port
//! stands in it. A scheme lists the spellings to try; a match under any of them counts.
//! Nothing is normalised: every other character stays as configured.

/// One way of spelling the configured URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlVariant {
    /// Character for character.
    AsConfigured,
    /// With `:443` or `:80` where no port is named.
    DefaultPortAdded,
    /// Without the port where it is the scheme's default.
    DefaultPortRemoved,
    /// With the escapes decoded that `HubSpot` v3 decodes before it signs.
    DecodedEscapes,
}

impl UrlVariant {
    /// The words of a scheme document.
    pub(crate) const NAMES: [&'static str; 4] = [
        "as-configured",
        "default-port-added",
        "default-port-removed",
        "decoded-escapes",
    ];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "as-configured" => Self::AsConfigured,
            "default-port-added" => Self::DefaultPortAdded,
            "default-port-removed" => Self::DefaultPortRemoved,
            "decoded-escapes" => Self::DecodedEscapes,
            _ => return None,
        })
    }

    /// The word of a scheme document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsConfigured => "as-configured",
            Self::DefaultPortAdded => "default-port-added",
            Self::DefaultPortRemoved => "default-port-removed",
            Self::DecodedEscapes => "decoded-escapes",
        }
    }

    /// `url` in this spelling; `None` where that is no other text.
    fn spell(self, url: &str) -> Option<String> {
        if self == Self::DecodedEscapes {
            let decoded = decode_escapes(url);
            return (decoded != url).then_some(decoded);
        }
        let (default_port, rest) = match url.split_once("://")? {
            ("https", rest) => (":443", rest),
            ("http", rest) => (":80", rest),
            _ => return None,
        };
        let authority_length = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(authority_length);
        let start = url.strip_suffix(rest)?;
        // A colon after the last bracket is a port's; one before it belongs to an IPv6 address.
        let port_at = authority
            .rfind(':')
            .filter(|at| authority.rfind(']').is_none_or(|b| b < *at));
        match (self, port_at) {
            (Self::DefaultPortAdded, None) => {
                Some(format!("{start}{authority}{default_port}{tail}"))
            }
            (Self::DefaultPortRemoved, Some(_)) => Some(format!(
                "{start}{}{tail}",
                authority.strip_suffix(default_port)?
            )),
            _ => None,
        }
    }
}

/// Decodes `:/?@!$'()*,;` and nothing else.
fn decode_escapes(url: &str) -> String {
    const DECODED: &str = ":/?@!$'()*,;";
    let mut decoded = String::with_capacity(url.len());
    let mut rest = url;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        let byte = after
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let known = byte.map(char::from).filter(|c| DECODED.contains(*c));
        decoded.push(known.unwrap_or('%'));
        rest = match known {
            Some(_) => after.get(2..).unwrap_or_default(),
            None => after,
        };
    }
    decoded.push_str(rest);
    decoded
}

/// The texts to try for a configured URL, each once.
pub(super) fn spellings(url: &str, variants: &[UrlVariant]) -> Vec<String> {
    let mut spellings = Vec::with_capacity(variants.len().max(1));
    if variants.is_empty() || variants.contains(&UrlVariant::AsConfigured) {
        spellings.push(url.to_owned());
    }
    spellings.extend(variants.iter().filter_map(|variant| variant.spell(url)));
    spellings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, variant: UrlVariant, expected: Option<&str>) {
        assert_eq!(variant.spell(url).as_deref(), expected, "{url} {variant:?}");
    }

    #[test]
    fn ports_are_added_and_removed() {
        use UrlVariant::{DefaultPortAdded as Added, DefaultPortRemoved as Removed};
        check(
            "https://a.example/x?y=:443",
            Added,
            Some("https://a.example:443/x?y=:443"),
        );
        check("http://a.example?y", Added, Some("http://a.example:80?y"));
        check("https://a.example:443/x", Added, None);
        check("https://a.example:8443/x", Added, None);
        check(
            "https://a.example:443/x",
            Removed,
            Some("https://a.example/x"),
        );
        check("https://a.example:8443/x", Removed, None);
        check("https://a.example:80/x", Removed, None);
        check("https://a.example/x", Removed, None);
        check("https://[::1]/x", Added, Some("https://[::1]:443/x"));
        check("https://[::443]/x", Removed, None);
        check("nonsense", Added, None);
    }

    #[test]
    fn some_escapes_are_decoded() {
        let check = |url, expected| check(url, UrlVariant::DecodedEscapes, expected);
        check(
            "https://a.example/x?r=https%3A%2F%2Fb.example%2f%20%",
            Some("https://a.example/x?r=https://b.example/%20%"),
        );
        check("https://a.example/%25%+3a", None);
        check("https://a.example/x", None);
        check("https://a.example/%é", None);
    }
}

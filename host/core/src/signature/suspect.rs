//! Guesses at what happened to a request whose signature does not match.
//!
//! Each guess is a request as the partner may have sent it; if its signature verifies,
//! the difference is the cause. Nothing here accepts a request: guesses are for people.

use bytes::Bytes;

use super::request::RawRequest;

/// A request that differs from the received one in one named way.
pub(super) struct Guess {
    /// What must have happened, for an operator.
    pub(super) what: &'static str,
    pub(super) raw: RawRequest,
}

/// A way in which bodies are changed on their way, with the guess at the original.
type Undo = (&'static str, fn(&[u8]) -> Option<Vec<u8>>);

const BODY_UNDOS: [Undo; 9] = [
    ("a newline was appended to the body", |b| {
        b.strip_suffix(b"\n").map(<[u8]>::to_vec)
    }),
    (
        "a carriage return and newline were appended to the body",
        |b| b.strip_suffix(b"\r\n").map(<[u8]>::to_vec),
    ),
    ("a newline at the end of the body was lost", |b| {
        Some([b, b"\n"].concat())
    }),
    (
        "a carriage return and newline at the end of the body were lost",
        |b| Some([b, b"\r\n"].concat()),
    ),
    (
        "newlines in the body became carriage return and newline",
        |b| Some(without_crs(b)),
    ),
    ("carriage returns in the body were lost", |b| {
        Some(with_crs(b))
    }),
    (
        "the JSON body was serialised again, with white space added",
        |b| Some(respaced(b, false)),
    ),
    (
        "the JSON body was serialised again, with white space left out",
        |b| Some(respaced(b, true)),
    ),
    (
        "the JSON body was serialised again, with its \\u escapes decoded",
        |b| std::str::from_utf8(b).ok().map(escaped),
    ),
];

/// A way in which the configured URL differs from the one that the partner signs.
type Respell = (&'static str, fn(&str) -> Option<String>);

const URL_RESPELLS: [Respell; 4] = [
    (
        "the partner signs http, and the configured URL is https",
        |url| {
            url.strip_prefix("https://")
                .map(|rest| format!("http://{rest}"))
        },
    ),
    (
        "the partner signs https, and the configured URL is http",
        |url| {
            url.strip_prefix("http://")
                .map(|rest| format!("https://{rest}"))
        },
    ),
    ("the partner signs the URL without its query", |url| {
        url.split_once('?').map(|(path, _)| path.to_owned())
    }),
    (
        "the partner signs the URL with another slash at its end",
        |url| {
            Some(
                url.strip_suffix('/')
                    .map_or_else(|| format!("{url}/"), str::to_owned),
            )
        },
    ),
];

/// The requests to try, those that differ from `raw` only.
pub(super) fn guesses(raw: &RawRequest) -> impl Iterator<Item = Guess> {
    let bodies = BODY_UNDOS.iter().filter_map(|(what, undo)| {
        let body = undo(&raw.body).filter(|body| *body != raw.body)?;
        Some(Guess {
            what,
            raw: RawRequest {
                body: Bytes::from(body),
                ..raw.clone()
            },
        })
    });
    let urls = URL_RESPELLS.iter().filter_map(|(what, respell)| {
        let url = respell(raw.url.as_deref()?)?;
        Some(Guess {
            what,
            raw: RawRequest {
                url: Some(url),
                ..raw.clone()
            },
        })
    });
    bodies.chain(urls)
}

fn without_crs(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body.iter().peekable();
    while let Some(byte) = rest.next() {
        if !(*byte == b'\r' && rest.peek() == Some(&&b'\n')) {
            bytes.push(*byte);
        }
    }
    bytes
}

fn with_crs(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len());
    for byte in without_crs(body) {
        if byte == b'\n' {
            bytes.push(b'\r');
        }
        bytes.push(byte);
    }
    bytes
}

/// JSON with the white space between its tokens left out, or with one blank after each
/// colon and comma; tokens stay as they are.
fn respaced(body: &[u8], blanks: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len());
    let (mut in_string, mut escaped) = (false, false);
    for byte in body {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = *byte == b'"';
        }
        bytes.push(*byte);
        if blanks && !in_string && matches!(byte, b',' | b':') {
            bytes.push(b' ');
        }
    }
    bytes
}

/// JSON with everything outside ASCII written as `\u` escapes.
fn escaped(body: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len());
    for c in body.chars() {
        if c.is_ascii() {
            bytes.extend(c.to_string().into_bytes());
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                bytes.extend(format!("\\u{unit:04x}").into_bytes());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_respaced_outside_its_texts_only() {
        let body = br#"{ "a" : [1 , "x: y, \" z"],"b":2}"#;
        assert_eq!(respaced(body, false), br#"{"a":[1,"x: y, \" z"],"b":2}"#);
        assert_eq!(respaced(body, true), br#"{"a": [1, "x: y, \" z"], "b": 2}"#);
    }

    #[test]
    fn newlines_go_both_ways() {
        assert_eq!(without_crs(b"a\r\nb\rc\n"), b"a\nb\rc\n");
        assert_eq!(with_crs(b"a\nb\r\n"), b"a\r\nb\r\n");
    }

    #[test]
    fn escapes_are_utf16() {
        assert_eq!(escaped("é𝄞a"), br"\u00e9\ud834\udd1ea");
    }
}

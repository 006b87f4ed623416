//! Where a connection stands between two requests, told from the bytes that come in.
//!
//! hyper parses heads; this looks at two things that hyper does not tell: when a head
//! has begun without ending, and whether it had both Content-Length and
//! Transfer-Encoding, of which hyper drops one. It never decides where a body ends: it
//! looks at a head only, from the first byte after an answer to the first blank line.
//! A head that was sent before the answer to the one before it (pipelining) is not
//! looked at, and hyper's own rule holds for it: Transfer-Encoding counts, and the
//! connection closes afterwards.

/// The longest name that is looked for, with its colon.
const NAME_BYTES_MAX: usize = "transfer-encoding:".len();

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No byte since the last answer.
    Idle,
    /// Within a head.
    Head,
    /// Past a head: its body, or the answer to it.
    Past,
}

/// Looks at heads as their bytes come in.
#[derive(Debug)]
pub(super) struct HeadWatch {
    stage: Stage,
    line: [u8; NAME_BYTES_MAX],
    line_length: usize,
    has_length: bool,
    has_encoding: bool,
}

impl HeadWatch {
    pub(super) const fn new() -> Self {
        Self {
            stage: Stage::Idle,
            line: [0; NAME_BYTES_MAX],
            line_length: 0,
            has_length: false,
            has_encoding: false,
        }
    }

    /// Where the connection stands.
    pub(super) const fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether the head that ended last says twice how long its body is.
    pub(super) const fn framed_twice(&self) -> bool {
        self.has_length && self.has_encoding
    }

    /// An answer went out: what comes next is another head.
    pub(super) const fn answered(&mut self) {
        *self = Self::new();
    }

    /// Looks at the next bytes. True where they end a head.
    pub(super) fn see(&mut self, bytes: &[u8]) -> bool {
        if self.stage == Stage::Past {
            return false;
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            // Blank lines before a request are tolerated (RFC 9112, section 2.2).
            if self.stage == Stage::Idle && piece.iter().all(|byte| b"\r\n".contains(byte)) {
                continue;
            }
            self.stage = Stage::Head;
            self.extend_line(piece);
            if piece.ends_with(b"\n") && self.end_line() {
                return true;
            }
        }
        false
    }

    fn extend_line(&mut self, piece: &[u8]) {
        let free = self.line.get_mut(self.line_length..).unwrap_or_default();
        for (place, byte) in free.iter_mut().zip(piece) {
            *place = byte.to_ascii_lowercase();
            self.line_length += 1;
        }
    }

    /// True where it was the line that ends a head.
    fn end_line(&mut self) -> bool {
        let line = self.line.get(..self.line_length).unwrap_or_default();
        let blank = matches!(line, b"\n" | b"\r\n");
        self.has_length |= line.starts_with(b"content-length:");
        self.has_encoding |= line.starts_with(b"transfer-encoding:");
        self.line_length = 0;
        if blank {
            self.stage = Stage::Past;
        }
        blank
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "POST /in/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody";
    const BOTH: &str =
        "POST / HTTP/1.1\r\nTRANSFER-Encoding: chunked\r\nHost: x\r\ncontent-length: 4\r\n\r\n";

    /// Sees the text in pieces of every size.
    #[track_caller]
    fn check(text: &str, stage: Stage, framed_twice: bool) {
        for size in 1..=text.len().max(1) {
            let mut watch = HeadWatch::new();
            for piece in text.as_bytes().chunks(size) {
                watch.see(piece);
            }
            let got = (watch.stage(), watch.framed_twice());
            assert_eq!(got, (stage, framed_twice), "{text:?} in pieces of {size}");
        }
    }

    #[test]
    fn heads_end_at_the_blank_line() {
        check("", Stage::Idle, false);
        check("\r\n\r\n", Stage::Idle, false);
        check("\r\nP", Stage::Head, false);
        check("POST / HTTP/1.1\r\nHost: x\r\n", Stage::Head, false);
        check(PLAIN, Stage::Past, false);
        check("GET / HTTP/1.1\nHost: x\n\n", Stage::Past, false);
    }

    #[test]
    fn both_kinds_of_framing_are_noticed_in_a_head_alone() {
        check(BOTH, Stage::Past, true);
        let in_body = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nContent-Length: 4\r\n";
        check(in_body, Stage::Past, false);
        check(
            "GET /content-length: HTTP/1.1\r\nX-Content-Length: 1\r\n\r\n",
            Stage::Past,
            false,
        );
    }

    #[test]
    fn an_answer_makes_room_for_the_next_head() {
        let mut watch = HeadWatch::new();
        assert!(watch.see(BOTH.as_bytes()));
        watch.answered();
        assert_eq!((watch.stage(), watch.framed_twice()), (Stage::Idle, false));
        assert!(watch.see(PLAIN.as_bytes()));
        assert!(!watch.framed_twice());
    }
}

//! Server-Sent Events, read as the HTML standard says, from bytes in any pieces.
//!
//! Bounded: an event larger than a page of the change log ends the stream with an
//! error, since nothing of ours sends one.

use tidegate_core::limits::PAGE_BYTES_MAX;

/// Largest line, and largest data of one event: a page, escaped.
const BYTES_MAX: usize = 4 * PAGE_BYTES_MAX;

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct StreamEvent {
    /// The last id that was sent, with this event or before it.
    pub(super) id: Option<String>,
    /// Its kind; empty where none was sent.
    pub(super) kind: String,
    /// Its data.
    pub(super) data: String,
}

/// Reads a stream piece by piece.
#[derive(Debug, Default)]
pub(super) struct StreamReader {
    line: Vec<u8>,
    after_cr: bool,
    begun: bool,
    last_id: Option<String>,
    kind: String,
    data: String,
    has_data: bool,
}

/// A line or an event over the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream holds an event of more than {BYTES_MAX} bytes")]
pub(super) struct TooLarge;

impl StreamReader {
    /// Takes the next bytes, and gives the events that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<StreamEvent>, TooLarge> {
        let mut events = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' if self.after_cr => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                other => self.line.push(*other),
            }
            self.after_cr = *byte == b'\r';
            if self.line.len() + self.data.len() > BYTES_MAX {
                return Err(TooLarge);
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<StreamEvent> {
        let line = std::mem::take(&mut self.line);
        let mut line = String::from_utf8_lossy(&line).into_owned();
        if !std::mem::replace(&mut self.begun, true) && line.starts_with('\u{feff}') {
            line.remove(0);
        }
        if line.is_empty() {
            return self.end_event();
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "id" if !value.contains('\0') => self.last_id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(value);
            }
            // Comments have an empty name; the host sets the pace of reconnecting itself.
            _ => {}
        }
        None
    }

    fn end_event(&mut self) -> Option<StreamEvent> {
        let kind = std::mem::take(&mut self.kind);
        let data = std::mem::take(&mut self.data);
        std::mem::take(&mut self.has_data).then(|| StreamEvent {
            id: self.last_id.clone(),
            kind,
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], pieces: usize) -> Vec<(Option<String>, String, String)> {
        let mut reader = StreamReader::default();
        let mut events = Vec::new();
        for piece in bytes.chunks(pieces.max(1)) {
            events.extend(reader.push(piece).unwrap());
        }
        events
            .into_iter()
            .map(|event| (event.id, event.kind, event.data))
            .collect()
    }

    #[track_caller]
    fn check(stream: &str, expected: &[(Option<&str>, &str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(id, kind, data)| {
                (
                    id.map(str::to_owned),
                    (*kind).to_owned(),
                    (*data).to_owned(),
                )
            })
            .collect();
        for pieces in 1..=stream.len().max(1) {
            assert_eq!(
                read(stream.as_bytes(), pieces),
                expected,
                "{stream:?} in pieces of {pieces}"
            );
        }
    }

    #[test]
    fn events_of_the_change_log() {
        check(
            "id: 12\nevent: change\ndata: {\"seq\":\"12\"}\n\n",
            &[(Some("12"), "change", "{\"seq\":\"12\"}")],
        );
        check(": heartbeat\n\ndata: a\n\n", &[(None, "", "a")]);
    }

    #[test]
    fn the_standards_corners() {
        check("\u{feff}data:a\r\ndata: b\r\n\r\n", &[(None, "", "a\nb")]);
        check("data\n\ndata:  x\r\r", &[(None, "", ""), (None, "", " x")]);
        check(
            "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
            &[
                (Some("1"), "", "a"),
                (Some("1"), "", "b"),
                (Some(""), "", "c"),
            ],
        );
        check("event: change\n\ndata: cut off", &[]);
    }

    #[test]
    fn a_flood_is_refused() {
        let mut reader = StreamReader::default();
        let piece = vec![b'x'; BYTES_MAX];
        assert_eq!(reader.push(&piece), Ok(vec![]));
        assert_eq!(reader.push(b"x"), Err(TooLarge));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(stream in "[adeintv:\\r\\n ]{0,64}", pieces in 1..9usize) {
            prop_assert_eq!(read(stream.as_bytes(), pieces), read(stream.as_bytes(), 64));
        }
    }
}

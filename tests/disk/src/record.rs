//! The log's format: one record a call, appended after the call was carried out.
//!
//! A record is a header of fixed size and a body. The process may be killed inside a
//! record; whoever reads takes the log up to the last whole one. Files and directories
//! have numbers of the log's own, because inode numbers are used again.

use std::ffi::OsString;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt as _;

/// Size of a header.
pub const HEADER_BYTES: usize = 32;

/// Number of the watched folder itself.
pub const ROOT: u64 = 0;

/// What a record tells. The comments say what `node`, `value` and the body hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A file was there when recording began: its mode; parent and name.
    Found = 1,
    /// A file or directory was made: its mode; parent and name.
    Created = 2,
    /// Bytes were written: offset; the bytes.
    Written = 3,
    /// Its size was set: the size.
    Resized = 4,
    /// A sync begins: its number; of a directory, what it holds.
    SyncBegan = 5,
    /// It succeeded: its number.
    Synced = 6,
    /// It failed: its number.
    SyncFailed = 7,
    /// `sync_file_range` succeeded.
    RangeSynced = 8,
    /// An entry got another name: new parent; new parent and name.
    Named = 9,
    /// A name went: parent and name.
    Unnamed = 10,
    /// Something was done that this format cannot tell: in words.
    Unseen = 11,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::Found,
        Self::Created,
        Self::Written,
        Self::Resized,
        Self::SyncBegan,
        Self::Synced,
        Self::SyncFailed,
        Self::RangeSynced,
        Self::Named,
        Self::Unnamed,
        Self::Unseen,
    ];
}

/// The part of fixed size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What is told.
    pub kind: Kind,
    /// When, on the monotonic clock, in nanoseconds.
    pub time: u64,
    /// Of which file or directory.
    pub node: u64,
    /// By kind.
    pub value: u64,
    /// Bytes of the body.
    pub length: u32,
}

impl Header {
    /// As it stands in the log.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let (first, rest) = bytes.split_at_mut(8);
        first.copy_from_slice(&(u64::from(self.length) << 32 | self.kind as u64).to_le_bytes());
        for (place, word) in rest
            .chunks_exact_mut(8)
            .zip([self.time, self.node, self.value])
        {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            let eight = bytes.get(at..at + 8)?.try_into().ok()?;
            Some(u64::from_le_bytes(eight))
        };
        let first = word(0)?;
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| *kind as u64 == first & 0xff)?;
        Some(Self {
            kind,
            length: u32::try_from(first >> 32).ok()?,
            time: word(8)?,
            node: word(16)?,
            value: word(24)?,
        })
    }
}

/// An entry of a directory: who holds it and how it is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The directory, or, in a listing, the node that the name stands for.
    pub node: u64,
    /// The name.
    pub name: OsString,
}

/// Adds an entry to a body.
pub fn put_entry(body: &mut Vec<u8>, node: u64, name: &[u8]) {
    body.extend_from_slice(&node.to_le_bytes());
    // Names are shorter than 256 bytes on every file system.
    let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
    body.extend_from_slice(&length.to_le_bytes());
    body.extend_from_slice(name.get(..usize::from(length)).unwrap_or(name));
}

/// The entries in a body.
pub fn entries(mut body: &[u8]) -> Vec<Entry> {
    let mut found = Vec::new();
    while let Some((node, rest)) = body.split_first_chunk() {
        let Some((length, rest)) = rest.split_first_chunk() else {
            break;
        };
        let length = usize::from(u16::from_le_bytes(*length));
        let Some((name, rest)) = rest.split_at_checked(length) else {
            break;
        };
        found.push(Entry {
            node: u64::from_le_bytes(*node),
            name: OsString::from_vec(name.to_vec()),
        });
        body = rest;
    }
    found
}

/// The records of a log, as header and where the body stands, up to the last whole one.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    log: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    /// From the beginning.
    pub const fn of(log: &'a [u8]) -> Self {
        Self { log, at: 0 }
    }
}

impl Iterator for Records<'_> {
    type Item = (Header, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at.checked_add(HEADER_BYTES)?;
        let header = Header::from_bytes(self.log.get(self.at..start)?)?;
        let end = start.checked_add(usize::try_from(header.length).ok()?)?;
        self.log.get(start..end)?;
        self.at = end;
        Some((header, start..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_up_to_the_one_that_was_cut() {
        let mut log = Vec::new();
        let mut body = Vec::new();
        put_entry(&mut body, 7, b"current");
        put_entry(&mut body, 8, b"");
        for kind in Kind::ALL {
            let header = Header {
                kind,
                time: 1,
                node: 2,
                value: u64::MAX,
                length: u32::try_from(body.len()).unwrap(),
            };
            log.extend_from_slice(&header.to_bytes());
            log.extend_from_slice(&body);
        }
        log.pop();
        let read: Vec<_> = Records::of(&log).collect();
        assert_eq!(read.len(), Kind::ALL.len() - 1);
        let (header, range) = read[0].clone();
        assert_eq!((header.kind, header.value), (Kind::Found, u64::MAX));
        let entries = entries(&log[range]);
        assert_eq!(
            (entries[0].node, entries[0].name.to_str()),
            (7, Some("current"))
        );
        assert_eq!(entries.len(), 2);
    }
}

//! How records are written: a version, then the fields in a fixed order.
//!
//! Numbers are variable in length (seven bits a byte, low ones first), texts and bytes
//! carry their length, choices a byte or the stable word that the core gives them. A
//! reader never trusts a length further than the bytes that are there, and never
//! panics: whatever is wrong is [`Corrupt`].

use bytes::Bytes;

mod alert;
mod attempt;
mod change;
mod dead;
mod event;
mod operator;
mod sink;
mod task;

pub(crate) use attempt::{Attempts, note_attempt};
pub(crate) use change::{ChangeHead, State};
pub(crate) use dead::Kept;
pub(crate) use event::{EventHead, KeyHolder, event_record};
pub(crate) use task::{DeliveryRow, QueueEntry};

/// The version that records begin with. A change of a record's fields needs another
/// (see [`Record::VERSION`]), and a reader of both.
const VERSION: u8 = 1;

/// Bytes that are not the record that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    /// They end too early.
    #[error("it ends within a field")]
    Truncated,
    /// They go on after the last field.
    #[error("it has {bytes} bytes too many")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// A newer host wrote them.
    #[error("it has version {found}, and this host reads up to {known}")]
    Version {
        /// Which.
        found: u8,
        /// The newest that this host reads.
        known: u8,
    },
    /// A choice that there is none of.
    #[error("its {what} is {found:?}")]
    Choice {
        /// Of what.
        what: &'static str,
        /// What stands there.
        found: String,
    },
    /// A text that is not UTF-8.
    #[error("a text of it is not UTF-8")]
    Text,
    /// A name that breaks the rules for names.
    #[error(transparent)]
    Name(#[from] tidegate_core::ids::InvalidName),
    /// A number over its range.
    #[error("a number of it is out of range")]
    Number,
    /// There is none where one must be.
    #[error("it is missing")]
    Missing,
    /// The key that it stands under is none of its keyspace.
    #[error("its key has another form than its keyspace's keys")]
    Key,
}

/// A value that has a form on disk.
pub(crate) trait Record: Sized {
    /// The form that is written. Whole records of every form before it are read, too, by
    /// what [`Reading::version`] says; within another record it has that one's version, so
    /// only a record that stands alone may have forms of its own.
    const VERSION: u8 = VERSION;

    /// Writes the fields.
    fn write(&self, to: &mut Writer);

    /// Reads them.
    fn read(from: &mut Reading) -> Result<Self, Corrupt>;

    /// The whole record.
    fn to_record(&self) -> Vec<u8> {
        let mut to = Writer::begun(Self::VERSION, 128);
        self.write(&mut to);
        to.finish()
    }

    /// The value of a whole record.
    fn from_record(record: Bytes) -> Result<Self, Corrupt> {
        let mut from = Reading::up_to(Self::VERSION, record)?;
        let value = Self::read(&mut from)?;
        from.end()?;
        Ok(value)
    }
}

/// Writes a record.
#[derive(Debug)]
pub(crate) struct Writer {
    record: Vec<u8>,
}

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self::begun(VERSION, bytes)
    }

    fn begun(version: u8, bytes: usize) -> Self {
        let mut record = Vec::with_capacity(bytes);
        record.push(version);
        Self { record }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.record
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.record.push(byte);
    }

    pub(crate) fn flag(&mut self, flag: bool) {
        self.byte(u8::from(flag));
    }

    pub(crate) fn number(&mut self, mut number: u64) {
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 {
                self.record.push(low & 0x7f);
                return;
            }
            self.record.push(low | 0x80);
        }
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    /// Small negative numbers stay short.
    pub(crate) fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)).cast_unsigned());
    }

    pub(crate) fn fixed(&mut self, bytes: &[u8]) {
        self.record.extend_from_slice(bytes);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.fixed(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.byte(0),
            Some(value) => {
                self.byte(1);
                write(self, value);
            }
        }
    }

    pub(crate) fn list<T>(&mut self, values: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.count(values.len());
        for value in values {
            write(self, value);
        }
    }
}

/// Reads a record. Bytes that it hands out share the record's memory.
#[derive(Debug)]
pub(crate) struct Reading {
    rest: Bytes,
    version: u8,
}

impl Reading {
    pub(crate) fn new(record: Bytes) -> Result<Self, Corrupt> {
        Self::up_to(VERSION, record)
    }

    /// A record of this version or of one before it.
    fn up_to(known: u8, record: Bytes) -> Result<Self, Corrupt> {
        let mut reading = Self {
            rest: record,
            version: VERSION,
        };
        reading.version = reading.byte()?;
        if (VERSION..=known).contains(&reading.version) {
            Ok(reading)
        } else {
            let found = reading.version;
            Err(Corrupt::Version { found, known })
        }
    }

    /// The version that the record was written with.
    pub(crate) const fn version(&self) -> u8 {
        self.version
    }

    pub(crate) fn end(&self) -> Result<(), Corrupt> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(Corrupt::Trailing { bytes }),
        }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Corrupt> {
        let byte = *self.rest.first().ok_or(Corrupt::Truncated)?;
        bytes::Buf::advance(&mut self.rest, 1);
        Ok(byte)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Corrupt> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(choice("flag", &found)),
        }
    }

    pub(crate) fn number(&mut self) -> Result<u64, Corrupt> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Corrupt::Number);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Corrupt::Number)
    }

    pub(crate) fn small(&mut self) -> Result<u32, Corrupt> {
        u32::try_from(self.number()?).map_err(|_| Corrupt::Number)
    }

    /// A count of things that take at least a byte each.
    fn count(&mut self) -> Result<usize, Corrupt> {
        let count = usize::try_from(self.number()?).map_err(|_| Corrupt::Number)?;
        if count > self.rest.len() {
            Err(Corrupt::Truncated)
        } else {
            Ok(count)
        }
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Corrupt> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let bytes = self
            .rest
            .first_chunk::<N>()
            .copied()
            .ok_or(Corrupt::Truncated)?;
        bytes::Buf::advance(&mut self.rest, N);
        Ok(bytes)
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, Corrupt> {
        let length = self.count()?;
        Ok(self.rest.split_to(length))
    }

    /// All that is left.
    pub(crate) fn remaining(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    /// The next text, handed to `read` where it stands.
    pub(crate) fn text_with<T>(
        &mut self,
        read: impl FnOnce(&str) -> Result<T, Corrupt>,
    ) -> Result<T, Corrupt> {
        let length = self.count()?;
        let text = self.rest.get(..length).ok_or(Corrupt::Truncated)?;
        let value = read(std::str::from_utf8(text).map_err(|_| Corrupt::Text)?)?;
        bytes::Buf::advance(&mut self.rest, length);
        Ok(value)
    }

    pub(crate) fn text(&mut self) -> Result<String, Corrupt> {
        self.text_with(|text| Ok(text.to_owned()))
    }

    pub(crate) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Corrupt>,
    ) -> Result<Option<T>, Corrupt> {
        match self.byte()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            found => Err(choice("option", &found)),
        }
    }

    pub(crate) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Corrupt>,
    ) -> Result<Vec<T>, Corrupt> {
        let count = self.count()?;
        // A count that the bytes bear out is still no reason to reserve much at once.
        let mut values = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            values.push(read(self)?);
        }
        Ok(values)
    }
}

/// The one of `all` with that stable word.
fn by_code<T: Copy>(
    from: &mut Reading,
    what: &'static str,
    all: &[T],
    code: impl Fn(T) -> &'static str,
) -> Result<T, Corrupt> {
    from.text_with(|word| {
        let found = all.iter().copied().find(|one| code(*one) == word);
        found.ok_or_else(|| choice(what, word))
    })
}

fn choice<T: ToString + ?Sized>(what: &'static str, found: &T) -> Corrupt {
    Corrupt::Choice {
        what,
        found: found.to_string(),
    }
}

#[cfg(test)]
mod tests;

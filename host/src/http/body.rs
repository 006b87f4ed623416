//! Reads a request's body within bounds on its size, its time and the memory that all
//! requests take together.
//!
//! Memory is counted as it arrives, so that nobody can hold it by announcing a body.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tidegate_core::limits::REQUEST_READ_TIMEOUT;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A whole body, and its request's hold on the memory of all requests.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    pub(super) hold: OwnedSemaphorePermit,
}

/// Why a body was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// Over the limit of one body.
    TooLarge,
    /// Not there in time.
    TooSlow,
    /// It broke off, or its chunks are not framed as they should be.
    Broken,
    /// Over the limit of all requests.
    Crowded,
}

/// Reads a body of at most `bytes_max`, counted against `memory`, one permit a byte, as
/// are the `head_bytes` that came before it.
pub(super) async fn read<B>(
    body: B,
    head_bytes: usize,
    bytes_max: usize,
    memory: &Arc<Semaphore>,
) -> Result<Held, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > u64::try_from(bytes_max).unwrap_or(u64::MAX) {
        return Err(BodyError::TooLarge);
    }
    let hold = take(memory, head_bytes)?;
    let gathering = gather(body, bytes_max, memory, hold);
    tokio::time::timeout(REQUEST_READ_TIMEOUT, gathering)
        .await
        .unwrap_or(Err(BodyError::TooSlow))
}

fn take(memory: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, BodyError> {
    let permits = u32::try_from(bytes).map_err(|_| BodyError::TooLarge)?;
    let taken = Arc::clone(memory).try_acquire_many_owned(permits);
    taken.map_err(|_| BodyError::Crowded)
}

async fn gather<B>(
    mut body: B,
    bytes_max: usize,
    memory: &Arc<Semaphore>,
    mut hold: OwnedSemaphorePermit,
) -> Result<Held, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut whole = Whole::Nothing;
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            continue;
        };
        if whole.length() + piece.len() > bytes_max {
            return Err(BodyError::TooLarge);
        }
        hold.merge(take(memory, piece.len())?);
        whole = whole.with(piece);
    }
    Ok(Held {
        bytes: whole.into_bytes(),
        hold,
    })
}

/// What has arrived. A body of one piece, the usual one, is never copied.
enum Whole {
    Nothing,
    One(Bytes),
    Several(BytesMut),
}

impl Whole {
    fn length(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::One(piece) => piece.len(),
            Self::Several(pieces) => pieces.len(),
        }
    }

    fn with(self, piece: Bytes) -> Self {
        match self {
            Self::Nothing => Self::One(piece),
            Self::One(first) => {
                let mut pieces = BytesMut::with_capacity(2 * (first.len() + piece.len()));
                pieces.extend_from_slice(&first);
                pieces.extend_from_slice(&piece);
                Self::Several(pieces)
            }
            Self::Several(mut pieces) => {
                pieces.extend_from_slice(&piece);
                Self::Several(pieces)
            }
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(piece) => piece,
            Self::Several(pieces) => pieces.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    type Piece = Result<Frame<Bytes>, std::io::Error>;

    /// The pieces that these texts make.
    fn data<const N: usize>(texts: [&'static str; N]) -> Vec<Piece> {
        let frame = |text: &'static str| Frame::data(Bytes::from_static(text.as_bytes()));
        texts.map(|text| Ok(frame(text))).into()
    }

    fn run<B: Body<Data = Bytes> + Unpin>(
        body: B,
        bytes_max: usize,
        memory: &Arc<Semaphore>,
    ) -> Result<Held, BodyError> {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(read(body, 1, bytes_max, memory))
    }

    #[track_caller]
    fn check(pieces: Vec<Piece>, expected: Result<&str, BodyError>) {
        let memory = Arc::new(Semaphore::new(11));
        let read = run(StreamBody::new(stream::iter(pieces)), 8, &memory);
        match (&read, expected) {
            (Ok(held), Ok(text)) => {
                assert_eq!(held.bytes, text);
                assert_eq!(memory.available_permits(), 11 - 1 - text.len());
            }
            (read, expected) => {
                assert_eq!(
                    read.as_ref().map(|held| &held.bytes[..]).err(),
                    expected.err().as_ref()
                );
            }
        }
        drop(read);
        assert_eq!(memory.available_permits(), 11, "memory is given back");
    }

    #[test]
    fn bodies_are_read_whole_or_refused() {
        check(vec![], Ok(""));
        check(data(["12345678"]), Ok("12345678"));
        check(data(["1", "2", "3"]), Ok("123"));
        let trailers = Ok(Frame::trailers(hyper::HeaderMap::new()));
        check(data(["1"]).into_iter().chain([trailers]).collect(), Ok("1"));
        check(data(["12345678", "9"]), Err(BodyError::TooLarge));
        let broken = Err(std::io::ErrorKind::UnexpectedEof.into());
        check(
            data(["1"]).into_iter().chain([broken]).collect(),
            Err(BodyError::Broken),
        );
    }

    #[test]
    fn what_is_announced_too_large_is_not_read() {
        let memory = Arc::new(Semaphore::new(11));
        let announced = Full::new(Bytes::from_static(b"123456789"));
        assert_eq!(run(announced, 8, &memory).unwrap_err(), BodyError::TooLarge);
    }

    #[test]
    fn all_bodies_together_have_a_bound() {
        let memory = Arc::new(Semaphore::new(11));
        let first = run(Full::new(Bytes::from_static(b"12345678")), 8, &memory).unwrap();
        let second = run(Full::new(Bytes::from_static(b"123")), 8, &memory);
        assert_eq!(second.unwrap_err(), BodyError::Crowded);
        drop(first);
        assert!(run(Full::new(Bytes::from_static(b"123")), 8, &memory).is_ok());
    }

    #[test]
    fn a_body_that_does_not_come_is_given_up() {
        let memory = Arc::new(Semaphore::new(11));
        let never = StreamBody::new(stream::pending::<Piece>());
        assert_eq!(run(never, 8, &memory).unwrap_err(), BodyError::TooSlow);
    }
}

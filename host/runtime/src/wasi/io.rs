//! Streams that are there and lead nowhere, and waits that are over at once.
//!
//! A resource's number is all that the host keeps of it, so streams cost the host no
//! memory and there is no table of them to bound.

use wasmtime::Result;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType};

use super::{Caller, wasi};
use crate::guest::Guest;

/// The cause of a stream's failure; no stream here fails.
pub(super) struct StreamFailure;

/// Something to wait for; it has always happened.
pub(super) struct Pollable;

/// An input that has ended.
pub(super) struct InputStream;

/// An output that is captured or dropped.
pub(super) struct OutputStream;

/// How much an output takes at once, as `check-write` says.
const WRITE_BYTES: u64 = 64 * 1024;

impl Pollable {
    pub(super) fn ready() -> Resource<Self> {
        Resource::new_own(0)
    }
}

impl InputStream {
    pub(super) fn ended() -> Resource<Self> {
        Resource::new_own(0)
    }
}

impl OutputStream {
    const DROPPED: u32 = 0;
    const CAPTURED: u32 = 1;

    pub(super) fn dropped() -> Resource<Self> {
        Resource::new_own(Self::DROPPED)
    }

    pub(super) fn captured() -> Resource<Self> {
        Resource::new_own(Self::CAPTURED)
    }
}

/// What a stream answers where it does nothing.
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    // The contract has the case; no stream here fails.
    LastOperationFailed(Resource<StreamFailure>),
    #[component(name = "closed")]
    Closed,
}

type Streamed<T> = Result<T, StreamError>;

pub(super) fn define(linker: &mut Linker<Guest>) -> Result<()> {
    let mut error = linker.instance(wasi!("io/error"))?;
    error.resource(
        "error",
        ResourceType::host::<StreamFailure>(),
        |_, _| Ok(()),
    )?;
    error.func_wrap(
        "[method]error.to-debug-string",
        |_: Caller<'_>, (_,): (Resource<StreamFailure>,)| Ok((String::new(),)),
    )?;

    let mut poll = linker.instance(wasi!("io/poll"))?;
    poll.resource("pollable", ResourceType::host::<Pollable>(), |_, _| Ok(()))?;
    poll.func_wrap(
        "[method]pollable.ready",
        |_: Caller<'_>, (_,): (Resource<Pollable>,)| Ok((true,)),
    )?;
    poll.func_wrap(
        "[method]pollable.block",
        |_: Caller<'_>, (_,): (Resource<Pollable>,)| Ok(()),
    )?;
    poll.func_wrap(
        "poll",
        |_: Caller<'_>, (list,): (Vec<Resource<Pollable>>,)| {
            let ready: Vec<u32> = (0..).take(list.len()).collect();
            Ok((ready,))
        },
    )?;

    let streams = wasi!("io/streams");
    linker.instance(streams)?.resource(
        "input-stream",
        ResourceType::host::<InputStream>(),
        |_, _| Ok(()),
    )?;
    linker.instance(streams)?.resource(
        "output-stream",
        ResourceType::host::<OutputStream>(),
        |_, _| Ok(()),
    )?;
    define_input(linker, streams)?;
    define_output(linker, streams)
}

fn define_input(linker: &mut Linker<Guest>, streams: &str) -> Result<()> {
    type Asked = (Resource<InputStream>, u64);
    let mut input = linker.instance(streams)?;
    for read in [
        "[method]input-stream.read",
        "[method]input-stream.blocking-read",
    ] {
        input.func_wrap(read, |_: Caller<'_>, _: Asked| {
            Ok((Streamed::<Vec<u8>>::Err(StreamError::Closed),))
        })?;
    }
    for skip in [
        "[method]input-stream.skip",
        "[method]input-stream.blocking-skip",
    ] {
        input.func_wrap(skip, |_: Caller<'_>, _: Asked| {
            Ok((Streamed::<u64>::Err(StreamError::Closed),))
        })?;
    }
    input.func_wrap(
        "[method]input-stream.subscribe",
        |_: Caller<'_>, (_,): (Resource<InputStream>,)| Ok((Pollable::ready(),)),
    )
}

fn define_output(linker: &mut Linker<Guest>, streams: &str) -> Result<()> {
    type Stream = Resource<OutputStream>;
    let mut output = linker.instance(streams)?;
    output.func_wrap(
        "[method]output-stream.check-write",
        |_: Caller<'_>, (_,): (Stream,)| Ok((Streamed::Ok(WRITE_BYTES),)),
    )?;
    for write in [
        "[method]output-stream.write",
        "[method]output-stream.blocking-write-and-flush",
    ] {
        output.func_wrap(
            write,
            |mut caller: Caller<'_>, (stream, bytes): (Stream, Vec<u8>)| {
                if stream.rep() == OutputStream::CAPTURED {
                    caller.data_mut().stderr.push(&bytes);
                }
                Ok((Streamed::Ok(()),))
            },
        )?;
    }
    // Zeroes are no text: they are taken and dropped.
    for zeroes in [
        "[method]output-stream.write-zeroes",
        "[method]output-stream.blocking-write-zeroes-and-flush",
    ] {
        output.func_wrap(zeroes, |_: Caller<'_>, (_, _): (Stream, u64)| {
            Ok((Streamed::Ok(()),))
        })?;
    }
    for flush in [
        "[method]output-stream.flush",
        "[method]output-stream.blocking-flush",
    ] {
        output.func_wrap(flush, |_: Caller<'_>, (_,): (Stream,)| {
            Ok((Streamed::Ok(()),))
        })?;
    }
    for splice in [
        "[method]output-stream.splice",
        "[method]output-stream.blocking-splice",
    ] {
        output.func_wrap(
            splice,
            |_: Caller<'_>, (_, _, _): (Stream, Resource<InputStream>, u64)| {
                Ok((Streamed::<u64>::Err(StreamError::Closed),))
            },
        )?;
    }
    output.func_wrap(
        "[method]output-stream.subscribe",
        |_: Caller<'_>, (_,): (Stream,)| Ok((Pollable::ready(),)),
    )
}

//! WASI 0.2 as a plugin sees it: all of it is there, and behind it there is nothing.
//!
//! A standard library asks for arguments, environment, clocks, chance, streams and
//! folders even where the plugin does not; a missing import would keep it from loading,
//! and one that traps would hide the cause. So every call has an answer: no arguments, no
//! environment, no folder, an input that has ended, an output that is captured (stderr)
//! or dropped (stdout), clocks and chance that follow from the event ([`crate::guest`]).
//!
//! Written here and not taken from `wasmtime-wasi`: nothing in this file could reach the
//! machine by a mistake in its configuration, no call can block (the epoch does not stop a
//! guest that waits in the host), and nothing is set up for a call that asks for nothing.

pub(crate) mod closed;
mod io;

use std::time::Duration;

use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};

use self::io::{InputStream, OutputStream, Pollable};
use crate::guest::Guest;

/// The version under which the interfaces are defined: wasmtime takes it for each 0.2.
macro_rules! wasi {
    ($interface:literal) => {
        concat!("wasi:", $interface, "@0.2.0")
    };
}
use wasi;

type Caller<'a> = StoreContextMut<'a, Guest>;

/// The guest ended itself.
#[derive(Debug, thiserror::Error)]
#[error("it called exit")]
pub(crate) struct Exited;

/// A terminal; there is none.
struct Terminal;

/// A file or folder; there is none.
struct Descriptor;

/// An instant of the wall clock.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

/// Defines what every plugin may import. Files and sockets are defined for those that
/// do, by [`closed::define`].
pub(crate) fn define(linker: &mut Linker<Guest>) -> Result<()> {
    io::define(linker)?;
    define_cli(linker)?;
    define_terminals(linker)?;
    define_clocks(linker)?;
    define_chance(linker)?;
    linker
        .instance(wasi!("filesystem/preopens"))?
        .func_wrap("get-directories", |_: Caller<'_>, ()| {
            Ok((Vec::<(Resource<Descriptor>, String)>::new(),))
        })
}

fn define_cli(linker: &mut Linker<Guest>) -> Result<()> {
    let mut environment = linker.instance(wasi!("cli/environment"))?;
    environment.func_wrap("get-environment", |_: Caller<'_>, ()| {
        Ok((Vec::<(String, String)>::new(),))
    })?;
    environment.func_wrap("get-arguments", |_: Caller<'_>, ()| {
        Ok((Vec::<String>::new(),))
    })?;
    environment.func_wrap("initial-cwd", |_: Caller<'_>, ()| Ok((None::<String>,)))?;

    let mut exit = linker.instance(wasi!("cli/exit"))?;
    exit.func_wrap("exit", |_: Caller<'_>, (_,): (Result<(), ()>,)| {
        Err::<(), _>(Exited.into())
    })?;
    exit.func_wrap("exit-with-code", |_: Caller<'_>, (_,): (u8,)| {
        Err::<(), _>(Exited.into())
    })?;

    linker
        .instance(wasi!("cli/stdin"))?
        .func_wrap("get-stdin", |_: Caller<'_>, ()| Ok((InputStream::ended(),)))?;
    linker
        .instance(wasi!("cli/stdout"))?
        .func_wrap("get-stdout", |_: Caller<'_>, ()| {
            Ok((OutputStream::dropped(),))
        })?;
    linker
        .instance(wasi!("cli/stderr"))?
        .func_wrap("get-stderr", |_: Caller<'_>, ()| {
            Ok((OutputStream::captured(),))
        })
}

fn define_terminals(linker: &mut Linker<Guest>) -> Result<()> {
    let terminal = ResourceType::host::<Terminal>;
    linker.instance(wasi!("cli/terminal-input"))?.resource(
        "terminal-input",
        terminal(),
        |_, _| Ok(()),
    )?;
    linker.instance(wasi!("cli/terminal-output"))?.resource(
        "terminal-output",
        terminal(),
        |_, _| Ok(()),
    )?;
    for (interface, function) in [
        (wasi!("cli/terminal-stdin"), "get-terminal-stdin"),
        (wasi!("cli/terminal-stdout"), "get-terminal-stdout"),
        (wasi!("cli/terminal-stderr"), "get-terminal-stderr"),
    ] {
        linker
            .instance(interface)?
            .func_wrap(function, |_: Caller<'_>, ()| {
                Ok((None::<Resource<Terminal>>,))
            })?;
    }
    Ok(())
}

fn define_clocks(linker: &mut Linker<Guest>) -> Result<()> {
    let mut wall = linker.instance(wasi!("clocks/wall-clock"))?;
    wall.func_wrap("now", |caller: Caller<'_>, ()| {
        let micros = u64::try_from(caller.data().clock.wall().as_micros()).unwrap_or(0);
        let nanoseconds = u32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0);
        Ok((Datetime {
            seconds: micros / 1_000_000,
            nanoseconds,
        },))
    })?;
    wall.func_wrap("resolution", |_: Caller<'_>, ()| {
        Ok((Datetime {
            seconds: 0,
            nanoseconds: 1_000,
        },))
    })?;

    let mut monotonic = linker.instance(wasi!("clocks/monotonic-clock"))?;
    monotonic.func_wrap("now", |mut caller: Caller<'_>, ()| {
        Ok((caller.data_mut().clock.monotonic(),))
    })?;
    monotonic.func_wrap("resolution", |_: Caller<'_>, ()| Ok((1_000_u64,)))?;
    monotonic.func_wrap(
        "subscribe-instant",
        |mut caller: Caller<'_>, (when,): (u64,)| {
            caller.data_mut().clock.pass_until(when);
            Ok((Pollable::ready(),))
        },
    )?;
    monotonic.func_wrap(
        "subscribe-duration",
        |mut caller: Caller<'_>, (span,): (u64,)| {
            caller.data_mut().clock.pass(Duration::from_nanos(span));
            Ok((Pollable::ready(),))
        },
    )
}

fn define_chance(linker: &mut Linker<Guest>) -> Result<()> {
    for (interface, bytes, number) in [
        (wasi!("random/random"), "get-random-bytes", "get-random-u64"),
        (
            wasi!("random/insecure"),
            "get-insecure-random-bytes",
            "get-insecure-random-u64",
        ),
    ] {
        let mut random = linker.instance(interface)?;
        random.func_wrap(bytes, |mut caller: Caller<'_>, (len,): (u64,)| {
            let len = caller.data_mut().hand_over(len)?;
            Ok((caller.data_mut().chance.bytes(len),))
        })?;
        random.func_wrap(number, |mut caller: Caller<'_>, ()| {
            Ok((caller.data_mut().chance.number(),))
        })?;
    }
    linker.instance(wasi!("random/insecure-seed"))?.func_wrap(
        "insecure-seed",
        |mut caller: Caller<'_>, ()| {
            let chance = &mut caller.data_mut().chance;
            Ok(((chance.number(), chance.number()),))
        },
    )
}

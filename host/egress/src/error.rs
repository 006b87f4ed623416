//! What can go wrong on the way out, and what class of failure it is.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tidegate_core::errors::chain;
use tidegate_core::failure::{Failure, FailureClass};

use crate::address::Zone;
use crate::url::Origin;

/// Why there is no answer. Shows scheme and host of where it went, nothing more.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// An address that is not public and not allowed.
    #[error("{origin} is at {address}, {zone}, which egress.allow does not have")]
    Address {
        /// Where to.
        origin: Origin,
        /// The address.
        address: IpAddr,
        /// What it is.
        zone: Zone,
    },
    /// No TLS, to a host that is not allowed.
    #[error("{origin} is not https, and egress.allow does not have its host")]
    Plain {
        /// Where to.
        origin: Origin,
    },
    /// A name that could not be looked up.
    #[error("could not look up the host of {origin}")]
    Resolve {
        /// Where to.
        origin: Origin,
        /// Why not.
        source: io::Error,
    },
    /// A name without addresses.
    #[error("the host of {origin} has no address")]
    NoAddress {
        /// Where to.
        origin: Origin,
    },
    /// No connection.
    #[error("could not connect to {origin}")]
    Connect {
        /// Where to.
        origin: Origin,
        /// Why the last of its addresses did not answer.
        source: io::Error,
    },
    /// No TLS session, the host's certificate included.
    #[error("could not agree on TLS with {origin}")]
    Tls {
        /// Where to.
        origin: Origin,
        /// Why not.
        source: io::Error,
    },
    /// The connection ended or broke, or what came back is no HTTP.
    #[error("no whole answer from {origin}")]
    Exchange {
        /// Where to.
        origin: Origin,
        /// What happened.
        source: hyper::Error,
    },
    /// It took too long.
    #[error("{origin} took more than {} ms; it was still to {stage}", within.as_millis())]
    Time {
        /// Where to.
        origin: Origin,
        /// What was waited for.
        stage: Stage,
        /// How long in all.
        within: Duration,
    },
    /// The answer's body is over its bound.
    #[error("the answer of {origin} has more than {bytes_max} bytes")]
    TooLarge {
        /// Where to.
        origin: Origin,
        /// The bound.
        bytes_max: usize,
    },
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its host's name is being looked up.
    Resolve,
    /// A connection is being opened.
    Connect,
    /// The request is out.
    Answer,
    /// The head of the answer is here.
    Body,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "be looked up",
            Self::Connect => "be connected to",
            Self::Answer => "answer",
            Self::Body => "send the rest of its answer",
        })
    }
}

/// The stage that a request is in, to be told where its time ran out.
#[derive(Debug, Default)]
pub(crate) struct Progress(AtomicU8);

impl Progress {
    pub(crate) fn enter(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.0.load(Ordering::Relaxed) {
            0 => Stage::Resolve,
            1 => Stage::Connect,
            2 => Stage::Answer,
            _ => Stage::Body,
        }
    }
}

impl EgressError {
    /// What kind of failure it is. Names, hosts, certificates and networks are mended by
    /// others at any time, so everything but a refusal may work later.
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Address { .. } | Self::Plain { .. } => FailureClass::Refused,
            Self::Resolve { .. }
            | Self::NoAddress { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Exchange { .. }
            | Self::Time { .. }
            | Self::TooLarge { .. } => FailureClass::TRANSIENT,
        }
    }

    /// The same as a failed attempt.
    pub fn failure(&self) -> Failure {
        Failure::new(self.class(), chain(self))
    }
}

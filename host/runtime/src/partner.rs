//! The partner import: bound, so that a component which imports it loads.
//!
//! Requests are made for polls and fetches. Mapping has no network, and says so.

use crate::guest::Guest;
use crate::wit::partner::{Host, Request, Response};
use crate::wit::types::{self, Failure};

impl Host for Guest {
    fn send(&mut self, _: Request) -> wasmtime::Result<Result<Response, Failure>> {
        Ok(Err(Failure::Refused(
            "polling is not built yet, and a mapping has no network".to_owned(),
        )))
    }
}

impl types::Host for Guest {}

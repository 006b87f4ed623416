//! Who is let in: bearer tokens, and for a listener of this machine alone the Host
//! header, without which a web page could have a browser ask in its name (DNS
//! rebinding).

use std::net::{IpAddr, SocketAddr};

use hyper::header::{AUTHORIZATION, HOST};
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Request, StatusCode, Version};

use super::super::problem::{self, Problem};
use super::writes::Who;
use crate::host::Host;
use crate::tokens::{Denied, Permission};

/// What a route asks of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing.
    Open,
    /// Nothing where this machine alone reaches the listener, that permission elsewhere.
    OpenHere(Permission),
    /// A token that gives it.
    Needs(Permission),
}

/// Whether a caller may, and who it is where that was asked.
pub(super) fn check(
    host: &Host,
    access: Access,
    headers: &HeaderMap,
) -> Result<Option<Who>, Problem> {
    let permission = match access {
        Access::Open => return Ok(None),
        Access::OpenHere(_) if host.facts.operator.ip().is_loopback() => return Ok(None),
        Access::OpenHere(permission) | Access::Needs(permission) => permission,
    };
    let token = bearer(headers).ok_or_else(|| {
        problem::unauthorized(
            "send a token as `Authorization: Bearer TOKEN`; the CLI takes --token",
        )
    })?;
    host.tokens
        .check(token, permission)
        .map(|name| Some(Who::new(name)))
        .map_err(|denied| match denied {
            Denied::Unknown => problem::unauthorized("this token is not one of the host's"),
            Denied::Scope => Problem::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "This token is good for other things",
                format!("this needs a token with the scope {:?}", permission.name()),
            ),
        })
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.as_bytes();
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

/// Refuses names that are not this machine's, where the listener is this machine's.
pub(super) fn check_host<B>(host: &Host, request: &Request<B>) -> Result<(), Problem> {
    let listen = host.facts.operator;
    if !listen.ip().is_loopback() {
        return Ok(());
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let named = match (request.uri().authority(), hosts.next(), hosts.next()) {
        (_, _, Some(_)) => return Err(misdirected(listen)),
        (Some(authority), ..) => Some(authority.clone()),
        (None, Some(value), None) => {
            let authority = Authority::try_from(value.as_bytes());
            Some(authority.map_err(|_| misdirected(listen))?)
        }
        // Browsers always name a host; HTTP/1.0 need not.
        (None, None, None) if request.version() == Version::HTTP_10 => None,
        (None, None, None) => return Err(problem::bad_request()),
    };
    match named {
        Some(authority) if !is_this_machine(authority.host()) => Err(misdirected(listen)),
        _ => Ok(()),
    }
}

fn is_this_machine(name: &str) -> bool {
    let address = name
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn misdirected(listen: SocketAddr) -> Problem {
    Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "wrong-host",
        "This host is not the one that was named",
        format!("this listener is reached as {listen} or localhost"),
    )
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[track_caller]
    fn check_bearer(values: &[&'static str], expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        assert_eq!(bearer(&headers), expected.map(str::as_bytes), "{values:?}");
    }

    #[test]
    fn tokens_are_found_in_one_header() {
        check_bearer(&["Bearer abc"], Some("abc"));
        check_bearer(&["bearer  abc "], Some("abc"));
        check_bearer(&["Basic abc"], None);
        check_bearer(&["Bearer"], None);
        check_bearer(&["Bearer abc", "Bearer def"], None);
        check_bearer(&[], None);
    }

    #[test]
    fn names_of_this_machine() {
        for (name, ours) in [
            ("localhost", true),
            ("LOCALHOST", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("localhost.evil.example", false),
            ("10.0.0.1", false),
            ("evil.example", false),
            ("", false),
        ] {
            assert_eq!(is_this_machine(name), ours, "{name:?}");
        }
    }
}

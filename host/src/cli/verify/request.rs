//! The request that is to be explained: from the command line, from a file that holds it as it
//! came over the wire, or from an event that a running host has recorded.

use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use tidegate_core::ids::ConnectionId;
use tidegate_core::limits::INGRESS_BODIES_BYTES_MAX;
use tidegate_core::signature::{HeaderName, RawRequest};
use tidegate_core::time::Timestamp;

use super::super::api::Api;
use super::super::error::CliError;
use super::super::query::Query;
use super::super::view::text;
use super::{VerifyArgs, path_and_query};
use crate::config::read_bounded;

/// Most bytes of a request that is read from a file: a body and its head.
const REQUEST_BYTES_MAX: u64 = INGRESS_BODIES_BYTES_MAX as u64 + 1024 * 1024;

/// A request, and what is known of how it came.
pub(super) struct Found {
    pub(super) raw: RawRequest,
    /// Its connection, where a host recorded it.
    pub(super) connection: Option<ConnectionId>,
    /// When it arrived, where that is known.
    pub(super) at: Option<Timestamp>,
}

/// What is wrong with a file that should hold a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotARequest {
    #[error("its head does not end: a line that is empty has to stand before the body")]
    NoEnd,
    #[error("its first line is not METHOD TARGET HTTP/1.1")]
    NoRequestLine,
    #[error("line {line} of its head is no header")]
    NotAHeader { line: usize },
    #[error("its body is chunked: write the body as it is, without Transfer-Encoding")]
    Chunked,
    #[error("it announces {announced} bytes of body, and {there} are there")]
    Short { announced: usize, there: usize },
}

impl Found {
    /// The request of the command line's options.
    pub(super) fn of_options(
        args: &VerifyArgs,
        public_url: Option<&str>,
    ) -> Result<Self, CliError> {
        let headers = args.headers.iter().map(|header| header_of(header));
        let url = args.url.as_deref().or(public_url);
        let (path, query) = url.map(path_and_query).unwrap_or_default();
        let body = args.body.as_deref().map(body).transpose()?;
        Ok(Self {
            raw: RawRequest {
                method: args.method.to_ascii_uppercase(),
                url: url.map(str::to_owned),
                path,
                query,
                headers: headers.collect::<Result<_, _>>()?,
                body: body.unwrap_or_default(),
            },
            connection: None,
            at: None,
        })
    }

    /// A request as it came over the wire. Its URL is the one that is given, or what is
    /// configured with its path; never its Host.
    pub(super) fn of_file(
        file: &Path,
        args: &VerifyArgs,
        public_base: Option<&str>,
    ) -> Result<Self, CliError> {
        let bytes = read(file, REQUEST_BYTES_MAX)?;
        let (target, mut raw) = parse(&bytes).map_err(|source| CliError::NotWhatItShouldBe {
            path: file.to_owned(),
            what: "an HTTP request",
            source: Box::new(source),
        })?;
        raw.url = args.url.clone().or_else(|| {
            let base = public_base.filter(|_| target.starts_with('/'))?;
            Some(format!("{base}{target}"))
        });
        Ok(Self {
            raw,
            connection: None,
            at: None,
        })
    }

    /// An event as a running host recorded it. What was a credential is no longer in it.
    pub(super) fn of_event(
        id: &str,
        args: &VerifyArgs,
        api: &Api,
        public_base: Option<&str>,
    ) -> Result<Self, CliError> {
        let event = api.get(&Query::path(&["v1", "events", id]))?.value;
        let query = text(&event, "/query");
        let mark = if query.is_empty() { "" } else { "?" };
        let target = format!("{}{mark}{query}", text(&event, "/url_path"));
        let header = |pair: &Value| {
            let (name, value) = (pair.get(0)?.as_str()?, pair.get(1)?.as_str()?);
            Some((name.to_owned(), Bytes::from(value.to_owned())))
        };
        let headers = event.get("headers").and_then(Value::as_array);
        let body = match event.get("body_base64").and_then(Value::as_str) {
            Some(encoded) => STANDARD.decode(encoded).unwrap_or_default(),
            None => text(&event, "/body").into_bytes(),
        };
        let path = event.get("path").and_then(Value::as_array);
        let path = path.into_iter().flatten().filter_map(Value::as_str);
        Ok(Self {
            raw: RawRequest {
                method: text(&event, "/method"),
                url: args
                    .url
                    .clone()
                    .or_else(|| public_base.map(|base| format!("{base}{target}"))),
                path: path.map(str::to_owned).collect(),
                query,
                headers: headers.into_iter().flatten().filter_map(header).collect(),
                body: body.into(),
            },
            connection: text(&event, "/connection").parse().ok(),
            at: text(&event, "/received_at").parse().ok(),
        })
    }
}

/// Takes a request apart; its target beside it.
fn parse(bytes: &Bytes) -> Result<(String, RawRequest), NotARequest> {
    let (end, gap) = end_of_head(bytes).ok_or(NotARequest::NoEnd)?;
    let head = bytes.get(..end).unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split_ascii_whitespace();
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next())
    else {
        return Err(NotARequest::NoRequestLine);
    };
    if !version.starts_with("HTTP/") {
        return Err(NotARequest::NoRequestLine);
    }
    let mut headers = Vec::new();
    for (line, number) in lines.zip(2..) {
        let (name, value) = line
            .split_once(':')
            .ok_or(NotARequest::NotAHeader { line: number })?;
        let name = HeaderName::parse(name).map_err(|_| NotARequest::NotAHeader { line: number })?;
        headers.push((
            name.as_str().to_owned(),
            Bytes::copy_from_slice(value.trim().as_bytes()),
        ));
    }
    let body = bytes.slice(end + gap..);
    let body = whole_body(&headers, body)?;
    let (path, query) = path_and_query(target);
    let raw = RawRequest {
        method: method.to_ascii_uppercase(),
        url: None,
        path,
        query,
        headers,
        body,
    };
    Ok((target.to_owned(), raw))
}

/// Where the head ends, and how many bytes stand between it and the body. Editors may have
/// made line feeds of its line ends.
fn end_of_head(bytes: &[u8]) -> Option<(usize, usize)> {
    let find = |end: &[u8]| {
        let at = bytes.windows(end.len()).position(|window| window == end)?;
        Some((at, end.len()))
    };
    match (find(b"\r\n\r\n"), find(b"\n\n")) {
        (Some(crlf), Some(lf)) => Some(if crlf.0 < lf.0 { crlf } else { lf }),
        (crlf, lf) => crlf.or(lf),
    }
}

/// The body as long as it is announced: a file may end with a line end of its editor's.
fn whole_body(headers: &[(String, Bytes)], body: Bytes) -> Result<Bytes, NotARequest> {
    let value = |name: &str| {
        let found = headers.iter().find(|(other, _)| other == name);
        found.and_then(|(_, value)| std::str::from_utf8(value).ok())
    };
    if value("transfer-encoding").is_some() {
        return Err(NotARequest::Chunked);
    }
    match value("content-length").and_then(|length| length.parse::<usize>().ok()) {
        None => Ok(body),
        Some(announced) if announced <= body.len() => Ok(body.slice(..announced)),
        Some(announced) => Err(NotARequest::Short {
            announced,
            there: body.len(),
        }),
    }
}

pub(super) fn header_of(header: &str) -> Result<(String, Bytes), CliError> {
    let (name, value) = header.split_once(':').unwrap_or((header, ""));
    // The value may be a credential; an error shows the name alone.
    let name = HeaderName::parse(name.trim()).map_err(|source| CliError::Header {
        header: name.to_owned(),
        source,
    })?;
    Ok((
        name.as_str().to_owned(),
        Bytes::copy_from_slice(value.trim().as_bytes()),
    ))
}

fn body(file: &Path) -> Result<Bytes, CliError> {
    read(file, INGRESS_BODIES_BYTES_MAX as u64)
}

fn read(file: &Path, bytes_max: u64) -> Result<Bytes, CliError> {
    let read = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin()
            .lock()
            .take(bytes_max)
            .read_to_end(&mut bytes)
            .map(|_| bytes)
    } else {
        read_bounded(file, bytes_max)
    };
    read.map(Bytes::from).map_err(|source| CliError::Read {
        path: file.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, expected: Result<&str, &str>) {
        let parsed = parse(&Bytes::copy_from_slice(file.as_bytes()));
        let got = parsed.map(|(target, raw)| {
            let headers: Vec<_> = raw.headers.iter().map(|(name, _)| name.as_str()).collect();
            let body = String::from_utf8_lossy(&raw.body);
            format!("{} {target} {} {body:?}", raw.method, headers.join(","))
        });
        let got = got.map_err(|error| error.to_string());
        match (&got, expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got, expected),
            (Err(got), Err(expected)) => assert!(got.contains(expected), "{got}"),
            _ => panic!("{got:?} is not {expected:?}"),
        }
    }

    #[test]
    fn requests_are_read_as_they_came() {
        let wire = "post /in/x/y/z?a=1 HTTP/1.1\r\nHost: h\r\nX-A:  b \r\n\r\n{}\n\n";
        check(wire, Ok("POST /in/x/y/z?a=1 host,x-a \"{}\\n\\n\""));
        let edited = "POST / HTTP/1.1\nContent-Length: 2\n\n{}\n";
        check(edited, Ok("POST / content-length \"{}\""));
        check("GET / HTTP/1.1\n\n", Ok("GET /  \"\""));
    }

    #[test]
    fn what_is_no_request_says_why() {
        check("POST / HTTP/1.1\nHost: h\n", Err("does not end"));
        check("{}\n\n", Err("METHOD TARGET"));
        check("POST /\n\n", Err("METHOD TARGET"));
        check("POST / HTTP/1.1\nnothing\n\n", Err("line 2 of its head"));
        check(
            "POST / HTTP/1.1\nContent-Length: 9\n\n{}",
            Err("announces 9 bytes"),
        );
        let chunked = "POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n2\r\n{}\r\n0\r\n\r\n";
        check(chunked, Err("chunked"));
    }

    #[test]
    fn headers_are_read_as_they_are_written() {
        let read = |header| header_of(header).unwrap();
        assert_eq!(
            read("X-A:  b: c "),
            ("x-a".to_owned(), Bytes::from_static(b"b: c"))
        );
        let error = header_of("Bearer hunter2").unwrap_err();
        assert!(matches!(error, CliError::Header { .. }));
    }
}

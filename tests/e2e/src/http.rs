//! A blocking HTTP/1.1 client that can also say wrong things.
//!
//! One connection per exchange. What is sent is bytes, so that a test can break every
//! rule; what comes back is checked for being HTTP.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

/// Longest silence from a server before an exchange has failed.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// One answer, read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body, without framing.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of that name, written in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The body as JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("answer {} is not JSON: {}", self.status, self.text()))
    }

    /// The body as text, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(has, _)| has == name);
    found.map(|(_, value)| value.as_str())
}

/// Sends those bytes and reads one answer. A server may answer before it has read all;
/// that it then hangs up is no failure.
pub fn exchange(address: SocketAddr, request: &[u8]) -> anyhow::Result<Answer> {
    exchange_slowly(address, &[request], Duration::ZERO)
}

/// Sends the pieces with a pause between them and reads one answer.
pub fn exchange_slowly(
    address: SocketAddr,
    pieces: &[&[u8]],
    pause: Duration,
) -> anyhow::Result<Answer> {
    let mut stream = connect(address)?;
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            std::thread::sleep(pause);
        }
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let (head, mut body) = open(stream)?;
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes).context("answer broke off")?;
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: bytes,
    })
}

/// A GET with a bearer token.
pub fn get(address: SocketAddr, path: &str, token: &str) -> anyhow::Result<Answer> {
    exchange(
        address,
        get_request(path, token, "application/json").as_bytes(),
    )
    .with_context(|| format!("GET {path}"))
}

/// Opens a stream of Server-Sent Events, from after `last_event_id` where there is one.
/// The socket comes along so that another thread can end the stream.
pub fn event_stream(
    address: SocketAddr,
    path: &str,
    token: &str,
    last_event_id: Option<&str>,
) -> anyhow::Result<(BufReader<Body>, TcpStream)> {
    let resume = last_event_id.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
    let request = get_request(
        path,
        token,
        format!("text/event-stream\r\n{resume}").trim_end(),
    );
    let mut stream = connect(address)?;
    stream.write_all(request.as_bytes())?;
    let (head, body) = open(stream)?;
    ensure!(head.status == 200, "GET {path}: {}", head.status);
    let kind = header(&head.headers, "content-type").unwrap_or("");
    ensure!(kind.starts_with("text/event-stream"), "GET {path}: {kind}");
    let socket = body.input.get_ref().try_clone()?;
    Ok((BufReader::new(body), socket))
}

fn get_request(path: &str, token: &str, accept: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Accept: {accept}\r\nConnection: close\r\n\r\n"
    )
}

fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream =
        TcpStream::connect(address).with_context(|| format!("could not reach {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    Ok(stream)
}

struct Head {
    status: u16,
    headers: Vec<(String, String)>,
}

fn open(stream: TcpStream) -> anyhow::Result<(Head, Body)> {
    let mut input = BufReader::new(stream);
    let status_line = read_line(&mut input).context("no answer")?;
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|digits| digits.parse().ok())
        .with_context(|| format!("not an HTTP answer: {status_line:?}"))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(&mut input)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').context("header without a colon")?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let framing = if header(&headers, "transfer-encoding") == Some("chunked") {
        Framing::Chunked {
            left: 0,
            begun: false,
        }
    } else if let Some(length) = header(&headers, "content-length") {
        Framing::Length(length.parse().context("content-length")?)
    } else {
        Framing::UntilClose
    };
    Ok((Head { status, headers }, Body { input, framing }))
}

fn read_line(input: &mut BufReader<TcpStream>) -> anyhow::Result<String> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let Some(line) = line.strip_suffix("\r\n") else {
        bail!("connection closed within {line:?}");
    };
    Ok(line.to_owned())
}

/// A body being read, freed of its framing.
#[derive(Debug)]
pub struct Body {
    input: BufReader<TcpStream>,
    framing: Framing,
}

#[derive(Debug)]
enum Framing {
    Length(u64),
    Chunked {
        /// Bytes of this chunk that are still to come.
        left: u64,
        /// Whether a chunk came before, whose closing line is still to be read.
        begun: bool,
    },
    UntilClose,
    Ended,
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Framing::Chunked { left: 0, begun } = self.framing {
            self.next_chunk(begun)?;
        }
        let left = match self.framing {
            Framing::Length(left) | Framing::Chunked { left, .. } => left,
            Framing::UntilClose => return self.input.read(into),
            Framing::Ended => 0,
        };
        let most = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let read = self.input.read(&mut into[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match &mut self.framing {
            Framing::Length(left) | Framing::Chunked { left, .. } => *left -= read as u64,
            Framing::UntilClose | Framing::Ended => {}
        }
        Ok(read)
    }
}

impl Body {
    fn next_chunk(&mut self, begun: bool) -> io::Result<()> {
        let mut line = String::new();
        if begun {
            self.input.read_line(&mut line)?;
            line.clear();
        }
        self.input.read_line(&mut line)?;
        let digits = line.split(';').next().unwrap_or("").trim();
        let left = u64::from_str_radix(digits, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        self.framing = if left == 0 {
            Framing::Ended
        } else {
            Framing::Chunked { left, begun: true }
        };
        Ok(())
    }
}

//! Many kept-alive HTTP/1.1 connections on one thread, as lean as the kernel allows, so
//! that the server under test has the rest of the machine.
//!
//! Each connection has one request in flight. Requests are sent as bytes made
//! beforehand; of an answer only the status and the length are read. One read and one
//! write per request.
//!
//! A connection that breaks is reported and stays closed: whoever wants to go on after
//! a host was killed starts another run.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::requests::Requests;

/// Largest answer that is taken; ours are below 1 KiB.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// How long a run waits for the answers that are due when it ends.
const LAST_ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// How often a run that waits looks at its stop flag.
const STOP_CHECK: Duration = Duration::from_millis(20);

/// How often a run that has sent as much as it may looks at what is done.
const DONE_CHECK: Duration = Duration::from_millis(1);

/// When the next request is sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace<'a> {
    /// As soon as a connection's last one was answered.
    AsAnswered,
    /// So many in a second, whatever the answers do, as far as connections are free.
    PerSecond(u32),
    /// As soon as a connection's last one was answered, as long as fewer than so many of
    /// this run are sent and not done yet.
    Unfinished {
        /// Most that are sent and not done.
        most: u64,
        /// Counts up as requests of this run are done, from whatever it is at the start.
        done: &'a AtomicU64,
    },
}

/// What to send where.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// The server's address.
    pub address: SocketAddr,
    /// Connections, each with one request in flight.
    pub connections: usize,
    /// The requests' bytes.
    pub requests: &'a Requests,
    /// When to send.
    pub pace: Pace<'a>,
    /// Nothing is sent after it.
    pub deadline: Instant,
    /// Nothing is sent once it is true.
    pub stop: &'a AtomicBool,
}

/// What became of one request.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Which one.
    pub request: usize,
    /// The answer's status, or none where the connection broke before it came whole.
    pub status: Option<u16>,
    /// When it was sent.
    pub sent: Instant,
    /// When the answer had come.
    pub answered: Instant,
}

/// Sends the requests that `order` names until it ends, the deadline passes, the stop
/// flag is set or no connection is left, then waits for the answers in flight.
pub fn run(
    load: &Load<'_>,
    order: &mut dyn Iterator<Item = usize>,
    observe: &mut dyn FnMut(Outcome),
) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(load.connections.max(1));
    let mut connections = Vec::with_capacity(load.connections);
    for number in 0..load.connections {
        let mut stream = connect(load.address)?;
        poll.registry().register(
            &mut stream,
            Token(number),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        connections.push(Connection::new(stream));
    }
    let mut run = Run {
        load,
        order,
        observe,
        idle: (0..connections.len()).collect(),
        connections,
        open_end: None,
        paced: 0,
        done_before: match load.pace {
            Pace::Unfinished { done, .. } => done.load(Ordering::Relaxed),
            Pace::AsAnswered | Pace::PerSecond(_) => 0,
        },
        started: Instant::now(),
    };
    loop {
        run.send_what_is_due();
        if run.has_ended() {
            return Ok(());
        }
        match poll.poll(&mut events, Some(run.wait())) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => other?,
        }
        for event in &events {
            run.progress(event.token().0, event.is_read_closed());
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    // Blocking, so that a full accept queue delays the start and not the measurement.
    let stream = std::net::TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(TcpStream::from_std(stream))
}

struct Run<'a> {
    load: &'a Load<'a>,
    order: &'a mut dyn Iterator<Item = usize>,
    observe: &'a mut dyn FnMut(Outcome),
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    /// Set once nothing more will be sent.
    open_end: Option<Instant>,
    paced: u64,
    done_before: u64,
    started: Instant,
}

impl Run<'_> {
    fn send_what_is_due(&mut self) {
        if self.open_end.is_none()
            && (self.load.stop.load(Ordering::Relaxed) || Instant::now() >= self.load.deadline)
        {
            self.open_end = Some(Instant::now());
        }
        while self.open_end.is_none() && !self.idle.is_empty() && self.next_due().is_none() {
            let Some(request) = self.order.next() else {
                self.open_end = Some(Instant::now());
                return;
            };
            if let Some(number) = self.idle.pop_front() {
                self.paced += 1;
                self.send(number, request);
            }
        }
    }

    /// How long until the next request is due; none where it is due now.
    fn next_due(&self) -> Option<Duration> {
        match self.load.pace {
            Pace::AsAnswered => None,
            Pace::PerSecond(rate) => {
                let after = Duration::from_nanos(self.paced * 1_000_000_000 / u64::from(rate));
                (self.started + after)
                    .checked_duration_since(Instant::now())
                    .filter(|wait| !wait.is_zero())
            }
            Pace::Unfinished { most, done } => {
                let done = done.load(Ordering::Relaxed) - self.done_before;
                (self.paced.saturating_sub(done) >= most).then_some(DONE_CHECK)
            }
        }
    }

    fn wait(&self) -> Duration {
        self.next_due().unwrap_or(STOP_CHECK).min(STOP_CHECK)
    }

    fn has_ended(&self) -> bool {
        let in_flight = self.connections.iter().any(|one| one.in_flight.is_some());
        match self.open_end {
            Some(since) => !in_flight || since.elapsed() > LAST_ANSWERS_WITHIN,
            None => !in_flight && self.idle.is_empty(),
        }
    }

    fn send(&mut self, number: usize, request: usize) {
        let Some(connection) = self.connections.get_mut(number) else {
            return;
        };
        connection.in_flight = Some((request, Instant::now()));
        connection.written = 0;
        if connection.write(self.load.requests).is_err() {
            self.broken(number);
        }
    }

    /// Takes what a connection has to give; in the closed loop its next request follows
    /// at once. A connection that the server has closed gets no more requests: it may
    /// still take them, and nothing would ever come back.
    fn progress(&mut self, number: usize, closed: bool) {
        let Some(connection) = self.connections.get_mut(number) else {
            return;
        };
        connection.closed |= closed;
        let closed = connection.closed;
        let Some((request, sent)) = connection.in_flight else {
            if closed {
                self.idle.retain(|idle| *idle != number);
            }
            return;
        };
        match connection.step(self.load.requests) {
            Ok(None) => {}
            Ok(Some(status)) => {
                connection.in_flight = None;
                (self.observe)(Outcome {
                    request,
                    status: Some(status),
                    sent,
                    answered: Instant::now(),
                });
                if !closed {
                    self.idle.push_back(number);
                }
                if !matches!(self.load.pace, Pace::PerSecond(_)) {
                    self.send_what_is_due();
                }
            }
            Err(_) => self.broken(number),
        }
    }

    fn broken(&mut self, number: usize) {
        let broken = self.connections.get_mut(number);
        if let Some((request, sent)) = broken.and_then(|one| one.in_flight.take()) {
            (self.observe)(Outcome {
                request,
                status: None,
                sent,
                answered: Instant::now(),
            });
        }
    }
}

struct Connection {
    stream: TcpStream,
    in_flight: Option<(usize, Instant)>,
    /// The server sends nothing after what it has sent.
    closed: bool,
    written: usize,
    answer: Vec<u8>,
    filled: usize,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            in_flight: None,
            closed: false,
            written: 0,
            answer: vec![0; 2048],
            filled: 0,
        }
    }

    /// Writes what is left of the request; less than all where the socket is full.
    fn write(&mut self, requests: &Requests) -> io::Result<()> {
        let Some(request) = self.in_flight.and_then(|(number, _)| requests.get(number)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        while self.written < request.len() {
            match self.stream.write(&request[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// One write where the request is not out whole, then reads until an answer is
    /// whole or the socket is dry.
    fn step(&mut self, requests: &Requests) -> io::Result<Option<u16>> {
        self.write(requests)?;
        loop {
            if self.filled == self.answer.len() {
                if self.filled >= ANSWER_BYTES_MAX {
                    return Err(io::ErrorKind::FileTooLarge.into());
                }
                self.answer.resize(2 * self.filled, 0);
            }
            match self.stream.read(&mut self.answer[self.filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if let Some((status, length)) = answer(&self.answer[..self.filled])? {
                // One request in flight: nothing may follow its answer.
                if length != self.filled {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                self.filled = 0;
                return Ok(Some(status));
            }
        }
    }
}

/// Status and length of a whole answer; none while more is to come.
fn answer(bytes: &[u8]) -> io::Result<Option<(u16, usize)>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let Some(head_end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = &bytes[..head_end];
    let status = head
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(invalid)?;
    let mut length = 0;
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        const NAME: &[u8] = b"content-length:";
        if line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            length = std::str::from_utf8(&line[NAME.len()..])
                .ok()
                .and_then(|value| value.trim().parse().ok())
                .ok_or_else(invalid)?;
        }
    }
    let whole = head_end + 4 + length;
    Ok((bytes.len() >= whole).then_some((status, whole)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let bytes = b"HTTP/1.1 200 OK\r\ndate: x\r\nContent-Length: 2\r\n\r\n{}";
        for cut in 0..bytes.len() {
            assert_eq!(answer(&bytes[..cut]).unwrap(), None, "cut at {cut}");
        }
        assert_eq!(answer(bytes).unwrap(), Some((200, bytes.len())));
        assert!(answer(b"HTTP/1.1 2\r\n\r\n").is_err());
    }

    /// Answers each connection's first request and hangs up on its second.
    fn fickle_server(listener: &TcpListener) {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut bytes = [0; 4096];
            if stream.read(&mut bytes).is_ok() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.read(&mut bytes);
            }
        }
    }

    /// Ends as a server that closes gently: says so, and reads on for a while.
    fn gentle_server(listener: &TcpListener) {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut bytes = [0; 4096];
            if stream.read(&mut bytes).is_ok() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.shutdown(std::net::Shutdown::Write);
                while stream.read(&mut bytes).is_ok_and(|read| read > 0) {}
            }
        }
    }

    #[test]
    fn a_connection_that_the_server_has_closed_gets_no_more_requests() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || gentle_server(&listener));
        let requests = Requests::pull_requests(0..8, "/", "s");
        let mut answered = 0;
        let began = Instant::now();
        let load = Load {
            address,
            connections: 1,
            requests: &requests,
            pace: Pace::PerSecond(4),
            deadline: began + Duration::from_secs(10),
            stop: &AtomicBool::new(false),
        };
        run(&load, &mut (0..8), &mut |_| answered += 1).unwrap();
        assert_eq!(answered, 1);
        assert!(began.elapsed() < Duration::from_secs(8));
    }

    #[test]
    fn a_broken_connection_is_reported_with_its_request() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || fickle_server(&listener));
        let requests = Requests::pull_requests(0..8, "/", "s");
        let mut outcomes = Vec::new();
        let load = Load {
            address,
            connections: 1,
            requests: &requests,
            pace: Pace::AsAnswered,
            deadline: Instant::now() + Duration::from_secs(10),
            stop: &AtomicBool::new(false),
        };
        run(&load, &mut (0..8), &mut |outcome| outcomes.push(outcome)).unwrap();
        let got: Vec<_> = outcomes
            .iter()
            .map(|one| (one.request, one.status))
            .collect();
        assert_eq!(got, [(0, Some(200)), (1, None)]);
    }
}

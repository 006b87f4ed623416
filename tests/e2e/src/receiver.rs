//! A receiver of what hosts send out: it takes requests over HTTP/1.1, writes them down
//! and answers as it is told, well or badly.
//!
//! What a request means and whether its signature is right is not looked at here: the
//! receivers under `tests/partners` verify, with their own libraries.
//!
//! It can be away: dropped, it hangs up on everyone and its port is free, and another one
//! can be started at the same address.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// Largest body that is taken.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// When it was whole.
    pub at: Instant,
    /// Its path.
    pub path: String,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// How many requests to that path came before it.
    pub before: usize,
}

impl Received {
    /// The first header of that name, written in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(has, _)| has == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// With that status, and the value of `Retry-After` where there is one.
    Status(u16, Option<String>),
    /// Not at all, for so long.
    Silence(Duration),
    /// With 200, and a body that comes a byte at a time for so long.
    Dribble(Duration),
}

impl Reply {
    /// What a receiver says that has it.
    pub const TAKEN: Self = Self::Status(204, None);
}

/// A running receiver.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

type Answer = dyn Fn(&Received) -> Reply + Send + Sync;

struct Shared {
    answer: Box<Answer>,
    keeps: bool,
    received: Mutex<Came>,
    came: Condvar,
    sockets: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
}

#[derive(Default)]
struct Came {
    all: Vec<Received>,
    by_path: HashMap<String, usize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Receiver({})", self.address)
    }
}

impl Receiver {
    /// Answers at that address as told, and keeps every request.
    pub fn start(
        address: SocketAddr,
        answer: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        Self::with(address, true, Box::new(answer))
    }

    /// The same, and keeps none: whoever answers writes down what it wants to know.
    pub fn forgetful(
        address: SocketAddr,
        answer: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        Self::with(address, false, Box::new(answer))
    }

    fn with(address: SocketAddr, keeps: bool, answer: Box<Answer>) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
        let shared = Arc::new(Shared {
            answer,
            keeps,
            received: Mutex::default(),
            came: Condvar::new(),
            sockets: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || theirs.accept(&listener));
        Ok(Self {
            address,
            shared,
            acceptor: Some(acceptor),
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came so far.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).all.clone()
    }

    /// What came to that path so far.
    pub fn at(&self, path: &str) -> Vec<Received> {
        let mut received = self.received();
        received.retain(|one| one.path == path);
        received
    }

    /// Waits until that holds of what came; says what came where it is not in time.
    pub fn wait_until(
        &self,
        within: Duration,
        what: &str,
        holds: impl Fn(&[Received]) -> bool,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut received = lock(&self.shared.received);
        while !holds(&received.all) {
            let left = within.checked_sub(began.elapsed());
            let left = left.with_context(|| {
                let last = received.all.iter().rev().take(20);
                let bodies: Vec<_> = last.map(|one| String::from_utf8_lossy(&one.body)).collect();
                format!("{what} did not come within {within:?}; last came: {bodies:#?}")
            })?;
            let waited = self.shared.came.wait_timeout(received, left);
            received = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        for socket in lock(&self.shared.sockets).drain(..) {
            // The other side may have hung up before.
            let _ = socket.shutdown(Shutdown::Both);
        }
        // Wakes whoever accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        while let Ok((stream, _)) = listener.accept() {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            if let Ok(socket) = stream.try_clone() {
                let mut sockets = lock(&self.sockets);
                sockets.retain(|known| known.peer_addr().is_ok());
                sockets.push(socket);
            }
            let shared = Arc::clone(self);
            // Ends with its connection; a broken one is what tests are about.
            std::thread::spawn(move || shared.serve(stream));
        }
    }

    fn serve(&self, stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let mut input = BufReader::new(stream.try_clone()?);
        let mut output = stream;
        while !self.ended.load(Ordering::Relaxed) {
            let Some(mut received) = read_request(&mut input)? else {
                break;
            };
            let reply = {
                let mut came = lock(&self.received);
                let before = came.by_path.entry(received.path.clone()).or_default();
                received.before = *before;
                *before += 1;
                if self.keeps {
                    came.all.push(received.clone());
                }
                drop(came);
                (self.answer)(&received)
            };
            self.came.notify_all();
            write_reply(&mut output, &reply)?;
        }
        Ok(())
    }
}

/// None where the other side has nothing more to say.
fn read_request(input: &mut BufReader<TcpStream>) -> anyhow::Result<Option<Received>> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line
        .split(' ')
        .nth(1)
        .context("no request line")?
        .to_owned();
    let mut headers = Vec::new();
    let mut length = 0;
    loop {
        line.clear();
        ensure!(input.read_line(&mut line)? > 0, "broke off in its head");
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
        if name == "content-length" {
            length = value.parse()?;
        }
        headers.push((name, value));
    }
    ensure!(length <= BODY_BYTES_MAX, "{length} bytes are too many");
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    Ok(Some(Received {
        at: Instant::now(),
        path,
        headers,
        body,
        before: 0,
    }))
}

fn write_reply(output: &mut TcpStream, reply: &Reply) -> anyhow::Result<()> {
    match reply {
        Reply::Status(status, retry_after) => {
            let again = retry_after
                .as_ref()
                .map_or_else(String::new, |after| format!("Retry-After: {after}\r\n"));
            let length = if *status == 204 {
                ""
            } else {
                "Content-Length: 0\r\n"
            };
            let head = format!("HTTP/1.1 {status} As Told\r\n{again}{length}\r\n");
            output.write_all(head.as_bytes())?;
        }
        Reply::Silence(long) => std::thread::sleep(*long),
        Reply::Dribble(long) => {
            let began = Instant::now();
            output.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")?;
            while began.elapsed() < *long {
                output.write_all(b".")?;
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{host::free_address, http};

    #[test]
    fn it_writes_down_and_answers_as_told_and_leaves_its_port() {
        let address = free_address().unwrap();
        let post = b"POST /a HTTP/1.1\r\nX-N: 1\r\nContent-Length: 7\r\n\r\n{\"n\":1}";
        for _ in 0..2 {
            let receiver = Receiver::start(address, |received| {
                Reply::Status(500, Some(received.before.to_string()))
            })
            .unwrap();
            for before in ["0", "1"] {
                let answer = http::exchange(address, post).unwrap();
                assert_eq!(answer.status, 500);
                assert_eq!(answer.header("retry-after"), Some(before));
            }
            let came = receiver.at("/a");
            assert_eq!((came.len(), came[1].json()["n"].as_u64()), (2, Some(1)));
            assert_eq!(came[0].header("x-n"), Some("1"));
            receiver
                .wait_until(Duration::ZERO, "two", |all| all.len() == 2)
                .unwrap();
            let late = Duration::from_millis(20);
            assert!(
                receiver
                    .wait_until(late, "three", |all| all.len() == 3)
                    .is_err()
            );
        }
    }
}

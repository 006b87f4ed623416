//! What the plugin can find out about the world; the answer is the reason of a skip.

use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::bindings::exports::tidegate::connector::mapper::{Outcome, Webhook};
use crate::bindings::tidegate::connector::partner;
use crate::bindings::tidegate::connector::types::{Connection, Failure};

/// Survives in the instance, if the instance does.
static CALLS: AtomicU32 = AtomicU32::new(0);

pub(crate) fn perform(
    name: &str,
    argument: &str,
    connection: &Connection,
    webhook: &Webhook,
) -> Option<Result<Outcome, Failure>> {
    let found = match name {
        "calls" => (CALLS.fetch_add(1, Ordering::Relaxed) + 1).to_string(),
        "clock" => clock(),
        "instants" => {
            let first = Instant::now();
            (first.elapsed() > std::time::Duration::ZERO).to_string()
        }
        "random" => random(),
        "random-bytes" => random_bytes(argument.parse().unwrap_or(0)).to_string(),
        "environment" => format!(
            "{} variables, {} arguments",
            std::env::vars_os().count(),
            std::env::args_os().count()
        ),
        "read-file" => outcome(std::fs::read(argument)),
        "write-file" => outcome(std::fs::write(argument, b"here")),
        "list-folder" => outcome(std::fs::read_dir(argument).map(Iterator::count)),
        "connect" => outcome(TcpStream::connect(
            "127.0.0.1:9".parse::<std::net::SocketAddr>().ok()?,
        )),
        "resolve" => outcome(TcpStream::connect("localhost:9")),
        "stdin" => outcome(std::io::read_to_string(std::io::stdin())),
        "stdout" => outcome(std::io::stdout().write_all(b"nobody hears this\n")),
        "stderr" => {
            let bytes = argument.parse().unwrap_or(0);
            outcome(std::io::stderr().write_all(&vec![b'e'; bytes]))
        }
        "call" => call(connection, webhook),
        "partner" => return Some(partner()),
        _ => return None,
    };
    Some(Ok(Outcome::Skip(found)))
}

fn clock() -> String {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or_else(
        |error| error.to_string(),
        |span| span.as_micros().to_string(),
    )
}

fn random() -> String {
    let mut bytes = [0_u8; 16];
    let whole = entropy(&mut bytes);
    format!("{whole} {bytes:02x?} {:x}", RandomState::new().hash_one(1))
}

/// Chance from the C library, at most 256 bytes: it gets a list from the host, and frees it.
pub(crate) fn entropy(bytes: &mut [u8]) -> bool {
    // SAFETY: the pointer and length are those of `bytes`.
    unsafe { getentropy(bytes.as_mut_ptr(), bytes.len()) == 0 }
}

/// Asks the host for that many bytes in one piece, past the C library's own bound.
fn random_bytes(len: u64) -> usize {
    let mut list = [0_usize; 2];
    // SAFETY: the function stores a pointer and a length at the address it is given.
    unsafe {
        get_random_bytes(len, list.as_mut_ptr());
    }
    let [_, len] = list;
    len
}

unsafe extern "C" {
    fn getentropy(buffer: *mut u8, len: usize) -> i32;
}

#[link(wasm_import_module = "wasi:random/random@0.2.0")]
unsafe extern "C" {
    #[link_name = "get-random-bytes"]
    fn get_random_bytes(len: u64, list: *mut usize);
}

fn outcome<T>(result: std::io::Result<T>) -> String {
    match result {
        Ok(_) => "worked".into(),
        Err(error) => format!("failed: {:?}", error.kind()),
    }
}

/// Everything that it was handed, so that the tests see nothing is lost on the way.
fn call(connection: &Connection, webhook: &Webhook) -> String {
    let headers: Vec<String> = webhook
        .headers
        .iter()
        .map(|header| format!("{}={}", header.name, String::from_utf8_lossy(&header.value)))
        .collect();
    format!(
        "{}/{} {:?} {} | {} {} {} {:?} {} [{}] {} {:?}",
        connection.connector,
        connection.account,
        connection.base_url,
        String::from_utf8_lossy(&connection.settings),
        webhook.event_id,
        webhook.received_at,
        webhook.method,
        webhook.path,
        webhook.query,
        headers.join(","),
        webhook.body.len(),
        webhook.body_authenticated,
    )
}

/// Passes on what the host answers to a request.
fn partner() -> Result<Outcome, Failure> {
    let response = partner::send(&partner::Request {
        method: partner::Method::Get,
        url: "/".into(),
        headers: Vec::new(),
        body: None,
    })?;
    Ok(Outcome::Skip(response.status.to_string()))
}

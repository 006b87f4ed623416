//! A receiver for tests: keeps what it gets, and answers with what it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tidegate_egress::Url;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(own, _)| *own == name).unwrap().1
    }
}

#[derive(Debug)]
struct Shared {
    answers: Vec<String>,
    requests: Mutex<Vec<Received>>,
}

/// The running receiver.
#[derive(Debug)]
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    /// Answers with these status lines' ends (fields may follow), in turn; the last one
    /// for ever.
    pub(crate) async fn start(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answers,
            requests: Mutex::default(),
        });
        let own = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, own.clone()));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    pub(crate) fn requests(&self) -> Vec<Received> {
        self.shared.requests.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut bytes = Vec::new();
    loop {
        while let Some(request) = take_request(&mut bytes) {
            let answer = {
                let mut requests = shared.requests.lock().unwrap();
                requests.push(request);
                let at = requests.len().min(shared.answers.len()) - 1;
                shared.answers[at].clone()
            };
            // No answer without content where there may be none.
            let length = if answer.starts_with("204") {
                ""
            } else {
                "content-length: 0\r\n"
            };
            let text = format!("HTTP/1.1 {answer}\r\n{length}\r\n");
            if stream.write_all(text.as_bytes()).await.is_err() {
                return;
            }
        }
        let mut piece = [0; 16 * 1024];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(length) => bytes.extend_from_slice(&piece[..length]),
        }
    }
}

fn take_request(bytes: &mut Vec<u8>) -> Option<Received> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    if bytes.len() < end + length {
        return None;
    }
    let body = bytes[end..end + length].to_vec();
    bytes.drain(..end + length);
    Some(Received { head, body })
}

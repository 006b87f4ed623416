//! How many small POSTs a second go out to a local server over kept connections, and what
//! one costs: `cargo run --release -p tidegate-egress --example speed [SECONDS]`. The
//! client has one thread, whose time alone is counted; the server has another.

use std::fs;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_egress::{Egress, EgressPolicy, HeaderMap, Method, Request, Url};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

const AT_ONCE: usize = 64;
const BODY: [u8; 1024] = [b'x'; 1024];

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let seconds = std::env::args().nth(1).map_or(Ok(3), |text| text.parse())?;
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || -> Outcome<()> {
        Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                tell.send(listener.local_addr()?)?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    tokio::spawn(serve(stream));
                }
            })
    });
    let url: Url = format!("http://{}/hook", told.recv()?).parse()?;
    let egress = Arc::new(Egress::new(EgressPolicy {
        allow: vec!["127.0.0.1".parse()?],
        roots: None,
    })?);
    let client = Builder::new_current_thread().enable_all().build()?;
    let before = cpu_nanos()?;
    let begun = Instant::now();
    let until = begun + Duration::from_secs(seconds);
    let count = client.block_on(async {
        let loops: Vec<_> = (0..AT_ONCE)
            .map(|_| tokio::spawn(send_until(egress.clone(), url.clone(), until)))
            .collect();
        let mut count = 0;
        for one in loops {
            count += one.await??;
        }
        Outcome::Ok(count)
    })?;
    let nanos = cpu_nanos()? - before;
    let rate = u128::from(count) * 1_000 / begun.elapsed().as_millis();
    writeln!(
        std::io::stdout(),
        "{count} requests, {rate} a second, {} ns of CPU each",
        nanos / count
    )?;
    Ok(())
}

async fn send_until(egress: Arc<Egress>, url: Url, until: Instant) -> Outcome<u64> {
    let mut count = 0;
    while Instant::now() < until {
        let request = Request {
            method: Method::POST,
            url: &url,
            headers: HeaderMap::new(),
            body: bytes::Bytes::from_static(&BODY),
            timeout: Duration::from_secs(15),
            response_bytes_max: 1024,
            repeatable: true,
        };
        egress.request(request).await?;
        count += 1;
    }
    Ok(count)
}

/// Answers each request, which it knows to be small and to come in one piece.
async fn serve(mut stream: TcpStream) -> Outcome<()> {
    let mut piece = vec![0; 16 * 1024];
    let mut have = 0;
    loop {
        let rest = piece.get_mut(have..).unwrap_or_default();
        let length = stream.read(rest).await?;
        if length == 0 {
            return Ok(());
        }
        have += length;
        let whole = piece.get(..have).unwrap_or_default();
        if whole.ends_with(&BODY) {
            have = 0;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await?;
        }
    }
}

/// What this thread has used.
fn cpu_nanos() -> Outcome<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split_whitespace().next().unwrap_or_default();
    Ok(first.parse()?)
}

//! How many changes a second a webhook sink delivers, and what one costs, signing and
//! envelope included. Sends COUNT changes in each mode: alone, binary, in batches.
//!
//! `cargo run --release -p tidegate-sinks --example webhook_speed URL SECRET [COUNT]`

use std::fs;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_core::change::{Change, EntityRef, Operation, Origin, ProposedChange};
use tidegate_core::ids::{ChangeSeq, ConnectionId, EventId};
use tidegate_core::ports::{Clock, Outlet as _};
use tidegate_core::signature::Secret;
use tidegate_core::time::Timestamp;
use tidegate_egress::{Egress, EgressPolicy};
use tidegate_sinks::webhook::{WebhookOutlet, WebhookSink};

const AT_ONCE: usize = 64;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The machine's clock.
struct Wall;

impl Clock for Wall {
    #[expect(
        clippy::disallowed_methods,
        reason = "receivers compare it with theirs"
    )]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp::EPOCH.plus(since.unwrap_or_default())
    }
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: webhook_speed URL SECRET [COUNT]";
    let url = arguments.next().ok_or(usage)?;
    let secret = arguments.next().ok_or(usage)?;
    let count = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let egress = Arc::new(Egress::new(EgressPolicy {
        allow: vec!["127.0.0.1".parse()?],
        roots: None,
    })?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for (mode, binary, batch) in [
        ("alone", false, 1),
        ("binary", true, 1),
        ("batch", false, 100),
    ] {
        let sink = WebhookSink {
            url: url.parse()?,
            secrets: vec![Secret::new(secret.clone().into_bytes())?],
            binary,
            batch,
            concurrency: AT_ONCE,
            timeout: Duration::from_secs(15),
            handshake: None,
            source: "/tidegate/speed".into(),
        };
        let outlet = Arc::new(WebhookOutlet::new(sink, egress.clone(), Arc::new(Wall))?);
        let (before, begun) = (cpu_nanos()?, Instant::now());
        runtime.block_on(deliver(&outlet, count, batch))?;
        let nanos = cpu_nanos()? - before;
        let rate = u128::from(count) * 1_000_000 / begun.elapsed().as_micros();
        let each = nanos / count.max(1);
        writeln!(
            std::io::stdout(),
            "{mode}: {rate} changes a second, {each} ns of CPU each"
        )?;
    }
    Ok(())
}

async fn deliver(outlet: &Arc<WebhookOutlet>, count: u64, batch: usize) -> Outcome<()> {
    let connection: ConnectionId = "github/acme".parse()?;
    let lanes: Vec<_> = (0..AT_ONCE as u64)
        .map(|lane| {
            let (outlet, connection) = (outlet.clone(), connection.clone());
            tokio::spawn(async move {
                let mut next = (1..=count).filter(|seq| seq % AT_ONCE as u64 == lane);
                loop {
                    let some = next.by_ref().take(batch);
                    let changes: Vec<Change> = some.map(|seq| change(&connection, seq)).collect();
                    if changes.is_empty() {
                        return Outcome::Ok(());
                    }
                    for result in outlet.deliver(&changes).await {
                        result.map_err(|failure| failure.to_string())?;
                    }
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await??;
    }
    Ok(())
}

fn change(connection: &ConnectionId, seq: u64) -> Change {
    let data = format!("{{\"number\":{seq},\"title\":\"{}\"}}", "é".repeat(400));
    Change {
        seq: ChangeSeq::new(seq),
        connection: connection.clone(),
        change: ProposedChange {
            entity: EntityRef {
                kind: "issue".into(),
                id: format!("é {seq} \"quoted\" 100%"),
            },
            operation: Operation::Upsert,
            version: i64::try_from(seq).ok(),
            revision: "sha256:09e9cf9d96cebb2000d3f4a25cf7781e".into(),
            occurred: Some(Timestamp::from_secs(1_795_500_000)),
            data: Some(data.into()),
        },
        origin: Origin::Webhook,
        event: Some(EventId::new(seq)),
        committed: Timestamp::from_micros(1_795_500_000_251_000),
    }
}

/// What this thread has used.
fn cpu_nanos() -> Outcome<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split_whitespace().next().unwrap_or_default();
    Ok(first.parse()?)
}

//! What a competent author would write instead of using Tidegate, to take webhooks and
//! pass them on: axum checks the signature and inserts the event into an outbox in
//! PostgreSQL; a worker takes what is there with `FOR UPDATE SKIP LOCKED`, POSTs it,
//! signed, 64 at a time, and marks it as delivered in the same transaction.
//!
//! It maps nothing, keeps no order and gives up at the first failure: less than Tidegate
//! does, so that the comparison is in its favour.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hmac::{Hmac, Mac as _};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Uri};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sha2::Sha256;
use tokio_postgres::{Client, NoTls, Row};

use crate::baseline::{Pool, mac, serve, verify};

/// Requests of one worker at a time.
const AT_ONCE: usize = 64;

/// Rows of one transaction of a worker.
const ROWS: i64 = 512;

/// How long a worker waits where there is nothing to do.
const POLL_EVERY: Duration = Duration::from_millis(5);

const SCHEMA: &str = "
    DROP TABLE IF EXISTS outbox;
    CREATE TABLE outbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        event_id text NOT NULL UNIQUE,
        event_type text NOT NULL,
        received timestamptz NOT NULL DEFAULT now(),
        body bytea NOT NULL,
        delivered_at timestamptz
    );
    CREATE INDEX outbox_open ON outbox (id) WHERE delivered_at IS NULL";

const INSERT: &str =
    "INSERT INTO outbox (event_id, event_type, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";

const TAKE: &str = "SELECT id, event_id, body FROM outbox WHERE delivered_at IS NULL \
                    ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED";

const MARK: &str = "UPDATE outbox SET delivered_at = now() WHERE id = ANY($1)";

/// What it is started with.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    secret: String,
    #[arg(long)]
    database: String,
    /// Connections for INSERTs.
    #[arg(long)]
    pool: usize,
    /// Workers that deliver.
    #[arg(long)]
    workers: usize,
    /// Where to.
    #[arg(long)]
    receiver: Uri,
}

/// Serves and delivers until it is killed.
pub(crate) fn serve_outbox(options: &Options) -> anyhow::Result<()> {
    let mac = mac(&options.secret)?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let pool = Pool::connect(&options.database, options.pool, SCHEMA, INSERT).await?;
        for _ in 0..options.workers {
            let worker = Worker::connect(options, mac.clone()).await?;
            tokio::spawn(async move {
                if let Err(error) = worker.run().await {
                    eprintln!("the worker of the outbox ended: {error:#}");
                }
            });
        }
        let inbox = Arc::new(Inbox { mac, pool });
        serve(Router::new().fallback(post(receive)).with_state(inbox)).await
    })
}

struct Inbox {
    mac: Hmac<Sha256>,
    pool: Pool,
}

async fn receive(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if !verify(inbox.mac.clone(), &headers, &body) {
        return StatusCode::UNAUTHORIZED;
    }
    let (Some(id), Some(kind)) = (text("x-github-delivery"), text("x-github-event")) else {
        return StatusCode::BAD_REQUEST;
    };
    match inbox.pool.insert(id, kind, &body).await {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

struct Worker {
    database: Client,
    http: HttpClient<HttpConnector, Full<Bytes>>,
    receiver: Uri,
    mac: Hmac<Sha256>,
}

impl Worker {
    async fn connect(options: &Options, mac: Hmac<Sha256>) -> anyhow::Result<Self> {
        let (database, connection) = tokio_postgres::connect(&options.database, NoTls).await?;
        tokio::spawn(connection);
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut http = HttpClient::builder(TokioExecutor::new());
        http.pool_max_idle_per_host(AT_ONCE);
        Ok(Self {
            database,
            http: http.build(connector),
            receiver: options.receiver.clone(),
            mac,
        })
    }

    async fn run(mut self) -> anyhow::Result<()> {
        let take = self.database.prepare(TAKE).await?;
        let mark = self.database.prepare(MARK).await?;
        loop {
            let transaction = self.database.transaction().await?;
            let rows = transaction.query(&take, &[&ROWS]).await?;
            let mut posts = Vec::with_capacity(rows.len());
            for row in &rows {
                posts.push(send(&self.http, &self.receiver, &self.mac, row));
            }
            let delivered: Vec<i64> = stream::iter(posts)
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await?;
            if !delivered.is_empty() {
                transaction.execute(&mark, &[&delivered]).await?;
            }
            transaction.commit().await?;
            if delivered.is_empty() {
                tokio::time::sleep(POLL_EVERY).await;
            }
        }
    }
}

/// POSTs one event, signed as Standard Webhooks says.
async fn send(
    http: &HttpClient<HttpConnector, Full<Bytes>>,
    receiver: &Uri,
    mac: &Hmac<Sha256>,
    row: &Row,
) -> anyhow::Result<i64> {
    let (id, event, body): (i64, &str, &[u8]) = (row.get(0), row.get(1), row.get(2));
    let now = now();
    let mut mac = mac.clone();
    mac.update(format!("{event}.{now}.").as_bytes());
    mac.update(body);
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let request = Request::post(receiver)
        .header("content-type", "application/json")
        .header("webhook-id", event)
        .header("webhook-timestamp", now)
        .header("webhook-signature", format!("v1,{signature}"))
        .body(Full::new(Bytes::copy_from_slice(body)))?;
    let response = http.request(request).await.context("could not deliver")?;
    let status = response.status();
    response.into_body().collect().await?;
    ensure!(status.is_success(), "the receiver answered {status}");
    Ok(id)
}

#[expect(
    clippy::disallowed_methods,
    reason = "this stands for a program of somebody else's"
)]
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

//! What one would write instead of using Tidegate, as the bench's points of comparison.
//!
//! Both check the signature as a careful author does. The first stores nothing and is
//! the ceiling of this HTTP stack; the second makes each event durable with one INSERT.
//! They run in processes of their own, on the same runtime and threads as the host.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::{Client, NoTls, Statement};

/// Connections to PostgreSQL, unless the command line says otherwise: the best of 8, 16,
/// 32 and 64 on two cores with 256 clients, and with 64 no worse than 64 are.
pub(crate) const POOL_SIZE: usize = 32;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS events (
        event_id text PRIMARY KEY,
        event_type text NOT NULL,
        received timestamptz NOT NULL DEFAULT now(),
        body bytea NOT NULL
    );
    TRUNCATE events";

const INSERT: &str =
    "INSERT INTO events (event_id, event_type, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";

/// Serves until it is killed; checks the HMAC and stores nothing.
pub(crate) fn serve_hmac(secret: &str) -> anyhow::Result<()> {
    let mac = mac(secret)?;
    let app = Router::new().fallback(post(hmac_only)).with_state(mac);
    tokio::runtime::Runtime::new()?.block_on(serve(app))
}

/// Serves until it is killed; checks the HMAC and inserts the event, once.
pub(crate) fn serve_postgres(secret: &str, database: &str, pool: usize) -> anyhow::Result<()> {
    let mac = mac(secret)?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let pool = Pool::connect(database, pool, SCHEMA, INSERT).await?;
        let state = Arc::new(Stored { mac, pool });
        serve(
            Router::new()
                .fallback(post(hmac_and_insert))
                .with_state(state),
        )
        .await
    })
}

pub(crate) async fn serve(app: Router) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    println!("ready ingress=http://{}", listener.local_addr()?);
    axum::serve(
        axum::serve::ListenerExt::tap_io(listener, |stream| {
            // Refusing to set it costs latency only.
            let _ = stream.set_nodelay(true);
        }),
        app,
    )
    .await?;
    Ok(())
}

pub(crate) fn mac(secret: &str) -> anyhow::Result<Hmac<Sha256>> {
    Ok(Hmac::new_from_slice(secret.as_bytes())?)
}

async fn hmac_only(State(mac): State<Hmac<Sha256>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if verify(mac, &headers, &body) {
        StatusCode::OK
    } else {
        StatusCode::UNAUTHORIZED
    }
}

pub(crate) fn verify(mut mac: Hmac<Sha256>, headers: &HeaderMap, body: &[u8]) -> bool {
    let mut signature = [0; 32];
    let well_formed = headers
        .get("x-hub-signature-256")
        .and_then(|value| value.as_bytes().strip_prefix(b"sha256="))
        .is_some_and(|digits| hex::decode_to_slice(digits, &mut signature).is_ok());
    mac.update(body);
    well_formed && mac.verify_slice(&signature).is_ok()
}

struct Stored {
    mac: Hmac<Sha256>,
    pool: Pool,
}

async fn hmac_and_insert(
    State(stored): State<Arc<Stored>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if !verify(stored.mac.clone(), &headers, &body) {
        return StatusCode::UNAUTHORIZED;
    }
    let (Some(id), Some(kind)) = (text("x-github-delivery"), text("x-github-event")) else {
        return StatusCode::BAD_REQUEST;
    };
    match stored.pool.insert(id, kind, &body).await {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// An ordinary pool: a request has a connection to itself, with its prepared statement,
/// for the length of its INSERT.
pub(crate) struct Pool {
    /// One permit a connection that is free.
    free: Semaphore,
    connections: Mutex<Vec<(Client, Statement)>>,
}

impl Pool {
    /// So many connections, each with that INSERT prepared, once the schema is laid.
    pub(crate) async fn connect(
        database: &str,
        size: usize,
        schema: &str,
        insert: &str,
    ) -> anyhow::Result<Self> {
        let mut connections = Vec::with_capacity(size);
        for number in 0..size {
            let (client, connection) = tokio_postgres::connect(database, NoTls)
                .await
                .context("could not connect to PostgreSQL")?;
            tokio::spawn(connection);
            if number == 0 {
                client.batch_execute(schema).await?;
            }
            let statement = client.prepare(insert).await?;
            connections.push((client, statement));
        }
        Ok(Self {
            free: Semaphore::new(size),
            connections: Mutex::new(connections),
        })
    }

    pub(crate) async fn insert(&self, id: &str, kind: &str, body: &[u8]) -> anyhow::Result<()> {
        let lent = self.lend().await?;
        let (client, statement) = lent.connection.as_ref().context("it was given back")?;
        client.execute(statement, &[&id, &kind, &body]).await?;
        Ok(())
    }

    async fn lend(&self) -> anyhow::Result<Lent<'_>> {
        let free = self.free.acquire().await?;
        let connection = self.connections().pop();
        Ok(Lent {
            connection,
            pool: self,
            _free: free,
        })
    }

    fn connections(&self) -> MutexGuard<'_, Vec<(Client, Statement)>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that goes back to its pool, also where the client has hung up.
struct Lent<'p> {
    connection: Option<(Client, Statement)>,
    pool: &'p Pool,
    // Dropped after the connection has gone back.
    _free: SemaphorePermit<'p>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.pool.connections().extend(self.connection.take());
    }
}

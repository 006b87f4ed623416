//! A host for the tests of both listeners: the real wiring over the store in memory and
//! real sockets, without plugins. What a plugin would have made is handed in by hand.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;
use tidegate_core::change::{EntityRef, Operation, ProposedChange};
use tidegate_core::ports::{Clock as _, Completion, End, Journal as _};
use tidegate_core::task::{Attempt, Work};
use tidegate_runtime::{Runtime, RuntimeOptions};
use tidegate_store::engine::memory::Memory;
use tidegate_store::{Claims, Marks, Opened, Options, Reader, SecretKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::committer::{self, JournalHandle, Listeners};
use crate::config::{Config, ConfigSource};
use crate::fetcher::Fetcher;
use crate::gate::Gate;
use crate::host::{Facts, Host};
use crate::metrics::Metrics;
use crate::outlets::Outlets;
use crate::plugins::PluginDesk;
use crate::received::ReceivedDesk;
use crate::replays::ReplayDesk;
use crate::rules::{CurrentRules, Rules};
use crate::sinks::{SinkDesk, SinkParts};
use crate::system::{SystemChance, SystemClock};
use crate::tokens::Tokens;
use crate::workers::Bell;

/// Two connections that can be knocked at, one that cannot, a sink, and tokens of every
/// kind.
const CONFIG: &str = r#"
[ingress]
body_max = "64KiB"
[[operator.tokens]]
name = "all"
secret = "file:SECRET"
scopes = ["admin"]
[[operator.tokens]]
name = "consumer"
secret = "file:CONSUMER"
scopes = ["consume"]
[connectors.tide]
secrets.webhook = "file:SECRET"
[connectors.tide.scheme]
algorithm = "shared-token"
key = "utf8"
signature = { in = "header", name = "X-Token" }
event_id = { in = "header", name = "X-Delivery" }
body_authenticated = "none"
[connectors.bare]
plugin = "not-there.wasm"
[connections."tide/acme"]
secrets.webhook = "file:SECRET"
[connections."tide/Åcme & Co"]
secrets.webhook = "file:SECRET"
[connections."bare/acme"]
secrets.webhook = "file:SECRET"
[sinks.log]
kind = "file"
path = "LOG"
kinds = ["issue"]
"#;

/// The secret of every connection, and the admin token.
pub(super) const SECRET: &str = "open-sesame-open-sesame-open-sesame";

/// The token of a consumer.
pub(super) const CONSUMER: &str = "let-me-read-let-me-read-let-me-read";

/// A host that serves.
pub(super) struct World {
    pub(super) host: Arc<Host>,
    /// What the store stands in, to tear rows of it.
    pub(super) memory: Memory,
    pub(super) ingress: SocketAddr,
    pub(super) operator: SocketAddr,
    claims: Claims,
    stop: watch::Sender<bool>,
    servers: JoinSet<()>,
    _loops: JoinSet<()>,
    _dir: TempDir,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with("").await
    }

    /// One whose configuration has more in it.
    pub(super) async fn with(more: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let config = Arc::new(config(&dir, more));
        let memory = Memory::new();
        let engine = Arc::new(memory.clone());
        let options = Options {
            policy: config.policy.clone(),
            seed: [7; 16],
            marks: Marks::default(),
        };
        let opened = tidegate_store::open(engine, options, SystemClock.now()).unwrap();
        let Opened {
            committer,
            reader,
            claims,
        } = opened;
        let store_id = committer.store_id();
        let (gate, metrics) = (Arc::new(Gate::new()), Arc::new(Metrics::new()));
        let (publish, published) = watch::channel(reader.newest_change());
        let bell: Arc<Bell> = Arc::default();
        let listeners = Listeners {
            published: publish,
            bell: bell.clone(),
            claims: claims.clone(),
            metrics: metrics.clone(),
        };
        let (journal, _) =
            committer::start(committer, reader.clone(), gate.clone(), listeners).unwrap();
        let rules = Arc::new(CurrentRules::new(Rules::build(
            &config,
            &HashMap::default(),
        )));
        let received = received(&reader, &journal, &rules);
        let runtime = Runtime::new(RuntimeOptions::default()).unwrap();
        let plugins = Arc::new(PluginDesk::new(
            runtime,
            reader.clone(),
            journal.clone(),
            rules.clone(),
            None,
            config.clone(),
        ));
        let ingress = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let operator = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let facts = facts(&config, &ingress, &operator);
        let (ingress_at, operator_at) = (facts.ingress, facts.operator);
        let tokens = Tokens::prepare(&config.operator.tokens, None, true).unwrap();
        let outlets = Arc::new(Outlets::new(&config, &store_id, operator_at).unwrap());
        let sinks = Arc::new(SinkDesk::new(SinkParts {
            reader: reader.clone(),
            claims: claims.clone(),
            journal: journal.clone(),
            gate: gate.clone(),
            bell,
            chance: Arc::new(SystemChance::new(7)),
            metrics: metrics.clone(),
            outlets: outlets.clone(),
        }));
        sinks.configure(&config).await;
        let replays = Arc::new(ReplayDesk::new(
            reader.clone(),
            journal.clone(),
            gate.clone(),
        ));
        let mut loops = JoinSet::new();
        loops.spawn(replays.clone().run());
        let host = Arc::new(Host {
            rules,
            reader,
            claims: claims.clone(),
            journal,
            gate,
            published,
            plugins,
            sinks,
            replays,
            fetcher: Fetcher::new(outlets.egress()),
            received,
            reloads: Arc::default(),
            metrics,
            tokens,
            facts,
        });
        let (stop, stopping) = watch::channel(false);
        let servers = serve(&host, ingress, operator, &stopping);
        Self {
            host,
            memory,
            ingress: ingress_at,
            operator: operator_at,
            claims,
            stop,
            servers,
            _loops: loops,
            _dir: dir,
        }
    }

    /// Has a webhook taken, and gives its event's id.
    pub(super) async fn event(&self, delivery: &str) -> String {
        let request = webhook("/in/tide/acme", &[("X-Delivery", delivery)], "{}");
        let reply = ask(self.ingress, &request).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let id = reply
            .json()
            .pointer("/events/0")
            .and_then(Value::as_str)
            .map(str::to_owned);
        id.unwrap()
    }

    /// Ends the oldest event that is pending.
    pub(super) async fn map(&self, end: End) {
        let claimed = self
            .claims
            .claim(Work::Map, 1, SystemClock.now())
            .unwrap()
            .pop()
            .unwrap();
        let attempt = Attempt {
            number: 1,
            started: SystemClock.now(),
            took: Duration::from_micros(120),
            plugin: None,
            settings: None,
            failure: None,
            stderr: "hm".into(),
        };
        let completion = Completion {
            task: claimed.task,
            attempt,
            end,
        };
        self.host.journal.complete(completion).await.unwrap();
        // An answered submission means that all before it are durable.
        self.host
            .journal
            .submit(tidegate_store::Submission::Touch)
            .await
            .unwrap();
    }

    /// Has an event taken and mapped to one change of each of these issues.
    pub(super) async fn changes(&self, ids: &[&str]) {
        self.event(&format!("for {ids:?}")).await;
        let changes = ids.iter().map(|id| change(id)).collect();
        self.map(End::Mapped {
            changes,
            fetch: Vec::new(),
            poll_now: false,
        })
        .await;
    }

    /// Asks the operator API as an admin.
    pub(super) async fn get(&self, path: &str) -> Reply {
        ask(self.operator, &get(path, Some(SECRET), &[])).await
    }

    /// Posts a document to the operator API as an admin.
    pub(super) async fn post(&self, path: &str, body: &str) -> Reply {
        ask(self.operator, &post(path, Some(SECRET), body)).await
    }

    /// Stops both listeners and waits until they have.
    pub(super) async fn stop(&mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.servers.join_next().await {
            ended.unwrap();
        }
    }

    /// Tells the listeners to stop.
    pub(super) fn tell_to_stop(&self) {
        self.stop.send_replace(true);
    }
}

fn serve(
    host: &Arc<Host>,
    ingress: TcpListener,
    operator: TcpListener,
    stopping: &watch::Receiver<bool>,
) -> JoinSet<()> {
    let mut servers = JoinSet::new();
    let taking = super::serve_ingress(host.clone(), ingress, stopping.clone());
    servers.spawn(taking);
    let answering = super::serve_operator(host.clone(), operator, stopping.clone());
    servers.spawn(answering);
    servers
}

fn received(
    reader: &Reader,
    journal: &JournalHandle,
    rules: &Arc<CurrentRules>,
) -> Arc<ReceivedDesk> {
    let key = SecretKey::new(&[7; 32]).unwrap();
    Arc::new(ReceivedDesk::open(key, reader, journal.clone(), rules.clone()).unwrap())
}

fn facts(config: &Config, ingress: &TcpListener, operator: &TcpListener) -> Facts {
    Facts {
        started: SystemClock.now(),
        ingress: ingress.local_addr().unwrap(),
        operator: operator.local_addr().unwrap(),
        engine: "memory",
        store_dir: None,
        store_warning: None,
        map_threads: 1,
        body_bytes_max: config.ingress.body_bytes_max,
    }
}

fn config(dir: &TempDir, more: &str) -> Config {
    let [secret, consumer] = ["secret", "consumer"].map(|name| dir.path().join(name));
    fs::write(&secret, SECRET).unwrap();
    fs::write(&consumer, CONSUMER).unwrap();
    let text = format!("{CONFIG}{more}");
    let text = text
        .replace("SECRET", secret.to_str().unwrap())
        .replace("LOG", dir.path().join("log.jsonl").to_str().unwrap())
        .replace("CONSUMER", consumer.to_str().unwrap());
    let file = dir.path().join("tidegate.toml");
    fs::write(&file, text).unwrap();
    ConfigSource::new(Some(file))
        .load()
        .unwrap_or_else(|error| panic!("{}", tidegate_core::errors::chain(&error)))
}

/// An upsert of an issue.
pub(super) fn change(id: &str) -> ProposedChange {
    let data = Bytes::from(format!("{{\n  \"id\": {id:?}\n}}"));
    ProposedChange {
        entity: EntityRef {
            kind: "issue".into(),
            id: id.into(),
        },
        operation: Operation::Upsert,
        version: Some(7),
        revision: ProposedChange::content_revision(Some(&data)),
        occurred: None,
        data: Some(data),
    }
}

/// A webhook that verifies.
pub(super) fn webhook(path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nX-Token: {SECRET}\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A GET request to the operator API.
pub(super) fn get(path: &str, token: Option<&str>, headers: &[(&str, &str)]) -> Vec<u8> {
    request("GET", path, token, headers)
}

/// A POST request with a document to the operator API.
pub(super) fn post(path: &str, token: Option<&str>, body: &str) -> Vec<u8> {
    let length = body.len().to_string();
    let mut request = request("POST", path, token, &[("Content-Length", &length)]);
    request.extend_from_slice(body.as_bytes());
    request
}

/// A request without a body.
pub(super) fn request(
    method: &str,
    path: &str,
    token: Option<&str>,
    headers: &[(&str, &str)],
) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
    if let Some(token) = token {
        head.extend(["Authorization: Bearer ", token, "\r\n"]);
    }
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    format!("{head}\r\n").into_bytes()
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Reply {
    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (other, value) = line.split_once(": ")?;
            other.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A client's side of a connection.
pub(super) struct Peer {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Peer {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            read: Vec::new(),
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next answer; none where the connection ends before one begins.
    pub(super) async fn reply(&mut self) -> Option<Reply> {
        let Some(end) = self.until(b"\r\n\r\n").await else {
            assert!(self.read.is_empty(), "half an answer: {:?}", self.read);
            return None;
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = Reply {
            status,
            head,
            body: String::new(),
        };
        let length: usize = reply
            .header("content-length")
            .map_or(0, |text| text.parse().unwrap());
        while self.read.len() < length && self.more().await {}
        reply.body = String::from_utf8(self.read.drain(..length).collect()).unwrap();
        Some(reply)
    }

    /// Reads until these bytes stand in what was read, and gives where they end.
    pub(super) async fn until(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            let found = self
                .read
                .windows(bytes.len())
                .position(|window| window == bytes);
            match found {
                Some(place) => return Some(place + bytes.len()),
                None if self.more().await => {}
                None => return None,
            }
        }
    }

    /// What has been read so far, taken away.
    pub(super) fn taken(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.read)).unwrap()
    }

    /// Whether the connection ends without another byte.
    pub(super) async fn ends(&mut self) -> bool {
        self.read.is_empty() && !self.more().await
    }

    async fn more(&mut self) -> bool {
        let mut buffer = vec![0; 16 * 1024];
        match self.stream.read(&mut buffer).await {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.read.extend_from_slice(&buffer[..read]);
                true
            }
        }
    }
}

/// One request and its answer.
pub(super) async fn ask(address: SocketAddr, request: &[u8]) -> Reply {
    let mut peer = Peer::connect(address).await;
    peer.send(request).await;
    peer.reply()
        .await
        .unwrap_or_else(|| panic!("no answer to {:?}", String::from_utf8_lossy(request)))
}

//! The operator API of a host, as a client with the host's own token has it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::http;

/// The operator API of a site.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Where it listens.
    pub address: SocketAddr,
    token_file: PathBuf,
}

impl Operator {
    /// The operator API at that address, of a host that keeps its token in that file.
    pub const fn new(address: SocketAddr, token_file: PathBuf) -> Self {
        Self {
            address,
            token_file,
        }
    }

    /// The token that the host made at its first start.
    pub fn token(&self) -> anyhow::Result<String> {
        let token = fs::read_to_string(&self.token_file)
            .with_context(|| format!("could not read {}", self.token_file.display()))?;
        Ok(token.trim().to_owned())
    }

    /// A GET that must be answered 200 with JSON.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = http::get(self.address, path, &self.token()?)?;
        ensure!(
            answer.status == 200,
            "GET {path}: {} {}",
            answer.status,
            answer.text()
        );
        answer.json()
    }

    /// A POST of JSON, and whatever it is answered.
    pub fn post(&self, path: &str, document: &Value) -> anyhow::Result<http::Answer> {
        let (token, body) = (self.token()?, document.to_string());
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        http::exchange(self.address, request.as_bytes()).with_context(|| format!("POST {path}"))
    }

    /// All events, newest first.
    pub fn events(&self) -> anyhow::Result<Vec<Value>> {
        self.items("/v1/events")
    }

    /// The whole mirror.
    pub fn entities(&self) -> anyhow::Result<Vec<Value>> {
        self.items("/v1/entities")
    }

    /// All items of a list, page by page.
    pub fn items(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}?limit=1000{cursor}"))?;
            let items = page["items"].as_array();
            let items = items.with_context(|| format!("{path} without items"))?;
            all.extend(items.iter().cloned());
            match page["next"].as_str() {
                Some(next) if !items.is_empty() => cursor = format!("&cursor={next}"),
                _ => return Ok(all),
            }
        }
    }

    /// How the sink of that name stands.
    pub fn sink(&self, name: &str) -> anyhow::Result<Value> {
        let sinks = self.get("/v1/sinks")?;
        let items = sinks["items"].as_array();
        let found = items.and_then(|items| items.iter().find(|sink| sink["name"] == name));
        found
            .cloned()
            .with_context(|| format!("no sink {name} in {sinks}"))
    }

    /// The whole change log, oldest first.
    pub fn changes(&self) -> anyhow::Result<Vec<Value>> {
        let mut changes: Vec<Value> = Vec::new();
        let mut since = "0".to_owned();
        loop {
            let page = self.get(&format!("/v1/changes?limit=1000&since={since}"))?;
            let items = page["changes"]
                .as_array()
                .context("no changes in the page")?;
            if items.is_empty() {
                return Ok(changes);
            }
            changes.extend(items.iter().cloned());
            page["next"]
                .as_str()
                .context("page without next")?
                .clone_into(&mut since);
        }
    }

    /// How many events are still to be mapped.
    pub fn pending(&self) -> anyhow::Result<u64> {
        let status = self.get("/v1/status")?;
        status["events"]["pending"]
            .as_u64()
            .with_context(|| format!("status without events.pending: {status}"))
    }

    /// Waits until no event is to be mapped.
    pub fn wait_until_mapped(&self, within: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let pending = self.pending()?;
            if pending == 0 {
                return Ok(());
            }
            ensure!(
                start.elapsed() < within,
                "{pending} events are still to be mapped after {within:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

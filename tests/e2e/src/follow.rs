//! A reader that follows the change log over Server-Sent Events and, whenever the
//! stream breaks, goes on after the last change it has seen. It only writes down what
//! came and when; what that proves is for its user to say.

use std::collections::HashMap;
use std::io::BufRead;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::host::Operator;
use crate::http;

/// Pause before a broken stream is opened again.
const RECONNECT: Duration = Duration::from_millis(50);

/// One change as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its place in the change log.
    pub seq: u64,
    /// Which entity it is about.
    pub entity_id: String,
    /// When its line was read.
    pub at: Instant,
}

/// Follows until it is told to finish.
#[derive(Debug)]
pub struct Follower {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    ended: AtomicBool,
    socket: Mutex<Option<TcpStream>>,
    streams: std::sync::atomic::AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Follower {
    /// Follows from the start of the change log.
    pub fn start(operator: Operator) -> Self {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || theirs.follow(&operator));
        Self { shared, thread }
    }

    /// How many changes have come so far.
    pub fn count(&self) -> usize {
        lock(&self.shared.seen).len()
    }

    /// How many streams were opened so far.
    pub fn streams(&self) -> usize {
        self.shared.streams.load(Ordering::Relaxed)
    }

    /// Waits until so many changes have come.
    pub fn wait_for(&self, count: usize, within: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        while self.count() < count {
            ensure!(
                start.elapsed() < within,
                "the reader saw {} of {count} changes within {within:?}",
                self.count()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Stops and hands over what came.
    pub fn finish(self) -> Vec<Seen> {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(socket) = lock(&self.shared.socket).take() {
            // The reader may have lost it already.
            let _ = socket.shutdown(Shutdown::Both);
        }
        // A panic in the reader shows in what it has seen.
        let _ = self.thread.join();
        std::mem::take(&mut lock(&self.shared.seen))
    }
}

impl Shared {
    fn follow(&self, operator: &Operator) {
        while !self.ended.load(Ordering::Relaxed) {
            // Broken streams are expected: hosts are killed.
            let _ = self.one_stream(operator);
            std::thread::sleep(RECONNECT);
        }
    }

    fn one_stream(&self, operator: &Operator) -> anyhow::Result<()> {
        let token = operator.token()?;
        let last = lock(&self.seen).last().map(|seen| seen.seq.to_string());
        let (mut lines, socket) =
            http::event_stream(operator.address, "/v1/changes", &token, last.as_deref())?;
        *lock(&self.socket) = Some(socket);
        self.streams.fetch_add(1, Ordering::Relaxed);
        let mut line = String::new();
        while !self.ended.load(Ordering::Relaxed) {
            line.clear();
            let read = lines.read_line(&mut line)?;
            ensure!(read > 0 && line.ends_with('\n'), "stream ended");
            if let Some(data) = line.strip_prefix("data:") {
                let at = Instant::now();
                let (seq, entity_id) = seq_and_entity(&serde_json::from_str(data)?)?;
                lock(&self.seen).push(Seen { seq, entity_id, at });
            }
        }
        Ok(())
    }
}

/// Place and entity of a change as the API writes it.
pub fn seq_and_entity(change: &Value) -> anyhow::Result<(u64, String)> {
    let seq = change["seq"].as_str().and_then(|seq| seq.parse().ok());
    let id = change["entity"]["id"].as_str();
    Ok((
        seq.with_context(|| format!("change without seq: {change}"))?,
        id.with_context(|| format!("change without entity id: {change}"))?
            .to_owned(),
    ))
}

/// Checks that nothing was missed and nothing repeated: places count up from 1 without
/// a gap, and no entity came twice. Says what came for each entity.
pub fn check_gapless_and_once(seen: &[Seen]) -> anyhow::Result<HashMap<&str, u64>> {
    let mut by_entity = HashMap::with_capacity(seen.len());
    for (place, change) in (1..).zip(seen) {
        ensure!(
            change.seq == place,
            "the reader was given change {} where {place} was next",
            change.seq
        );
        let before = by_entity.insert(change.entity_id.as_str(), change.seq);
        ensure!(
            before.is_none(),
            "entity {} changed twice: {before:?} and {}",
            change.entity_id,
            change.seq
        );
    }
    Ok(by_entity)
}

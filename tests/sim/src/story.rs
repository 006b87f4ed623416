//! What happened, one line a step: hashed always, kept where somebody will read it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tidegate_core::time::Timestamp;

/// The steps of a run.
#[derive(Debug)]
pub struct Story {
    hash: DefaultHasher,
    lines: Option<Vec<String>>,
    told: u64,
}

impl Story {
    /// One that keeps its lines, or their hash alone.
    pub fn new(keeps: bool) -> Self {
        Self {
            hash: DefaultHasher::new(),
            lines: keeps.then(Vec::new),
            told: 0,
        }
    }

    /// One more thing that happened.
    pub fn tell(&mut self, step: u64, now: Timestamp, what: &str) {
        self.told += 1;
        (step, now, what).hash(&mut self.hash);
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{step:>5}  {now}  {what}"));
        }
    }

    /// Equal where everything that happened is.
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// How many things happened.
    pub const fn told(&self) -> u64 {
        self.told
    }

    /// The lines, where they were kept.
    pub fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }

    /// Takes the lines out.
    pub fn take_lines(&mut self) -> Vec<String> {
        self.lines.take().unwrap_or_default()
    }
}

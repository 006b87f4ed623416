//! How far something has come: a bar for a person at a terminal, a line now and then for
//! a log, nothing beside an answer in JSON.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Output;

/// How often a log gets a line.
const LINE_EVERY: Duration = Duration::from_secs(3);

/// Longest wait for something that does not move.
const STALL_MAX: Duration = Duration::from_mins(1);

/// Something that moves.
#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    shown: Shown,
    moved: Instant,
    last: Option<(u64, u64)>,
}

#[derive(Debug)]
enum Shown {
    Bar(ProgressBar),
    Lines { last: Instant },
    Nothing,
}

impl Progress {
    /// What moves, in a word that stands before the bar.
    pub(super) fn new(what: &'static str, output: &Output) -> Self {
        let shown = if output.json() {
            Shown::Nothing
        } else if output.on_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(what);
            Shown::Bar(bar)
        } else {
            Shown::Lines {
                last: Instant::now(),
            }
        };
        Self {
            what,
            shown,
            moved: Instant::now(),
            last: None,
        }
    }

    /// It has come so far; says whether it is worth waiting on.
    pub(super) fn at(&mut self, position: u64, length: u64, output: &mut Output) -> bool {
        let now = Instant::now();
        if self.last != Some((position, length)) {
            self.last = Some((position, length));
            self.moved = now;
        }
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_length(length);
                bar.set_position(position);
            }
            Shown::Lines { last } if now.duration_since(*last) >= LINE_EVERY => {
                *last = now;
                output.note(format_args!("{}: {position} of {length}", self.what));
            }
            Shown::Lines { .. } | Shown::Nothing => {}
        }
        now.duration_since(self.moved) < STALL_MAX
    }

    /// It is shown no longer.
    pub(super) fn end(self) {
        if let Shown::Bar(bar) = self.shown {
            bar.finish_and_clear();
        }
    }
}

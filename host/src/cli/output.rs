//! How a command speaks: answers to stdout, notes to stderr, colours where they show.
//!
//! Text that partners chose reaches a terminal through [`plain`] only, so that it cannot
//! steer it.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read as _, Write};

use clap::ValueEnum;

use super::error::CliError;

/// Longest answer to a question.
const ANSWER_BYTES_MAX: u64 = 64;

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless the environment says no colour.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a piece of text is, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Ordinary text.
    Plain,
    /// A heading.
    Bold,
    /// Of less weight.
    Faint,
    /// As it should be.
    Good,
    /// Under way, or to be looked at.
    Attention,
    /// Not as it should be.
    Bad,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Faint => "2",
            Self::Good => "32",
            Self::Attention => "33",
            Self::Bad => "31",
        }
    }
}

/// Where a command's words go.
pub(crate) struct Output {
    json: bool,
    color: bool,
    /// Notes go to a terminal.
    on_terminal: bool,
    answer: Box<dyn Write>,
    notes: Box<dyn Write>,
}

impl Output {
    pub(super) fn new(json: bool, color: When) -> Self {
        let color = match color {
            When::Always => true,
            When::Never => false,
            When::Auto => {
                std::io::stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        };
        Self {
            json,
            color,
            on_terminal: std::io::stderr().is_terminal(),
            answer: Box::new(std::io::stdout()),
            notes: Box::new(std::io::stderr()),
        }
    }

    /// Whether JSON was asked for.
    pub(super) const fn json(&self) -> bool {
        self.json
    }

    /// Whether somebody may see what moves.
    pub(super) const fn on_terminal(&self) -> bool {
        self.on_terminal
    }

    /// Whether somebody can be asked.
    pub(super) fn attended(&self) -> bool {
        self.on_terminal && std::io::stdin().is_terminal()
    }

    /// Asks the person at the terminal; anything but a yes is a no.
    pub(super) fn confirm(&mut self, question: impl Display) -> Result<bool, CliError> {
        write!(self.notes, "{question} [y/N] ")
            .and_then(|()| self.notes.flush())
            .map_err(CliError::Output)?;
        let mut line = String::new();
        let answered = std::io::stdin().take(ANSWER_BYTES_MAX);
        BufReader::new(answered)
            .read_line(&mut line)
            .map_err(CliError::Question)?;
        Ok(matches!(line.trim(), "y" | "Y" | "yes"))
    }

    /// Writes one line of the answer and lets it be seen at once.
    pub(super) fn line(&mut self, line: impl Display) -> Result<(), CliError> {
        writeln!(self.answer, "{line}")
            .and_then(|()| self.answer.flush())
            .map_err(CliError::Output)
    }

    /// Writes something that is not the answer. If it cannot be written, nobody reads it.
    pub(super) fn note(&mut self, note: impl Display) {
        let _ = writeln!(self.notes, "{note}");
    }

    /// `text` in the colour of `tone`.
    pub(super) fn paint<'t>(&self, tone: Tone, text: &'t str) -> Cow<'t, str> {
        if self.color && tone != Tone::Plain && !text.is_empty() {
            format!("\u{1b}[{}m{text}\u{1b}[0m", tone.code()).into()
        } else {
            text.into()
        }
    }
}

/// Text without anything that a terminal would obey or a table could not hold.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unprintable) {
        text.chars()
            .map(|c| if is_unprintable(c) { '\u{fffd}' } else { c })
            .collect::<String>()
            .into()
    } else {
        text.into()
    }
}

/// The same for text that may have several lines.
pub(super) fn plain_lines(text: &str) -> String {
    let keep = |c: char| matches!(c, '\n' | '\t') || !is_unprintable(c);
    text.chars()
        .filter(|c| *c != '\r')
        .map(|c| if keep(c) { c } else { '\u{fffd}' })
        .collect()
}

/// Control characters, and those that turn the direction of writing.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
pub(super) mod capture {
    //! What a command says, for tests.

    use std::cell::RefCell;
    use std::io::{self, Write};
    use std::rc::Rc;

    use super::Output;

    /// Words that were caught.
    #[derive(Clone, Default)]
    pub(crate) struct Caught(Rc<RefCell<Vec<u8>>>);

    impl Caught {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.borrow().clone()).unwrap()
        }
    }

    impl Write for Caught {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// An output without colours, its answer and its notes.
    pub(crate) fn output(json: bool) -> (Output, Caught, Caught) {
        let (answer, notes) = (Caught::default(), Caught::default());
        let output = Output {
            json,
            color: false,
            on_terminal: false,
            answer: Box::new(answer.clone()),
            notes: Box::new(notes.clone()),
        };
        (output, answer, notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partner_cannot_steer_the_terminal() {
        assert_eq!(
            plain("a\u{1b}[31mb\nc\u{9b}d\u{202e}e"),
            "a\u{fffd}[31mb\u{fffd}c\u{fffd}d\u{fffd}e"
        );
        assert_eq!(plain_lines("a\r\n\tb\u{1b}"), "a\n\tb\u{fffd}");
        assert_eq!(plain("Åcme — ok"), "Åcme — ok");
    }

    #[test]
    fn colours_only_where_asked_for() {
        let painted = Output {
            color: true,
            ..capture::output(false).0
        };
        assert_eq!(painted.paint(Tone::Bad, "dead"), "\u{1b}[31mdead\u{1b}[0m");
        let (bare, ..) = capture::output(false);
        assert_eq!(bare.paint(Tone::Bad, "dead"), "dead");
    }
}

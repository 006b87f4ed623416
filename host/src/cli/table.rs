//! Aligned tables, and lists of names with values.

use std::fmt::Display;

use super::error::CliError;
use super::output::{Output, Tone, plain};

/// Widest cell that others stand behind, in characters; a longer one is cut visibly.
const CELL_CHARS_MAX: usize = 72;
/// Longest cell that nothing stands behind: a reason or a command is worth its words.
const LAST_CHARS_MAX: usize = 400;

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
    right: bool,
}

impl Cell {
    /// A text.
    pub(super) fn text(text: impl AsRef<str>) -> Self {
        Self {
            text: cut(&plain(text.as_ref()), LAST_CHARS_MAX),
            tone: Tone::Plain,
            right: false,
        }
    }

    /// A number, which stands to the right.
    pub(super) fn number(number: impl Display) -> Self {
        Self {
            right: true,
            ..Self::text(format!("{number}"))
        }
    }

    /// The same in another colour.
    pub(super) fn tone(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max - 1) {
        Some((at, last)) if text.len() > at + last.len_utf8() => {
            format!("{}…", text.get(..at).unwrap_or_default())
        }
        _ => text.to_owned(),
    }
}

/// Rows under a heading.
#[derive(Debug)]
pub(super) struct Table {
    heads: Vec<Cell>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(super) fn new<const N: usize>(heads: [&str; N]) -> Self {
        let heads = heads.map(|head| Cell::text(head).tone(Tone::Bold));
        Self {
            heads: heads.into(),
            rows: Vec::new(),
        }
    }

    pub(super) fn row<const N: usize>(&mut self, mut cells: [Cell; N]) {
        if let Some((_, before)) = cells.split_last_mut() {
            for cell in before {
                cell.text = cut(&cell.text, CELL_CHARS_MAX);
            }
        }
        self.rows.push(cells.into());
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes it, without columns that are empty in every row.
    pub(super) fn write(&self, output: &mut Output) -> Result<(), CliError> {
        for line in self.lines(output) {
            output.line(line)?;
        }
        Ok(())
    }

    fn lines(&self, output: &Output) -> Vec<String> {
        let width_of = |column: usize| {
            let cells = self
                .rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(Cell::width);
            let widest = cells.max().filter(|width| *width > 0)?;
            let head = self.heads.get(column).map_or(0, Cell::width);
            Some((column, widest.max(head)))
        };
        let columns: Vec<(usize, usize)> = (0..self.heads.len()).filter_map(width_of).collect();
        // A head stands where the cells under it stand.
        let first = self.rows.first();
        let heads = self.heads.iter().enumerate().map(|(column, head)| {
            let right = first
                .and_then(|row| row.get(column))
                .is_some_and(|cell| cell.right);
            Cell {
                right,
                ..head.clone()
            }
        });
        let heads = row_line(&heads.collect::<Vec<_>>(), &columns, output);
        let rows = self.rows.iter().map(|row| row_line(row, &columns, output));
        std::iter::once(heads).chain(rows).collect()
    }
}

fn row_line(row: &[Cell], columns: &[(usize, usize)], output: &Output) -> String {
    let mut line = String::new();
    for (position, (column, width)) in columns.iter().enumerate() {
        let Some(cell) = row.get(*column) else {
            continue;
        };
        if position > 0 {
            line.push_str("  ");
        }
        let padding = " ".repeat(width.saturating_sub(cell.width()));
        if cell.right {
            line.push_str(&padding);
        }
        line.push_str(&output.paint(cell.tone, &cell.text));
        if !cell.right && position + 1 < columns.len() {
            line.push_str(&padding);
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// Names with values, one a line.
#[derive(Debug, Default)]
pub(super) struct Facts {
    facts: Vec<(&'static str, Cell)>,
}

impl Facts {
    pub(super) fn add(&mut self, name: &'static str, value: impl AsRef<str>) {
        self.add_cell(name, Cell::text(value));
    }

    pub(super) fn add_cell(&mut self, name: &'static str, cell: Cell) {
        if !cell.text.is_empty() {
            self.facts.push((name, cell));
        }
    }

    pub(super) fn write(&self, output: &mut Output) -> Result<(), CliError> {
        let width = self
            .facts
            .iter()
            .map(|(name, _)| name.chars().count())
            .max()
            .unwrap_or(0);
        for (name, cell) in &self.facts {
            let name = output
                .paint(Tone::Bold, &format!("{name:width$}"))
                .into_owned();
            let value = output.paint(cell.tone, &cell.text).into_owned();
            output.line(format_args!("{name}  {value}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::capture;
    use super::*;

    #[track_caller]
    fn check(table: &Table, expected: &[&str]) {
        let lines = table.lines(&capture::output(false).0);
        assert_eq!(lines, expected);
    }

    #[test]
    fn columns_align_and_empty_ones_go() {
        let mut table = Table::new(["ID", "CHANGES", "REASON", "STATE"]);
        table.row([
            Cell::text("evt_1"),
            Cell::number(12),
            Cell::text(""),
            Cell::text("mapped"),
        ]);
        table.row([
            Cell::text("evt_åäö"),
            Cell::number(3),
            Cell::text(""),
            Cell::text("dead"),
        ]);
        check(
            &table,
            &[
                "ID       CHANGES  STATE",
                "evt_1         12  mapped",
                "evt_åäö        3  dead",
            ],
        );
    }

    #[test]
    fn long_and_hostile_cells_are_tamed() {
        assert_eq!(Cell::text("a\nb").text, "a\u{fffd}b");
        let mut table = Table::new(["A", "B"]);
        table.row([Cell::text("ä".repeat(500)), Cell::text("ö".repeat(500))]);
        let widths = table.rows[0]
            .iter()
            .map(|cell| (cell.width(), cell.text.chars().last()));
        let expect = [(CELL_CHARS_MAX, Some('…')), (LAST_CHARS_MAX, Some('…'))];
        assert_eq!(widths.collect::<Vec<_>>(), expect);
        let exact = "x".repeat(LAST_CHARS_MAX);
        assert_eq!(Cell::text(&exact).text, exact);
    }
}

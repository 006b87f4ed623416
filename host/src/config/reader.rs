//! Reading one TOML file strictly: every key known, every value of its kind.
//!
//! A [`Section`] is a table whose path and place are known. Its readers answer `None`
//! where the key is absent or its value is wrong; what is wrong has then been
//! reported. Nothing here knows what a key means.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use tidegate_core::document::nearest;
use toml_edit::{Item, TableLike, Value};

use super::keys::{elsewhere, implied_keys, printable, written};
use super::problem::{At, Report};
use super::units;

/// A table of the file.
pub(super) struct Section<'d> {
    path: String,
    at: At,
    table: &'d dyn TableLike,
}

/// A value of the file with its whole key.
#[derive(Clone)]
pub(super) struct Entry<'d> {
    pub(super) key: String,
    pub(super) at: At,
    pub(super) item: &'d Item,
}

/// An element of a list, or a value that stands alone where a list may stand.
pub(super) struct Element<'d> {
    pub(super) key: String,
    pub(super) at: At,
    pub(super) value: &'d Value,
}

impl<'d> Section<'d> {
    pub(super) fn root(table: &'d dyn TableLike) -> Self {
        Self {
            path: String::new(),
            at: At::default(),
            table,
        }
    }

    /// The section's key.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Where the section begins.
    pub(super) const fn at(&self) -> At {
        self.at
    }

    /// Reports each key that is not among `known`.
    pub(super) fn check_keys(&self, known: &[&str], report: &mut Report<'_>) {
        for (key, item) in self.table.iter() {
            if !known.contains(&key) {
                self.report_unknown(key, item, known, report);
            }
        }
    }

    fn report_unknown(&self, key: &str, item: &Item, known: &[&str], report: &mut Report<'_>) {
        let at = self.place_of(key, item);
        let tail = implied_keys(item);
        let written = format!("{}{tail}", self.join(key));
        let meant = nearest(key, known.iter().copied())
            .map(|meant| format!("{}{tail}", self.join(meant)))
            .or_else(|| elsewhere(key).map(str::to_owned));
        let hint = match meant {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None if self.path.is_empty() => format!("known here: {}", known.join(", ")),
            None => format!("known in {}: {}", self.path, known.join(", ")),
        };
        report.problem_as_is(
            at,
            &written,
            format!("unknown key \"{}\" — {hint}", printable(&written)),
        );
    }

    /// The value of `key`.
    pub(super) fn entry(&self, key: &str) -> Option<Entry<'d>> {
        let item = self.table.get(key).filter(|item| !item.is_none())?;
        Some(Entry {
            key: self.join(key),
            at: self.place_of(key, item),
            item,
        })
    }

    /// Every key with its value, in the order of the file.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'d str, Entry<'d>)> {
        self.table
            .iter()
            .filter(|(_, item)| !item.is_none())
            .map(|(key, item)| {
                (
                    key,
                    Entry {
                        key: self.join(key),
                        at: self.place_of(key, item),
                        item,
                    },
                )
            })
    }

    /// A table within this one.
    pub(super) fn section(&self, key: &str, report: &mut Report<'_>) -> Option<Section<'d>> {
        self.entry(key)?.into_section(report)
    }

    /// A text.
    pub(super) fn text(&self, key: &str, report: &mut Report<'_>) -> Option<(&'d str, Entry<'d>)> {
        let entry = self.entry(key)?;
        let Some(text) = entry.item.as_str() else {
            entry.wrong_kind("a text in quotes", report);
            return None;
        };
        Some((text, entry))
    }

    /// A text in the form that `parse` takes; `form` says which, for a value that is no
    /// text. The error's text is completed by the key.
    pub(super) fn parsed<T, E: Display>(
        &self,
        key: &str,
        report: &mut Report<'_>,
        parse: impl FnOnce(&'d str) -> Result<T, E>,
    ) -> Option<T> {
        let (text, entry) = self.text(key, report)?;
        parse(text)
            .map_err(|error| report.problem(entry.at, &entry.key, error))
            .ok()
    }

    /// A span of time within `range`.
    pub(super) fn span(
        &self,
        key: &str,
        range: RangeInclusive<Duration>,
        report: &mut Report<'_>,
    ) -> Option<Duration> {
        self.parsed(key, report, |text| {
            let span = units::span(text).map_err(|error| format!("{text:?} {error}"))?;
            if range.contains(&span) {
                return Ok(span);
            }
            let (low, high) = (
                units::span_text(*range.start()),
                units::span_text(*range.end()),
            );
            Err(format!(
                "{text:?} is out of bounds: at least {low}, at most {high}"
            ))
        })
    }

    /// A size in bytes within `range`.
    pub(super) fn size(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
        report: &mut Report<'_>,
    ) -> Option<u64> {
        self.parsed(key, report, |text| {
            let size = units::size(text).map_err(|error| format!("{text:?} {error}"))?;
            if range.contains(&size) {
                return Ok(size);
            }
            let (low, high) = (
                units::size_text(*range.start()),
                units::size_text(*range.end()),
            );
            Err(format!(
                "{text:?} is out of bounds: at least {low}, at most {high}"
            ))
        })
    }

    /// A whole number within `range`.
    pub(super) fn number(
        &self,
        key: &str,
        range: RangeInclusive<usize>,
        report: &mut Report<'_>,
    ) -> Option<usize> {
        let entry = self.entry(key)?;
        let number = entry
            .item
            .as_integer()
            .and_then(|number| usize::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (low, high) = (range.start(), range.end());
            entry.wrong_kind(&format!("a whole number from {low} to {high}"), report);
        }
        number
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &str, report: &mut Report<'_>) -> Option<bool> {
        let entry = self.entry(key)?;
        let flag = entry.item.as_bool();
        if flag.is_none() {
            entry.wrong_kind("true or false", report);
        }
        flag
    }

    /// The elements of a list of at most `length_max`; none where the key is absent.
    pub(super) fn list(
        &self,
        key: &str,
        length_max: usize,
        report: &mut Report<'_>,
    ) -> Option<Vec<Element<'d>>> {
        let entry = self.entry(key)?;
        let Some(array) = entry.item.as_array() else {
            entry.wrong_kind("a list in [ ]", report);
            return None;
        };
        if array.len() > length_max {
            let message = format!("has {} elements, and may have {length_max}", array.len());
            report.problem(entry.at, &entry.key, message);
            return None;
        }
        Some(entry.elements(array))
    }

    /// Texts of a list, each in the form that `parse` takes; all of them or none.
    pub(super) fn texts<T, E: Display>(
        &self,
        key: &str,
        length_max: usize,
        report: &mut Report<'_>,
        parse: impl Fn(&'d str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let elements = self.list(key, length_max, report)?;
        let whole = elements.len();
        let mut texts = Vec::with_capacity(whole);
        for element in elements {
            let Some(text) = element.value.as_str() else {
                element.wrong_kind("a text in quotes", report);
                continue;
            };
            match parse(text) {
                Ok(parsed) => texts.push(parsed),
                Err(error) => report.problem(element.at, &element.key, error),
            }
        }
        Some(texts).filter(|texts| texts.len() == whole)
    }

    /// The tables of a list, written either as `[[key]]` or as `key = [{ … }]`.
    pub(super) fn sections(
        &self,
        key: &str,
        length_max: usize,
        report: &mut Report<'_>,
    ) -> Vec<Section<'d>> {
        let Some(entry) = self.entry(key) else {
            return Vec::new();
        };
        if let Item::ArrayOfTables(tables) = entry.item {
            return tables
                .iter()
                .take(length_max)
                .enumerate()
                .map(|(index, table)| Section {
                    path: format!("{}[{index}]", entry.key),
                    at: At::start_of(table.span()).unwrap_or(entry.at),
                    table,
                })
                .collect();
        }
        let elements = self.list(key, length_max, report).unwrap_or_default();
        elements
            .into_iter()
            .filter_map(|element| element.into_section(report))
            .collect()
    }

    fn join(&self, key: &str) -> String {
        let key = written(key);
        if self.path.is_empty() {
            key
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn place_of(&self, key: &str, item: &Item) -> At {
        At::start_of(self.table.key(key).and_then(toml_edit::Key::span))
            .or_else(|| At::start_of(item.span()))
            .unwrap_or(self.at)
    }
}

impl<'d> Entry<'d> {
    /// The value as a table.
    pub(super) fn into_section(self, report: &mut Report<'_>) -> Option<Section<'d>> {
        let Some(table) = self.item.as_table_like() else {
            self.wrong_kind("a table", report);
            return None;
        };
        Some(Section {
            path: self.key,
            at: self.at,
            table,
        })
    }

    /// The elements of a list, or the one value that stands in its place.
    pub(super) fn one_or_more(&self, report: &mut Report<'_>) -> Vec<Element<'d>> {
        match self.item {
            Item::Value(Value::Array(array)) => self.elements(array),
            Item::Value(value) => {
                vec![Element {
                    key: self.key.clone(),
                    at: self.at,
                    value,
                }]
            }
            Item::None | Item::Table(_) | Item::ArrayOfTables(_) => {
                self.wrong_kind("a value or a list of values", report);
                Vec::new()
            }
        }
    }

    /// The place within this value to which a JSON pointer leads, as near as it is known.
    pub(super) fn find(&self, pointer: &str) -> At {
        let mut item = self.item;
        let mut at = self.at;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            // An element of a list has no item of its own; the list is near enough.
            let Some(table) = item.as_table_like() else {
                break;
            };
            let Some(next) = table.get(&step) else { break };
            let key = table.key(&step);
            at = At::start_of(key.and_then(toml_edit::Key::span).or(next.span())).unwrap_or(at);
            item = next;
        }
        at
    }

    /// Reports that the value is something else than `expected`.
    pub(super) fn wrong_kind(&self, expected: &str, report: &mut Report<'_>) {
        let kind = self.item.type_name();
        report.problem(
            self.at,
            &self.key,
            format!("has to be {expected}, and is {}", kind_text(kind)),
        );
    }

    fn elements(&self, array: &'d toml_edit::Array) -> Vec<Element<'d>> {
        array
            .iter()
            .enumerate()
            .map(|(index, value)| Element {
                key: format!("{}[{index}]", self.key),
                at: At::start_of(value.span()).unwrap_or(self.at),
                value,
            })
            .collect()
    }
}

impl<'d> Element<'d> {
    /// The element as a table.
    pub(super) fn into_section(self, report: &mut Report<'_>) -> Option<Section<'d>> {
        let Some(table) = self.value.as_inline_table() else {
            self.wrong_kind("a table in { }", report);
            return None;
        };
        Some(Section {
            path: self.key,
            at: self.at,
            table,
        })
    }

    /// Reports that the element is something else than `expected`.
    pub(super) fn wrong_kind(&self, expected: &str, report: &mut Report<'_>) {
        let kind = self.value.type_name();
        report.problem(
            self.at,
            &self.key,
            format!("has to be {expected}, and is {}", kind_text(kind)),
        );
    }
}

fn kind_text(type_name: &str) -> &'static str {
    match type_name {
        "string" => "a text",
        "integer" => "a whole number",
        "float" => "a number",
        "boolean" => "true or false",
        "datetime" => "a date",
        "array" => "a list",
        "inline table" | "table" => "a table",
        "array of tables" => "a list of tables",
        _ => "nothing",
    }
}

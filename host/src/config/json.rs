//! TOML as JSON, for what plugins and documents of the core take as JSON.

use serde_json::Value as Json;
use toml_edit::{Item, TableLike, Value};

use super::problem::{At, Report};

/// A value as JSON; dates become texts, and numbers that JSON lacks are reported.
pub(super) fn to_json(item: &Item, key: &str, at: At, report: &mut Report<'_>) -> Option<Json> {
    match item {
        Item::None => None,
        Item::Value(value) => value_to_json(value, key, at, report),
        Item::Table(table) => table_to_json(table, key, at, report),
        Item::ArrayOfTables(tables) => {
            let elements = tables
                .iter()
                .map(|table| table_to_json(table, key, at, report));
            elements.collect::<Option<Vec<_>>>().map(Into::into)
        }
    }
}

fn value_to_json(value: &Value, key: &str, at: At, report: &mut Report<'_>) -> Option<Json> {
    match value {
        Value::String(text) => Some(text.value().as_str().into()),
        Value::Integer(number) => Some((*number.value()).into()),
        Value::Boolean(flag) => Some((*flag.value()).into()),
        Value::Datetime(date) => Some(date.value().to_string().into()),
        Value::Float(number) => {
            let json = serde_json::Number::from_f64(*number.value()).map(Json::Number);
            if json.is_none() {
                report.problem(at, key, "holds inf or nan, which JSON cannot say");
            }
            json
        }
        Value::Array(array) => {
            let elements = array
                .iter()
                .map(|value| value_to_json(value, key, at, report));
            elements.collect::<Option<Vec<_>>>().map(Into::into)
        }
        Value::InlineTable(table) => table_to_json(table, key, at, report),
    }
}

fn table_to_json(
    table: &dyn TableLike,
    key: &str,
    at: At,
    report: &mut Report<'_>,
) -> Option<Json> {
    let mut object = serde_json::Map::new();
    for (name, item) in table.iter() {
        object.insert(name.to_owned(), to_json(item, key, at, report)?);
    }
    Some(object.into())
}

//! The names of files that are full or old, and which of them stay.

use std::fs;
use std::path::{Path, PathBuf};

use super::FileSink;
use super::writer::{FileError, doing, folder};

/// How the name of the rotated file with that number ends.
fn ending(number: u64) -> String {
    format!("{number:06}")
}

/// The number of which that is the ending. Any other form is somebody else's file, which
/// is never removed.
fn number(text: &str) -> Option<u64> {
    let number = text.parse().ok()?;
    (ending(number) == text).then_some(number)
}

/// The file of which one with this name would be taken for a rotated one, and in time be
/// removed.
pub fn rotated_from(path: &Path) -> Option<PathBuf> {
    let (name, ending) = path.file_name()?.to_str()?.rsplit_once('.')?;
    number(ending)?;
    (!name.is_empty()).then(|| path.with_file_name(name))
}

/// The rotated files beside that one with their numbers, the oldest first.
pub(super) fn rotated(path: &Path) -> Result<Vec<(u64, PathBuf)>, FileError> {
    let folder = folder(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!("{name}.");
    let mut found = Vec::new();
    for entry in doing("list", folder, fs::read_dir(folder))? {
        let entry = doing("list", folder, entry)?;
        let own = entry.file_name();
        let ending = own.to_str().and_then(|own| own.strip_prefix(&prefix));
        if let Some(number) = ending.and_then(number) {
            found.push((number, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// Gives the current file the next number, and removes the oldest beyond what is kept.
pub(super) fn retire(sink: &FileSink) -> Result<(), FileError> {
    let mut older = rotated(&sink.path)?;
    let next = older
        .last()
        .map_or(1, |(number, _)| number.saturating_add(1));
    let mut name = sink.path.clone().into_os_string();
    name.push(format!(".{}", ending(next)));
    let name = PathBuf::from(name);
    doing("rotate", &sink.path, fs::rename(&sink.path, &name))?;
    older.push((next, name));
    let surplus = older.len().saturating_sub(sink.keep);
    for (_, path) in older.into_iter().take(surplus) {
        doing("remove", &path, fs::remove_file(&path))?;
    }
    Ok(())
}

//! The names of files that are full or old, and which of them stay.

use std::fs;
use std::path::{Path, PathBuf};

use super::FileSink;
use super::writer::{FileError, doing, folder};

/// The rotated files beside that one with their numbers, the oldest first.
pub(super) fn rotated(path: &Path) -> Result<Vec<(u64, PathBuf)>, FileError> {
    let folder = folder(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!("{name}.");
    let mut found = Vec::new();
    for entry in doing("list", folder, fs::read_dir(folder))? {
        let entry = doing("list", folder, entry)?;
        let own = entry.file_name();
        let number = own
            .to_str()
            .and_then(|own| own.strip_prefix(&prefix))
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok());
        if let Some(number) = number {
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
    name.push(format!(".{next:06}"));
    let name = PathBuf::from(name);
    doing("rotate", &sink.path, fs::rename(&sink.path, &name))?;
    older.push((next, name));
    let surplus = older.len().saturating_sub(sink.keep);
    for (_, path) in older.into_iter().take(surplus) {
        doing("remove", &path, fs::remove_file(&path))?;
    }
    Ok(())
}

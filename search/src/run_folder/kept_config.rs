//! The config that a run folder keeps: read, compared with another, and written.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use toml::{Table, Value};

use super::failed;
use crate::StudyError;

/// The first key at which two tables differ, with both values; `free` keys and what lies below them do not count.
pub(super) fn difference(
    path: &str,
    before: &Table,
    now: &Table,
    free: &[&str],
) -> Option<(String, String, String)> {
    let keys = before.keys().chain(now.keys().filter(|key| !before.contains_key(*key)));
    for key in keys {
        let dotted = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if free.contains(&dotted.as_str()) {
            continue;
        }
        match (before.get(key), now.get(key)) {
            (Some(Value::Table(before)), Some(Value::Table(now))) => {
                if let Some(found) = difference(&dotted, before, now, free) {
                    return Some(found);
                }
            }
            (before, now) if before == now => {}
            (before, now) => {
                let show = |value: Option<&Value>| match value {
                    Some(value) => format!("`{value}`"),
                    None => "not set".to_owned(),
                };
                return Some((dotted, show(before), show(now)));
            }
        }
    }
    None
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Table, StudyError> {
    toml::from_str(text)
        .map_err(|source| StudyError::Config { path: path.to_owned(), source: Box::new(source) })
}

pub(super) fn read_text(path: &Path) -> Result<Option<String>, StudyError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, "read")(error)),
    }
}

/// Writes a file beside its place and moves it there, so that it is never seen half written.
pub(super) fn write_whole(path: &Path, text: &str) -> Result<(), StudyError> {
    let beside = path.with_extension("tmp");
    let write = || {
        let mut file = File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|source| {
        // What is left of a failed write is of no use; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&beside);
        failed(path, "write")(source)
    })
}

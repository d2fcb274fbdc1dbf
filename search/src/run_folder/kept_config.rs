//! The config that a run folder keeps: read, compared with another, and written.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use toml::{Table, Value};

use super::failed;
use crate::StudyError;

/// Bytes of the longest config that is read.
const MAX_BYTES: u64 = 4 << 20;

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
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, "read")(error)),
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(StudyError::TooLong { path: path.to_owned(), max_bytes: MAX_BYTES });
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let byte = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..byte].split(|byte| *byte == b'\n').count();
        StudyError::NotUtf8 { path: path.to_owned(), line, byte }
    })?;
    Ok(Some(text))
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

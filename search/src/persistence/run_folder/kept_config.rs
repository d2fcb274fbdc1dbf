//! Reads, compares and writes the config in a run folder.

use std::path::Path;

use kiln_files::ContentHash;
use toml::{Table, Value};

use crate::error::StudyError;

/// Prefix of the last line. A hash of all lines before the last one follows the prefix.
const CHECK: &str = "# check: ";
/// Maximum size of a config in bytes.
const LONGEST_BYTES: u64 = 16 << 20;

/// A key at which two configs differ, with both values.
pub(super) struct Difference {
    /// Dotted name of the key.
    pub(super) key: String,
    /// Value in the first config, or `not set`.
    pub(super) before: String,
    /// Value in the second config, or `not set`.
    pub(super) after: String,
}

/// Returns the first key at which two tables differ. `free` keys, and keys below them, are ignored.
pub(super) fn difference(path: &str, before: &Table, now: &Table, free: &[&str]) -> Option<Difference> {
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
                return Some(Difference { key: dotted, before: show(before), after: show(now) });
            }
        }
    }
    None
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Table, StudyError> {
    toml::from_str(text)
        .map_err(|source| StudyError::Config { path: path.to_owned(), source: Box::new(source) })
}

/// The config of a run folder.
pub(super) struct Kept {
    /// Text of the config without the last line.
    pub(super) text: String,
    /// Whether the text does not match the hash in the last line. Configs of older builds have no such line.
    pub(super) is_changed: bool,
}

/// Reads the config. Returns `None` if there is no config.
pub(super) fn read(path: &Path) -> Result<Option<Kept>, StudyError> {
    let text = kiln_files::optional(kiln_files::read_text(path, LONGEST_BYTES))?;
    Ok(text.map(|text| {
        let last = text.trim_end_matches('\n').rfind('\n').map_or(0, |end| end + 1);
        let (body, line) = text.split_at(last);
        let is_changed = line.starts_with(CHECK) && line != check(body);
        let text = if line.starts_with(CHECK) { body.to_owned() } else { text };
        Kept { text, is_changed }
    }))
}

/// Writes the config, followed by a line with a hash that reveals later changes. The line is a comment, so
/// the file stays a valid config.
pub(super) fn write(path: &Path, text: &str) -> Result<(), StudyError> {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let body = format!("{text}{end}");
    let line = check(&body);
    Ok(kiln_files::write(path, format!("{body}{line}").as_bytes())?)
}

/// Returns the last line of a config with this text.
fn check(text: &str) -> String {
    format!("{CHECK}{}\n", ContentHash::of(text.as_bytes()))
}

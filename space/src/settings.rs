//! Settings of a registered part as the user wrote them. The part reads them into its own type; errors name
//! the key.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;
use thiserror::Error;

/// A table of settings and its dotted path in the user's file.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    path: String,
    table: Map<String, Value>,
}

/// A setting that cannot be used. The binary adds file, line and the nearest accepted key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{key}`: {problem}")]
pub struct SettingsError {
    /// Dotted path of the key, such as `space.stages.0.width`.
    pub key: String,
    /// What was found and what is accepted.
    pub problem: String,
}

impl SettingsError {
    /// An impossible value at `key`: what was found and what is accepted.
    #[must_use]
    pub fn value(key: impl Into<String>, found: impl std::fmt::Display, expected: &str) -> Self {
        Self { key: key.into(), problem: format!("found {found}, expected {expected}") }
    }
}

impl Settings {
    /// Settings at `path`.
    #[must_use]
    pub fn new(path: impl Into<String>, table: Map<String, Value>) -> Self {
        Self { path: path.into(), table }
    }

    /// An empty table: every default holds.
    #[must_use]
    pub fn empty(path: impl Into<String>) -> Self {
        Self::new(path, Map::new())
    }

    /// The dotted path of this table.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The raw values.
    #[must_use]
    pub const fn table(&self) -> &Map<String, Value> {
        &self.table
    }

    /// The dotted path of a key of this table.
    #[must_use]
    pub fn key(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Reads the table into a type, which should refuse unknown fields.
    ///
    /// # Errors
    /// [`SettingsError`] with the key of an unknown name, a wrong type or a missing value.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        serde_path_to_error::deserialize(Value::Object(self.table.clone())).map_err(|error| {
            let key = error.path().iter().fold(self.path.clone(), |path, segment| match segment {
                Segment::Seq { index } => join(&path, &index.to_string()),
                Segment::Map { key } => join(&path, key),
                // An enum variant is a value, not a key, and an unknown segment has no name. Skip both.
                Segment::Enum { .. } | Segment::Unknown => path,
            });
            SettingsError { key, problem: error.into_inner().to_string() }
        })
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Outer {
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        width: usize,
    }

    fn message(table: Value) -> String {
        let Value::Object(table) = table else { panic!("a table") };
        Settings::new("space", table).read::<Outer>().unwrap_err().to_string()
    }

    #[test]
    fn read_errors_name_the_dotted_path_of_the_key() {
        assert_eq!(
            message(json!({ "inner": [{ "width": 1 }, { "width": "x" }] })),
            "`space.inner.1.width`: invalid type: string \"x\", expected usize"
        );
        assert_eq!(
            message(json!({ "inner": [{ "widht": 1 }] })),
            "`space.inner.0.widht`: unknown field `widht`, expected `width`"
        );
        assert_eq!(message(json!({ "inner": [{}] })), "`space.inner.0`: missing field `width`");
        assert_eq!(message(json!({})), "`space`: missing field `inner`");
    }
}

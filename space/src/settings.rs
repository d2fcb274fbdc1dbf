//! Settings of a registered part, as the user wrote them. The part deserializes them into its own type.
//! Errors name the key.

mod problem;
mod values;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;
use thiserror::Error;

pub use self::problem::{Found, Mismatch, SettingsProblem};
use self::values::Values;

/// A table of settings and its dotted path in the user's file.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    path: String,
    table: Map<String, Value>,
}

/// A setting that cannot be used. The program `kiln` adds the file, the line and the nearest accepted key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{key}`: {problem}")]
pub struct SettingsError {
    /// Dotted path of the key, such as `space.stages.0.width`.
    pub key: String,
    /// What is wrong with the setting.
    pub problem: SettingsProblem,
}

impl SettingsError {
    /// Creates the error for an impossible value at `key`. The message states `found` and `expected`.
    #[must_use]
    pub fn value(key: impl Into<String>, found: impl std::fmt::Display, expected: &str) -> Self {
        let problem = SettingsProblem::Value { found: found.to_string(), expected: expected.to_owned() };
        Self { key: key.into(), problem }
    }

    /// Creates the error for settings that break a rule of their part. `sentence` states the rule.
    #[must_use]
    pub fn rule(key: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { key: key.into(), problem: SettingsProblem::Rule(sentence.into()) }
    }
}

impl Settings {
    /// Creates settings from a table at `path`.
    #[must_use]
    pub fn new(path: impl Into<String>, table: Map<String, Value>) -> Self {
        Self { path: path.into(), table }
    }

    /// Creates an empty table, so every setting has its default.
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

    /// Deserializes the table into a type, which should refuse unknown fields.
    ///
    /// # Errors
    /// [`SettingsError`] with the key, if the key is unknown or missing or its value has the wrong type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        serde_path_to_error::deserialize(Values(Value::Object(self.table.clone()))).map_err(|error| {
            let key = error.path().iter().fold(self.path.clone(), |path, segment| match segment {
                Segment::Seq { index } => join(&path, &index.to_string()),
                Segment::Map { key } => join(&path, key),
                // An enum variant is a value, not a key, and an unknown segment has no name. Skip both.
                Segment::Enum { .. } | Segment::Unknown => path,
            });
            SettingsError { key, problem: error.into_inner() }
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

    /// Has a field for every kind of value that settings can contain.
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Every {
        flag: Option<bool>,
        count: Option<u32>,
        signed: Option<i64>,
        share: Option<f32>,
        pair: Option<[u8; 2]>,
        name: Option<Name>,
        scalar: Option<Scalar>,
        open: Option<Value>,
        by_name: Option<std::collections::BTreeMap<String, f64>>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Name {
        Plain,
        Wide(u8),
        Deep { layers: u8 },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Scalar {
        Number(f64),
        Text(String),
    }

    #[test]
    fn settings_are_read_and_refused_as_by_serde_json() {
        let values = [
            json!(true),
            json!(3),
            json!(-3),
            json!(1.5),
            json!(1e300),
            json!("plain"),
            json!("wide"),
            json!(null),
            json!([1, 2]),
            json!([1, 2, 3]),
            json!([1]),
            json!([1, "x"]),
            json!({ "wide": 3 }),
            json!({ "wide": 300 }),
            json!({ "deep": { "layers": 2 } }),
            json!({ "deep": { "layer": 2 } }),
            json!({ "deep": {} }),
            json!({ "deep": 1, "wide": 2 }),
            json!({}),
        ];
        for key in ["flag", "count", "signed", "share", "pair", "name", "scalar", "open", "by_name", "other"]
        {
            for value in &values {
                let table = json!({ key: value });
                let settings = Settings::new("space", table.as_object().unwrap().clone());
                let own = settings.read::<Every>().map_err(|error| error.problem.to_string());
                let theirs = serde_json::from_value::<Every>(table).map_err(|error| error.to_string());
                assert_eq!(own, theirs, "{key} = {value}");
            }
        }
    }
}

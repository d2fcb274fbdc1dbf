//! From what a part says about its settings to what a person reads: place, kinder words, the nearest accepted name.

use kiln_space::SettingsError;

use super::tables::keys_beside_settings;
use super::{ConfigError, Document};

/// How serde names types, and how people do.
const WORDS: [(&str, &str); 12] = [
    ("u8", "a whole number from 0 to 255"),
    ("u16", "a whole number from 0 to 65535"),
    ("u32", "a whole number from 0 to 4294967295"),
    ("u64", "a whole number, at least 0"),
    ("usize", "a whole number, at least 0"),
    ("i32", "a whole number"),
    ("i64", "a whole number"),
    ("f32", "a number"),
    ("f64", "a number"),
    ("a boolean", "`true` or `false`"),
    ("a sequence", "a list"),
    ("a map", "a table"),
];

/// The name most like `found`, if one is like it at all.
pub(super) fn nearest<'a>(found: &str, accepted: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let alike = |name: &str| strsim::damerau_levenshtein(&found.to_lowercase(), &name.to_lowercase());
    let closest = accepted.into_iter().min_by_key(|name| (alike(name), *name))?;
    let enough = alike(closest) <= (found.chars().count().max(closest.chars().count()) / 2).max(1);
    enough.then(|| closest.to_owned())
}

impl Document {
    /// The error of a part's settings, shown where the key stands.
    #[must_use]
    pub fn explain(&self, error: &SettingsError) -> ConfigError {
        let SettingsError { key, problem } = error;
        if let Some(field) = problem.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) {
            let table = key.strip_suffix(field).map_or(key.as_str(), |table| table.trim_end_matches('.'));
            let listed = problem.split_once(", ").map_or("", |(_, rest)| rest);
            return self.unknown_key(table, field, quoted(listed));
        }
        if let Some(field) = problem.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
            return self.missing(&join(key, field), "a value");
        }
        let problem = in_words(problem);
        let nearest = problem.split_once("expected").and_then(|(found, expected)| {
            let found = quoted(found).into_iter().next()?;
            nearest(&found, quoted(expected).iter().map(String::as_str))
        });
        ConfigError::Value { place: self.place(key), problem, nearest }
    }

    /// A key that nothing reads; `accepted` are those that are read in its table.
    pub(super) fn unknown_key(&self, table: &str, key: &str, mut accepted: Vec<String>) -> ConfigError {
        let place = self.place(&join(table, key));
        let table = self.place(table).key;
        for key in keys_beside_settings(&table) {
            if !accepted.iter().any(|accepted| accepted == key) {
                accepted.push((*key).to_owned());
            }
        }
        let nearest = nearest(key, accepted.iter().map(String::as_str));
        ConfigError::UnknownKey { place, accepted, nearest }
    }

    /// A key that must be there and is not.
    pub(crate) fn missing(&self, key: &str, expected: &str) -> ConfigError {
        ConfigError::Missing { place: self.place(key), expected: expected.to_owned() }
    }

    /// An impossible value.
    pub(crate) fn value(&self, key: &str, found: impl std::fmt::Display, expected: &str) -> ConfigError {
        self.explain(&SettingsError::value(key, found, expected))
    }
}

fn join(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

/// What stands in backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// serde's sentence in the project's words: `found .., expected ..`.
fn in_words(problem: &str) -> String {
    let stripped = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant "]
        .iter()
        .find_map(|prefix| problem.strip_prefix(prefix));
    let Some((found, expected)) = stripped.and_then(|rest| rest.split_once(", expected ")) else {
        return problem.to_owned();
    };
    let plain = WORDS.iter().find(|(word, _)| *word == expected).map(|(_, plain)| *plain);
    let expected = plain.unwrap_or(if expected.starts_with("struct ") { "a table" } else { expected });
    let found = match found {
        "map" => "a table",
        "sequence" => "a list",
        other => other,
    };
    format!("found {found}, expected {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_only_named_when_it_is_near() {
        let names = ["trials", "strategy", "objectives"];
        assert_eq!(nearest("trails", names).as_deref(), Some("trials"));
        assert_eq!(nearest("Objective", names).as_deref(), Some("objectives"));
        assert_eq!(nearest("latency", names), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn serde_speaks_in_words() {
        assert_eq!(
            in_words("invalid type: string \"a\", expected u32"),
            "found string \"a\", expected a whole number from 0 to 4294967295"
        );
        assert_eq!(in_words("invalid type: map, expected f64"), "found a table, expected a number");
        assert_eq!(in_words("found 1, expected at least 2"), "found 1, expected at least 2");
    }
}

//! Turns an error in a part's settings into a message for the user. The message adds the place of the error
//! and the most similar accepted name. It replaces technical type names with plain words.

use kiln_space::{Found, SettingsError, SettingsProblem};

use super::tables::keys_beside_settings;
use super::{ConfigError, Document};

/// Type names in serde's errors, each with the words that replace it in messages.
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

/// Returns the accepted name that is most similar to `found`. Returns `None` if no name is similar enough.
#[must_use]
pub fn nearest<'a>(found: &str, accepted: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let alike = |name: &str| strsim::damerau_levenshtein(&found.to_lowercase(), &name.to_lowercase());
    let closest = accepted.into_iter().min_by_key(|name| (alike(name), *name))?;
    let enough = alike(closest) <= (found.chars().count().max(closest.chars().count()) / 2).max(1);
    enough.then(|| closest.to_owned())
}

impl Document {
    /// Adds the key's place to an error in a part's settings.
    #[must_use]
    pub fn explain(&self, error: &SettingsError) -> ConfigError {
        let SettingsError { key, problem } = error;
        let (problem, nearest) = match problem {
            SettingsProblem::UnknownKey { found, accepted } => {
                let table = key.strip_suffix(found.as_str()).unwrap_or(key).trim_end_matches('.');
                return self.unknown_key(table, found, accepted.clone());
            }
            SettingsProblem::MissingKey { key: missing } => {
                return self.missing(&join(key, missing), "a value");
            }
            SettingsProblem::UnknownName { found, accepted } => {
                (in_words(problem), nearest(found, accepted.iter().map(String::as_str)))
            }
            // Parts put accepted names in backticks.
            SettingsProblem::Value { found, expected } => {
                let accepted = quoted(expected);
                let found = quoted(found).into_iter().next();
                let nearest = found.and_then(|found| nearest(&found, accepted.iter().map(String::as_str)));
                (problem.clone(), nearest)
            }
            problem => (in_words(problem), None),
        };
        ConfigError::Value { place: self.place(key), problem: Box::new(problem), nearest }
    }

    /// Makes the error for a key that no part reads. `accepted` lists the accepted keys of the same table.
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

    /// Makes the error for a required key that is missing.
    pub(crate) fn missing(&self, key: &str, expected: &str) -> ConfigError {
        ConfigError::Missing { place: self.place(key), expected: expected.to_owned() }
    }

    /// Makes the error for a value that cannot be used.
    pub(crate) fn value(&self, key: &str, found: impl std::fmt::Display, expected: &str) -> ConfigError {
        self.explain(&SettingsError::value(key, found, expected))
    }
}

fn join(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

/// Returns the texts between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Describes a mismatch as `found .., expected ..`, in plain words and without serde's type names.
fn in_words(problem: &SettingsProblem) -> SettingsProblem {
    match problem {
        SettingsProblem::Mismatch { found, expected, .. } => {
            let plain = WORDS.iter().find(|(word, _)| word == expected).map(|(_, plain)| *plain);
            let a_struct = if expected.starts_with("struct ") { "a table" } else { expected };
            let found = match found {
                Found::Table => "a table".to_owned(),
                Found::List => "a list".to_owned(),
                Found::Plain(value) => value.clone(),
            };
            SettingsProblem::Value { found, expected: plain.unwrap_or(a_struct).to_owned() }
        }
        SettingsProblem::UnknownName { found, accepted } => {
            let expected = match accepted.as_slice() {
                [one] => format!("`{one}`"),
                [one, other] => format!("`{one}` or `{other}`"),
                _ => format!("one of `{}`", accepted.join("`, `")),
            };
            SettingsProblem::Value { found: format!("`{found}`"), expected }
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use kiln_space::Mismatch;

    use super::*;

    #[test]
    fn nearest_name_is_given_only_if_similar() {
        let names = ["trials", "strategy", "objectives"];
        assert_eq!(nearest("trails", names).as_deref(), Some("trials"));
        assert_eq!(nearest("Objective", names).as_deref(), Some("objectives"));
        assert_eq!(nearest("latency", names), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn mismatch_is_shown_without_serde_type_names() {
        let told = |found: Found, expected: &str| {
            let expected = expected.to_owned();
            in_words(&SettingsProblem::Mismatch { kind: Mismatch::Type, found, expected }).to_string()
        };
        assert_eq!(
            told(Found::Plain("string \"a\"".to_owned()), "u32"),
            "found string \"a\", expected a whole number from 0 to 4294967295"
        );
        assert_eq!(told(Found::Table, "f64"), "found a table, expected a number");
        assert_eq!(told(Found::List, "struct Stage"), "found a list, expected a table");
        let rule = SettingsProblem::Rule("`a` and `b` exclude each other".to_owned());
        assert_eq!(in_words(&rule), rule);
    }
}

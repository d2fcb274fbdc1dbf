//! Names that MLflow accepts.

use kiln_files::ContentHash;
use serde_json::{Map, Value};

/// Longest name of a metric or parameter. MLflow accepts 250 characters.
const LONGEST: usize = 200;
/// Longest value of a parameter. Older servers accept 500 characters.
const LONGEST_VALUE: usize = 500;
/// Maximum number of parameters that are sent.
const PARAMETERS_MAX: usize = 400;

/// Returns a name that MLflow accepts: letters, digits, `_`, `-`, `.`, spaces and `/` between parts of a
/// path. Different names stay different.
pub(super) fn accepted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | '/');
    // A device follows `@`, and the device's name is better read as a part of the path.
    let path = name.replace('@', "/");
    let is_path = path.split('/').all(|part| !part.trim().is_empty() && part != "." && part != "..");
    if is_path && path.len() <= LONGEST && path.chars().all(plain) {
        return path;
    }
    let kept: String =
        path.chars().map(|c| if plain(c) && c != '/' { c } else { '_' }).take(LONGEST).collect();
    let hash = ContentHash::of(name.as_bytes()).to_string();
    format!("{kept}-{}", hash.get(..8).unwrap_or(&hash))
}

/// Returns the values of a config with their dotted keys, as parameters of a run. Long values are cut.
pub(super) fn parameters(config: &Map<String, Value>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (key, value) in config {
        collect(key, value, &mut found);
    }
    found.truncate(PARAMETERS_MAX);
    found
}

fn collect(key: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(table) => {
            for (inner, value) in table {
                collect(&format!("{key}.{inner}"), value, found);
            }
        }
        Value::Array(values) if values.iter().any(Value::is_object) => {
            for (index, value) in values.iter().enumerate() {
                collect(&format!("{key}.{index}"), value, found);
            }
        }
        Value::String(text) => found.push((accepted(key), cut(text))),
        plain => found.push((accepted(key), cut(&plain.to_string()))),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_VALUE).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn usual_names_stay_and_devices_become_parts_of_the_path() {
        assert_eq!(accepted("search/best_error_percent"), "search/best_error_percent");
        assert_eq!(accepted("search/best_latency_us@pi 4"), "search/best_latency_us/pi 4");
        let odd = ["a/../b", "a//b", "a@", "/a", "é", "a\nb", "a\"b", ""];
        let names: BTreeSet<String> = odd.iter().map(|name| accepted(name)).collect();
        assert_eq!(names.len(), odd.len(), "{names:?}");
    }

    #[test]
    fn config_becomes_parameters_with_dotted_keys() {
        let config = json!({
            "study": { "name": "a", "seed": 1 },
            "space": { "kind": "stages", "width": [8, 16], "stages": [{ "depth": 2 }, { "depth": 3 }] },
        });
        let expected = [
            ("space.kind", "stages"),
            ("space.stages.0.depth", "2"),
            ("space.stages.1.depth", "3"),
            ("space.width", "[8,16]"),
            ("study.name", "a"),
            ("study.seed", "1"),
        ];
        let mut found = parameters(config.as_object().unwrap());
        found.sort();
        assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    proptest! {
        #[test]
        fn every_name_becomes_an_accepted_one(name in "\\PC{0,300}|[ -~\n\r\t]{0,300}") {
            let found = accepted(&name);
            prop_assert!(!found.is_empty() && found.len() <= 250);
            prop_assert!(found.chars().all(|c| c.is_ascii_alphanumeric() || "_-. /".contains(c)));
            prop_assert!(found.split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
        }
    }
}

//! Differences between two configs.

use serde_json::{Map, Value};

use super::RESOLVED;

/// A key at which two configs differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Dotted path of the key. The path is empty if the values as a whole differ.
    pub key: String,
    /// The key's value in the first config, as text.
    pub there: String,
    /// The key's value in the second config, as text.
    pub here: String,
}

/// Returns the first key at which two values differ. `key` is the dotted path of the two values; for whole
/// configs, this path is empty.
#[must_use]
pub fn difference(key: &str, there: &Value, here: &Value) -> Option<Difference> {
    let shown = |value: &Value| if value.is_null() { "not set".to_owned() } else { format!("`{value}`") };
    let differ = |there: &Value, here: &Value| Difference {
        key: key.to_owned(),
        there: shown(there),
        here: shown(here),
    };
    match (there, here) {
        (Value::Object(there), Value::Object(here)) => {
            let mut keys: Vec<&String> =
                there.keys().chain(here.keys().filter(|key| !there.contains_key(*key))).collect();
            // Kiln derives the table `resolved` from the other tables. A difference in a table that the user
            // wrote is therefore more helpful.
            keys.sort_by_key(|inner| *inner == RESOLVED);
            let of = |table: &Map<String, Value>, key: &str| table.get(key).cloned().unwrap_or_default();
            let dotted =
                |inner: &str| if key.is_empty() { inner.to_owned() } else { format!("{key}.{inner}") };
            keys.into_iter().find_map(|inner| difference(&dotted(inner), &of(there, inner), &of(here, inner)))
        }
        (Value::Array(before), Value::Array(now)) if before.len() == now.len() => before
            .iter()
            .zip(now)
            .enumerate()
            .find_map(|(index, (there, here))| difference(&format!("{key}.{index}"), there, here))
            .map(|found| if before.iter().all(Value::is_object) { found } else { differ(there, here) }),
        (there, here) => (there != here).then(|| differ(there, here)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn difference_names_first_key_with_both_values() {
        let found = |there: Value, here: Value| {
            let found = difference("space", &there, &here);
            found.map(|Difference { key, there, here }| format!("{key} {there} {here}"))
        };
        assert_eq!(found(json!({ "width": [8, 16] }), json!({ "width": [8, 16] })), None);
        let cases = [
            (json!({ "width": [8, 16] }), json!({ "width": [8, 32] }), "space.width `[8,16]` `[8,32]`"),
            (json!({ "width": [8] }), json!({ "width": [8, 32] }), "space.width `[8]` `[8,32]`"),
            (json!({ "width": 8 }), json!({ "width": 8, "b": 1 }), "space.b not set `1`"),
            (
                json!({ "stages": [{ "kernel": 3 }, { "kernel": 3 }] }),
                json!({ "stages": [{ "kernel": 3 }, { "kernel": 5 }] }),
                "space.stages.1.kernel `3` `5`",
            ),
        ];
        for (there, here, expected) in cases {
            assert_eq!(found(there, here).as_deref(), Some(expected));
        }
    }
}

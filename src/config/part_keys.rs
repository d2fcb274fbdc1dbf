//! Keys of the tables that registered parts read themselves, with what they hold. They stand in `keys.toml`,
//! because the parts' settings are private to their crates. `tests/guide` compares them with what parts
//! accept.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The content of `keys.toml`.
pub(super) struct PartKeys(Map<String, Value>);

impl PartKeys {
    /// Reads what was compiled in.
    pub(super) fn builtin() -> Self {
        Self(toml::from_str(include_str!("keys.toml")).expect("a test reads the file"))
    }

    /// Pieces of schema that others refer to as `#/$defs/NAME`.
    pub(super) fn definitions(&self) -> &Value {
        &self.0["defs"]
    }

    /// Keys of one part of a table, each with its schema.
    pub(super) fn of(&self, table: &str, kind: &str) -> BTreeMap<String, Value> {
        let groups = self.groups(table).filter(|group| {
            group
                .get("of")
                .and_then(Value::as_array)
                .is_none_or(|kinds| kinds.iter().any(|name| name == kind))
        });
        groups.flat_map(|group| keys(group).map(|(key, schema)| (key.clone(), schema.clone()))).collect()
    }

    /// Keys of all parts of a table. A key that parts read differently takes the schema of any of them.
    pub(super) fn all(&self, table: &str) -> Map<String, Value> {
        let mut found: BTreeMap<&String, Vec<&Value>> = BTreeMap::new();
        for (key, schema) in self.groups(table).flat_map(keys) {
            let schemas = found.entry(key).or_default();
            if !schemas.contains(&schema) {
                schemas.push(schema);
            }
        }
        let one = |(key, schemas): (&String, Vec<&Value>)| match schemas.as_slice() {
            [schema] => (key.clone(), (*schema).clone()),
            several => (key.clone(), json!({ "anyOf": several })),
        };
        found.into_iter().map(one).collect()
    }

    /// For each of these parts, as far as its keys are known: a table that names it has no others.
    pub(super) fn limits<'a>(&self, table: &str, kinds: impl Iterator<Item = &'a str>) -> Vec<Value> {
        let known = kinds.filter(|kind| self.knows(table, kind));
        let limit = |kind: &str| {
            let properties = self.of(table, kind);
            let names: Vec<&str> = properties.keys().map(String::as_str).chain(["kind"]).collect();
            json!({
                "if": { "properties": { "kind": { "const": kind } } },
                "then": { "propertyNames": { "enum": names }, "properties": properties },
            })
        };
        known.map(limit).collect()
    }

    /// Whether the file lists all keys of a part. Parts that others register are not in it.
    fn knows(&self, table: &str, kind: &str) -> bool {
        const WITHOUT_KEYS_OF_THEIR_OWN: [&str; 3] = ["digits", "random", "local_search"];
        let named = |group: &Value| {
            group
                .get("of")
                .and_then(Value::as_array)
                .is_some_and(|kinds| kinds.iter().any(|name| name == kind))
        };
        WITHOUT_KEYS_OF_THEIR_OWN.contains(&kind) || self.groups(table).any(named)
    }

    fn groups(&self, table: &str) -> impl Iterator<Item = &Value> {
        self.0.get(table).and_then(Value::as_array).into_iter().flatten()
    }
}

fn keys(group: &Value) -> impl Iterator<Item = (&String, &Value)> {
    group.get("keys").and_then(Value::as_object).into_iter().flatten()
}

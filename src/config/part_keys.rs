//! Keys that registered parts read from their tables, each with its JSON schema. Every part describes the
//! keys of its own settings. `keys.toml` contains the definitions that parts share. It also contains the keys
//! of tables that no registered part reads. `tests/guide` compares the described keys with the keys that
//! parts accept.

use std::collections::BTreeMap;

use kiln_space::Registry;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::assembly::{Registries, TABLE};

/// Schemas by key.
type Keys = BTreeMap<String, Value>;

/// The keys of every part. The value is `None` for a part that does not describe its keys.
pub(super) struct PartKeys {
    definitions: Value,
    finish: Keys,
    tables: BTreeMap<&'static str, BTreeMap<String, Option<Keys>>>,
}

impl PartKeys {
    /// Reads the keys of all registered parts.
    ///
    /// # Panics
    /// If the keys of a part are not valid TOML. The message names the part.
    pub(super) fn new(registries: &Registries) -> Self {
        let mut shared: Map<String, Value> = read("keys.toml", include_str!("keys.toml"));
        let mut take = |name: &str| -> Keys {
            let Some(Value::Object(keys)) = shared.remove(name) else { panic!("`keys.toml` lacks `{name}`") };
            keys.into_iter().collect()
        };
        let of_every_strategy = take("strategy");
        let mut strategies = described(&registries.strategies);
        for keys in strategies.values_mut().flatten() {
            keys.extend(of_every_strategy.clone());
        }
        let mut evaluators = described(&registries.evaluators);
        evaluators.insert(TABLE.to_owned(), Some(take(TABLE)));
        let tables = BTreeMap::from([
            ("data", described(&registries.data)),
            ("space", described(&registries.spaces)),
            ("hardware", described(&registries.hardware)),
            ("evaluator", evaluators),
            ("strategy", strategies),
            ("engine", described(&registries.engines)),
            ("track", described(&registries.trackers)),
        ]);
        let finish = take("finish");
        Self { definitions: shared.remove("defs").expect("a test reads the file"), finish, tables }
    }

    /// Returns the schemas to which other schemas refer as `#/$defs/NAME`.
    pub(super) fn definitions(&self) -> &Value {
        &self.definitions
    }

    /// Returns the keys of `[finish]`.
    pub(super) fn finish(&self) -> Map<String, Value> {
        self.finish.clone().into_iter().collect()
    }

    /// Returns the keys of all parts of a table. If several parts describe the same key differently, its
    /// schema accepts every value that one of these parts accepts.
    pub(super) fn all(&self, table: &str) -> Map<String, Value> {
        let mut found: BTreeMap<&String, Vec<&Value>> = BTreeMap::new();
        for (key, schema) in self.tables[table].values().flatten().flatten() {
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

    /// Returns one rule for each part that describes its keys. The rule allows only the part's keys in a
    /// table that names the part.
    pub(super) fn limits(&self, table: &str) -> Vec<Value> {
        let limit = |(kind, keys): (&String, &Option<Keys>)| {
            let properties = keys.as_ref()?;
            let names: Vec<&str> = properties.keys().map(String::as_str).chain(["kind"]).collect();
            Some(json!({
                "if": { "properties": { "kind": { "const": kind } } },
                "then": { "propertyNames": { "enum": names }, "properties": properties },
            }))
        };
        self.tables[table].iter().filter_map(limit).collect()
    }
}

/// Returns the keys of every part in a registry.
fn described<B: Copy, F: Copy>(registry: &Registry<B, F>) -> BTreeMap<String, Option<Keys>> {
    let of = |name: &str, texts: &[&str]| texts.iter().flat_map(|text| read::<Keys>(name, text)).collect();
    let parts = registry.entries();
    parts.map(|(name, part)| (name.to_owned(), part.keys.map(|texts| of(name, texts)))).collect()
}

fn read<T: DeserializeOwned>(name: &str, text: &str) -> T {
    toml::from_str(text).unwrap_or_else(|error| panic!("the keys of `{name}` are not TOML: {error}"))
}

//! Keys of the tables that registered parts read themselves, with what they hold. They stand in `keys.toml`,
//! because the parts' settings are private to their crates; a test holds them against what the parts accept.

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::assembly::{Folders, Registries};
    use crate::config::{ConfigError, Document, RunConfig};

    /// A key that nothing reads.
    const UNKNOWN: &str = "zzqqzz";

    /// The tables of a small study, of which one is replaced.
    fn config(table: &str, text: &str) -> String {
        let tables = [
            ("study", "[study]\nname = \"a\""),
            ("data", "[data]\nkind = \"digits\""),
            ("space", "[space]\nkind = \"mlp\"\nlayers = 1\nwidth = [16, 32]"),
            ("hardware", "[[hardware]]\ndevice = \"cortex-a72\""),
            ("evaluator", "[evaluator]\nkind = \"scratch\"\nepochs = 3"),
            ("search", "[search]\nstrategy = \"random\"\ntrials = 4"),
            ("finish", "[finish]"),
        ];
        tables.map(|(name, right)| if name == table { text } else { right }).join("\n")
    }

    /// The error of a study with this table; `None` where it is right.
    fn refused(table: &str, text: &str) -> Option<ConfigError> {
        let document = Document::parse(Path::new("a.toml"), &config(table, text)).unwrap();
        let folders = Folders { data: Some(Path::new("nowhere")), runs: Path::new("runs") };
        match RunConfig::from_document(document, None) {
            Ok(config) => Registries::builtin().build(config, folders).err(),
            Err(error) => Some(error),
        }
    }

    /// Keys that are accepted beside an unknown one.
    fn accepted(table: &str, text: &str) -> BTreeSet<String> {
        match refused(table, text) {
            Some(ConfigError::UnknownKey { accepted, .. }) => accepted.into_iter().collect(),
            other => panic!("{text}: {:?}", other.map(|error| error.to_string())),
        }
    }

    fn parts() -> Vec<(&'static str, Vec<String>)> {
        let registries = Registries::builtin();
        let evaluators = registries.evaluators.kinds().map(str::to_owned).chain(["table".to_owned()]);
        vec![
            ("data", registries.data.kinds().map(str::to_owned).collect()),
            ("space", registries.spaces.spaces().map(|(name, _)| name.to_owned()).collect()),
            ("evaluator", evaluators.collect()),
            ("strategy", registries.strategies.strategies().map(|(name, _)| name.to_owned()).collect()),
        ]
    }

    #[test]
    fn keys_of_every_part_are_those_that_it_accepts() {
        let part_keys = PartKeys::builtin();
        for (table, kinds) in parts() {
            for kind in kinds {
                let mut found = match table {
                    "strategy" => {
                        let strategy = format!("{{ kind = \"{kind}\", {UNKNOWN} = 1 }}");
                        accepted("search", &format!("[search]\ntrials = 4\nstrategy = {strategy}"))
                    }
                    table => accepted(table, &format!("[{table}]\nkind = \"{kind}\"\n{UNKNOWN} = 1")),
                };
                assert!(found.remove("kind"));
                if table == "strategy" {
                    // Read by what wraps every strategy.
                    found.extend(["start", "transfer", "proxies"].map(str::to_owned));
                }
                let stated: BTreeSet<String> = part_keys.of(table, &kind).into_keys().collect();
                assert_eq!(stated, found, "{table}, {kind}: `keys.toml` and the part differ");
            }
        }
    }

    #[test]
    fn keys_of_tables_within_tables_are_those_that_are_accepted() {
        let part_keys = PartKeys::builtin();
        let inner = |table: &str, inner: &str| match table {
            "data" => format!("[data]\nkind = \"digits\"\n{inner}"),
            "evaluator" => format!("[evaluator]\nkind = \"supernet\"\nepochs = 1\n{inner}"),
            "space" => format!("[space]\nkind = \"stages\"\n{inner}"),
            _ => format!("[search]\ntrials = 4\nstrategy = {{ kind = \"random\", {inner} }}"),
        };
        let stage = "[[space.stages]]\nblocks = \"conv\"\nwidth = 8";
        for (name, table, text) in [
            ("augment", "data", format!("augment = {{ {UNKNOWN} = 1 }}")),
            ("optimizer", "evaluator", format!("optimizer = {{ {UNKNOWN} = 1 }}")),
            ("anchors", "evaluator", format!("anchors = {{ {UNKNOWN} = 1 }}")),
            ("stem", "space", format!("stem = {{ {UNKNOWN} = 1 }}\n{stage}")),
            ("head", "space", format!("head = {{ {UNKNOWN} = 1 }}\n{stage}")),
            ("stage", "space", format!("{stage}\n{UNKNOWN} = 1")),
            ("transfer", "search", format!("transfer = {{ {UNKNOWN} = 1 }}")),
            ("proxies", "search", format!("proxies = {{ {UNKNOWN} = 1 }}")),
        ] {
            let stated = part_keys.definitions()[name]["properties"].as_object().unwrap();
            let stated: BTreeSet<String> = stated.keys().cloned().collect();
            assert_eq!(stated, accepted(table, &inner(table, &text)), "`{name}`");
        }
    }

    #[test]
    fn keys_of_hardware_and_finish_are_those_that_are_accepted() {
        let part_keys = PartKeys::builtin();
        let registries = Registries::builtin();
        let schema = crate::config::schema(&registries);
        let of =
            |properties: &Value| properties.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let hardware = accepted("hardware", &format!("[[hardware]]\ndevice = \"cortex-a72\"\n{UNKNOWN} = 1"));
        assert_eq!(of(&schema["properties"]["hardware"]["items"]["properties"]), hardware);
        let finish = accepted("finish", &format!("[finish]\n{UNKNOWN} = 1"));
        assert_eq!(of(&schema["properties"]["finish"]["properties"]), finish);
        assert!(!part_keys.all("finish").is_empty());
    }

    #[test]
    fn every_key_has_a_description_and_its_default_is_accepted() {
        let part_keys = PartKeys::builtin();
        for (table, kinds) in parts() {
            for kind in kinds {
                for (key, schema) in part_keys.of(table, &kind) {
                    assert!(schema["description"].is_string(), "{table}, {kind}, {key}");
                    let Some(default) = schema.get("default") else { continue };
                    let value = toml::Value::try_from(default).unwrap();
                    let text = match table {
                        "strategy" => {
                            let strategy = format!("{{ kind = \"{kind}\", {key} = {value} }}");
                            format!("[search]\ntrials = 4\nstrategy = {strategy}")
                        }
                        table => format!("[{table}]\nkind = \"{kind}\"\n{key} = {value}"),
                    };
                    let place = if table == "strategy" { "search" } else { table };
                    // Something else may be missing, but the key holds nothing that is refused.
                    let error = refused(place, &text).map(|error| error.to_string()).unwrap_or_default();
                    assert!(!error.contains(&format!("{key}`")), "{kind}: {error}");
                }
            }
        }
    }
}

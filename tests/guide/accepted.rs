//! The config schema has all keys that registered parts accept, and no other keys.

use std::collections::BTreeSet;
use std::path::Path;

use kiln::assembly::{Folders, Registries};
use kiln::config::{ConfigError, Document, RunConfig};
use serde_json::Value;

/// A key that no part reads.
const UNKNOWN: &str = "zzqqzz";

/// Returns the tables of a small study. `text` replaces the table named `table`.
fn config(table: &str, text: &str) -> String {
    let tables = [
        ("study", "[study]\nname = \"a\""),
        ("data", "[data]\nkind = \"digits\""),
        ("space", "[space]\nkind = \"mlp\"\nlayers = 1\nwidth = [16, 32]"),
        ("hardware", "[[hardware]]\ndevice = \"cortex-a72\""),
        ("evaluator", "[evaluator]\nkind = \"scratch\"\nepochs = 3"),
        ("search", "[search]\nstrategy = \"random\"\ntrials = 4"),
        ("finish", ""),
        ("engine", ""),
        ("track", ""),
    ];
    tables.map(|(name, right)| if name == table { text } else { right }).join("\n")
}

/// Returns the error for a study with this table. Returns `None` if the table is valid.
fn refused(table: &str, text: &str) -> Option<ConfigError> {
    let document = Document::parse(Path::new("a.toml"), &config(table, text)).unwrap();
    let folders = Folders { data: Some(Path::new("nowhere")), runs: Path::new("runs") };
    match RunConfig::from_document(document, None) {
        Ok(config) => Registries::builtin().build(config, folders).err(),
        Err(error) => Some(error),
    }
}

/// Returns the keys that the part accepts, from the error for an unknown key.
fn accepted(table: &str, text: &str) -> BTreeSet<String> {
    match refused(table, text) {
        Some(ConfigError::UnknownKey { accepted, .. }) => accepted.into_iter().collect(),
        other => panic!("{text}: {:?}", other.map(|error| error.to_string())),
    }
}

fn parts() -> Vec<(&'static str, Vec<String>)> {
    let registries = Registries::builtin();
    let evaluators = registries.evaluators.names().map(str::to_owned).chain(["table".to_owned()]);
    vec![
        ("data", registries.data.names().map(str::to_owned).collect()),
        ("space", registries.spaces.names().map(str::to_owned).collect()),
        ("evaluator", evaluators.collect()),
        ("strategy", registries.strategies.names().map(str::to_owned).collect()),
        ("engine", registries.engines.names().map(str::to_owned).collect()),
    ]
}

#[test]
fn keys_of_every_part_are_those_that_it_accepts() {
    let schema = kiln::config::schema(&Registries::builtin());
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
                // The wrapper of every strategy reads these keys.
                found.extend(["start", "transfer", "proxies"].map(str::to_owned));
            }
            let stated: BTreeSet<String> =
                keys_of(&schema, table, &kind).into_iter().map(|(key, _)| key).collect();
            assert_eq!(stated, found, "{table}, {kind}: its described keys and those that it accepts differ");
        }
    }
}

#[test]
fn keys_of_tables_within_tables_are_those_that_are_accepted() {
    let schema = kiln::config::schema(&Registries::builtin());
    let inner = |table: &str, inner: &str| match table {
        "data" => format!("[data]\nkind = \"digits\"\n{inner}"),
        "evaluator" => format!("[evaluator]\nkind = \"supernet\"\nepochs = 1\n{inner}"),
        "space" => format!("[space]\nkind = \"stages\"\n{inner}"),
        "track" => format!("[track]\n{inner}"),
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
        ("mlflow", "track", format!("mlflow = {{ {UNKNOWN} = 1 }}")),
    ] {
        let stated = schema["$defs"][name]["properties"].as_object().unwrap();
        let stated: BTreeSet<String> = stated.keys().cloned().collect();
        assert_eq!(stated, accepted(table, &inner(table, &text)), "`{name}`");
    }
}

#[test]
fn keys_of_hardware_finish_and_track_are_those_that_are_accepted() {
    let schema = kiln::config::schema(&Registries::builtin());
    let of = |properties: &Value| properties.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let hardware = accepted("hardware", &format!("[[hardware]]\ndevice = \"cortex-a72\"\n{UNKNOWN} = 1"));
    assert_eq!(of(&schema["properties"]["hardware"]["items"]["properties"]), hardware);
    let finish = accepted("finish", &format!("[finish]\n{UNKNOWN} = 1"));
    assert_eq!(of(&schema["properties"]["finish"]["properties"]), finish);
    let track = accepted("track", &format!("[track]\n{UNKNOWN} = 1"));
    assert_eq!(of(&schema["properties"]["track"]["properties"]), track);
}

#[test]
fn every_key_has_a_description_and_its_default_is_accepted() {
    let schema = kiln::config::schema(&Registries::builtin());
    for (table, kinds) in parts() {
        for kind in kinds {
            for (key, schema) in keys_of(&schema, table, &kind) {
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
                // Other required keys may be missing, but the error must not refuse the default itself.
                let error = refused(place, &text).map(|error| error.to_string()).unwrap_or_default();
                assert!(!error.contains(&format!("{key}`")), "{kind}: {error}");
            }
        }
    }
}

/// Returns the keys of one part of a table, each with its schema.
fn keys_of(schema: &Value, table: &str, kind: &str) -> Vec<(String, Value)> {
    let table = match table {
        "strategy" => &schema["properties"]["search"]["properties"]["strategy"]["anyOf"][1],
        table => &schema["properties"][table],
    };
    let limits = table["allOf"].as_array().unwrap();
    let limit = limits.iter().find(|limit| limit["if"]["properties"]["kind"]["const"] == kind);
    let limit =
        limit.unwrap_or_else(|| panic!("`{kind}` does not describe its settings: `Registration::with_keys`"));
    let keys = limit["then"]["properties"].as_object().unwrap();
    keys.iter().map(|(key, schema)| (key.clone(), schema.clone())).collect()
}

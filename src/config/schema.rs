//! A JSON schema of config files for editors. Rust types describe the tables that Kiln itself reads.
//! Registered parts describe their own settings. For a part that does not describe its settings, the schema
//! accepts any settings.

use std::collections::BTreeMap;

use kiln_hw_models::Device;
use kiln_space::Registry;
use schemars::{JsonSchema, Schema, schema_for};
use serde_json::{Map, Value, json};

use super::measuring::{MEASURE, finish_schema, hardware_schemas};
use super::part_keys::PartKeys;
use super::tables::{CONFIDENCE, LIMITS, NEEDED, SearchKeys, StudyTable};
use crate::assembly::{Registries, TABLE};

/// Returns the schema (draft 2020-12) of configs whose parts are in these registries.
///
/// # Panics
/// If a part describes its settings with text that is not valid TOML.
///
/// # Example
/// ```
/// use kiln::assembly::Registries;
/// let schema = kiln::config::schema(&Registries::builtin());
/// assert_eq!(schema["properties"]["study"]["required"][0], "name");
/// ```
#[must_use]
pub fn schema(registries: &Registries) -> Value {
    let table = (TABLE.to_owned(), "looks published results up, and trains nothing");
    let strategies = documented(&registries.strategies);
    let keys = PartKeys::new(registries);
    let mut search = described::<SearchKeys>("What is searched for, how, and how long.");
    search["properties"]["strategy"] = json!({
        "description": "How architectures are proposed: a name, or a table with `kind` and settings.",
        "anyOf": [names(strategies.clone()), part("A strategy with its settings.", &keys, "strategy", strategies)],
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Kiln config",
        "description": "A study: the search, its data and devices, and what happens to the best networks.",
        "type": "object",
        "$defs": keys.definitions(),
        "required": NEEDED,
        "additionalProperties": false,
        "properties": {
            "study": described::<StudyTable>("Name and seed."),
            "data": part("The data set.", &keys, "data", documented(&registries.data)),
            "space": part(
                "What may vary. A list is a decision, a single value is fixed.",
                &keys, "space", documented(&registries.spaces),
            ),
            "hardware": {
                "description": "Devices. Their limits are checked before anything is trained.",
                "type": "array",
                "items": hardware(registries, &keys),
            },
            "evaluator": part(
                "Evaluates networks.", &keys, "evaluator",
                documented(&registries.evaluators).into_iter().chain([table]),
            ),
            "search": search,
            "finish": finish(registries, &keys),
            "engine": part(
                "Runs evaluations as jobs, which outlive the program. Results do not depend on it.",
                &keys, "engine", documented(&registries.engines),
            ),
            "track": {
                "description": "Where the study's numbers go while it runs. Results do not depend on it.",
                "type": "object",
                "properties": keys.all("track"),
                "additionalProperties": false,
            },
            "resolved": { "description": "Written by Kiln into the config of a run.", "type": "object" },
        },
    })
}

/// Returns the schema of a type for use inside another schema.
fn described<T: JsonSchema>(description: &str) -> Value {
    let mut schema: Schema = schema_for!(T);
    for key in ["$schema", "title"] {
        schema.remove(key);
    }
    schema.insert("description".to_owned(), description.into());
    schema.to_value()
}

/// Returns each part's name and its line of documentation.
fn documented<B: Copy, F: Copy>(registry: &Registry<B, F>) -> Vec<(String, &'static str)> {
    registry.entries().map(|(name, part)| (name.to_owned(), part.doc)).collect()
}

/// Returns the schema of a table that names a registered part and contains the part's settings.
fn part(
    description: &str,
    keys: &PartKeys,
    table: &str,
    kinds: impl IntoIterator<Item = (String, &'static str)>,
) -> Value {
    let mut properties = keys.all(table);
    properties.insert("kind".to_owned(), names(kinds));
    json!({
        "description": description,
        "type": "object",
        "required": ["kind"],
        "properties": properties,
        "allOf": keys.limits(table),
    })
}

/// Returns the schema of `[finish]`, whose keys the evaluator's finisher reads.
fn finish(registries: &Registries, keys: &PartKeys) -> Value {
    let mut properties = keys.finish();
    properties.insert(
        "networks".to_owned(),
        json!({
            "description": "Networks of the front that are finished.",
            "type": "integer", "minimum": 1, "maximum": 1000, "default": 1,
        }),
    );
    properties.insert(
        "formats".to_owned(),
        json!({
            "description": "Formats in which they are written.",
            "type": "array",
            "items": names(documented(&registries.exporters)),
        }),
    );
    properties.insert(MEASURE.to_owned(), finish_schema());
    json!({
        "description": "The best networks are trained on, tested once and written. What is not stated is as in \
                        `[evaluator]`.",
        "type": "object",
        "properties": properties,
    })
}

/// Returns the schema of a value that must be one of these names. Each name has a line of documentation.
fn names(names: impl IntoIterator<Item = (String, &'static str)>) -> Value {
    // The names are sorted, so that the order of registration does not matter.
    let names: BTreeMap<String, &str> = names.into_iter().collect();
    let one = |(name, doc): (String, &str)| match doc {
        "" => json!({ "const": name }),
        doc => json!({ "const": name, "description": doc }),
    };
    json!({ "oneOf": names.into_iter().map(one).collect::<Vec<_>>() })
}

fn hardware(registries: &Registries, keys: &PartKeys) -> Value {
    let mut properties: Map<String, Value> = keys.all("hardware");
    // Models describe their keys differently; here the key belongs to all of them.
    for schema in properties.values_mut().filter_map(Value::as_object_mut) {
        let Some(several) = schema.get("anyOf").and_then(Value::as_array) else { continue };
        let texts: Vec<&str> = several.iter().filter_map(|one| one["description"].as_str()).collect();
        let text = texts.into_iter().rev().collect::<Vec<_>>().join(" ");
        schema.insert("description".to_owned(), text.into());
    }
    let device = json!({ "description": "A device that Kiln knows.", "enum": Device::builtin_names() });
    properties.insert("device".to_owned(), device);
    properties.insert(
        "file".to_owned(),
        json!({ "description": "A custom device file, instead of `device`.", "type": "string" }),
    );
    let mut model = names(documented(&registries.hardware));
    model["description"] = "How costs are predicted; `roofline` unless stated.".into();
    properties.insert("model".to_owned(), model);
    let confidence = "Hold limits on latency and energy against the upper end of the 90 % interval, not against \
                      the prediction.";
    properties.insert(CONFIDENCE.to_owned(), json!({ "description": confidence, "const": 0.9 }));
    for (key, schema) in hardware_schemas() {
        properties.insert(key.to_owned(), schema);
    }
    for (key, cost) in LIMITS {
        let description = format!("Largest `{cost}` of a network.");
        let limit = json!({ "description": description, "type": "number", "exclusiveMinimum": 0 });
        properties.insert(key.to_owned(), limit);
    }
    json!({
        "type": "object",
        "properties": properties,
        "oneOf": [{ "required": ["device"] }, { "required": ["file"] }],
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kiln_space::{SearchSpace, Settings, SettingsError, SpacePart, SpaceRegistry, Task};

    use super::*;
    use crate::config::tables::TABLES;

    #[test]
    fn schema_contains_every_table_and_registered_part() {
        let registries = Registries::builtin();
        let schema = schema(&registries);
        let tables: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(tables.len(), TABLES.len());
        assert!(TABLES.iter().all(|table| schema["properties"].get(table).is_some()));
        let kinds = |table: &str| {
            let kinds = schema["properties"][table]["properties"]["kind"]["oneOf"].as_array().unwrap();
            kinds.iter().map(|kind| kind["const"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert!(registries.spaces.names().all(|name| kinds("space").contains(&name.to_owned())));
        assert!(registries.data.names().all(|name| kinds("data").contains(&name.to_owned())));
        assert!(kinds("evaluator").contains(&"table".to_owned()));
        let formats = schema["properties"]["finish"]["properties"]["formats"]["items"]["oneOf"].as_array();
        let formats: Vec<&Value> = formats.unwrap().iter().map(|format| &format["const"]).collect();
        assert_eq!(formats, registries.exporters.names().collect::<Vec<_>>());
        let search = &schema["properties"]["search"];
        assert_eq!(search["additionalProperties"], false);
        assert_eq!(search["properties"]["trials"]["minimum"], 1);
    }
    #[test]
    fn schema_follows_what_other_programs_register() {
        fn build(_: &Settings, task: Option<Task>) -> Result<Arc<dyn SearchSpace>, SettingsError> {
            SpaceRegistry::builtin().build("mlp", &Settings::empty("space"), task)
        }
        const OWN: SpacePart = SpacePart::new("mine", build).with_keys(&[r#"stairs = { type = "integer" }"#]);
        let mut registries = Registries::builtin();
        registries.spaces.add("tower", OWN);
        registries.spaces.register("cellar", "mine too", build);
        let schema = schema(&registries);
        let limits = schema["properties"]["space"]["allOf"].as_array().unwrap();
        let of = |kind: &str| limits.iter().find(|limit| limit["if"]["properties"]["kind"]["const"] == kind);
        assert_eq!(of("tower").unwrap()["then"]["propertyNames"]["enum"], json!(["stairs", "kind"]));
        assert!(of("cellar").is_none(), "settings that are not described stay open");
    }
}

//! The reference page of config keys, generated from the config schema.

use std::collections::BTreeMap;
use std::fmt::Write;

use kiln::assembly::Registries;
use serde_json::{Map, Value};

use super::hold;

const BEGINNING: &str = "# Config keys

This page is written from `kiln schema`. In `[space]` a list is a decision and a single value is fixed. Where no
default stands, the description says what holds without the key, or the key is needed.
";

/// Describes in words the values that a key accepts.
fn value(schema: &Value, definitions: &Value) -> String {
    let code = |value: &Value| format!("`{value}`");
    let several = |schemas: &Vec<Value>, with: &str| {
        schemas.iter().map(|schema| value(schema, definitions)).collect::<Vec<_>>().join(with)
    };
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.trim_start_matches("#/$defs/");
        let definition = &definitions[name];
        return match definition["type"].as_str() {
            Some("object") => format!("[table](#{name})"),
            _ => value(definition, definitions),
        };
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(code).collect::<Vec<_>>().join(", ");
    }
    if let Some(value) = schema.get("const") {
        return code(value);
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(schemas) = schema[key].as_array() {
            let all_named = schemas.iter().all(|schema| schema.get("const").is_some());
            return several(schemas, if all_named { ", " } else { " or " });
        }
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => {
            kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect()
        }
        kind => kind.as_str().into_iter().collect::<Vec<_>>(),
    };
    match kinds.as_slice() {
        ["integer"] => "whole number".to_owned(),
        ["number"] => "number".to_owned(),
        ["string"] => "text".to_owned(),
        ["boolean"] => "`true`, `false`".to_owned(),
        ["array"] => format!("list of: {}", value(&schema["items"], definitions)),
        ["object"] => format!("table of: {}", value(&schema["additionalProperties"], definitions)),
        _ => "anything".to_owned(),
    }
}

fn rows(page: &mut String, properties: &Map<String, Value>, definitions: &Value) {
    let _ = writeln!(page, "\n| key | holds | default | |\n|---|---|---|---|");
    for (key, schema) in properties {
        let default = match schema.get("default") {
            None | Some(Value::Null) => "-".to_owned(),
            Some(default) => format!("`{default}`"),
        };
        let about = schema["description"].as_str().unwrap_or_else(|| panic!("`{key}` has no description"));
        let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = writeln!(page, "| `{key}` | {} | {default} | {about} |", value(schema, definitions));
    }
}

/// Writes the keys of each part of a table, and the keys that all parts share.
fn parts(page: &mut String, name: &str, table: &Value, definitions: &Value) {
    let limits = table["allOf"].as_array().unwrap().iter();
    let parts: BTreeMap<&str, &Map<String, Value>> = limits
        .map(|limit| {
            let kind = limit["if"]["properties"]["kind"]["const"].as_str().unwrap();
            (kind, limit["then"]["properties"].as_object().unwrap())
        })
        .collect();
    let common: Map<String, Value> = parts.values().next().map_or_else(Map::new, |first| {
        let of_all = |(key, schema): &(&String, &Value)| {
            parts.values().all(|keys| keys.get(key.as_str()).is_some_and(|other| other == *schema))
        };
        first.iter().filter(of_all).map(|(key, schema)| (key.clone(), schema.clone())).collect()
    });
    if !common.is_empty() {
        let _ = writeln!(page, "\nKeys of every kind:");
        rows(page, &common, definitions);
    }
    for (kind, keys) in parts {
        let own: Map<String, Value> = keys
            .iter()
            .filter(|(key, _)| !common.contains_key(*key))
            .map(|(key, schema)| (key.clone(), schema.clone()))
            .collect();
        let _ = writeln!(page, "\n### {name} {kind}");
        if own.is_empty() {
            let _ = writeln!(page, "\nNo keys of its own.");
        } else {
            rows(page, &own, definitions);
        }
    }
}

fn page(schema: &Value) -> String {
    let (definitions, tables) = (&schema["$defs"], &schema["properties"]);
    let mut page = BEGINNING.to_owned();
    let head = |page: &mut String, name: &str, title: &str, table: &Value| {
        let about = table["description"].as_str().unwrap();
        let _ = write!(page, "\n## {name}\n\n`{title}`. {about}\n");
    };
    for name in ["study", "data", "space", "hardware", "evaluator", "search", "finish", "engine", "track"] {
        let table = &tables[name];
        let title = if name == "hardware" { "[[hardware]]".to_owned() } else { format!("[{name}]") };
        head(&mut page, name, &title, table);
        if table.get("allOf").is_some() {
            rows(&mut page, &only_kind(table), definitions);
            parts(&mut page, name, table, definitions);
        } else {
            let keys = if name == "hardware" { &table["items"] } else { table };
            let mut keys = keys["properties"].as_object().unwrap().clone();
            if let Some(strategy) = keys.get_mut("strategy") {
                *strategy = serde_json::json!({
                    "description": "A name, or a table with `kind` and settings ([strategies](#strategies)).",
                    "enum": strategy["anyOf"][0]["oneOf"].as_array().unwrap().iter()
                        .map(|name| name["const"].clone()).collect::<Vec<_>>(),
                });
            }
            rows(&mut page, &keys, definitions);
        }
    }
    let strategies = &tables["search"]["properties"]["strategy"]["anyOf"][1];
    page.push_str(
        "\n## strategies\n\n`[search] strategy = { kind = .. }`. [Which to take](../../../strategies.md).\n",
    );
    parts(&mut page, "strategy", strategies, definitions);
    page.push_str("\n## Tables within tables\n");
    for (name, definition) in definitions.as_object().unwrap() {
        if let Some(properties) = definition["properties"].as_object() {
            let _ = writeln!(page, "\n### {name}");
            rows(&mut page, properties, definitions);
        }
    }
    page
}

/// Returns a key `kind` with a description, for a table that names a part.
fn only_kind(table: &Value) -> Map<String, Value> {
    let mut kind = table["properties"]["kind"].clone();
    kind["description"] = "Which of the kinds below.".into();
    Map::from_iter([("kind".to_owned(), kind)])
}

#[test]
fn the_page_of_config_keys_is_what_the_schema_says() {
    let schema = kiln::config::schema(&Registries::builtin());
    let page = page(&schema);
    for key in ["`target_accuracy`", "null"] {
        assert!(!page.contains(key), "{key}");
    }
    for key in
        ["`missing_values`", "`squeeze_excitation`", "`warmup_epochs`", "`latency_max_us`", "`optimism`"]
    {
        assert!(page.contains(key), "{key}");
    }
    hold("reference/config.md", &page);
}

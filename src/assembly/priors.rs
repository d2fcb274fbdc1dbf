//! What a strategy is given to begin with must be of the study's own space.

use std::path::{Path, PathBuf};

use kiln_search::RunPaths;
use kiln_space::SettingsError;
use serde_json::{Map, Value};

use crate::config::{ConfigError, Document, RunConfig};

/// Refuses journals of studies that searched another space, as the configs in their run folders say. A
/// journal that lies alone is held against the space by its genotypes only.
pub(super) fn check_journals(config: &RunConfig) -> Result<(), ConfigError> {
    let settings = &config.search.strategy.settings;
    for (key, journal) in journals(settings.table()) {
        let Some(space) = space_of(&journal) else { continue };
        let own = &config.document.root()["space"];
        if let Some((at, there, here)) = difference("space", &space, own) {
            let problem = format!(
                "{} is of another space: `{at}` is {there} there and {here} here; name a study of the same space",
                journal.display()
            );
            return Err(config.document.explain(&SettingsError { key: settings.key(&key), problem }));
        }
    }
    Ok(())
}

/// The journals that a strategy's settings name, each with its key.
fn journals(settings: &Map<String, Value>) -> Vec<(String, PathBuf)> {
    let under = |table: &str, key: &str| settings.get(table).and_then(|table| table.get(key)).cloned();
    let path = |value: &Value| value.as_str().map(PathBuf::from);
    let transfer = under("transfer", "journal").as_ref().and_then(path);
    let mut named: Vec<_> = transfer.into_iter().map(|path| ("transfer.journal".to_owned(), path)).collect();
    let scored = under("proxies", "journals").as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
    let scored = scored.iter().enumerate().filter_map(|(index, value)| Some((index, path(value)?)));
    named.extend(scored.map(|(index, path)| (format!("proxies.journals.{index}"), path)));
    named
}

/// The table `[space]` of the study whose journal this is, if its run folder is around it.
fn space_of(journal: &Path) -> Option<Value> {
    let paths = RunPaths::new(journal.parent()?);
    let text = paths.read_config().ok()?;
    Document::parse(&paths.config(), &text).ok()?.root().get("space").cloned()
}

/// The first key at which two values differ, with both.
fn difference(key: &str, there: &Value, here: &Value) -> Option<(String, String, String)> {
    let shown = |value: &Value| if value.is_null() { "not set".to_owned() } else { format!("`{value}`") };
    match (there, here) {
        (Value::Object(there), Value::Object(here)) => {
            let keys = there.keys().chain(here.keys().filter(|key| !there.contains_key(*key)));
            let of = |table: &Map<String, Value>, key: &str| table.get(key).cloned().unwrap_or_default();
            keys.map(|inner| (format!("{key}.{inner}"), of(there, inner), of(here, inner)))
                .find_map(|(key, there, here)| difference(&key, &there, &here))
        }
        (Value::Array(before), Value::Array(now)) if before.len() == now.len() => before
            .iter()
            .zip(now)
            .enumerate()
            .find_map(|(index, (there, here))| difference(&format!("{key}.{index}"), there, here))
            .map(|found| {
                if before.iter().all(Value::is_object) {
                    found
                } else {
                    (key.to_owned(), shown(there), shown(here))
                }
            }),
        (there, here) => (there != here).then(|| (key.to_owned(), shown(there), shown(here))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_is_named_with_both_values() {
        let found = |there: Value, here: Value| {
            difference("space", &there, &here).map(|(key, there, here)| format!("{key} {there} {here}"))
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

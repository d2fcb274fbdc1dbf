//! Checks that the earlier results from which a strategy starts belong to the same search space.

use std::path::{Path, PathBuf};

use kiln_search::RunPaths;
use kiln_space::SettingsError;
use serde_json::{Map, Value};

use crate::config::{ConfigError, Difference, Document, RunConfig, difference};

/// Refuses the journal of a study that searched another space. The config in the journal's run folder states
/// the space. For a journal outside a run folder, only the genotypes are compared.
pub(super) fn check_journals(config: &RunConfig) -> Result<(), ConfigError> {
    let settings = &config.search.strategy.settings;
    for (key, journal) in journals(settings.table()) {
        let Some(space) = space_of(&journal) else { continue };
        let own = &config.document.root()["space"];
        if let Some(Difference { key: at, there, here }) = difference("space", &space, own) {
            let problem = format!(
                "{}: its study searched another space, where `{at}` is {there} (here {here}); name a study \
                 of the same space",
                journal.display()
            );
            return Err(config.document.explain(&SettingsError::rule(settings.key(&key), problem)));
        }
    }
    Ok(())
}

/// Returns the journals that a strategy's settings name, each with the key that names it.
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

/// Returns the table `[space]` of the study that wrote this journal, if the journal is in a run folder.
fn space_of(journal: &Path) -> Option<Value> {
    let paths = RunPaths::new(journal.parent()?);
    let text = paths.read_config().ok()?;
    Document::parse(&paths.config(), &text).ok()?.root().get("space").cloned()
}

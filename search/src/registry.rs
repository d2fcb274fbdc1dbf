//! Strategies by name, built from the settings of the `[search]` table.

use std::collections::BTreeMap;

use kiln_space::{Settings, SettingsError};

use crate::contracts::{Strategy, StrategyBuilder};
use crate::strategies::{BUILTIN, Builtin, prior};

/// Strategies by name. More can be registered.
///
/// # Example
/// ```
/// use kiln_search::StrategyRegistry;
/// use kiln_space::Settings;
///
/// let registry = StrategyRegistry::builtin();
/// assert!(registry.build("random", &Settings::empty("search")).is_ok());
/// ```
#[derive(Clone, Debug, Default)]
pub struct StrategyRegistry {
    strategies: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    doc: &'static str,
    build: StrategyBuilder,
}

impl StrategyRegistry {
    /// The strategies of this crate.
    #[must_use]
    pub fn builtin() -> Self {
        let mut registry = Self::default();
        for &Builtin { name, doc, build } in BUILTIN {
            registry.register(name, doc, build);
        }
        registry
    }

    /// Adds a strategy, or replaces the one of this name; `doc` is one line about it.
    pub fn register(&mut self, name: impl Into<String>, doc: &'static str, build: StrategyBuilder) {
        self.strategies.insert(name.into(), Entry { doc, build });
    }

    /// Each name with one line about the strategy, sorted by name.
    pub fn strategies(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.strategies.iter().map(|(name, entry)| (name.as_str(), entry.doc))
    }

    /// The strategy of this name with its settings. Every strategy also takes `start` (genotypes to try
    /// first), `transfer` (`journal` of an earlier study whose best `count` genotypes are tried first) and
    /// `proxies` (genotypes that zero-cost proxies score best are tried first).
    ///
    /// # Errors
    /// [`SettingsError`] for an unknown name, with the known names, and for settings that the strategy cannot
    /// use.
    pub fn build(&self, name: &str, settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
        let Some(entry) = self.strategies.get(name) else {
            let known = self.strategies.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let key = settings.key("strategy");
            return Err(SettingsError::value(key, format!("`{name}`"), &format!("one of {known}")));
        };
        let mut own = settings.table().clone();
        let keys = prior::KEYS.iter().filter_map(|key| Some(((*key).to_owned(), own.remove(*key)?)));
        let prior = Settings::new(settings.path(), keys.collect());
        let strategy = (entry.build)(&Settings::new(settings.path(), own))?;
        prior::before(&prior, strategy)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(name: &str, table: serde_json::Value) -> String {
        let serde_json::Value::Object(table) = table else { panic!("a table") };
        let built = StrategyRegistry::builtin().build(name, &Settings::new("search", table));
        built.err().expect("settings that cannot work").to_string()
    }

    #[test]
    fn impossible_settings_are_refused_with_their_key() {
        assert_eq!(
            message("anealing", json!({})),
            "`search.strategy`: found `anealing`, expected one of `asha`, `bohb`, `clustered`, `ensemble`, \
             `gaussian_process`, `hyperband`, `local_search`, `nsga2`, `random`, \
             `regularized_evolution`, `simulated_annealing`, `sms_emoa`, `successive_halving`"
        );
        assert!(message("random", json!({ "population": 3 })).contains("search.population"));
        assert_eq!(
            message("regularized_evolution", json!({ "population": 0 })),
            "`search.population`: found 0, expected 1 to 100000"
        );
        assert_eq!(
            message("regularized_evolution", json!({ "crossover": 1.5 })),
            "`search.crossover`: found 1.5, expected a probability, 0 to 1"
        );
        assert_eq!(
            message("asha", json!({ "epochs": [3, 1] })),
            "`search.epochs`: found [3, 1], expected up to 16 numbers of epochs, ascending from at least 1"
        );
        assert_eq!(
            message("simulated_annealing", json!({ "temperature": 0.0 })),
            "`search.temperature`: found 0, expected a number above `coldest`"
        );
        assert!(message("random", json!({ "start": [["x"]] })).starts_with("`search.start.0.0`: "));
        assert!(
            message("random", json!({ "transfer": { "journal": "no/journal.jsonl" } }))
                .starts_with("`search.transfer.journal`: no/journal.jsonl: cannot open the journal")
        );
        assert_eq!(
            message("random", json!({ "proxies": { "keep": 0 } })),
            "`search.proxies.keep`: found 0, expected 1 to 100000"
        );
        assert!(
            message("random", json!({ "proxies": { "journals": ["no/journal.jsonl"] } }))
                .starts_with("`search.proxies.journals`: no/journal.jsonl: cannot open the journal")
        );
        assert!(
            message("gaussian_process", json!({ "acquisition": "x" })).contains("`expected_improvement`")
        );
        assert_eq!(
            message("clustered", json!({ "clusters": 0 })),
            "`search.clusters`: found 0, expected 1 to 64"
        );
    }
}

//! Strategies by name, built from the settings of the `[search]` table.

use std::ops::{Deref, DerefMut};

use kiln_space::{Registry, Settings, SettingsError};

use crate::contracts::{Strategy, StrategyBuilder};
use crate::strategies::{self, prior};

/// A registry of strategies by name. More strategies can be registered.
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
pub struct StrategyRegistry(Registry<StrategyBuilder>);

impl StrategyRegistry {
    /// Creates a registry of this crate's strategies.
    #[must_use]
    pub fn builtin() -> Self {
        let mut registry = Self::default();
        registry.add("asha", strategies::asha::PART);
        registry.add("bohb", strategies::bohb::PART);
        registry.add("clustered", strategies::clustered::PART);
        registry.add("ensemble", strategies::ensemble::PART);
        registry.add("gaussian_process", strategies::gaussian_process::PART);
        registry.add("hyperband", strategies::hyperband::PART);
        registry.add("local_search", strategies::local_search::PART);
        registry.add("nsga2", strategies::nsga2::PART);
        registry.add("random", strategies::random::PART);
        registry.add("regularized_evolution", strategies::regularized_evolution::PART);
        registry.add("simulated_annealing", strategies::simulated_annealing::PART);
        registry.add("sms_emoa", strategies::sms_emoa::PART);
        registry.add("successive_halving", strategies::successive_halving::PART);
        registry
    }

    /// Builds the strategy with this name and these settings. Every strategy also accepts three settings that
    /// choose the first trials. `start` lists genotypes to try first. `transfer` names the `journal` of an
    /// earlier study, whose best `count` genotypes are tried first. `proxies` tries the genotypes first that
    /// zero-cost proxies score best.
    ///
    /// # Errors
    /// [`SettingsError`] for an unknown name, with the list of known names, and for settings that the
    /// strategy does not accept.
    pub fn build(&self, name: &str, settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
        let part = self.find(name).map_err(|unknown| unknown.at(settings.key("strategy")))?;
        let mut own = settings.table().clone();
        let keys = prior::KEYS.iter().filter_map(|key| Some(((*key).to_owned(), own.remove(*key)?)));
        let prior = Settings::new(settings.path(), keys.collect());
        let strategy = (part.build)(&Settings::new(settings.path(), own))?;
        prior::before(&prior, strategy)
    }
}

impl Deref for StrategyRegistry {
    type Target = Registry<StrategyBuilder>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for StrategyRegistry {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
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
        let registry = StrategyRegistry::builtin();
        let known: Vec<String> = registry.names().map(|name| format!("`{name}`")).collect();
        assert_eq!(
            message("anealing", json!({})),
            format!("`search.strategy`: found `anealing`, expected one of {}", known.join(", "))
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

//! A strategy with its settings, as written on a command line.

use kiln_space::Settings;
use serde_json::{Map, Value};

use super::error::{BenchError, ChoiceFault};
use crate::contracts::Strategy;
use crate::registry::StrategyRegistry;

/// The name of a strategy, with its settings.
#[derive(Clone, Debug, PartialEq)]
pub struct StrategyChoice {
    /// The text as it was written. Results use it as the strategy's name.
    pub label: String,
    name: String,
    settings: Settings,
}

impl StrategyChoice {
    /// Reads `NAME` or `NAME:{"setting": value}`.
    ///
    /// # Errors
    /// [`BenchError::Strategy`] if the text after the name is not a JSON object.
    pub fn parse(text: &str) -> Result<Self, BenchError> {
        let text = text.trim();
        let (name, table) = text.split_once(':').unwrap_or((text, "{}"));
        let refuse = |fault| BenchError::Strategy { text: text.to_owned(), fault };
        if name.is_empty() {
            return Err(refuse(ChoiceFault::NoName));
        }
        match serde_json::from_str(table) {
            Ok(Value::Object(table)) => Ok(Self::new(text, name, table)),
            Ok(_) => Err(refuse(ChoiceFault::NotAnObject)),
            Err(error) => Err(refuse(ChoiceFault::NotJson(error))),
        }
    }

    /// Reads a list of strategies, separated by commas. Commas inside settings do not separate strategies.
    ///
    /// # Errors
    /// The same as for [`StrategyChoice::parse`].
    ///
    /// # Example
    /// ```
    /// use kiln_search::bench::StrategyChoice;
    /// let strategies = StrategyChoice::parse_list(r#"random,clustered:{"initial": 5, "clusters": 1}"#)?;
    /// assert_eq!(strategies.len(), 2);
    /// # Ok::<(), kiln_search::bench::BenchError>(())
    /// ```
    pub fn parse_list(text: &str) -> Result<Vec<Self>, BenchError> {
        let (mut depth, mut start) = (0_u32, 0);
        let mut parts = Vec::new();
        for (at, c) in text.char_indices() {
            match c {
                '{' | '[' => depth += 1,
                '}' | ']' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    parts.push(&text[start..at]);
                    start = at + 1;
                }
                _ => {}
            }
        }
        parts.push(&text[start..]);
        parts.into_iter().map(Self::parse).collect()
    }

    fn new(label: &str, name: &str, table: Map<String, Value>) -> Self {
        Self { label: label.to_owned(), name: name.to_owned(), settings: Settings::new("strategy", table) }
    }

    /// Builds the chosen strategy with its settings.
    ///
    /// # Errors
    /// [`BenchError::Settings`] for an unknown strategy name, and for settings that the strategy does not
    /// accept.
    pub fn build(&self, registry: &StrategyRegistry) -> Result<Box<dyn Strategy>, BenchError> {
        Ok(registry.build(&self.name, &self.settings)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_list_splits_at_commas_outside_of_settings() {
        let text = r#"random, clustered:{"a": [1, 2], "b": 3},x"#;
        let labels: Vec<String> =
            StrategyChoice::parse_list(text).unwrap().into_iter().map(|choice| choice.label).collect();
        assert_eq!(labels, ["random", r#"clustered:{"a": [1, 2], "b": 3}"#, "x"]);
    }

    #[test]
    fn parse_names_what_is_wrong_with_a_strategy() {
        for (text, problem) in [
            ("", "the name is missing"),
            ("random:3", "settings are a JSON object"),
            ("random:{", "not JSON"),
        ] {
            let error = StrategyChoice::parse(text).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
        let unknown = StrategyChoice::parse("annealing").unwrap().build(&StrategyRegistry::builtin());
        assert!(unknown.err().unwrap().to_string().contains("expected one of"));
    }
}

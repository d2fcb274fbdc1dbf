//! What is minimized, and what a target names: it must be measured or computed.

use kiln_search::CostSet;
use serde_json::json;

use super::TABLE;
use crate::config::{ConfigError, RunConfig};

/// Where no objective is stated and the usual one is not measured, takes what is: the run folder says so then.
pub(super) fn choose(config: &mut RunConfig, metrics: &[String]) -> Result<(), ConfigError> {
    let stated = config.document.root()["search"].get("objectives").is_some();
    if stated || config.search.objectives.iter().all(|usual| metrics.contains(usual)) {
        return Ok(());
    }
    let first = match (config.evaluator.kind.as_str(), metrics) {
        // The columns of a table are in no order that says which one matters.
        (TABLE, [_, _, ..]) | (_, []) => {
            let expected = format!("some of `{}`", metrics.join("`, `"));
            return Err(config.document.missing("search.objectives", &expected));
        }
        (_, [first, ..]) => first.clone(),
    };
    config.document.set("search", "objectives", json!([first]));
    config.search.objectives = vec![first];
    Ok(())
}

/// An objective, and what a target names, must be measured by the evaluator or be a cost. `optional` are the
/// metrics that the evaluator measures where they are asked for: an objective asks for them, a target does
/// not, for it may change between two runs.
pub(super) fn check(
    config: &RunConfig,
    costs: &CostSet,
    metrics: &[String],
    optional: &[String],
) -> Result<(), ConfigError> {
    let costs = costs.names();
    let known: Vec<String> = metrics.iter().chain(&costs).cloned().collect();
    for name in config.search.target.keys() {
        let (table, name) = ("search.target", name.as_str());
        if !known.iter().any(|known| known == name) {
            let mut expected = format!("one of `{}`", known.join("`, `"));
            if optional.iter().any(|optional| optional == name) {
                expected =
                    format!("a metric that is measured; set `metrics = [\"{name}\"]` in `[evaluator]`");
            }
            return Err(config.document.value(table, format!("`{name}`"), &expected));
        }
    }
    let unknown = config.search.objectives.iter().position(|objective| !known.contains(objective));
    unknown.map_or(Ok(()), |index| {
        let (key, found) = (format!("search.objectives.{index}"), &config.search.objectives[index]);
        let unasked = optional.iter().filter(|name| !metrics.contains(name));
        let possible: Vec<&str> = metrics.iter().chain(unasked).chain(&costs).map(String::as_str).collect();
        let expected = format!("one of `{}`", possible.join("`, `"));
        Err(config.document.value(&key, format!("`{found}`"), &expected))
    })
}

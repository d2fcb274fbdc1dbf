//! Checks that every objective and every target is a metric or a cost of the study.

use kiln_search::CostSet;
use serde_json::json;

use super::TABLE;
use crate::config::{ConfigError, RunConfig};

/// Chooses the default objective if the config states no objectives. If the evaluator does not measure the
/// usual default, the evaluator's first metric becomes the objective. The run folder records the choice.
pub(super) fn choose(config: &mut RunConfig, metrics: &[String]) -> Result<(), ConfigError> {
    let stated = config.document.root()["search"].get("objectives").is_some();
    if stated || config.search.objectives.iter().all(|usual| metrics.contains(usual)) {
        return Ok(());
    }
    let first = match (config.evaluator.kind.as_str(), metrics) {
        // The order of a table's columns does not show which metric matters.
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

/// Checks that each objective and each target is a metric of the evaluator or a cost. `optional` lists the
/// metrics that the evaluator measures only on request. An objective requests its metric. A target requests
/// nothing, because a target may change between two runs.
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

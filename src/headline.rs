//! A study's headline is the test result of the study's best finished network. Estimates are never a
//! headline.

use std::collections::BTreeMap;

use kiln_search::TrialId;

/// The test result of a finished network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TestResult<'a> {
    pub(crate) trial: TrialId,
    /// Name of the metric.
    pub(crate) metric: &'a str,
    pub(crate) value: f64,
}

/// Returns the finished network with the best test result. The first objective for which test results exist
/// decides. If several networks are equally good, the first one is returned.
pub(crate) fn best<'a>(
    finished: impl Iterator<Item = (TrialId, &'a BTreeMap<String, f64>)>,
    objectives: &[String],
) -> Option<TestResult<'a>> {
    let result = |(trial, metrics): (TrialId, &'a BTreeMap<String, f64>)| {
        let tested = objectives.iter().find_map(|objective| metrics.get_key_value(&of_test(objective)));
        let (name, value) = tested.or_else(|| metrics.first_key_value())?;
        Some(TestResult { trial, metric: name, value: *value })
    };
    // These test metrics are maximized. All others are minimized.
    let is_maximized = |name: &str| ["accuracy", "f1", "r2"].iter().any(|kind| name.contains(kind));
    let minimized =
        |result: &TestResult<'_>| if is_maximized(result.metric) { -result.value } else { result.value };
    finished.filter_map(result).min_by(|a, b| minimized(a).total_cmp(&minimized(b)))
}

/// Returns the name of the test metric that corresponds to an objective.
fn of_test(objective: &str) -> String {
    match objective {
        "macro_f1_error_percent" => "test_macro_f1_percent".to_owned(),
        "one_minus_r2" => "test_r2".to_owned(),
        name => match name.strip_suffix("error_percent") {
            Some(what) => format!("test_{what}accuracy_percent"),
            None => format!("test_{name}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_result_maximizes_accuracy_and_minimizes_error() {
        let best_of = |name: &str, values: [f64; 3]| {
            let networks = values.map(|value| BTreeMap::from([(name.to_owned(), value)]));
            best((4..).zip(&networks), &[]).map(|best| (best.trial, best.metric.to_owned(), best.value))
        };
        let accuracy = "test_accuracy_percent";
        assert_eq!(best_of(accuracy, [97.0, 99.0, 99.0]), Some((5, accuracy.to_owned(), 99.0)));
        let error = "test_mean_squared_error";
        assert_eq!(best_of(error, [0.3, 0.4, 0.2]), Some((6, error.to_owned(), 0.2)));
        assert_eq!(best_of("test_r2", [0.3, 0.4, 0.2]), Some((5, "test_r2".to_owned(), 0.4)));
        assert_eq!(best(std::iter::empty(), &[]), None);
    }

    #[test]
    fn first_tested_objective_decides() {
        let network = |accuracy, balanced| {
            let named = [("test_accuracy_percent", accuracy), ("test_balanced_accuracy_percent", balanced)];
            BTreeMap::from(named.map(|(name, value)| (name.to_owned(), value)))
        };
        let networks = [network(95.0, 60.0), network(90.0, 80.0)];
        let best_for = |objectives: &[&str]| {
            let objectives: Vec<String> = objectives.iter().map(|name| (*name).to_owned()).collect();
            best((0..).zip(&networks), &objectives).map(|best| best.trial)
        };
        assert_eq!(best_for(&["latency_us", "error_percent"]), Some(0));
        assert_eq!(best_for(&["latency_us", "balanced_error_percent"]), Some(1));
        assert_eq!(best_for(&["latency_us"]), Some(0));
        let tested = ["macro_f1_error_percent", "one_minus_r2", "mean_squared_error"].map(of_test);
        assert_eq!(tested, ["test_macro_f1_percent", "test_r2", "test_mean_squared_error"]);
    }
}

//! The headline of a study: the test result of the best network that was finished. An estimate is none.

use std::collections::BTreeMap;

use kiln_search::TrialId;

/// The finished network with the best test result, the first among equals: its trial, the name of the metric
/// and its value.
pub(crate) fn best<'a>(
    finished: impl Iterator<Item = (TrialId, &'a BTreeMap<String, f64>)>,
) -> Option<(TrialId, &'a str, f64)> {
    let result = |(trial, metrics): (TrialId, &'a BTreeMap<String, f64>)| {
        let (name, value) = metrics.first_key_value()?;
        Some((trial, name.as_str(), *value))
    };
    // Test metrics are errors and losses, except for accuracy.
    let minimized = |(_, name, value): &(TrialId, &str, f64)| {
        if name.contains("accuracy") { -*value } else { *value }
    };
    finished.filter_map(result).min_by(|a, b| minimized(a).total_cmp(&minimized(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_test_result_wins_whether_it_is_an_accuracy_or_an_error() {
        let best_of = |name: &str, values: [f64; 3]| {
            let networks = values.map(|value| BTreeMap::from([(name.to_owned(), value)]));
            best((4..).zip(&networks)).map(|(trial, name, value)| (trial, name.to_owned(), value))
        };
        let accuracy = "test_accuracy_percent";
        assert_eq!(best_of(accuracy, [97.0, 99.0, 99.0]), Some((5, accuracy.to_owned(), 99.0)));
        let error = "test_mean_squared_error";
        assert_eq!(best_of(error, [0.3, 0.4, 0.2]), Some((6, error.to_owned(), 0.2)));
        assert_eq!(best(std::iter::empty()), None);
    }
}

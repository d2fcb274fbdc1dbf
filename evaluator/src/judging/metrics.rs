//! Metrics that are measured only on request, and the test results of a finished network.

use kiln_export::TestResults;
use kiln_search::Outcome;
use kiln_space::{Settings, SettingsError};
use serde::{Deserialize, Serialize};

use crate::data::{DataSet, Split};
use crate::judging::confusion::Confusion;
use crate::judging::judgement::{self, Judgement};
use crate::judging::value_errors::ValueErrors;

/// A metric that is measured if an objective or `[evaluator] metrics` names it.
struct Optional {
    /// Name of the metric. The metric is minimized.
    name: &'static str,
    /// Name of the test result in reports.
    of_test: &'static str,
    /// Converts the metric to the test result.
    as_test: fn(f64) -> f64,
}

const OF_CLASSES: [Optional; 2] = [
    Optional {
        name: "balanced_error_percent",
        of_test: "test_balanced_accuracy_percent",
        as_test: from_hundred,
    },
    Optional { name: "macro_f1_error_percent", of_test: "test_macro_f1_percent", as_test: from_hundred },
];
const OF_VALUES: [Optional; 2] = [
    Optional { name: "mean_absolute_error", of_test: "test_mean_absolute_error", as_test: same },
    Optional { name: "one_minus_r2", of_test: "test_r2", as_test: from_one },
];

fn from_hundred(error: f64) -> f64 {
    100.0 - error
}
fn from_one(error: f64) -> f64 {
    1.0 - error
}
fn same(error: f64) -> f64 {
    error
}

fn optional(data: &DataSet) -> &'static [Optional] {
    if data.is_regression() { &OF_VALUES } else { &OF_CLASSES }
}

/// Computes the optional metrics from outputs for a whole split, in the order of [`optional`].
fn values(outputs: &[f32], data: &DataSet, split: Split) -> [f64; 2] {
    if data.is_regression() {
        let errors = ValueErrors::of(outputs, data, split);
        return [errors.mean_absolute_error(), 1.0 - errors.r2()];
    }
    let places: Vec<usize> = (0..data.targets().names().len()).collect();
    of_confusion(&Confusion::of(outputs, data, split, (places.len(), &places)))
}

fn of_confusion(confusion: &Confusion) -> [f64; 2] {
    [confusion.balanced_error_percent(), confusion.macro_f1_error_percent()]
}

/// Names of the optional metrics for this data set.
pub(crate) fn optional_names(data: &DataSet) -> Vec<String> {
    optional(data).iter().map(|metric| metric.name.to_owned()).collect()
}

/// The setting `metrics` in `[evaluator]`: names of optional metrics to measure. [`Asked::resolved`] adds the
/// objectives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Asked(Vec<String>);

impl Asked {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the optional metrics that the setting or an objective names, each once, in the order of their
    /// list.
    ///
    /// # Errors
    /// [`SettingsError`] if the setting names something that is not a metric of this data set.
    pub(crate) fn resolved(
        &self,
        settings: &Settings,
        objectives: &[String],
        data: &DataSet,
    ) -> Result<Self, SettingsError> {
        let usual = judgement::metrics(data);
        for (index, name) in self.0.iter().enumerate() {
            let known = || usual.iter().map(String::as_str).chain(optional(data).iter().map(|one| one.name));
            if !known().any(|known| known == name) {
                let expected = format!("one of `{}`", known().collect::<Vec<_>>().join("`, `"));
                let key = settings.key(&format!("metrics.{index}"));
                return Err(SettingsError::value(key, format!("`{name}`"), &expected));
            }
        }
        let is_asked = |name: &&str| self.0.iter().chain(objectives).any(|asked| asked == name);
        Ok(Self(optional(data).iter().map(|one| one.name).filter(is_asked).map(str::to_owned).collect()))
    }

    /// Names of all metrics that a study measures: the usual metrics, and the requested optional metrics.
    pub(crate) fn names(&self, data: &DataSet) -> Vec<String> {
        let mut names = judgement::metrics(data);
        names.extend_from_slice(&self.0);
        names
    }

    /// Computes a network's metrics from its outputs for the validation split. `outputs` is `None` if the
    /// network could not run.
    pub(crate) fn measured(&self, outputs: Option<&[f32]>, data: &DataSet) -> Outcome {
        let judged = outputs.and_then(|outputs| Judgement::new(outputs, data, Split::Validation));
        let more = match (outputs, &judged) {
            (Some(outputs), Some(_)) if !self.is_empty() => {
                let values = optional(data).iter().zip(values(outputs, data, Split::Validation));
                let asked = values.filter(|(metric, _)| self.asks_for(metric));
                asked.map(|(metric, value)| (metric.name.to_owned(), value)).collect()
            }
            _ => Vec::new(),
        };
        judgement::outcome(judged, more, data)
    }

    fn asks_for(&self, metric: &Optional) -> bool {
        self.0.iter().any(|asked| asked == metric.name)
    }
}

/// Test results by name. The optional metrics in `more` come last.
fn named(judged: Judgement, data: &DataSet, more: [f64; 2]) -> Vec<(&'static str, f64)> {
    let more = optional(data).iter().zip(more);
    let more = more.map(|(metric, value)| (metric.of_test, (metric.as_test)(value)));
    judged.of_test().into_iter().chain(more).collect()
}

/// Scores of a network's outputs for a whole split. They contain the metrics in the report on a finished
/// network, and results for each class or regression target.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Metrics, with the optional metrics last. Each name contains the unit. In a classification, they
    /// contain accuracy instead of error.
    pub metrics: Vec<(&'static str, f64)>,
    /// Results for each class or regression target.
    pub results: TestResults,
}

impl Score {
    /// Scores outputs in the units of training: logits, or values in standard deviations from the training
    /// mean. Returns `None` if an output is not finite.
    pub(crate) fn of(outputs: &[f32], data: &DataSet, split: Split) -> Option<Self> {
        let names = data.targets().names();
        if !data.is_regression() {
            let places: Vec<usize> = (0..names.len()).collect();
            return Self::of_classes(outputs, data, split, (names, &places));
        }
        let judged = Judgement::new(outputs, data, split)?;
        let errors = ValueErrors::of(outputs, data, split);
        let mut metrics = named(judged, data, [errors.mean_absolute_error(), 1.0 - errors.r2()]);
        metrics.push(("test_rmse_deviations_of_training_mean", errors.rmse_deviations_of_training_mean()));
        Some(Self { metrics, results: errors.results(names) })
    }

    /// Scores logits for the classes `names`. The logit of the data set's class `i` has the index
    /// `places[i]`.
    pub(crate) fn of_classes(
        outputs: &[f32],
        data: &DataSet,
        split: Split,
        (names, places): (&[String], &[usize]),
    ) -> Option<Self> {
        let judged = Judgement::of_classes(outputs, data, split, (names.len(), places))?;
        let confusion = Confusion::of(outputs, data, split, (names.len(), places));
        let metrics = named(judged, data, of_confusion(&confusion));
        Some(Self { metrics, results: confusion.results(names) })
    }

    /// Returns the metrics that the journal records: the usual metrics, and the optional metrics in `asked`.
    pub(crate) fn asked<'a>(
        &'a self,
        asked: &'a Asked,
        data: &'a DataSet,
    ) -> impl Iterator<Item = (&'static str, f64)> + 'a {
        let is_asked = |name: &str| {
            let metric = optional(data).iter().find(|metric| metric.of_test == name);
            metric.is_some_and(|metric| asked.asks_for(metric))
        };
        let usual = judgement::metrics(data).len();
        let numbered = self.metrics.iter().enumerate();
        numbered.filter(move |(index, (name, _))| *index < usual || is_asked(name)).map(|(_, metric)| *metric)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::data::testing::of_targets;
    use crate::data::{Sizes, Targets};

    fn data(targets: Targets, test: usize) -> DataSet {
        of_targets(targets, test, &Sizes { test: 0.0, validation: 0.3, seed: 0, limit: None })
    }

    fn classes() -> DataSet {
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        data(Targets::Classes { names, labels: vec![0, 1, 0, 1, 0, 1, 0, 0, 0, 1] }, 4)
    }

    fn asked(stated: &[&str], objectives: &[&str], data: &DataSet) -> Result<Vec<String>, String> {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let settings = Settings::new("evaluator", Map::new());
        let resolved = Asked(own(stated)).resolved(&settings, &own(objectives), data);
        resolved.map(|asked| asked.0).map_err(|error| error.to_string())
    }

    #[test]
    fn only_stated_metrics_and_objectives_are_asked_for() {
        let data = classes();
        assert_eq!(asked(&[], &["error_percent", "latency_us"], &data).unwrap(), Vec::<String>::new());
        assert_eq!(asked(&["error_percent"], &[], &data).unwrap(), Vec::<String>::new());
        let both = ["balanced_error_percent", "macro_f1_error_percent"];
        assert_eq!(asked(&[both[1]], &[both[0], "macs", both[1]], &data).unwrap(), both);
        assert_eq!(
            asked(&["balanced_error_percent", "mean_absolute_error"], &[], &data).unwrap_err(),
            "`evaluator.metrics.1`: found `mean_absolute_error`, expected one of `error_percent`, \
             `loss_nats`, `balanced_error_percent`, `macro_f1_error_percent`"
        );
    }

    #[test]
    fn scores_of_a_test_match_numbers_by_hand() {
        let data = classes();
        // The classes of the test split are 0, 0, 0, 1. The network predicts 0, 0, 1, 1.
        let outputs = [2.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 2.0, 0.0];
        let score = Score::of(&outputs, &data, Split::Test).unwrap();
        let expected = [
            ("test_accuracy_percent", 75.0),
            // The recalls are 2/3 and 1.
            ("test_balanced_accuracy_percent", 250.0 / 3.0),
            // The F1 scores are 4/5 and 2/3.
            ("test_macro_f1_percent", 220.0 / 3.0),
        ];
        for (name, expected) in expected {
            let (_, found) = score.metrics.iter().find(|(found, _)| *found == name).unwrap();
            assert!((found - expected).abs() < 1e-9, "{name}: {found}");
        }
        assert_eq!(score.results.confusion, [[2, 1, 0], [0, 1, 0], [0, 0, 0]]);
        let names =
            |asked: &Asked| -> Vec<&str> { score.asked(asked, &data).map(|(name, _)| name).collect() };
        assert_eq!(names(&Asked::default()), ["test_accuracy_percent", "test_loss_nats"]);
        let asked = Asked(vec!["macro_f1_error_percent".to_owned()]);
        assert_eq!(names(&asked), ["test_accuracy_percent", "test_loss_nats", "test_macro_f1_percent"]);
        assert_eq!(Score::of(&[f32::NAN; 12], &data, Split::Test), None);
    }
}

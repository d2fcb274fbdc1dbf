//! Evaluates a network's outputs on a split, and defines the metrics of classification and regression.

use std::collections::BTreeMap;

use kiln_search::{FailureKind, Measurement, Outcome};

use crate::data::{DataSet, Split, Targets};

/// Metrics of a network's outputs on a split. All of them are minimized. In a classification, users see
/// accuracy instead of error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Judgement {
    /// Metrics of a classification.
    Classification {
        /// Percentage of wrong predictions.
        error_percent: f64,
        /// Mean cross-entropy, nats.
        loss_nats: f64,
    },
    /// Metrics of a regression.
    Regression {
        /// Mean squared error over examples and targets, each target in its own unit.
        mean_squared_error: f64,
        /// Root of the mean squared error, in standard deviations of each target over the training split. On
        /// the training split, a network that always predicts the mean has the value 1. For other splits see
        /// `ValueErrors`.
        rmse_deviations: f64,
    },
}

/// Name of the metric for the percentage of wrong predictions.
pub(crate) const ERROR: &str = "error_percent";
/// The metric's value if all predictions are wrong.
pub(crate) const LARGEST_ERROR: f64 = 100.0;

/// Whether a metric is a percentage of errors.
pub(crate) fn is_error(metric: &str) -> bool {
    metric.ends_with(ERROR)
}

/// Natural logarithm of a metric. To keep the logarithm finite, an error below half an example of the
/// validation split is replaced by half an example. Returns `None` if the metric was not measured.
#[must_use]
pub fn logarithm(outcome: &Outcome, metric: &str, data: &DataSet) -> Option<f64> {
    let examples = data.split(Split::Validation).len().max(1) as f64;
    let smallest = if is_error(metric) { 0.5 * LARGEST_ERROR / examples } else { f64::MIN_POSITIVE };
    Some(outcome.measurement()?.get(metric)?.max(smallest).ln())
}

/// Names of the metrics that are always measured on this data set.
pub(crate) fn metrics(data: &DataSet) -> Vec<String> {
    let names =
        if data.is_regression() { ["mean_squared_error", "rmse_deviations"] } else { [ERROR, "loss_nats"] };
    names.map(str::to_owned).to_vec()
}

impl Judgement {
    /// Evaluates the outputs for a whole split, in the order of the split: logits, or standardized values.
    /// Returns `None` if an output is not finite.
    pub(crate) fn new(outputs: &[f32], data: &DataSet, split: Split) -> Option<Self> {
        let width = data.targets().names().len();
        match data.targets() {
            Targets::Classes { .. } => {
                let places: Vec<usize> = (0..width).collect();
                Self::of_classes(outputs, data, split, (width, &places))
            }
            Targets::Values { .. } => Self::of_values(outputs, data, split),
        }
    }

    /// Evaluates logits. Each example has `width` logits. The logit of the data set's class `i` has the index
    /// `places[i]`.
    pub(crate) fn of_classes(
        outputs: &[f32],
        data: &DataSet,
        split: Split,
        (width, places): (usize, &[usize]),
    ) -> Option<Self> {
        if outputs.iter().any(|output| !output.is_finite()) {
            return None;
        }
        let count = data.split(split).len().max(1) as f64;
        let (mut wrong, mut loss) = (0_u32, 0.0);
        for (row, example) in outputs.chunks_exact(width).zip(data.split(split)) {
            let (is_right, nats) = class_judgement(row, places[data.label(*example) as usize]);
            wrong += u32::from(!is_right);
            loss += nats;
        }
        let error_percent = 100.0 * f64::from(wrong) / count;
        Some(Self::Classification { error_percent, loss_nats: loss / count })
    }

    /// Evaluates regression outputs, which are in standard deviations from the training mean.
    fn of_values(outputs: &[f32], data: &DataSet, split: Split) -> Option<Self> {
        if outputs.iter().any(|output| !output.is_finite()) {
            return None;
        }
        let names = data.targets().names();
        let rows = outputs.chunks_exact(names.len()).zip(data.split(split));
        let count = data.split(split).len().max(1) as f64;
        let (mean, deviation) = data.target_normalization();
        let (mut own, mut relative) = (0.0, 0.0);
        for (row, example) in rows {
            for (i, value) in data.values(*example).iter().enumerate() {
                let deviation = f64::from(deviation[i]);
                let wanted = (f64::from(*value) - f64::from(mean[i])) / deviation;
                let square = (f64::from(row[i]) - wanted).powi(2);
                own += square * deviation * deviation;
                relative += square;
            }
        }
        let values = count * names.len() as f64;
        let found = Self::Regression {
            mean_squared_error: own / values,
            rmse_deviations: (relative / values).sqrt(),
        };
        Some(found).filter(|_| (own + relative).is_finite())
    }

    /// Returns the metric that changes smoothly with the weights: the cross-entropy in nats, or
    /// `rmse_deviations`.
    pub(crate) const fn loss(&self) -> f64 {
        match self {
            Self::Classification { loss_nats, .. } => *loss_nats,
            Self::Regression { rmse_deviations, .. } => *rmse_deviations,
        }
    }

    /// The values of the metrics, in the order of [`metrics`].
    pub(crate) const fn values(&self) -> [f64; 2] {
        match self {
            Self::Classification { error_percent, loss_nats } => [*error_percent, *loss_nats],
            Self::Regression { mean_squared_error, rmse_deviations } => {
                [*mean_squared_error, *rmse_deviations]
            }
        }
    }

    /// Test results of a finished network. Each name contains the unit. In a classification, the results
    /// contain accuracy instead of error.
    pub(crate) const fn of_test(&self) -> [(&'static str, f64); 2] {
        match self {
            Self::Classification { error_percent, loss_nats } => {
                [("test_accuracy_percent", 100.0 - *error_percent), ("test_loss_nats", *loss_nats)]
            }
            Self::Regression { mean_squared_error, rmse_deviations } => {
                [("test_mean_squared_error", *mean_squared_error), ("test_rmse_deviations", *rmse_deviations)]
            }
        }
    }
}

/// The result for one example. A [`Judgement`] is computed from the means of these numbers over all examples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ExampleJudgement {
    /// In a classification, 1 if the prediction is wrong and 0 otherwise. In a regression, the squared error
    /// of standardized targets.
    pub(crate) error: f64,
    /// In a classification, the cross-entropy in nats. In a regression, the squared error of standardized
    /// targets.
    pub(crate) loss: f64,
}

/// Evaluates outputs for these examples, in their order. Returns `None` if an output is not finite.
pub(crate) fn of_examples(
    outputs: &[f32],
    data: &DataSet,
    examples: &[u32],
) -> Option<Vec<ExampleJudgement>> {
    if outputs.iter().any(|output| !output.is_finite()) {
        return None;
    }
    let rows = outputs.chunks_exact(data.targets().names().len()).zip(examples);
    Some(rows.map(|(row, example)| of_example(row, data, *example)).collect())
}

fn of_example(row: &[f32], data: &DataSet, example: u32) -> ExampleJudgement {
    if data.is_regression() {
        let (mean, deviation) = data.target_normalization();
        let squares = data.values(example).iter().enumerate().map(|(i, value)| {
            let wanted = (f64::from(*value) - f64::from(mean[i])) / f64::from(deviation[i]);
            (f64::from(row[i]) - wanted).powi(2)
        });
        let loss = squares.sum::<f64>() / row.len() as f64;
        return ExampleJudgement { error: loss, loss };
    }
    let label = data.label(example) as usize;
    let (is_right, loss) = class_judgement(row, label);
    ExampleJudgement { error: f64::from(u8::from(!is_right)), loss }
}

/// The class that the network predicts: the class with the largest logit.
pub(crate) fn top(row: &[f32]) -> usize {
    (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0)
}

/// Whether `label` has the largest logit, and the cross-entropy in nats.
fn class_judgement(row: &[f32], label: usize) -> (bool, f64) {
    let top = top(row);
    let largest = f64::from(row[top]);
    let sum: f64 = row.iter().map(|logit| (f64::from(*logit) - largest).exp()).sum();
    (top == label, sum.ln() + largest - f64::from(row[label]))
}

/// Builds the outcome that the search sees, from a judgement and the metrics in `more`.
pub(crate) fn outcome(judged: Option<Judgement>, more: Vec<(String, f64)>, data: &DataSet) -> Outcome {
    let measurement = judged.and_then(|judged| {
        let usual = metrics(data).into_iter().zip(judged.values());
        let metrics: BTreeMap<String, f64> = usual.chain(more).collect();
        Measurement::new(metrics).ok()
    });
    measurement.map_or_else(
        || Outcome::Failed {
            kind: FailureKind::Diverged,
            reason: "the network gives outputs that are not finite".to_owned(),
        },
        Outcome::Measured,
    )
}

#[cfg(test)]
mod tests {
    use kiln_export::InputRecord;
    use kiln_space::Shape;

    use super::*;
    use crate::data::{Augmentation, Given, RawData, Sizes};

    fn data(targets: Targets) -> DataSet {
        let raw = RawData {
            name: "test".to_owned(),
            input: "a number".to_owned(),
            shape: Shape::vector(1),
            examples: vec![0.0; 6],
            targets,
            inputs: vec![InputRecord::channel("x")],
            given: Given::test_at_end(6, 2),
            notes: Vec::new(),
        };
        let sizes = Sizes { test: 0.0, validation: 0.3, seed: 0, limit: None };
        DataSet::new(raw, &sizes, Augmentation::default()).unwrap()
    }

    #[test]
    fn values_are_judged_in_their_own_unit_and_in_deviations() {
        // Both targets are the same quantity in two units, so their standardized errors agree for every
        // choice of training examples.
        let names = ["m", "mm"].map(str::to_owned).to_vec();
        let values =
            [1.0, 1.0, 3.0, 3.0, 4.0, 0.0].iter().flat_map(|value| [*value, 1000.0 * value]).collect();
        let data = data(Targets::Values { names, values, offsets: Vec::new() });
        let (mean, deviation) = data.target_normalization();
        let right: Vec<f32> = data
            .split(Split::Test)
            .iter()
            .flat_map(|example| data.values(*example).iter().enumerate().collect::<Vec<_>>())
            .map(|(i, value)| (value - mean[i]) / deviation[i])
            .collect();
        let judged = Judgement::new(&right, &data, Split::Test).unwrap();
        assert!(judged.values()[1] < 1e-6, "{judged:?}");
        let off: Vec<f32> = right.iter().map(|value| value + 0.5).collect();
        let judged = Judgement::new(&off, &data, Split::Test).unwrap();
        assert!((judged.values()[1] - 0.5).abs() < 1e-6);
        let expected = 0.25 * f64::from(deviation[0]).powi(2) * (1.0 + 1e6) / 2.0;
        assert!((judged.values()[0] / expected - 1.0).abs() < 1e-5, "{judged:?}");
        assert_eq!(Judgement::new(&[f32::NAN; 4], &data, Split::Test), None);
    }

    #[test]
    fn logarithm_of_an_error_is_at_least_that_of_half_an_example() {
        let names = ["a", "b"].map(str::to_owned).to_vec();
        let data = data(Targets::Classes { names, labels: vec![0, 1, 0, 1, 0, 1] });
        let of = |metric: &str, value: f64| {
            logarithm(&Outcome::from_metrics([(metric.to_owned(), value)].into()), metric, &data).unwrap()
        };
        let half = 50.0 / data.split(Split::Validation).len() as f64;
        assert!((of(ERROR, 0.0) - half.ln()).abs() < 1e-12 && (of(ERROR, 99.0) - 99_f64.ln()).abs() < 1e-12);
        assert!((of("mean_squared_error", 1e-30) - 1e-30_f64.ln()).abs() < 1e-12);
        assert!(of("loss_nats", 0.0).is_finite());
    }

    #[test]
    fn classes_are_judged_by_the_largest_logit() {
        let names = ["a", "b"].map(str::to_owned).to_vec();
        let data = data(Targets::Classes { names, labels: vec![0, 1, 0, 1, 0, 1] });
        let judged = Judgement::new(&[2.0, 0.0, 2.0, 0.0], &data, Split::Test).unwrap();
        let right = (1.0 + (-2.0_f64).exp()).ln();
        let [error, loss] = judged.values();
        assert!((error - 50.0).abs() < 1e-12);
        assert!((loss - (right + right + 2.0) / 2.0).abs() < 1e-12);
        assert!((judged.of_test()[0].1 - 50.0).abs() < 1e-12);
    }
}

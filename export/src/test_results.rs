//! Results of a trained network on its test split, for each class (classification) or predicted value
//! (regression).

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ExportError;

/// Test results for each class (classification) or predicted value (regression). The card stores the results,
/// and `kiln eval` computes them again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestResults {
    /// Number of test examples.
    pub examples: u64,
    /// One entry per class, in the order of the outputs. Empty for a regression.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassResult>,
    /// Confusion matrix in the order of the outputs. Rows are true classes, columns are predicted classes,
    /// and entries are numbers of examples. Empty for more than [`TestResults::MATRIX_MAX`] classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confusion: Vec<Vec<u64>>,
    /// The most frequent confusions in descending order, if there are too many classes for a matrix.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confused: Vec<Confused>,
    /// One entry per predicted value, in the order of the outputs. Empty for a classifier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<ValueResult>,
}

/// Results for one class. A fraction whose denominator is 0 counts as 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassResult {
    /// The class.
    pub name: String,
    /// Percentage of correct predictions among the examples that are predicted as this class.
    pub precision_percent: f64,
    /// Percentage of correct predictions among the examples of this class.
    pub recall_percent: f64,
    /// Harmonic mean of precision and recall.
    pub f1_percent: f64,
    /// Number of examples of this class.
    pub support: u64,
}

/// Number of examples of one class that the network predicts as another class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confused {
    /// True class.
    pub class: String,
    /// Predicted class.
    pub predicted: String,
    /// Number of examples.
    pub examples: u64,
}

/// Results for one predicted value, in its own unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueResult {
    /// Name of the value.
    pub name: String,
    /// Mean absolute difference from the target.
    pub mean_absolute_error: f64,
    /// Mean squared difference from the target.
    pub mean_squared_error: f64,
    /// Coefficient of determination: `1 - a / b`, where `a` is the squared error of the predictions, and `b`
    /// is the squared error of the test examples' mean.
    pub r2: f64,
    /// Mean squared error on the same examples if every prediction is the mean of the training split.
    pub mean_squared_error_of_training_mean: f64,
}

impl TestResults {
    /// Maximum number of classes with a confusion matrix.
    pub const MATRIX_MAX: usize = 100;

    /// Returns the `most` most frequent confusions. Equally frequent confusions are in the order of the
    /// classes.
    #[must_use]
    pub fn most_confused(&self, most: usize) -> Vec<Confused> {
        let named = |class: usize, given: usize, examples: u64| {
            let name =
                |class: usize| self.classes.get(class).map(|class| class.name.clone()).unwrap_or_default();
            Confused { class: name(class), predicted: name(given), examples }
        };
        let rows = self.confusion.iter().enumerate();
        let cells = rows.flat_map(|(class, row)| {
            let wrong = row.iter().enumerate().filter(move |(given, count)| *given != class && **count > 0);
            wrong.map(move |(given, count)| named(class, given, *count))
        });
        let mut confused: Vec<Confused> = self.confused.iter().cloned().chain(cells).collect();
        // The sort is stable, so equally frequent confusions stay in the order of the classes.
        confused.sort_by_key(|confused| u64::MAX - confused.examples);
        confused.truncate(most);
        confused
    }

    /// Checks that every number is in range, and that there is one entry for each of `names`.
    ///
    /// # Errors
    /// [`ExportError::CardValue`] for the first invalid number.
    pub fn check(&self, names: &[String]) -> Result<(), ExportError> {
        let refuse = |field: String, value: f64, expected| ExportError::CardValue { field, value, expected };
        let names_of = |found: Vec<&String>| found.is_empty() || found.into_iter().eq(names);
        if !names_of(self.classes.iter().map(|class| &class.name).collect())
            || !names_of(self.values.iter().map(|value| &value.name).collect())
        {
            let entries = self.classes.len().max(self.values.len());
            let expected = "an entry for each class or value of the card, in its order";
            return Err(refuse("test.classes".to_owned(), entries as f64, expected));
        }
        for class in &self.classes {
            let shares = [class.precision_percent, class.recall_percent, class.f1_percent];
            if let Some(share) = shares.iter().find(|share| !(0.0..=100.0).contains(*share)) {
                let field = format!("test.classes.{}", class.name);
                return Err(refuse(field, *share, "a percentage"));
            }
        }
        let sizes = self.confusion.iter().map(Vec::len).chain([self.confusion.len()]);
        if let Some(size) = sizes.into_iter().find(|size| *size != names.len() && !self.confusion.is_empty())
        {
            let expected = "a row and a column for each class";
            return Err(refuse("test.confusion".to_owned(), size as f64, expected));
        }
        for value in &self.values {
            let numbers = [
                value.mean_absolute_error,
                value.mean_squared_error,
                value.r2,
                value.mean_squared_error_of_training_mean,
            ];
            if let Some(number) = numbers.iter().find(|number| !number.is_finite()) {
                let field = format!("test.values.{}", value.name);
                return Err(refuse(field, *number, "a finite number"));
            }
        }
        Ok(())
    }
}

/// The cost model that made a prediction, and the conditions of the prediction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictedBy {
    /// The device.
    pub device: String,
    /// Device, cost model and calibration, such as `xeon-4210r/roofline/datasheet`.
    pub model: String,
    /// Examples in a batch, if the cost model states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<u64>,
    /// Number of threads, if the cost model states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u64>,
}

/// Number of examples in each split, and the seed of the shuffle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitSizes {
    /// Seed of the shuffle (`split_seed`).
    pub seed: u64,
    /// Training examples.
    pub training: u64,
    /// Validation examples.
    pub validation: u64,
    /// Test examples.
    pub test: u64,
}

/// Version of a card. A card without a version has version 1. This build refuses newer versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32")]
pub struct CardVersion(u32);

impl CardVersion {
    /// The version of cards that state no version. Such cards lack results for each class, the split and the
    /// date.
    pub const FIRST: Self = Self(1);
    /// The version that this build writes.
    pub const CURRENT: Self = Self(3);

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    pub(crate) const fn first() -> Self {
        Self::FIRST
    }
}

impl Default for CardVersion {
    fn default() -> Self {
        Self::CURRENT
    }
}

impl fmt::Display for CardVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The error for a card whose version this build cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the model card has version {found}, and this build reads versions {} to {}; use the build that wrote it",
    CardVersion::FIRST,
    CardVersion::CURRENT
)]
pub struct UnknownCardVersion {
    /// Version of the card.
    pub found: u32,
}

impl TryFrom<u32> for CardVersion {
    type Error = UnknownCardVersion;

    fn try_from(version: u32) -> Result<Self, UnknownCardVersion> {
        if (Self::FIRST.0..=Self::CURRENT.0).contains(&version) {
            return Ok(Self(version));
        }
        Err(UnknownCardVersion { found: version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> TestResults {
        let class = |name: &str| ClassResult {
            name: name.to_owned(),
            precision_percent: 50.0,
            recall_percent: 100.0,
            f1_percent: 200.0 / 3.0,
            support: 1,
        };
        TestResults {
            examples: 2,
            classes: vec![class("a"), class("b")],
            confusion: vec![vec![1, 0], vec![1, 0]],
            ..TestResults::default()
        }
    }

    #[test]
    fn most_confused_is_sorted_by_frequency() {
        let mut results = results();
        results.classes.push(ClassResult { name: "c".to_owned(), ..results.classes[0].clone() });
        results.confusion = vec![vec![9, 1, 4], vec![1, 9, 0], vec![0, 0, 9]];
        let said = |most| -> Vec<String> {
            let said = |one: Confused| format!("{}{}{}", one.class, one.predicted, one.examples);
            results.most_confused(most).into_iter().map(said).collect()
        };
        assert_eq!(said(9), ["ac4", "ab1", "ba1"]);
        assert_eq!(said(2), ["ac4", "ab1"]);
    }

    #[test]
    fn check_refuses_results_that_do_not_match_the_card() {
        let names = ["a", "b"].map(str::to_owned);
        results().check(&names).unwrap();
        let refused = |change: fn(&mut TestResults)| {
            let mut changed = results();
            change(&mut changed);
            changed.check(&names).unwrap_err().to_string()
        };
        let said = refused(|results| results.classes[1].name = "c".to_owned());
        assert!(said.contains("`test.classes`") && said.contains("in its order"), "{said}");
        let said = refused(|results| results.classes[1].f1_percent = f64::NAN);
        assert!(said.contains("`test.classes.b`") && said.contains("a percentage"), "{said}");
        let said = refused(|results| results.confusion[1].clear());
        assert!(said.contains("`test.confusion`"), "{said}");
        let said = refused(|results| results.confusion.truncate(1));
        assert!(said.contains("`test.confusion`"), "{said}");
    }
}

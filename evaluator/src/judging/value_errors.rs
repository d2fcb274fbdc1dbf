//! Errors of a regression's outputs, each target in its own unit. They are compared with a baseline that
//! always predicts a mean on the same examples.

use kiln_export::{TestResults, ValueResult};

use crate::data::{DataSet, Split};

/// Sums over the examples of a split, for one regression target.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    absolute: f64,
    squared: f64,
    /// Squared distances from the mean of the split itself.
    about_own_mean: f64,
    /// Squared distances from the mean of the training split.
    about_training_mean: f64,
}

/// Errors of each regression target on a split.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ValueErrors {
    sums: Vec<Sums>,
    /// Standard deviation of each target over the training split.
    deviation: Vec<f64>,
    examples: usize,
}

impl ValueErrors {
    /// Computes the errors of outputs for a whole split, in the order of the split. Outputs are standardized:
    /// they are in standard deviations from the training split's mean.
    pub(crate) fn of(outputs: &[f32], data: &DataSet, split: Split) -> Self {
        let (mean, deviation) = data.target_normalization();
        let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
        let (mean, deviation) = (wide(mean), wide(deviation));
        let examples = data.split(split);
        let own = own_mean(data, examples, mean.len());
        let mut sums = vec![Sums::default(); mean.len()];
        for (row, example) in outputs.chunks_exact(mean.len().max(1)).zip(examples) {
            for (i, value) in data.values(*example).iter().enumerate() {
                let value = f64::from(*value);
                let error = (f64::from(row[i]) - (value - mean[i]) / deviation[i]) * deviation[i];
                let sums = &mut sums[i];
                sums.absolute += error.abs();
                sums.squared += error * error;
                sums.about_own_mean += (value - own[i]).powi(2);
                sums.about_training_mean += (value - mean[i]).powi(2);
            }
        }
        Self { sums, deviation, examples: examples.len().max(1) }
    }

    /// Mean absolute error over examples and targets.
    pub(crate) fn mean_absolute_error(&self) -> f64 {
        self.mean(|sums| sums.absolute / self.examples as f64)
    }

    /// Mean coefficient of determination R² over the regression targets (`r2_score`).
    pub(crate) fn r2(&self) -> f64 {
        self.mean(Sums::r2)
    }

    /// Root of the mean squared error, in standard deviations, of always predicting the training split's mean
    /// on these examples.
    pub(crate) fn rmse_deviations_of_training_mean(&self) -> f64 {
        let squares = self.sums.iter().zip(&self.deviation);
        let squares = squares.map(|(sums, deviation)| sums.about_training_mean / (deviation * deviation));
        (squares.sum::<f64>() / (self.sums.len() * self.examples).max(1) as f64).sqrt()
    }

    /// Results for each regression target.
    pub(crate) fn results(&self, names: &[String]) -> TestResults {
        let count = self.examples as f64;
        let value = |(name, sums): (&String, &Sums)| ValueResult {
            name: name.clone(),
            mean_absolute_error: sums.absolute / count,
            mean_squared_error: sums.squared / count,
            r2: sums.r2(),
            mean_squared_error_of_training_mean: sums.about_training_mean / count,
        };
        TestResults {
            examples: self.examples as u64,
            values: names.iter().zip(&self.sums).map(value).collect(),
            ..TestResults::default()
        }
    }

    fn mean(&self, of: impl Fn(&Sums) -> f64) -> f64 {
        self.sums.iter().map(of).sum::<f64>() / self.sums.len().max(1) as f64
    }
}

impl Sums {
    /// Coefficient of determination R². For a target that does not vary, it is 1 if the outputs have no error
    /// and 0 otherwise, as in scikit-learn.
    fn r2(&self) -> f64 {
        if self.about_own_mean > 0.0 {
            return 1.0 - self.squared / self.about_own_mean;
        }
        if self.squared > 0.0 { 0.0 } else { 1.0 }
    }
}

/// Mean of each regression target over these examples.
fn own_mean(data: &DataSet, examples: &[u32], values: usize) -> Vec<f64> {
    let mut mean = vec![0.0; values];
    for example in examples {
        for (mean, value) in mean.iter_mut().zip(data.values(*example)) {
            *mean += f64::from(*value);
        }
    }
    mean.iter().map(|sum| sum / examples.len().max(1) as f64).collect()
}

/// Mean squared error, in standard deviations, of always predicting the training split's mean on these
/// examples.
pub(crate) fn of_training_mean(data: &DataSet, examples: &[u32]) -> f64 {
    let (mean, deviation) = data.target_normalization();
    let squares = examples.iter().flat_map(|example| data.values(*example).iter().enumerate());
    let squares = squares
        .map(|(i, value)| ((f64::from(*value) - f64::from(mean[i])) / f64::from(deviation[i])).powi(2));
    squares.sum::<f64>() / (examples.len() * mean.len()).max(1) as f64
}

#[cfg(test)]
mod tests {
    use kiln_export::InputRecord;
    use kiln_space::Shape;

    use super::*;
    use crate::data::{Augmentation, Given, RawData, Sizes, Targets};

    /// In the training split, half of the targets are 0 and half are 2. The test split has the targets 4 and
    /// 6.
    fn shifted() -> DataSet {
        let values = [0.0, 2.0].repeat(10).into_iter().chain([4.0, 6.0]).collect();
        let given = Given::test_at_end(22, 2);
        let raw = RawData {
            name: "test".to_owned(),
            input: "a number".to_owned(),
            shape: Shape::vector(1),
            examples: vec![0.0; 22],
            targets: Targets::Values { names: vec!["a".to_owned()], values, offsets: Vec::new() },
            inputs: vec![InputRecord::channel("x")],
            given,
            notes: Vec::new(),
        };
        let sizes = Sizes { test: 0.0, validation: 0.2, seed: 0, limit: None };
        DataSet::new(raw, &sizes, Augmentation::default()).unwrap()
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn training_mean_measures_more_than_1_on_a_shifted_test_split() {
        let data = shifted();
        near(f64::from(data.target_normalization().0[0]), 1.0);
        near(f64::from(data.target_normalization().1[0]), 1.0);
        // The training mean is 1. It differs from the targets 4 and 6 by 3 and 5. Their own mean 5 differs
        // from both by 1.
        let errors = ValueErrors::of(&[0.0, 0.0], &data, Split::Test);
        near(errors.rmse_deviations_of_training_mean(), (34.0_f64 / 2.0).sqrt());
        near(errors.mean_absolute_error(), 4.0);
        near(errors.r2(), 1.0 - 34.0 / 2.0);
        near(of_training_mean(&data, data.split(Split::Test)), 17.0);
        near(of_training_mean(&data, data.split(Split::Train)), 1.0);
    }

    #[test]
    fn errors_match_numbers_by_hand() {
        let data = shifted();
        // The outputs are 3.5 and 7, which are off by 0.5 and 1.
        let errors = ValueErrors::of(&[2.5, 6.0], &data, Split::Test);
        near(errors.mean_absolute_error(), 0.75);
        near(errors.r2(), 1.0 - 1.25 / 2.0);
        let results = errors.results(&["a".to_owned()]);
        let value = &results.values[0];
        near(value.mean_squared_error, 0.625);
        near(value.mean_squared_error_of_training_mean, 17.0);
        assert_eq!(results.examples, 2);
        results.check(&["a".to_owned()]).unwrap();
        // Predicting the mean of the evaluated examples has an R² of 0.
        near(ValueErrors::of(&[4.0, 4.0], &data, Split::Test).r2(), 0.0);
    }

    #[test]
    fn r2_of_constant_values_is_that_of_scikit_learn() {
        let constant = |squared| Sums { squared, ..Sums::default() }.r2();
        near(constant(0.0), 1.0);
        near(constant(2.0), 0.0);
    }
}

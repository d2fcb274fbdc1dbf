//! Mean and deviation of inputs and targets, taken from the training split alone.

use super::{RawData, ReadingRules, Targets};

/// Deviation relative to the mean below which the first reading rules took a quantity for constant.
const CONSTANT: f64 = 1e-6;

/// Means and standard deviations, one pair a channel or quantity.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Normalization {
    pub(crate) mean: Vec<f32>,
    pub(crate) deviation: Vec<f32>,
}

impl Normalization {
    /// Of each channel of the inputs, in raw units.
    pub(crate) fn of_inputs(raw: &RawData, train: &[u32], rules: ReadingRules) -> Self {
        let (size, positions) = (raw.shape.elements(), raw.shape.positions());
        let mut moments = vec![Moments::default(); raw.shape.channels];
        for &index in train {
            let example = &raw.examples[index as usize * size..][..size];
            for (moments, plane) in moments.iter_mut().zip(example.chunks_exact(positions)) {
                for value in plane {
                    moments.add(*value);
                }
            }
        }
        Self::from_moments(&moments, rules)
    }

    /// Of each quantity of a regression, in its own unit; nothing for classes.
    pub(crate) fn of_targets(targets: &Targets, train: &[u32], rules: ReadingRules) -> Self {
        let Targets::Values { names, values, .. } = targets else {
            return Self { mean: Vec::new(), deviation: Vec::new() };
        };
        let mut moments = vec![Moments::default(); names.len()];
        for &index in train {
            let row = &values[index as usize * names.len()..][..names.len()];
            for (moments, value) in moments.iter_mut().zip(row) {
                moments.add(*value);
            }
        }
        Self::from_moments(&moments, rules)
    }

    fn from_moments(moments: &[Moments], rules: ReadingRules) -> Self {
        let (mean, deviation) = moments.iter().map(|moments| moments.mean_and_deviation(rules)).unzip();
        Self { mean, deviation }
    }

    /// Deviations of quantities that the first reading rules took for constant and divided by 1.
    pub(crate) fn small(&self) -> impl Iterator<Item = f32> + '_ {
        let is_small = |(mean, deviation): &(&f32, &f32)| {
            let is_one = deviation.to_bits() == 1_f32.to_bits();
            !is_one && f64::from(**deviation) <= CONSTANT * f64::from(mean.abs())
        };
        self.mean.iter().zip(&self.deviation).filter(is_small).map(|(_, deviation)| *deviation)
    }
}

/// Sums from which mean and variance follow, taken about the first value, so that nothing cancels where the mean is far
/// from zero.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    count: u64,
    origin: f64,
    sum: f64,
    squares: f64,
    varies: bool,
}

impl Moments {
    fn add(&mut self, value: f32) {
        if self.count == 0 {
            self.origin = f64::from(value);
        }
        let value = f64::from(value) - self.origin;
        self.varies |= value != 0.0;
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
    }

    /// A constant quantity gets deviation 1; so does one that varies by less than single precision can divide by.
    fn mean_and_deviation(&self, rules: ReadingRules) -> (f32, f32) {
        let count = self.count.max(1) as f64;
        let offset = self.sum / count;
        let mean = self.origin + offset;
        let deviation = (self.squares / count - offset * offset).max(0.0).sqrt();
        let varies = match rules {
            ReadingRules::First => deviation > CONSTANT * mean.abs(),
            ReadingRules::Second => self.varies,
        };
        let varies = varies && deviation as f32 >= f32::MIN_POSITIVE;
        (mean as f32, if varies { deviation as f32 } else { 1.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_varies_is_normalized_whatever_its_mean() {
        // Two neighbors in single precision.
        let values = vec![16_777_215.0, 16_777_214.0];
        let targets = Targets::Values { names: vec!["m".to_owned()], values, offsets: Vec::new() };
        let found = |rules| Normalization::of_targets(&targets, &[0, 1], rules);
        assert_eq!(found(ReadingRules::CURRENT).deviation, [0.5]);
        assert_eq!(found(ReadingRules::First).deviation, [1.0], "as earlier builds took it");
        assert_eq!(found(ReadingRules::CURRENT).small().collect::<Vec<_>>(), [0.5]);
    }

    #[test]
    fn constants_have_deviation_one_and_small_units_keep_theirs() {
        let names = ["constant", "large", "small"].map(str::to_owned).to_vec();
        let values = vec![7.0, 1e6, 1e-9, 7.0, 1e6 + 4.0, 3e-9];
        let targets = Targets::Values { names, values, offsets: Vec::new() };
        let found = Normalization::of_targets(&targets, &[0, 1], ReadingRules::CURRENT);
        assert_eq!(found.mean[..2], [7.0, 1e6 + 2.0]);
        assert!((found.mean[2] / 2e-9 - 1.0).abs() < 1e-5, "{found:?}");
        assert_eq!(found.deviation[..2], [1.0, 2.0]);
        assert!((found.deviation[2] / 1e-9 - 1.0).abs() < 1e-5, "{found:?}");
    }
}

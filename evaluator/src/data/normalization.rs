//! Mean and standard deviation of inputs and targets over the training split.

use super::{RawData, ReadingRules, Targets};

/// Relative standard deviation below which the first reading rules treated a quantity as constant.
const CONSTANT: f64 = 1e-6;

/// Means and standard deviations, one pair per channel or target.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Normalization {
    pub(crate) mean: Vec<f32>,
    pub(crate) deviation: Vec<f32>,
}

impl Normalization {
    /// Computes the statistics of each input channel, in raw units.
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

    /// Computes the statistics of each regression target, in the target's own unit. Empty for a
    /// classification.
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

    /// Standard deviations that the first reading rules replaced by 1, because they treated the quantity as
    /// constant.
    pub(crate) fn small(&self) -> impl Iterator<Item = f32> + '_ {
        let is_small = |(mean, deviation): &(&f32, &f32)| {
            let is_one = deviation.to_bits() == 1_f32.to_bits();
            !is_one && f64::from(**deviation) <= CONSTANT * f64::from(mean.abs())
        };
        self.mean.iter().zip(&self.deviation).filter(is_small).map(|(_, deviation)| *deviation)
    }
}

/// Sums from which mean and variance are computed. They are relative to the first value, which avoids
/// cancellation if the mean is far from zero.
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

    /// Mean and standard deviation. Returns 1 as standard deviation if the quantity is constant, or if its
    /// standard deviation is too small to divide by in single precision.
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
    fn deviation_is_exact_for_small_variation_of_large_mean() {
        // These two numbers are neighbors in single precision.
        let values = vec![16_777_215.0, 16_777_214.0];
        let targets = Targets::Values { names: vec!["m".to_owned()], values, offsets: Vec::new() };
        let found = |rules| Normalization::of_targets(&targets, &[0, 1], rules);
        assert_eq!(found(ReadingRules::CURRENT).deviation, [0.5]);
        assert_eq!(found(ReadingRules::First).deviation, [1.0], "as earlier builds took it");
        assert_eq!(found(ReadingRules::CURRENT).small().collect::<Vec<_>>(), [0.5]);
    }

    #[test]
    fn deviation_is_1_for_constants_and_kept_for_small_units() {
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

//! A histogram of activations. It grows with the values, and parts can be merged in any order.

/// Number of bins for each sign, as a power of two.
const BITS: i32 = 11;
/// Number of bins for each sign.
pub(super) const BINS: usize = 1 << BITS;
/// Smallest power of two that limits the values. Smaller values fall into the first bin.
const LEAST: i32 = -100;

/// A histogram with 2048 bins for each sign. The bins divide the magnitudes from zero to the smallest power
/// of two above the largest magnitude. If a value exceeds that limit, the limit doubles, and each pair of
/// neighboring bins becomes one bin. So the histogram depends on the values only, and neither on their order
/// nor on how they are divided into parts.
///
/// # Example
/// ```
/// use kiln_export::Histogram;
/// let mut histogram = Histogram::default();
/// histogram.add(&[0.0, 1.0, -0.5]);
/// let mut other = Histogram::default();
/// other.add(&[100.0]);
/// histogram.merge(&other);
/// assert_eq!(histogram.range(), Some([-0.5, 100.0]));
/// assert_eq!(histogram.count(), 4);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Values are below two to the power of this number.
    exponent: i32,
    /// Counts by magnitude, of negative and of positive values.
    bins: [Vec<u64>; 2],
    zeros: u64,
    range: [f32; 2],
    count: u64,
    /// Number of values that are not finite.
    not_finite: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        let bins = [vec![0; BINS], vec![0; BINS]];
        let range = [f32::INFINITY, f32::NEG_INFINITY];
        Self { exponent: LEAST, bins, zeros: 0, range, count: 0, not_finite: 0 }
    }
}

impl Histogram {
    /// Adds values.
    pub fn add(&mut self, values: &[f32]) {
        let most = values
            .iter()
            .filter(|value| value.is_finite())
            .fold(0.0_f32, |most, value| most.max(value.abs()));
        self.widen(exponent(most));
        // Two to the power of `BITS - exponent`, so that the product below is exact.
        let per_value = f64::from(BITS - self.exponent).exp2();
        for value in values {
            self.count += 1;
            if !value.is_finite() {
                self.not_finite += 1;
                continue;
            }
            self.range = [self.range[0].min(*value), self.range[1].max(*value)];
            // Zero is on every grid, so it is counted apart from small values.
            if value.abs() < f32::MIN_POSITIVE {
                self.zeros += 1;
                continue;
            }
            let bin = (f64::from(value.abs()) * per_value) as usize;
            self.bins[usize::from(*value > 0.0)][bin] += 1;
        }
    }

    /// Adds the values of another histogram.
    pub fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        let exponent = self.exponent.max(other.exponent);
        self.widen(exponent);
        other.widen(exponent);
        for (own, others) in self.bins.iter_mut().flatten().zip(other.bins.iter().flatten()) {
            *own += others;
        }
        self.zeros += other.zeros;
        self.count += other.count;
        self.not_finite += other.not_finite;
        self.range = [self.range[0].min(other.range[0]), self.range[1].max(other.range[1])];
    }

    /// Returns the smallest and the largest value. Returns `None` if there are no values, or if a value is
    /// not finite.
    #[must_use]
    pub fn range(&self) -> Option<[f32; 2]> {
        (self.count > 0 && self.not_finite == 0).then_some(self.range)
    }

    /// Returns the number of values.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Returns the width of a bin.
    pub(super) fn width(&self) -> f64 {
        f64::from(self.exponent - BITS).exp2()
    }

    /// Returns the number of values in each bin, by magnitude: of negative values, and of positive values.
    pub(super) const fn bins(&self) -> &[Vec<u64>; 2] {
        &self.bins
    }

    /// Returns the values with their counts, in ascending order. A value represents its bin by the center of
    /// the bin.
    pub(super) fn values(&self) -> Vec<(f32, u64)> {
        let width = self.width();
        let [min, max] = self.range;
        let center = |negative: bool, bin: usize| {
            let magnitude = (bin as f64 + 0.5) * width;
            ((if negative { -magnitude } else { magnitude }) as f32).clamp(min, max)
        };
        let filled = |negative: bool| {
            let bins = self.bins[usize::from(!negative)].iter().enumerate();
            bins.filter(|(_, count)| **count > 0).map(move |(bin, count)| (center(negative, bin), *count))
        };
        let mut values: Vec<(f32, u64)> = filled(true).collect();
        values.reverse();
        values.extend((self.zeros > 0).then_some((0.0, self.zeros)));
        values.extend(filled(false));
        values
    }

    /// Raises the limit of the values to at least two to the power of `exponent`.
    fn widen(&mut self, exponent: i32) {
        if exponent <= self.exponent {
            return;
        }
        let shift = (exponent - self.exponent).min(31);
        for bins in &mut self.bins {
            let mut wider = vec![0; BINS];
            for (bin, count) in bins.iter().enumerate() {
                wider[bin >> shift] += count;
            }
            *bins = wider;
        }
        self.exponent = exponent;
    }
}

/// Returns the smallest exponent whose power of two is above `magnitude`, and at least [`LEAST`].
fn exponent(magnitude: f32) -> i32 {
    ((magnitude.to_bits() >> 23) as i32 - 126).max(LEAST)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    fn random(seed: u64, count: usize) -> Vec<f32> {
        let mut rng = Pcg64::seed_from_u64(seed);
        let value = |_| {
            let magnitude: f32 = rng.random_range(-30.0..30.0);
            magnitude.exp2() * if rng.random() { 1.0 } else { -1.0 }
        };
        (0..count).map(value).collect()
    }

    #[test]
    fn bins_match_hand_computation() {
        let mut histogram = Histogram::default();
        histogram.add(&[0.0, 1.0, 1.999, -0.25]);
        // The limit is 2, so a bin is 2 / 2048 wide. A value of 1 is in bin 1024.
        assert!((histogram.width() - 2.0 / 2048.0).abs() < 1e-15);
        assert_eq!((histogram.bins[1][1024], histogram.bins[1][2046], histogram.bins[0][256]), (1, 1, 1));
        assert_eq!(histogram.zeros, 1);
        // The limit becomes 4.
        histogram.add(&[2.0]);
        assert_eq!((histogram.bins[1][512], histogram.bins[1][1023], histogram.bins[1][1024]), (1, 1, 1));
        assert_eq!(histogram.values().iter().map(|(_, count)| count).sum::<u64>(), 5);
        assert!(histogram.values().is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn order_and_division_of_values_do_not_matter() {
        let values = random(3, 4000);
        let mut whole = Histogram::default();
        whole.add(&values);
        let mut reversed = Histogram::default();
        values.rchunks(7).for_each(|part| reversed.add(part));
        assert_eq!(whole, reversed);
        let mut merged = Histogram::default();
        for part in values.chunks(300) {
            let mut histogram = Histogram::default();
            histogram.add(part);
            merged.merge(&histogram);
        }
        assert_eq!(whole, merged);
    }

    #[test]
    fn values_that_are_not_finite_leave_no_range() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.range(), None);
        histogram.add(&[1.0, f32::NAN]);
        assert_eq!((histogram.range(), histogram.count()), (None, 2));
        let mut extreme = Histogram::default();
        extreme.add(&[f32::MIN, f32::MAX, 1e-40]);
        assert_eq!(extreme.range(), Some([f32::MIN, f32::MAX]));
    }
}

//! The median of repeated runs, with an interval.

/// A median and an interval that contains the true median with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MedianInterval {
    /// Median of the values.
    pub median: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Number of values.
    pub values: usize,
}

/// Probability on each side of the interval.
const TAIL: f64 = 0.025;

impl MedianInterval {
    /// The interval between two order statistics, which holds for any distribution. Fewer than six values
    /// have no interval with that confidence; theirs is from the lowest to the highest. `None` without
    /// values.
    ///
    /// Source: H. A. David, H. N. Nagaraja, Order Statistics, 3rd edition, 2003, section 7.1: the interval
    /// from rank `r` to rank `n + 1 - r` misses the median with probability `2 P(Binomial(n, 1/2) < r)`.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let rank = rank(count);
        Some(Self {
            median: median(&sorted)?,
            low: *sorted.get(rank - 1)?,
            high: *sorted.get(count - rank)?,
            values: count,
        })
    }

    /// Half the width of the interval, relative to the median.
    #[must_use]
    pub fn relative_half_width(&self) -> f64 {
        (self.high - self.low) / 2.0 / self.median
    }
}

/// Median of sorted values.
pub(super) fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 { Some(upper) } else { Some(f64::midpoint(sorted[middle - 1], upper)) }
}

/// The largest `r` with `P(Binomial(count, 1/2) < r) <= TAIL`, at least 1.
fn rank(count: usize) -> usize {
    // 0.5^1000 is still a normal number. Beyond that, the normal approximation is exact enough.
    if count > 1000 {
        let count = count as f64;
        return (count / 2.0 - 0.98 * count.sqrt()).floor() as usize;
    }
    let mut probability = 0.5_f64.powi(count as i32);
    let (mut below, mut rank) = (probability, 1);
    while rank < count {
        probability *= (count - rank + 1) as f64 / rank as f64;
        below += probability;
        if below > TAIL {
            break;
        }
        rank += 1;
    }
    rank.min(count.div_ceil(2)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_has_tabulated_ranks() {
        // Ranks of the sign test at 5 %, two-sided (David and Nagaraja, section 7.1).
        for (count, expected) in
            [(1, 1), (2, 1), (5, 1), (6, 1), (9, 2), (10, 2), (20, 6), (50, 18), (100, 40)]
        {
            assert_eq!(rank(count), expected, "{count}");
        }
        assert_eq!(rank(1001), 469);
    }

    #[test]
    fn interval_of_few_values_is_their_range() {
        assert_eq!(MedianInterval::of(&[]), None);
        let one = MedianInterval::of(&[3.0]).unwrap();
        assert_eq!((one.low, one.median, one.high), (3.0, 3.0, 3.0));
        let four = MedianInterval::of(&[4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!((four.low, four.median, four.high, four.values), (1.0, 2.5, 4.0, 4));
        assert_eq!(four.relative_half_width().to_bits(), 0.6_f64.to_bits());
    }

    #[test]
    fn one_outlier_does_not_move_the_interval() {
        let mut values: Vec<f64> = (0..20).map(|i| 100.0 + f64::from(i % 3)).collect();
        values[7] = 1e6;
        let found = MedianInterval::of(&values).unwrap();
        assert!(found.high <= 102.0 && found.relative_half_width() < 0.02, "{found:?}");
    }
}

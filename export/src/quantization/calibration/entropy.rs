//! The threshold of magnitudes that loses the least information.

use super::histogram::{BINS, Histogram};

/// Returns the threshold of magnitudes with the smallest Kullback-Leibler divergence between the clipped
/// distribution and its quantization. `signed` states whether the grid covers both signs, so that half of its
/// values represent magnitudes.
///
/// Source: S. Migacz, "8-bit inference with `TensorRT`", GPU Technology Conference 2017, slides 33 to 35.
/// Differs: clipped values count in the last bin with values, so that no divergence is infinite.
pub(super) fn entropy_threshold(histogram: &Histogram, signed: bool) -> f64 {
    let [negative, positive] = histogram.bins();
    let counts: Vec<u64> = negative.iter().zip(positive).map(|(a, b)| a + b).collect();
    let levels = if signed { 128 } else { 256 };
    let used = counts.iter().rposition(|count| *count > 0).map_or(BINS, |last| last + 1);
    let candidates = levels.min(used)..=used;
    let divergences = candidates.filter_map(|bins| Some((bins, divergence(&counts, bins, levels)?)));
    // If divergences are equal, the wider range is used.
    let best = divergences.reduce(|a, b| if b.1 <= a.1 { b } else { a });
    best.map_or(used, |(bins, _)| bins) as f64 * histogram.width()
}

/// Returns the divergence between the distribution over the first `bins` bins and the distribution after
/// rounding to `levels` levels. The last bin with values includes all larger magnitudes. Returns `None` if
/// all bins are empty.
fn divergence(counts: &[u64], bins: usize, levels: usize) -> Option<f64> {
    let clipped: u64 = counts[bins..].iter().sum();
    let total = counts.iter().sum::<u64>() as f64;
    let inside = (total - clipped as f64).max(1.0);
    let last = counts[..bins].iter().rposition(|count| *count > 0)?;
    let mut sum = 0.0;
    for level in 0..levels {
        let group = level * bins / levels..(level + 1) * bins / levels;
        let filled = counts[group.clone()].iter().filter(|count| **count > 0).count();
        let in_group = counts[group.clone()].iter().sum::<u64>() as f64;
        for bin in group {
            if counts[bin] == 0 {
                continue;
            }
            let count = counts[bin] + if bin == last { clipped } else { 0 };
            let (p, q) = (count as f64 / total, in_group / filled as f64 / inside);
            sum += p * (p / q).ln();
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The divergence by its definition, on distributions that are built first.
    fn by_definition(counts: &[u64], bins: usize, levels: usize) -> f64 {
        let mut p: Vec<f64> = counts[..bins].iter().map(|count| *count as f64).collect();
        let mut q = vec![0.0; bins];
        for level in 0..levels {
            let group: Vec<usize> = (0..bins)
                .filter(|bin| (level * bins / levels..(level + 1) * bins / levels).contains(bin))
                .collect();
            let filled: Vec<usize> = group.iter().copied().filter(|bin| counts[*bin] > 0).collect();
            let sum: f64 = group.iter().map(|bin| counts[*bin] as f64).sum();
            for bin in &filled {
                q[*bin] = sum / filled.len() as f64;
            }
        }
        p[bins - 1] += counts[bins..].iter().map(|count| *count as f64).sum::<f64>();
        let (total_p, total_q): (f64, f64) = (p.iter().sum(), q.iter().sum());
        let term = |(p, q): (&f64, &f64)| {
            if *p > 0.0 { p / total_p * (p / total_p / (q / total_q)).ln() } else { 0.0 }
        };
        p.iter().zip(&q).map(term).sum()
    }

    #[test]
    fn divergence_matches_hand_computation() {
        // Two levels over four bins: the groups are [3, 1] and [2, 2]. Rounding makes [2, 2] of the first.
        let found = divergence(&[3, 1, 2, 2], 4, 2).unwrap();
        let expected = 3.0 / 8.0 * 1.5_f64.ln() + 1.0 / 8.0 * 0.5_f64.ln();
        assert!((found - expected).abs() < 1e-12, "{found}");
        // The clipped four values count in the last bin, which rounding does not know.
        let found = divergence(&[1, 1, 4], 2, 2).unwrap();
        let expected = 1.0 / 6.0 * (1.0 / 3.0_f64).ln() + 5.0 / 6.0 * (5.0 / 3.0_f64).ln();
        assert!((found - expected).abs() < 1e-12, "{found}");
        // The last of three bins is empty, so the clipped three values count in the bin before it.
        let found = divergence(&[2, 1, 0, 3], 3, 3).unwrap();
        assert!((found - 2.0_f64.ln() / 3.0).abs() < 1e-12, "{found}");
        assert_eq!(divergence(&[0, 0, 4], 2, 2), None);
    }

    #[test]
    fn divergence_equals_its_definition() {
        let counts: Vec<u64> = (0..300_u64).map(|i| (i * 7919 % 61) / 3 * (300 - i) / 100).collect();
        for bins in (128..300).filter(|bins| counts[bins - 1] > 0) {
            let (found, expected) =
                (divergence(&counts, bins, 128).unwrap(), by_definition(&counts, bins, 128));
            assert!((found - expected).abs() < 1e-9, "{bins} bins: {found}, not {expected}");
        }
    }
}

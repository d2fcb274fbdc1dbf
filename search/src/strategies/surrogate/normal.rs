//! Draws from the standard normal distribution.

use rand::{Rng, RngExt};

/// Returns a draw from the standard normal distribution.
///
/// Source: Box, Muller, A note on the generation of random normal deviates, Ann. Math. Stat. 1958.
pub(super) fn normal(rng: &mut dyn Rng) -> f64 {
    let (u, v) = (1.0 - rng.random::<f64>(), rng.random::<f64>());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn normal_draws_have_mean_zero_and_variance_one() {
        let mut rng = Pcg64::seed_from_u64(1);
        let drawn: Vec<f64> = (0..4_000).map(|_| normal(&mut rng)).collect();
        let mean = drawn.iter().sum::<f64>() / 4_000.0;
        let variance = drawn.iter().map(|value| value * value).sum::<f64>() / 4_000.0;
        // The tolerances are five standard errors: 5 / sqrt(4000) and 5 * sqrt(2 / 4000).
        assert!(mean.abs() < 0.08 && (variance - 1.0).abs() < 0.112, "{mean} {variance}");
    }
}

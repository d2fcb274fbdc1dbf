//! Combines several objectives into one number, for strategies that optimize a single value.

use rand::{Rng, RngExt};

use crate::trials::Trial;

/// Random weights of the objectives, and the ranges that make them comparable.
#[derive(Clone, Debug, Default)]
pub(super) struct Weighing {
    weights: Vec<f64>,
    /// Lowest and highest value of each objective so far.
    ranges: Vec<(f64, f64)>,
}

impl Weighing {
    /// Draws new weights, uniformly on the simplex.
    pub(super) fn draw(&mut self, objectives: usize, rng: &mut dyn Rng) {
        self.weights = weights(objectives, rng);
    }

    /// Extends the ranges to include the values of a trial.
    pub(super) fn widen(&mut self, trial: &Trial) {
        self.ranges.resize(self.ranges.len().max(trial.objectives.0.len()), (f64::INFINITY, f64::MIN));
        for ((low, high), value) in self.ranges.iter_mut().zip(&trial.objectives.0) {
            (*low, *high) = (low.min(*value), high.max(*value));
        }
    }

    /// Returns the weighted sum of the values. Each value is scaled to 0..1 by its range. The result is
    /// infinite for a failed trial.
    pub(super) fn value(&self, objectives: &[f64]) -> f64 {
        if objectives.is_empty() {
            return f64::INFINITY;
        }
        let terms = objectives.iter().zip(&self.ranges).zip(&self.weights);
        terms
            .map(
                |((value, (low, high)), weight)| {
                    if high > low { weight * (value - low) / (high - low) } else { 0.0 }
                },
            )
            .sum()
    }
}

/// Draws weights uniformly on the simplex. A single weight is 1.
pub(super) fn weights(n: usize, rng: &mut dyn Rng) -> Vec<f64> {
    if n <= 1 {
        return vec![1.0; n];
    }
    let drawn: Vec<f64> = (0..n).map(|_| -(1.0 - rng.random::<f64>()).ln()).collect();
    let total: f64 = drawn.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    drawn.into_iter().map(|weight| weight / total).collect()
}

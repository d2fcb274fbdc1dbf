//! Predicts from failed trials how likely a candidate is to fail. The prediction is used with several
//! objectives.
//!
//! Source: Gelbart, Snoek, Adams, Bayesian optimization with unknown constraints, UAI 2014 (improvement
//! weighted by the probability of a successful evaluation). Differs: the probability of failure is predicted
//! by regression, with target 1 for failed trials and 0 for others.

use kiln_regression::Prediction;
use rand::Rng;

use super::candidates::Candidate;
use super::objective::{Awaited, Objective, Surrogate};
use super::points::Points;
use super::told::Told;
use super::update::Fit;

/// Minimum probability of a successful evaluation. With it, no candidate is excluded completely.
const LEAST: f64 = 0.02;

/// A model of failures, which is used after the first failure.
pub(super) struct Failures {
    model: Objective,
    learning: bool,
}

impl Failures {
    pub(super) fn new(surrogate: Surrogate) -> Self {
        Self { model: Objective::new(surrogate, false, None), learning: false }
    }

    /// Fits the model to all points: target 1 for points that failed, and 0 for all others.
    pub(super) fn learn(&mut self, told: &[Told], points: &Points, fit: Fit, rng: &mut dyn Rng) {
        let failed = |&trial: &usize| told[trial].objectives.is_empty();
        self.learning |= points.trials.iter().any(failed);
        if self.learning {
            let targets: Vec<f64> =
                points.trials.iter().map(|trial| f64::from(u8::from(failed(trial)))).collect();
            self.model.learn(&targets, points, fit, rng);
        }
    }

    /// Returns the probability that a candidate does not fail. The candidate's last projection is the one for
    /// this model.
    pub(super) fn survival(&self, candidate: &mut Candidate, awaited: &Awaited<'_>) -> f64 {
        if !self.learning {
            return 1.0;
        }
        let Prediction { mean, .. } = self.model.predict(candidate.projections.len() - 1, candidate, awaited);
        (1.0 - mean).clamp(LEAST, 1.0)
    }
}

/// Sets the target of each failed point to the target of the nearest point that did not fail. A failure
/// contains no information about objectives. A bad value as target would distort the models of the
/// objectives.
pub(super) fn fill(targets: &mut [f64], told: &[Told], points: &Points) {
    let failed: Vec<bool> = points.trials.iter().map(|&trial| told[trial].objectives.is_empty()).collect();
    let distance = |a: usize, b: usize| points.distances[a.max(b)][a.min(b)];
    for point in (0..failed.len()).filter(|&point| failed[point]) {
        let measured = (0..failed.len()).filter(|&other| !failed[other]);
        let nearest = measured.min_by(|&a, &b| distance(point, a).total_cmp(&distance(point, b)));
        if let Some(nearest) = nearest {
            targets[point] = targets[nearest];
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kiln_space::Genotype;

    use super::*;
    use crate::strategies::surrogate::told::Features;

    #[test]
    fn failed_point_takes_the_target_of_the_nearest_measured_one() {
        let told = |at: f64, objectives: &[f64]| Told {
            id: 0,
            genotype: Genotype::new([0]),
            features: Some(Features { vector: Arc::from([at]), known: Arc::from([None]) }),
            objectives: objectives.to_vec(),
            violation: 0.0,
        };
        let all = [told(0.0, &[1.0]), told(2.1, &[]), told(2.0, &[]), told(3.0, &[5.0]), told(9.0, &[])];
        let mut points = Points::default();
        points.update(&all, 0, &[0, 3, 1, 2, 4]);
        let mut targets = [1.0, 7.0, 7.0, 5.0, 7.0];
        fill(&mut targets, &all, &points);
        assert!(
            targets.iter().zip([1.0, 5.0, 5.0, 5.0, 5.0]).all(|(a, b)| (a - b).abs() < 1e-12),
            "{targets:?}"
        );
        let mut nothing = [7.0, 7.0];
        let mut points = Points::default();
        points.update(&all[1..3], 0, &[0, 1]);
        fill(&mut nothing, &all[1..3], &points);
        assert!(nothing.iter().all(|target| (target - 7.0).abs() < 1e-12));
    }
}

//! The models of all objectives, which rate candidates.

use kiln_regression::Prediction;
use rand::Rng;

use super::acquisition::Rule;
use super::candidates::Candidate;
use super::failures::{self, Failures};
use super::objective::{Awaited, Objective, Surrogate};
use super::points::Points;
use super::scale::Scale;
use super::told::{Features, Told};
use super::update::{Change, Fit};
use super::volume::Volume;
use crate::comparison::pareto::dominates;
use crate::domain::Domain;

/// Kernels are chosen again when the number of trials has grown by this factor. If they were chosen at every
/// ask, a dozen processes would be fitted each time, and the kernel would rarely change.
const REFIT: f64 = 1.15;

/// Ranks, scale and model of each objective.
pub(in crate::strategies) struct Model {
    surrogate: Surrogate,
    points: Points,
    objectives: Vec<Objective>,
    /// The model of failures, which is used with several objectives.
    failures: Failures,
    /// The Pareto front of the trials.
    front: Vec<usize>,
    /// Number of trials that the model has processed.
    heard: usize,
    /// Number of trials when the kernels were chosen.
    fitted_at: usize,
}

impl Model {
    pub(in crate::strategies) fn new(surrogate: Surrogate) -> Self {
        let points = Points::default();
        let (objectives, failures) = (Vec::new(), Failures::new(surrogate));
        Self { surrogate, points, objectives, failures, front: Vec::new(), heard: 0, fitted_at: 0 }
    }

    /// Adds the trials reported to the strategy since the last update. `order` lists the trials from best to
    /// worst.
    pub(in crate::strategies) fn update(
        &mut self,
        told: &[Told],
        order: &[usize],
        domain: &Domain<'_>,
        rng: &mut dyn Rng,
    ) -> Change {
        if self.heard == told.len() {
            return Change::Grown;
        }
        if self.objectives.is_empty() {
            let costs = domain.costs(&told[0].genotype).unwrap_or_default();
            let limit = |name: &String| {
                let limits = domain.constraints().iter().filter(|limit| limit.cost == *name);
                limits.map(|limit| limit.max).min_by(f64::total_cmp)
            };
            let objective =
                |name: &String| Objective::new(self.surrogate, costs.0.contains_key(name), limit(name));
            self.objectives = domain.objectives().iter().map(objective).collect();
        }
        self.rescale(told);
        let grown = self.points.trials.len();
        let anew = self.points.update(told, self.heard, order);
        self.heard = told.len();
        let refit = told.len() as f64 >= REFIT * self.fitted_at as f64;
        if refit {
            self.fitted_at = told.len();
        }
        let fit = match (refit, anew) {
            (true, _) => Fit::Kernel,
            (false, true) => Fit::Points,
            (false, false) => Fit::From(grown),
        };
        let several = self.objectives.len() > 1;
        for (index, objective) in self.objectives.iter_mut().enumerate() {
            let mut targets = objective.targets(index, told, &self.points);
            if several {
                failures::fill(&mut targets, told, &self.points);
            }
            objective.learn(&targets, &self.points, fit, rng);
        }
        if several {
            self.failures.learn(told, &self.points, fit, rng);
        }
        match (anew, refit) {
            (true, _) => Change::Points,
            (false, true) => Change::Kernels,
            (false, false) => Change::Grown,
        }
    }

    /// Updates the ranks, the front and the scales with the new trials.
    fn rescale(&mut self, told: &[Told]) {
        let several = self.objectives.len() > 1;
        for (trial, new) in told.iter().enumerate().skip(self.heard) {
            for (index, objective) in self.objectives.iter_mut().enumerate() {
                if !several || !new.objectives.is_empty() {
                    objective.places.insert(new.objectives.get(index).copied());
                }
            }
            let at = |trial: usize| told[trial].objectives.as_slice();
            if several && new.is_feasible() && !self.front.iter().any(|&on| dominates(at(on), at(trial))) {
                self.front.retain(|&on| !dominates(at(trial), at(on)));
                self.front.push(trial);
            }
        }
        for (index, objective) in self.objectives.iter_mut().enumerate().filter(|_| several) {
            objective.scale = Scale::new(index, told, &self.front, objective.limit);
        }
    }

    /// Rates each candidate by `rule`. Lower ratings are better. The model is more certain around `running`
    /// proposals. With several objectives, running proposals count as trials with their predicted values. So
    /// proposals that run at the same time differ from each other.
    pub(in crate::strategies) fn rate(
        &mut self,
        told: &[Told],
        candidates: &mut [Candidate],
        running: &[Features],
        (rule, optimism): (Rule, f64),
        rng: &mut dyn Rng,
    ) -> Vec<f64> {
        // Running proposals are added to the models only for this rating. At the end, `forget_after` removes
        // them.
        let awaited = Awaited::new(running, &self.points);
        let expected: Vec<Vec<f64>> = awaited.expect(&mut self.objectives);
        let count = self.points.trials.len();
        let mut predicted: Vec<Vec<Prediction>> = Vec::with_capacity(candidates.len());
        let mut survival = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            awaited.measure(candidate, &self.points);
            let objectives = self.objectives.iter().enumerate();
            predicted
                .push(objectives.map(|(o, objective)| objective.predict(o, candidate, &awaited)).collect());
            survival.push(self.failures.survival(candidate, &awaited));
            candidate.forget_after(count);
        }
        self.objectives.iter_mut().for_each(|objective| objective.forget_after(count));
        if let [objective] = self.objectives.as_slice() {
            let one: Vec<Prediction> =
                predicted.into_iter().flatten().map(|found| objective.placed(found)).collect();
            rule.of_one(&one, objective.places.lowest(), optimism, rng)
        } else {
            let reference = self.objectives.iter().map(|objective| objective.scale.reference()).collect();
            let mut volume = Volume::new(reference, rng);
            for trial in &self.front {
                let values = self.objectives.iter().zip(&told[*trial].objectives);
                let at: Vec<f64> = values.map(|(objective, value)| objective.scale.at(*value)).collect();
                volume.insert(&at);
            }
            for point in expected {
                let values = self.objectives.iter().zip(point);
                let at: Vec<f64> = values.map(|(objective, mean)| objective.scaled(mean)).collect();
                volume.insert(&at);
            }
            let scaled = |index: usize, predicted| self.objectives[index].scaled(predicted);
            let values = rule.of_several(&predicted, scaled, &volume, optimism, rng);
            // The rating is weighted by the probability of success. The weighting makes the rating of likely
            // failures worse, whether the rating is negative or positive.
            let weighted =
                |(value, survival): (f64, f64)| if value < 0.0 { value * survival } else { value / survival };
            values.into_iter().zip(survival).map(weighted).collect()
        }
    }
}

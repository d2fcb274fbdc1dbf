//! What is expected of a candidate: for each objective its cost, where it is one, and a Gaussian process otherwise.
//!
//! Objectives are put on one scale by their place among the trials: `ln(p / (1 - p)) / 1.7` for the share `p` of trials
//! that are better, which looks hard at the best and does not mind outliers. A failed trial stands behind all others.

mod acquisition;
mod candidates;

use std::sync::Arc;

use kiln_space::Genotype;
use rand::Rng;

pub(super) use self::acquisition::Acquisition;
use self::acquisition::{Prediction, Terms};
pub(super) use self::candidates::{Candidate, Candidates, Parents};
use super::weighing::weights;
use crate::gaussian_process::{GaussianProcess, Posterior};
use crate::pareto::{self, Point};
use crate::{Domain, TrialId};

/// Trials a process is made from at most, and how many of them are the best ones.
const POINTS: usize = 200;
const BEST_POINTS: usize = 140;

/// What is kept of a trial.
pub(super) struct Told {
    pub(super) id: TrialId,
    pub(super) genotype: Genotype,
    /// Its vector, once one was needed.
    pub(super) vector: Option<Arc<[f64]>>,
    pub(super) objectives: Vec<f64>,
    pub(super) violation: f64,
}

/// Scale and process of each objective.
pub(super) struct Model {
    objectives: Vec<Objective>,
    /// Trials that the processes hold, in their order.
    trials: Vec<usize>,
}

struct Objective {
    scale: Scale,
    /// `None` for a cost.
    process: Option<GaussianProcess>,
}

/// Values of the measured trials, ascending, and the scaled value of every trial.
struct Scale {
    sorted: Vec<f64>,
    scaled: Vec<f64>,
}

impl Model {
    /// Learns from trials with their vectors; `order` is from best to worst.
    pub(super) fn fit(told: &[Told], vectors: &[Arc<[f64]>], order: &[usize], domain: &Domain<'_>) -> Self {
        let trials = chosen(order);
        let points: Vec<Arc<[f64]>> = trials.iter().map(|&trial| Arc::clone(&vectors[trial])).collect();
        let first: &Genotype = &told[order[0]].genotype;
        let costs = domain.costs(first).unwrap_or_default();
        let objective = |(index, name): (usize, &String)| {
            let scale = Scale::of(told, index);
            let process = (!costs.0.contains_key(name)).then(|| {
                let targets: Vec<f64> = trials.iter().map(|&trial| scale.scaled[trial]).collect();
                GaussianProcess::fit(&points, &targets)
            });
            Objective { scale, process }
        };
        Self { objectives: domain.objectives().iter().enumerate().map(objective).collect(), trials }
    }

    /// Adds the last trials, whose vectors are `new`.
    pub(super) fn extend(&mut self, told: &[Told], new: &[Arc<[f64]>]) {
        self.trials.extend(told.len() - new.len()..told.len());
        for (index, objective) in self.objectives.iter_mut().enumerate() {
            objective.scale = Scale::of(told, index);
            if let Some(process) = &mut objective.process {
                for vector in new {
                    process.push(Arc::clone(vector));
                }
            }
        }
    }

    /// Index of the candidate that is most promising by `rule`, the objectives weighed at random where there are several.
    /// Proposals that are `running` make their surroundings less uncertain.
    pub(super) fn choose(
        &mut self,
        candidates: Vec<(usize, &mut Candidate)>,
        running: &[Arc<[f64]>],
        (rule, optimism): (Acquisition, f64),
        rng: &mut dyn Rng,
    ) -> Option<usize> {
        let terms = self.terms(optimism, rng);
        let posteriors: Vec<Option<Posterior>> =
            self.objectives.iter().map(|objective| objective.posterior(&self.trials)).collect();
        let told = self.trials.len();
        for process in self.objectives.iter_mut().filter_map(|objective| objective.process.as_mut()) {
            for vector in running {
                process.push(Arc::clone(vector));
            }
        }
        let mut best: Option<(f64, usize)> = None;
        for (index, candidate) in candidates {
            let mut predicted = Vec::with_capacity(self.objectives.len());
            for (o, objective) in self.objectives.iter().enumerate() {
                predicted.push(objective.predict(o, candidate, posteriors[o].as_ref()));
                candidate.projections[o].truncate(told);
            }
            let value = rule.value(&predicted, &terms, rng);
            if best.is_none_or(|(lowest, _)| value.total_cmp(&lowest).is_lt()) {
                best = Some((value, index));
            }
        }
        for process in self.objectives.iter_mut().filter_map(|objective| objective.process.as_mut()) {
            process.truncate(told);
        }
        best.map(|(_, index)| index)
    }

    fn terms(&self, optimism: f64, rng: &mut dyn Rng) -> Terms {
        let weights = weights(self.objectives.len(), rng);
        let scales = || self.objectives.iter().map(|objective| &objective.scale);
        let trials = scales().next().map_or(0, |scale| scale.scaled.len());
        let sum =
            |trial: usize| scales().zip(&weights).map(|(scale, weight)| weight * scale.scaled[trial]).sum();
        let best = (0..trials).map(sum).fold(f64::INFINITY, f64::min);
        Terms { offsets: scales().map(Scale::offset).collect(), weights, best, optimism }
    }
}

impl Objective {
    fn posterior(&self, trials: &[usize]) -> Option<Posterior> {
        let process = self.process.as_ref()?;
        let targets: Vec<f64> = trials.iter().map(|&trial| self.scale.scaled[trial]).collect();
        Some(process.posterior(&targets))
    }

    fn predict(&self, index: usize, candidate: &mut Candidate, posterior: Option<&Posterior>) -> Prediction {
        match (&self.process, posterior) {
            (Some(process), Some(posterior)) => {
                let projection = &mut candidate.projections[index];
                process.project(&candidate.vector, projection);
                let (mean, deviation) = posterior.predict(projection);
                Prediction { mean, deviation }
            }
            _ => Prediction { mean: self.scale.at(candidate.known[index]), deviation: 0.0 },
        }
    }
}

impl Scale {
    fn of(told: &[Told], objective: usize) -> Self {
        let value = |told: &Told| told.objectives.get(objective).copied();
        let mut sorted: Vec<f64> = told.iter().filter_map(value).collect();
        sorted.sort_by(f64::total_cmp);
        let mut scale = Self { sorted, scaled: Vec::new() };
        let n = told.len();
        scale.scaled = told.iter().map(|told| scale.at_place(value(told), n)).collect();
        scale
    }

    /// Scaled value of a number that need not be a trial's.
    fn at(&self, value: Option<f64>) -> f64 {
        self.at_place(value, self.scaled.len())
    }

    /// What makes the best value of all positive.
    fn offset(&self) -> f64 {
        (2.0 * self.scaled.len().max(1) as f64).ln() / 1.7
    }

    /// Equal values share the middle of their places.
    fn at_place(&self, value: Option<f64>, n: usize) -> f64 {
        let n = n.max(1) as f64;
        let place = value.map_or(n - 0.5, |value| {
            let below = self.sorted.partition_point(|other| other.total_cmp(&value).is_lt());
            let not_above = self.sorted.partition_point(|other| other.total_cmp(&value).is_le());
            f64::midpoint(below as f64, not_above as f64)
        });
        let share = (place / n).clamp(0.5 / n, 1.0 - 0.5 / n);
        (share / (1.0 - share)).ln() / 1.7
    }
}

/// The best trials and some of the others, evenly over their places, where there are too many.
fn chosen(order: &[usize]) -> Vec<usize> {
    if order.len() <= POINTS {
        return order.to_vec();
    }
    let (best, others) = order.split_at(BEST_POINTS);
    let wanted = POINTS - BEST_POINTS;
    best.iter().copied().chain((0..wanted).map(|i| others[i * others.len() / wanted])).collect()
}

/// Trials from best to worst, and the value of each between 0 and 1, by its place.
pub(super) fn places(told: &[Told]) -> (Vec<usize>, Vec<f64>) {
    let points: Vec<Point<'_>> =
        told.iter().map(|told| Point { objectives: &told.objectives, violation: told.violation }).collect();
    let order = pareto::order(&points);
    let mut values = vec![0.0; order.len()];
    for (place, &trial) in order.iter().enumerate() {
        values[trial] = 1.0 - (place as f64 + 0.5) / order.len() as f64;
    }
    (order, values)
}

//! One objective: the ranks and the scale of its values, and the model that predicts it.

use kiln_regression::{Forest, GaussianProcess, Posterior, Prediction, squared_distance};
use rand::Rng;
use serde::Deserialize;

use super::candidates::Candidate;
use super::places::Places;
use super::points::Points;
use super::scale::Scale;
use super::told::{Features, Told};
use super::update::Fit;

/// The kind of model that learns from the trials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::strategies) enum Surrogate {
    /// A Gaussian process: [`kiln_regression::GaussianProcess`].
    #[default]
    GaussianProcess,
    /// An ensemble of randomized trees: [`kiln_regression::Forest`].
    Ensemble,
}

/// Ranks, scale and model of an objective.
pub(super) struct Objective {
    pub(super) places: Places,
    /// The scale, which is used with several objectives.
    pub(super) scale: Scale,
    /// The study's limit for this objective. `None` if there is no limit.
    pub(super) limit: Option<f64>,
    learned: Learned,
}

enum Learned {
    /// The objective is a cost. It is computed and needs no model.
    Known,
    Process(GaussianProcess, Posterior),
    Forest(Forest),
}

/// The running proposals.
pub(super) struct Awaited<'a> {
    running: &'a [Features],
    /// Row `i` contains the squared distances of running proposal `i`: first to the points, then to the
    /// running proposals before it.
    distances: Vec<Vec<f64>>,
    points: usize,
}

impl Objective {
    pub(super) fn new(surrogate: Surrogate, is_cost: bool, limit: Option<f64>) -> Self {
        let learned = match surrogate {
            _ if is_cost => Learned::Known,
            Surrogate::GaussianProcess => {
                let process = GaussianProcess::fit::<[f64; 0]>(&[], &[]);
                let posterior = process.posterior(&[]);
                Learned::Process(process, posterior)
            }
            Surrogate::Ensemble => Learned::Forest(Forest::default()),
        };
        Self { places: Places::default(), scale: Scale::default(), limit, learned }
    }

    /// Returns the targets of the points: the scaled ranks of their values. `index` is the index of this
    /// objective.
    pub(super) fn targets(&self, index: usize, told: &[Told], points: &Points) -> Vec<f64> {
        let value = |&trial: &usize| told[trial].objectives.get(index).copied();
        points.trials.iter().map(|trial| self.places.of(value(trial))).collect()
    }

    /// Fits the model to the targets of the points.
    pub(super) fn learn(&mut self, targets: &[f64], points: &Points, fit: Fit, rng: &mut dyn Rng) {
        match &mut self.learned {
            Learned::Known => {}
            Learned::Forest(forest) => *forest = Forest::fit(&points.vectors, targets, rng),
            Learned::Process(process, posterior) => {
                match fit {
                    // A process that lacks some of the earlier points is fitted again. This happens to the
                    // model of failures, which is not updated before the first failure.
                    Fit::From(first) if process.len() == first => {
                        points.distances[first..].iter().for_each(|row| process.push(row));
                    }
                    Fit::Kernel | Fit::From(_) => *process = GaussianProcess::fit(&points.distances, targets),
                    Fit::Points => {
                        *process = GaussianProcess::with_kernel(process.kernel(), &points.distances);
                    }
                }
                *posterior = process.posterior(targets);
            }
        }
    }

    /// Returns the prediction for a candidate whose distances are complete.
    pub(super) fn predict(
        &self,
        index: usize,
        candidate: &mut Candidate,
        awaited: &Awaited<'_>,
    ) -> Prediction {
        match &self.learned {
            Learned::Known => Prediction { mean: self.known(&candidate.features, index), deviation: 0.0 },
            Learned::Process(process, posterior) => {
                let projection = &mut candidate.projections[index];
                process.project(&candidate.distances, projection);
                posterior.predict(projection)
            }
            Learned::Forest(forest) => {
                let vector = &candidate.features.vector;
                let Prediction { mean, deviation } = forest.predict(vector);
                let shared = awaited.running.iter().map(|other| forest.proximity(vector, &other.vector));
                Prediction { mean, deviation: deviation * (1.0 - shared.fold(0.0, f64::max)) }
            }
        }
    }

    /// Returns the cost of a genotype in the cost's unit. For a genotype without costs, returns the value of
    /// the worst trial.
    fn known(&self, features: &Features, index: usize) -> f64 {
        features.known[index].unwrap_or_else(|| self.places.value(f64::INFINITY))
    }

    /// Converts a prediction to scaled ranks. Models already predict scaled ranks, so only the value of a
    /// cost is converted.
    pub(super) fn placed(&self, predicted: Prediction) -> Prediction {
        if matches!(self.learned, Learned::Known) {
            Prediction { mean: self.places.of(Some(predicted.mean)), deviation: 0.0 }
        } else {
            predicted
        }
    }

    /// Converts a predicted or drawn value to the scale of the hypervolume.
    pub(super) fn scaled(&self, predicted: f64) -> f64 {
        let is_cost = matches!(self.learned, Learned::Known);
        self.scale.at(if is_cost { predicted } else { self.places.value(predicted) })
    }

    /// Removes the running proposals from the model. `count` is the number of points that stay.
    pub(super) fn forget_after(&mut self, count: usize) {
        if let Learned::Process(process, _) = &mut self.learned {
            process.truncate(count);
        }
    }

    /// Returns the predicted mean of a running proposal, and adds the proposal to the model as a point
    /// without a target.
    fn expect(&mut self, index: usize, features: &Features, distances: &[f64]) -> f64 {
        match &mut self.learned {
            Learned::Known => self.known(features, index),
            Learned::Forest(forest) => forest.predict(&features.vector).mean,
            Learned::Process(process, posterior) => {
                let mut projection = Vec::with_capacity(distances.len());
                process.project(distances, &mut projection);
                process.push(distances);
                posterior.predict(&projection).mean
            }
        }
    }
}

impl<'a> Awaited<'a> {
    pub(super) fn new(running: &'a [Features], points: &Points) -> Self {
        let row = |(at, features): (usize, &Features)| {
            let mut row = points.distances_to(&features.vector, 0);
            let before = running[..at].iter();
            row.extend(before.map(|other| squared_distance(&features.vector, &other.vector)));
            row
        };
        Self {
            running,
            distances: running.iter().enumerate().map(row).collect(),
            points: points.trials.len(),
        }
    }

    /// Adds the running proposals to the models, and returns the predicted means of each proposal.
    pub(super) fn expect(&self, objectives: &mut [Objective]) -> Vec<Vec<f64>> {
        let one = |(features, distances): (&Features, &Vec<f64>)| {
            let objectives = objectives.iter_mut().enumerate();
            objectives.map(|(index, objective)| objective.expect(index, features, distances)).collect()
        };
        self.running.iter().zip(&self.distances).map(one).collect()
    }

    /// Completes a candidate's distances to the points and the running proposals.
    pub(super) fn measure(&self, candidate: &mut Candidate, points: &Points) {
        let vector = &candidate.features.vector;
        let known = candidate.distances.len().min(self.points);
        candidate.distances.truncate(known);
        candidate.distances.extend(points.distances_to(vector, known));
        candidate.distances.extend(self.running.iter().map(|other| squared_distance(vector, &other.vector)));
    }
}

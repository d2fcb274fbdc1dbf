//! Predicts the rank by zero-cost proxies for genotypes without scores. The model is a Gaussian process over
//! the vectors of the scored genotypes.

use std::collections::BTreeMap;

use kiln_regression::{GaussianProcess, Posterior, squared_distance};
use kiln_space::Genotype;

use crate::domain::Block;

/// Minimum number of scored genotypes for the model, and maximum number of scored genotypes that it uses.
const LEAST: usize = 5;
const MOST: usize = 200;

/// Predicts ranks by zero-cost proxies.
#[derive(Debug)]
pub(super) struct Expected {
    points: Vec<Vec<f64>>,
    process: GaussianProcess,
    posterior: Posterior,
}

impl Expected {
    /// Fits the model to the ranks of some genotypes. If there are more than the maximum number, evenly
    /// spaced ones are used. Returns `None` if there are fewer than the minimum number.
    pub(super) fn fit(
        places: &BTreeMap<Genotype, f64>,
        embed: impl Fn(&Genotype) -> Vec<f64>,
    ) -> Option<Self> {
        if places.len() < LEAST {
            return None;
        }
        let some = || places.iter().step_by(places.len().div_ceil(MOST));
        let points: Vec<Vec<f64>> = some().map(|(genotype, _)| embed(genotype)).collect();
        let targets: Vec<f64> = some().map(|(_, place)| *place).collect();
        let row = |(i, point): (usize, &Vec<f64>)| distances(point, &points[..i]);
        let rows: Vec<Vec<f64>> = points.iter().enumerate().map(row).collect();
        let process = GaussianProcess::fit(&rows, &targets);
        let posterior = process.posterior(&targets);
        Some(Self { points, process, posterior })
    }

    /// Returns the predicted rank for a vector, as a block.
    pub(super) fn block(&self, vector: &[f64]) -> Block {
        let mut projection = Vec::with_capacity(self.points.len());
        self.process.project(&distances(vector, &self.points), &mut projection);
        Block { values: vec![self.posterior.predict(&projection).mean], mixed: true }
    }
}

fn distances(point: &[f64], others: &[Vec<f64>]) -> Vec<f64> {
    others.iter().map(|other| squared_distance(point, other)).collect()
}

//! Boosted trees on what a process leaves.

use kiln_regression::{BoostedTrees, Boosting};
use rand::SeedableRng;
use rand_pcg::Pcg64;

use super::process::Process;
use super::rows::Row;

/// How the trees are fitted. Trees of few points say little of single ones.
const SETTINGS: Boosting =
    Boosting { trees: 300, depth: 4, rate: 0.05, penalty: 3.0, points: 0.7, features: 0.4 };
/// Seed of the draws. Equal measurements give equal trees on every machine.
const SEED: u64 = 0x6b69_6c6e;

/// Predicts the logarithm of the quotient between a network's latency and what a process predicts of it.
#[derive(Clone, Debug)]
pub(crate) struct Trees(BoostedTrees);

impl Trees {
    /// Fits to networks and the logarithms of their latencies, given the process that was fitted to them.
    pub(crate) fn fit(rows: &[Row], logs: &[f64], process: &Process) -> Self {
        let points: Vec<Vec<f64>> =
            rows.iter().zip(process.left_out()).map(|(row, latency)| vector(row, *latency)).collect();
        let targets: Vec<f64> =
            logs.iter().zip(process.left_out()).map(|(log, latency)| log - latency.ln()).collect();
        Self(BoostedTrees::fit(&points, &targets, &SETTINGS, &mut Pcg64::seed_from_u64(SEED)))
    }

    /// The predicted logarithm of latency, given what the process predicts.
    pub(crate) fn predict(&self, row: &Row, latency: f64) -> f64 {
        latency.ln() + self.0.predict(&vector(row, latency))
    }
}

/// What trees cut by: the process's prediction and all features.
fn vector(row: &Row, latency: f64) -> Vec<f64> {
    let mut vector = Vec::with_capacity(1 + row.named.len() + row.sketch.len() + row.logs.len());
    vector.push(latency.ln());
    vector.extend_from_slice(&row.named);
    vector.extend_from_slice(&row.sketch);
    vector.extend_from_slice(&row.logs);
    vector
}

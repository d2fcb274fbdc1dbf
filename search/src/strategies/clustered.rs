//! Clustered search: candidates and trials are grouped by what their networks look like (k-means by default), each cluster gets a
//! share of the proposals by what it has shown, and inside a cluster a model chooses the candidate.
//!
//! Each ask after a random beginning:
//! 1. **Candidates** (`surrogate/candidates.rs`). Offspring of parents chosen by tournaments inside clusters, neighbors of the
//!    best, random ones.
//! 2. **Clusters** (`guided/shares.rs`). The cluster with the largest upper confidence bound
//!    `(best_c + mean_c) / 2 + exploration * sqrt(ln(n + 1) / (n_c + 1))` has its turn, where the value of a trial is
//!    `1 - (place + 1/2) / n` by its place among all (rank, then crowding), `n_c` counts the cluster's trials and those
//!    running, and a cluster without trials has the mean value 1/2.
//! 3. **Choice** (`surrogate/model.rs`). The candidate of that cluster that is the most promising by the model.
//!
//! Source: White, Neiswanger, Savani, BANANAS, AAAI 2021 (models over encoded architectures). The composition is our own.

use kiln_space::{Settings, SettingsError};
use serde::Deserialize;

use super::guided::{self, Groups, Guide};
use super::surrogate::{Acquisition, Surrogate};
use crate::Strategy;
use crate::cluster::Grouping;

/// Settings of the strategy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ClusteredSettings {
    /// Random trials at the beginning.
    initial: usize,
    /// Most clusters; how many there are follows from how well they are separated.
    clusters: usize,
    /// How clusters are found.
    grouping: Grouping,
    /// Weight of the bonus for clusters with few trials.
    exploration: f64,
    /// What learns from the trials.
    surrogate: Surrogate,
    /// The rule of choice.
    acquisition: Acquisition,
    /// Standard deviations below the mean, for the confidence bound.
    optimism: f64,
}

impl Default for ClusteredSettings {
    fn default() -> Self {
        Self {
            initial: 10,
            clusters: 12,
            grouping: Grouping::KMeans,
            exploration: 0.2,
            surrogate: Surrogate::GaussianProcess,
            acquisition: Acquisition::ExpectedImprovement,
            optimism: 1.0,
        }
    }
}

/// Builds the strategy from `initial`, `clusters`, `grouping` (`k_means`, `hierarchical` or `dbscan`), `exploration`,
/// `surrogate` (`gaussian_process` or `ensemble`), `acquisition` and `optimism`.
pub(crate) fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    let read: ClusteredSettings = settings.read()?;
    if !(1..=64).contains(&read.clusters) {
        return Err(SettingsError::value(settings.key("clusters"), read.clusters, "1 to 64"));
    }
    if !(0.0..=100.0).contains(&read.exploration) {
        return Err(SettingsError::value(settings.key("exploration"), read.exploration, "0 to 100"));
    }
    let ClusteredSettings { initial, surrogate, acquisition, optimism, .. } = read;
    let groups = Groups::new(read.grouping, read.clusters, read.exploration);
    guided::build(settings, Guide { initial, surrogate, acquisition, optimism }, groups)
}

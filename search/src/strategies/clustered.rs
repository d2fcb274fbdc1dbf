//! Clustered search: candidates and trials are grouped by what their networks look like (k-means by default), parents come from
//! clusters by what these have shown, and proposals by what a model promises of their candidates.
//!
//! The first trials (`guided/design.rs`) are the middles of as many k-means clusters of random genotypes. Each ask after them:
//! 1. **Candidates** (`surrogate/candidates.rs`). Offspring of parents chosen by tournaments inside clusters, neighbors of the
//!    best, random ones. A cluster gives parents the more readily the larger `(best_c + mean_c) / 2 + bonus_c` is, where the
//!    value of a trial is `1 - (place + 1/2) / n` by its place among all (rank, then crowding), and a cluster without trials
//!    has the mean value 1/2.
//! 2. **Promises** (`surrogate/model.rs`). The model says what improvement to expect of every candidate.
//! 3. **Turn** (`guided/shares.rs`). The cluster with the largest `improvement_c / improvement + bonus_c` has its turn: the largest
//!    improvement in it as a share of the largest of all, and `bonus_c = exploration * sqrt(ln(n + 1) / (n_c + 1))`, where `n_c`
//!    counts the cluster's trials and those running. Its most promising candidate is proposed.
//!
//! Source: White, Neiswanger, Savani, BANANAS, AAAI 2021 (models over encoded architectures). The composition is our own.

use kiln_space::{Samples, Settings, SettingsError};
use serde::Deserialize;

use super::guided::{self, Beginning, Groups, Guide};
use super::surrogate::{Acquisition, Surrogate};
use crate::contracts::{Strategy, StrategyPart};
use crate::learning::cluster::Grouping;

/// Settings of the strategy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ClusteredSettings {
    /// Trials at the beginning.
    initial: usize,
    /// How these are chosen.
    design: Beginning,
    /// Most clusters; how many there are follows from how well they are separated.
    clusters: usize,
    /// How clusters are found.
    grouping: Grouping,
    /// Weight of the bonus for clusters with few trials.
    exploration: f64,
    /// What learns from the trials.
    surrogate: Surrogate,
    /// The rules of choice.
    acquisition: Acquisition,
    /// Standard deviations below the mean, for the confidence bound.
    optimism: f64,
}

impl Default for ClusteredSettings {
    fn default() -> Self {
        Self {
            initial: 10,
            design: Beginning::KMeans,
            clusters: 12,
            grouping: Grouping::KMeans,
            exploration: 0.3,
            surrogate: Surrogate::GaussianProcess,
            acquisition: Acquisition::Alternating,
            optimism: 1.0,
        }
    }
}

/// The strategy as it is registered.
pub(crate) const PART: StrategyPart =
    StrategyPart::new("model-guided search over clusters of candidates", build)
        .with_keys(&[guided::KEYS, KEYS])
        .tested_with(SAMPLES);

/// Its own settings.
const KEYS: &str = r##"
clusters = { "$ref" = "#/$defs/count", description = "Largest number of clusters.", default = 12 }

[design]
enum = ["k_means", "random"]
description = "How the first trials are chosen."
default = "k_means"

[grouping]
enum = ["k_means", "hierarchical", "dbscan"]
description = "How clusters are found."
default = "k_means"

[exploration]
type = "number"
minimum = 0
description = "Weight of the bonus for clusters with few trials."
default = 0.3

[surrogate]
enum = ["gaussian_process", "ensemble"]
description = "Model that learns from the trials."
default = "gaussian_process"
"##;

/// Settings at their limits.
const SAMPLES: Samples = &[
    "{}",
    r#"{ "initial": 1, "clusters": 1, "exploration": 0.0 }"#,
    r#"{ "initial": 3, "clusters": 64, "exploration": 100.0 }"#,
    r#"{ "grouping": "hierarchical" }"#,
    r#"{ "initial": 100000, "acquisition": "expected_improvement" }"#,
    r#"{ "design": "random", "clusters": 2, "acquisition": "alternating" }"#,
    r#"{ "grouping": "dbscan", "start": [[0, 1, 2], [], [3, 0, 0, 0, 0, 9]] }"#,
    r#"{ "surrogate": "ensemble", "acquisition": "confidence_bound" }"#,
    r#"{ "start": [[0, 1]], "proxies": { "draw": 12, "metrics": ["-parameters", "wobble"] } }"#,
];

/// Builds the strategy from `initial`, `design` (`k_means` or `random`), `clusters`, `grouping` (`k_means`, `hierarchical` or `dbscan`), `exploration`,
/// `surrogate` (`gaussian_process` or `ensemble`), `acquisition` and `optimism`.
fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    let read: ClusteredSettings = settings.read()?;
    if !(1..=64).contains(&read.clusters) {
        return Err(SettingsError::value(settings.key("clusters"), read.clusters, "1 to 64"));
    }
    if !(0.0..=100.0).contains(&read.exploration) {
        return Err(SettingsError::value(settings.key("exploration"), read.exploration, "0 to 100"));
    }
    let ClusteredSettings { initial, design, surrogate, acquisition, optimism, .. } = read;
    let groups = Groups::new(read.grouping, read.clusters, read.exploration);
    guided::build(settings, Guide { initial, design, surrogate, acquisition, optimism }, groups)
}

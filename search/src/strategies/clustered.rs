//! Clustered search. Candidates and trials are clustered by the embeddings of their networks, with k-means by
//! default. Clusters with good trials provide more parents. The cluster with the largest expected improvement
//! proposes next.
//!
//! The first trials (`guided/design.rs`) are the genotypes nearest to the centers of k-means clusters of
//! random genotypes. Each later ask has three steps:
//! 1. **Candidates** (`surrogate/candidates.rs`). The candidates are offspring of parents from tournaments
//!    inside clusters, neighbors of the best trials, and random genotypes. A cluster `c` provides parents
//!    more often if `(best_c + mean_c) / 2 + bonus_c` is larger. Here `best_c` and `mean_c` are the best and
//!    the mean value of the cluster's trials. A trial's value is `1 - (place + 1/2) / n`, where `place` is
//!    its position among all trials (ordered by rank, then crowding). For a cluster without trials, 1/2
//!    replaces both values.
//! 2. **Expected improvement** (`surrogate/model.rs`). A model rates every candidate.
//! 3. **Turn** (`guided/shares.rs`). The cluster with the largest `improvement_c / improvement + bonus_c`
//!    proposes its best candidate. `improvement_c` is the largest expected improvement in the cluster, and
//!    `improvement` is the largest in all clusters. The bonus is `bonus_c = exploration * sqrt(ln(n + 1) /
//!    (n_c + 1))`, where `n_c` counts the cluster's trials, including running ones, and `n` is the sum over
//!    all clusters.
//!
//! Source: White, Neiswanger, Savani, BANANAS, AAAI 2021 (models over encoded architectures). The combination
//! of these parts is new.

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
    /// Number of first trials.
    initial: usize,
    /// Method that chooses the first trials.
    design: Beginning,
    /// Maximum number of clusters. The actual number depends on the separation of the clusters.
    clusters: usize,
    /// Method that finds the clusters.
    grouping: Grouping,
    /// Weight of the bonus for clusters with few trials.
    exploration: f64,
    /// Model that learns from the trials.
    surrogate: Surrogate,
    /// Rule that rates candidates.
    acquisition: Acquisition,
    /// Distance of the confidence bound below the mean, in standard deviations.
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

/// The strategy's entry in the registry.
pub(crate) const PART: StrategyPart =
    StrategyPart::new("model-guided search over clusters of candidates", build)
        .with_keys(&[guided::KEYS, KEYS])
        .tested_with(SAMPLES);

/// Schema of the strategy's own settings.
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

/// Sample settings at the limits of their valid ranges.
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

/// Builds the strategy from `initial`, `design` (`k_means` or `random`), `clusters`, `grouping` (`k_means`,
/// `hierarchical` or `dbscan`), `exploration`, `surrogate` (`gaussian_process` or `ensemble`), `acquisition`
/// and `optimism`.
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

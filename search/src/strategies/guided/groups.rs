//! The clusters of trials and candidates. They are updated when trials are reported.

use std::sync::Arc;

use super::shares;
use crate::learning::cluster::{Clusters, Grouping};
use crate::strategies::surrogate::{Candidates, Features, Told};

/// Clusters are recomputed when the share of new trials reaches this value. Until then, new trials join the
/// nearest cluster. Recomputing the clusters at every ask would take too much time.
const REGROUPING: f64 = 0.25;
/// Maximum number of trials and candidates that are clustered. All others join the nearest cluster.
const GROUPED: usize = 96;

pub(in crate::strategies) struct Groups {
    grouping: Grouping,
    most: usize,
    exploration: f64,
    clusters: Clusters,
    /// Cluster of each trial.
    labels: Vec<usize>,
    /// Number of trials when the clusters were computed.
    grouped_at: usize,
}

impl Groups {
    /// Creates groups with at most `most` clusters. `exploration` is the weight of the bonus for clusters
    /// with few trials.
    pub(in crate::strategies) fn new(grouping: Grouping, most: usize, exploration: f64) -> Self {
        let clusters = Clusters::fit::<[f64; 0]>(&[], 1);
        Self { grouping, most, exploration, clusters, labels: Vec::new(), grouped_at: 0 }
    }

    /// Creates groups with a single cluster.
    pub(in crate::strategies) fn one() -> Self {
        Self::new(Grouping::KMeans, 1, 0.0)
    }

    /// Adds the trials reported to the strategy since the last update. Returns whether the clusters were
    /// recomputed.
    pub(super) fn update(&mut self, told: &[Told], candidates: &Candidates) -> bool {
        let n = told.len();
        let new = self.most > 1 && (n - self.grouped_at) as f64 >= (REGROUPING * n as f64).max(1.0);
        if new {
            let told = told.iter().map(|told| Arc::clone(told.vector()));
            let all: Vec<Arc<[f64]>> = told.chain(candidates.vectors()).collect();
            let step = all.len().div_ceil(GROUPED);
            let some: Vec<Arc<[f64]>> = all.into_iter().step_by(step).collect();
            self.clusters = self.grouping.fit(&some, self.most);
            self.grouped_at = n;
            self.labels.clear();
        }
        let clusters = &self.clusters;
        self.labels.extend(told[self.labels.len()..].iter().map(|told| clusters.nearest(told.vector())));
        new
    }

    pub(super) const fn clusters(&self) -> &Clusters {
        &self.clusters
    }

    /// Returns the cluster of each trial.
    pub(super) fn labels(&self) -> &[usize] {
        &self.labels
    }

    pub(super) const fn are_several(&self) -> bool {
        self.most > 1
    }

    /// Returns the bonus of each cluster. Clusters with few trials have a larger bonus. Running trials are
    /// counted.
    pub(super) fn bonuses(&self, running: &[Features]) -> Vec<f64> {
        let mut trials = vec![0; self.clusters.count()];
        let running = running.iter().map(|features| self.clusters.nearest(&features.vector));
        self.labels.iter().copied().chain(running).for_each(|cluster| trials[cluster] += 1);
        shares::bonuses(&trials, self.exploration)
    }

    /// Returns the bound of each cluster: the value of its trials as parents, plus its bonus. Clusters with a
    /// higher bound provide more parents.
    pub(super) fn bounds(&self, values: &[f64], bonuses: &[f64]) -> Vec<f64> {
        let standings = shares::standings(&self.labels, values, self.clusters.count());
        standings.iter().zip(bonuses).map(|(standing, bonus)| standing + bonus).collect()
    }
}

//! Groups of trials by origin.

use std::collections::BTreeMap;

use super::state::{State, Told};

/// A group of trials with the same origin. The origin is a cluster if the trial has one, and otherwise an
/// operator.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    pub(super) name: String,
    /// Number of the cluster. `None` if the origin is an operator.
    pub(super) cluster: Option<usize>,
    pub(super) trials: u64,
    /// Number of trials in the group that are on the front.
    pub(super) front: u64,
    /// Lowest value of the first objective, among those trials in the group that have the highest fidelity.
    pub(super) best: Option<f64>,
}

/// Returns the name of the group to which a trial belongs.
pub(super) fn group_of(told: &Told) -> String {
    let origin = &told.trial.proposal.origin;
    match origin.cluster {
        Some(cluster) => format!("cluster {cluster}"),
        None if origin.operator.is_empty() => "-".to_owned(),
        None => origin.operator.clone(),
    }
}

/// Returns all groups: first clusters in ascending order, then operators by name.
pub(super) fn groups(state: &State) -> Vec<Group> {
    let mut groups = BTreeMap::new();
    for told in state.trials.values() {
        let name = group_of(told);
        let cluster = told.trial.proposal.origin.cluster;
        let group =
            groups.entry((cluster.is_none(), cluster, name)).or_insert_with_key(|(_, cluster, name)| Group {
                name: name.clone(),
                cluster: *cluster,
                trials: 0,
                front: 0,
                best: None,
            });
        group.trials += 1;
        group.front += u64::from(state.front.contains(told.trial.id));
        let counts = Some(told.trial.proposal.fidelity) >= state.front.fidelity();
        if let Some(value) = told.trial.objectives.0.first().filter(|_| counts) {
            group.best = Some(group.best.map_or(*value, |best| best.min(*value)));
        }
    }
    groups.into_values().collect()
}

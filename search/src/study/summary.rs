//! The result of a study.

use serde::{Deserialize, Serialize};

use super::effort::Spent;
use super::front::FrontEntry;
use crate::contracts::{Finished, MeasuredLatency, SearchEnd, SupernetHealth};
use crate::persistence::StageSeconds;
use crate::trials::FailureGroup;

/// How a study ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All stages are done.
    Completed,
    /// The user stopped the study. Running it again resumes it.
    Interrupted,
}

/// The result of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Whether the study was completed or interrupted.
    pub status: Status,
    /// Number of trials reported to the strategy. For an interrupted study, the number of all finished
    /// trials.
    pub trials: u64,
    /// The reason why the search stage ended. `None` if it has not ended.
    pub end: Option<SearchEnd>,
    /// Failed trials, grouped by the reason of the failure. For an interrupted study, only trials reported to
    /// the strategy.
    pub failed: Vec<FailureGroup>,
    /// The Pareto front, by ascending trial id.
    pub front: Vec<FrontEntry>,
    /// Finished networks. Networks that this run finished come first, ordered by the first objective.
    /// Networks that [`Study::finish`](crate::Study::finish) finished earlier follow.
    pub finished: Vec<Finished>,
    /// Measured latencies of finished networks, by trial and device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<MeasuredLatency>,
    /// The effort that the trials took, and the number of networks at each fidelity.
    #[serde(default)]
    pub spent: Spent,
    /// The health of the shared weights. `None` if there are no shared weights, or if an older build without
    /// the health check completed the study.
    pub health: Option<SupernetHealth>,
    /// Time spent in each stage, summed over all processes.
    pub seconds: StageSeconds,
}

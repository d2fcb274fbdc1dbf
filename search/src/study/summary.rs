//! The result of a study.

use serde::{Deserialize, Serialize};

use super::effort::Spent;
use super::front::FrontEntry;
use crate::contracts::{Finished, SearchEnd, SupernetHealth};
use crate::persistence::StageSeconds;
use crate::trials::FailureGroup;

/// How a study ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All stages are done.
    Completed,
    /// The user stopped it. Running it again resumes it.
    Interrupted,
}

/// The result of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How it ended.
    pub status: Status,
    /// Number of trials told; for an interrupted study, of all finished trials.
    pub trials: u64,
    /// Why the search stage ended; `None` if it has not.
    pub end: Option<SearchEnd>,
    /// Failed trials, grouped by what went wrong; for an interrupted study, those told so far.
    pub failed: Vec<FailureGroup>,
    /// The Pareto front, by ascending trial.
    pub front: Vec<FrontEntry>,
    /// Finished networks: first those of this run, the lowest in the first objective first, then earlier ones
    /// that [`Study::finish`](crate::Study::finish) finished.
    pub finished: Vec<Finished>,
    /// What the trials took, and how many networks reached which fidelity.
    #[serde(default)]
    pub spent: Spent,
    /// The health of shared weights; `None` if there are none, or the study ended before builds checked them.
    pub health: Option<SupernetHealth>,
    /// Time spent in each stage, over all processes.
    pub seconds: StageSeconds,
}

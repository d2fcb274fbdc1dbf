//! What came of a study.

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
    /// The user stopped it; running it again goes on.
    Interrupted,
}

/// What came of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How it ended.
    pub status: Status,
    /// Trials told; of an interrupted study, all that are finished.
    pub trials: u64,
    /// Why the search stage ended; `None` if it has not.
    pub end: Option<SearchEnd>,
    /// Trials that could not be judged, by what went wrong; of an interrupted study, of those told so far.
    pub failed: Vec<FailureGroup>,
    /// The Pareto front, by ascending trial.
    pub front: Vec<FrontEntry>,
    /// Networks finished, the lowest in the first objective first; behind them those that [`Study::finish`](crate::Study::finish)
    /// was asked for.
    pub finished: Vec<Finished>,
    /// What the trials cost, and how many networks reached which fidelity.
    #[serde(default)]
    pub spent: Spent,
    /// What a check of shared weights found; `None` where there are none, and for a study that ended before
    /// there was a check.
    pub health: Option<SupernetHealth>,
    /// Time by stage, over all processes that worked on the study.
    pub seconds: StageSeconds,
}

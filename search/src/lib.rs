#![doc = include_str!("../README.md")]

pub mod bench;
pub mod cluster;
mod constraint;
mod costs;
mod denoised;
mod description;
mod domain;
mod embedding;
mod error;
mod evaluator;
mod event;
mod failures;
mod fidelity;
mod finished;
pub mod hypervolume;
mod journal;
mod named_values;
mod objectives;
pub mod pareto;
mod rank_correlation;
mod registry;
mod results;
mod run_folder;
mod schedule;
mod seconds;
pub mod seed;
mod store;
mod strategies;
mod strategy;
mod study;
mod supernet_health;
mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod trial;

pub use constraint::Constraint;
pub use costs::{CostError, CostOrigin, CostPredictor, CostSet, DuplicateDevice};
pub use denoised::{Denoised, denoised};
pub use description::Descriptions;
pub use domain::{Domain, Rejections};
pub use error::StudyError;
pub use evaluator::{EvalError, Evaluator, Finisher, Progress, Request};
pub use event::{Event, Observer};
pub use failures::FailureGroup;
pub use fidelity::{Fidelities, Fidelity};
pub use finished::{FileMismatch, Finished, FinishedFile};
pub use journal::{
    CheckChain, Doubts, JOURNAL_VERSION, Journal, JournalEntry, JournalReader, JournaledTrial, Opened,
    StudyRecord, facts,
};
pub use named_values::NamedValues;
pub use rank_correlation::{RankCorrelation, rank_correlation, tau_b};
pub use registry::{StrategyBuilder, StrategyRegistry};
pub use results::{RESULTS_VERSION, results_part};
pub use run_folder::{RunFolder, RunPaths, check_held, check_study_name, hold_folder};
pub use seconds::{NotSeconds, Seconds};
pub use store::{Key, MemoryStore, SledStore, Store, StoreEntry};
pub use strategies::ENUMERABLE;
pub use strategy::{Ask, Needs, Strategy};
pub use study::{
    FrontEntry, MAX_HOURS, Rung, SearchEnd, Spent, StageSeconds, Status, Study, StudySettings, Summary,
    Wanted, catch_panic, overhear_panics, study_front,
};
pub use supernet_health::{HealthCheck, HealthQuestion, SupernetHealth};
pub use table::{Direction, KeyFormat, TableError, TableEvaluator};
pub use trial::{
    Costs, FailureKind, Measurement, NotFinite, Objectives, Origin, Outcome, Proposal, Trial, TrialId,
};

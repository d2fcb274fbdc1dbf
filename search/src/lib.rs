#![doc = include_str!("../README.md")]

// Each module uses only modules before it in this order: trials, comparison, domain, contracts, error,
// persistence, learning, table, strategies, registry, study, bench. The module `testing`, which checks the
// laws of strategies, is outside this order.
pub mod bench;
mod comparison;
mod contracts;
mod domain;
mod error;
mod learning;
mod persistence;
mod registry;
mod strategies;
mod study;
mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod trials;

pub use comparison::{RankCorrelation, hypervolume, pareto, rank_correlation, tau_b};
pub use contracts::{
    Ask, EvalError, Evaluator, Event, FileMismatch, Finished, FinishedFile, Finisher, HealthCheck,
    HealthQuestion, LatencyOutcome, MeasuredLatency, MeasuredUnder, Measurer, Needs, NetworkToMeasure,
    Observer, OpenAnchor, Progress, Request, SearchEnd, Silent, Strategy, StrategyBuilder, StrategyPart,
    SupernetHealth, Watch,
};
pub use domain::{
    Constraint, CostError, CostOrigin, CostPredictor, CostSet, Descriptions, Domain, DuplicateDevice,
    Rejections,
};
pub use error::{
    ChainBreak, Contradiction, Implausible, LineDamage, ProposalFault, StoreDamage, StudyError, Unfinishable,
};
pub use learning::{Denoised, cluster, denoised};
pub use persistence::{
    CheckChain, Doubts, JOURNAL_VERSION, Journal, JournalEntry, JournalReader, JournaledTrial, Key,
    MemoryStore, Opened, RunFolder, RunPaths, SledStore, StageClock, StageSeconds, Store, StoreEntry,
    StudyRecord, check_held, check_study_name, facts, hold_folder,
};
pub use registry::StrategyRegistry;
pub use strategies::ENUMERABLE;
pub use study::{
    FrontEntry, MAX_HOURS, Panicked, Rung, Spent, Status, Study, StudySettings, Summary, Wanted, catch_panic,
    overhear_panics, study_front,
};
pub use table::{CsvFault, Direction, KeyFormat, TableError, TableEvaluator};
pub use trials::{
    CommonReason, Costs, FailureGroup, FailureKind, Fidelities, Fidelity, Measurement, NamedValues,
    NotFinite, NotSeconds, Objectives, Origin, Outcome, Proposal, REASON_PARTS, RESULTS_VERSION, Seconds,
    Trial, TrialId, UnansweredFidelity, results_part, seed,
};

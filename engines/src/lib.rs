#![doc = include_str!("../README.md")]

mod board;
mod engine;
mod evaluator;
mod finisher;
mod folder;
mod local;
mod plan;
mod pool;
mod ray;
mod registry;
mod slurm;
mod work;
mod worker;

pub use board::JobRow;
pub use engine::{Engine, EngineBuilder, EngineError, EnginePart, Handle, JobEnd, JobState, Launch};
pub use evaluator::{EngineEvaluator, wait_for_supernet};
pub use finisher::{EngineFinisher, finish_study};
pub use folder::{JobFolder, JobRecord, JobsFolder};
pub use kiln_processes::end_first_without_memory;
pub use plan::Plan;
pub use pool::{Pool, PoolStudy};
pub use registry::{BuiltEngine, EngineRegistry};
pub use work::{Done, Key, Work};
pub use worker::{JobError, Worker, work};

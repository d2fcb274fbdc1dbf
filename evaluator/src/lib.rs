#![doc = include_str!("../README.md")]

pub mod data;

mod checkpoint;
mod context;
mod device;
mod executor;
mod fingerprint;
mod finish;
mod inference;
mod loss;
mod optimizer;
mod parallel;
mod registry;
mod schedule;
mod scratch;
mod seed;
mod statistics;
mod supernet;
mod trained;
mod training;
mod weights;
mod workload;

pub use context::{Built, Context};
pub use registry::{EvaluatorBuilder, EvaluatorRegistry};
pub use trained::predict;
pub use workload::{Effort, Workload};

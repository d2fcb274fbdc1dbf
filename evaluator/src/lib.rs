#![doc = include_str!("../README.md")]

pub mod data;

mod checkpoint;
mod class_weights;
mod clip_norm;
mod clipping;
#[cfg(feature = "cuda")]
mod collective;
mod confusion;
mod context;
mod conversion;
mod device;
mod devices;
mod executor;
mod fingerprint;
mod finish;
mod folding;
mod frozen;
mod fused_optimizer;
mod inference;
mod initialization;
mod integers;
mod judgement;
mod learner;
mod loss;
mod matching;
mod metrics;
mod milestones;
mod network_state;
mod optimizer;
mod parallel;
mod parameters;
mod patience;
#[cfg(any(test, feature = "cuda", feature = "wgpu"))]
mod probe;
mod provenance;
mod proxy;
mod pruning;
mod registry;
mod schedule;
mod scratch;
mod seed;
mod stand_alone;
mod statistics;
mod step_timer;
mod supernet;
mod target_scale;
mod trained;
mod training;
mod training_settings;
mod value_errors;
mod weights;
mod workload;

pub use context::{Built, Context};
pub use conversion::{ConversionError, in_8_bits, in_single_precision};
pub use judgement::logarithm;
pub use kiln_kernels::InstructionSet;
pub use matching::{Matched, Mismatch};
pub use metrics::Score;
pub use registry::{EvaluatorBuilder, EvaluatorRegistry};
pub use step_timer::StepTimer;
pub use supernet::{Anchor, Correction, anchors};
pub use trained::{predict, score};
pub use workload::{Effort, Workload};

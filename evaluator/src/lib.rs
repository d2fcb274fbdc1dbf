#![doc = include_str!("../README.md")]

mod seed;

mod devices;

pub mod data;

mod judging;

mod network;

mod deploy;

mod training;

mod compression;

mod evaluators;

pub use compression::compressor::Compressor;
pub use compression::error::CompressionError;
pub use compression::grammar::Combination;
pub use compression::record::Compressed;
pub use compression::registry::RecipeRegistry;
pub use compression::sensitivity::LayerSensitivity;
pub use deploy::conversion::{ConversionError, in_8_bits, in_single_precision};
pub use deploy::matching::{Matched, Mismatch};
pub use deploy::post_training::{QuantizationError, calibration, quantized};
pub use deploy::provenance::{this_machine, today};
pub use deploy::random::with_random_weights;
pub use deploy::runtime::KilnRuntime;
pub use deploy::trained::{Unmeasured, measure, predict, score};
pub use evaluators::command::stated_task;
pub use evaluators::context::{Built, Context, EvaluatorBuilder, EvaluatorPart};
pub use evaluators::registry::EvaluatorRegistry;
pub use evaluators::step_timer::StepTimer;
pub use evaluators::supernet::{Anchor, Correction, CorrectionPoint, anchors};
pub use evaluators::workload::{Effort, Workload};
pub use judging::judgement::logarithm;
pub use judging::metrics::Score;
pub use kiln_kernels::InstructionSet;

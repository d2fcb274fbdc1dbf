#![doc = include_str!("../README.md")]

mod architecture;
mod builder;
pub mod channels;
mod compression;
mod counts;
mod decision;
pub mod encoding;
mod error;
mod genotype;
mod op;
mod options;
mod parameter;
mod registration;
mod registry;
mod scalar;
mod settings;
mod shape;
pub mod size;
mod space;
pub mod spaces;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod variable;
pub mod variation;

pub use architecture::{Architecture, Layer, LayerId};
pub use builder::ArchitectureBuilder;
pub use compression::{NumberFormat, Precision, Sparsity};
pub use counts::Counts;
pub use decision::{Choice, Condition, Decision};
pub use error::SpaceError;
pub use genotype::Genotype;
pub use op::{ActivationKind, BATCH_NORM_EPSILON, Op, PoolKind};
pub use options::{OPTIONS_MAX, Options};
pub use parameter::{ParameterKind, ParameterSpec, Segment, WeightRef};
pub use registration::{Registration, Registry, Samples, UnknownName};
pub use registry::{SpaceBuilder, SpacePart, SpaceRegistry, TASK_KEYS, Task};
pub use scalar::{Scalar, deserialize_scalar};
pub use settings::{Found, Mismatch, Settings, SettingsError, SettingsProblem};
pub use shape::Shape;
pub use space::SearchSpace;
pub use variable::{Activity, Variable};

//! The supernet: shared weights of the largest shape per key, trained so that every subnet read from them can be judged.

mod evaluator;
mod extremes;
mod gradients;
mod sampling;
mod saved;
mod settings;
mod training;

pub(crate) use evaluator::{build, outcome};
pub(crate) use gradients::StepGradients;
pub(crate) use settings::SupernetSettings;

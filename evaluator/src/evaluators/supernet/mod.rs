//! The supernet: shared weights of the largest shape per key, trained so that every subnet read from them can be judged.

mod anchors;
mod correction;
mod corrections;
mod evaluator;
mod extremes;
mod gradients;
mod health;
mod sampling;
mod saved;
mod settings;
mod trained;
mod training;

pub use anchors::{Anchor, anchors};
pub use correction::Correction;
pub(crate) use evaluator::PART;
pub(crate) use gradients::StepGradients;
pub(crate) use settings::SupernetSettings;

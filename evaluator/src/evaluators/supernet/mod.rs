//! The supernet: shared weights, each with the largest shape that any subnet reads. They are trained so that
//! every subnet can be evaluated with them.

mod anchors;
mod correction;
mod corrections;
mod evaluator;
mod extremes;
mod gradients;
mod health;
mod sampling;
mod saved;
mod saved_error;
mod settings;
mod trained;
mod training;

pub use anchors::{Anchor, anchors};
pub use correction::{Correction, CorrectionPoint};
pub(crate) use evaluator::PART;
pub(crate) use gradients::StepGradients;
pub(crate) use settings::SupernetSettings;

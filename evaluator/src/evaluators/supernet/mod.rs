//! The supernet: shared weights, with the largest shape of each key. They are trained so that every subnet
//! that reads them can be judged.

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

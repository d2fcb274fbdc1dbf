//! What a model predicts at one point.

/// Mean and standard deviation of a prediction, in the unit of the targets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The mean.
    pub mean: f64,
    /// The standard deviation, never negative.
    pub deviation: f64,
}

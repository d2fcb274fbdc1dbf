//! The prediction of a model at one point.

/// Mean and standard deviation of a prediction, in the unit of the targets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The mean.
    pub mean: f64,
    /// The standard deviation, which is never negative.
    pub deviation: f64,
}

//! The share of zeros or of removed channels at each step of a gradual pruning.

use serde::{Deserialize, Serialize};

/// A share that grows from `initial` to `target` between two steps: quickly at first, then ever more slowly.
/// If `begin` equals `end`, all is pruned at once.
///
/// Source: M. Zhu and S. Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model
/// compression", arXiv:1710.01878, equation 1.
///
/// # Example
/// ```
/// use kiln_export::pruning::Ramp;
///
/// let ramp = Ramp { begin: 0, end: 4, initial: 0.0, target: 0.8 };
/// assert_eq!(ramp.share(2), 0.8 * (1.0 - 0.5_f64.powi(3)));
/// assert_eq!(ramp.share(9), 0.8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ramp {
    /// First step. The share is 0 before it.
    pub begin: u64,
    /// First step with the whole share.
    pub end: u64,
    /// Share at the first step.
    pub initial: f64,
    /// Share at the last step and after it.
    pub target: f64,
}

impl Ramp {
    /// Creates a ramp that prunes everything at one step.
    #[must_use]
    pub const fn one_shot(step: u64, target: f64) -> Self {
        Self { begin: step, end: step, initial: 0.0, target }
    }

    /// Returns the share at a step.
    #[must_use]
    pub fn share(&self, step: u64) -> f64 {
        if step < self.begin {
            return 0.0;
        }
        if step >= self.end {
            return self.target;
        }
        let part = (step - self.begin) as f64 / (self.end - self.begin) as f64;
        self.target + (self.initial - self.target) * (1.0 - part).powi(3)
    }
}

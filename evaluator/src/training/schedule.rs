//! The learning rate over the steps of a training.

use serde::{Deserialize, Serialize};

/// Linear warm-up, then cosine decay to zero.
///
/// Source: I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017,
/// equation 5, with one period.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Schedule {
    pub(crate) learning_rate: f64,
    pub(crate) warmup_steps: u64,
    pub(crate) steps: u64,
}

impl Schedule {
    /// Learning rate of a step. Steps are counted from 0.
    pub(crate) fn rate(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.learning_rate * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let span = (self.steps - self.warmup_steps).max(1) as f64;
        let done = ((step - self.warmup_steps) as f64 / span).min(1.0);
        0.5 * self.learning_rate * (1.0 + (std::f64::consts::PI * done).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_warms_up_and_then_falls_to_zero() {
        let schedule = Schedule { learning_rate: 1.0, warmup_steps: 4, steps: 14 };
        let rates: Vec<f64> = (0..15).map(|step| schedule.rate(step)).collect();
        assert!((rates[0] - 0.25).abs() < 1e-12 && (rates[3] - 1.0).abs() < 1e-12);
        assert!((rates[9] - 0.5).abs() < 1e-12 && rates[14].abs() < 1e-12);
        assert!(rates[4..].windows(2).all(|pair| pair[1] < pair[0]));
    }
}

//! Early stopping: a training ends if its validation loss has not improved for a number of epochs.

use serde::{Deserialize, Serialize};

/// Early stopping after `epochs` epochs in a row without a new best validation loss.
///
/// Source: L. Prechelt, "Early Stopping - But When?", in "Neural Networks: Tricks of the Trade", 1998
/// (criterion UP, on epochs).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patience {
    epochs: u32,
    /// Lowest loss so far, in nats.
    best: Option<f64>,
    /// Number of epochs since the best one.
    since: u32,
}

impl Patience {
    pub(crate) const fn new(epochs: u32) -> Self {
        Self { epochs, best: None, since: 0 }
    }

    /// Records the validation loss of an epoch. The loss is `None` if it is not finite. Returns whether it is
    /// the best so far.
    pub(crate) fn look(&mut self, loss_nats: Option<f64>) -> bool {
        let better = loss_nats.filter(|loss| self.best.is_none_or(|best| *loss < best));
        match better {
            Some(loss) => {
                self.best = Some(loss);
                self.since = 0;
            }
            None => self.since += 1,
        }
        better.is_some()
    }

    /// Whether the training should end.
    pub(crate) const fn is_over(&self) -> bool {
        self.since >= self.epochs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_ends_after_the_given_epochs_without_improvement() {
        let mut patience = Patience::new(2);
        let looks = [Some(2.0), Some(1.0), Some(1.0), Some(0.5), None, Some(0.7)];
        let seen: Vec<(bool, bool)> =
            looks.into_iter().map(|loss| (patience.look(loss), patience.is_over())).collect();
        let expected =
            [(true, false), (true, false), (false, false), (true, false), (false, false), (false, true)];
        assert_eq!(seen, expected);
    }
}

//! The course of a training: the metrics after each epoch, and the outcome that follows from them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::message::Metrics;

/// Metrics after epochs, as a program reported them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Course(BTreeMap<u32, Metrics>);

/// What a training of a number of epochs gives.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    /// The metrics that count.
    pub(super) metrics: Metrics,
    /// The epoch after which they were measured.
    pub(super) epoch: u32,
    /// Whether the training ended early, because no epoch was better for long.
    pub(super) is_early: bool,
}

impl Course {
    /// Adds the metrics after an epoch. A program that repeats an epoch replaces its metrics.
    pub(super) fn add(&mut self, epoch: u32, metrics: Metrics) {
        self.0.insert(epoch, metrics);
    }

    pub(super) const fn epochs(&self) -> &BTreeMap<u32, Metrics> {
        &self.0
    }

    /// Returns what a training of this many epochs gives. Without `patience`, these are the metrics after the
    /// last epoch. With it, they are those of the epoch with the smallest `first` metric, and the training
    /// ends when no epoch was better for `patience` epochs. Returns `None` if an epoch is missing.
    pub(super) fn answer(&self, epochs: u32, first: &str, patience: Option<u32>) -> Option<Answer> {
        let Some(patience) = patience else {
            let metrics = self.0.get(&epochs)?.clone();
            return Some(Answer { metrics, epoch: epochs, is_early: false });
        };
        let mut best: Option<(u32, &Metrics)> = None;
        for epoch in 1..=epochs {
            let metrics = self.0.get(&epoch)?;
            let value = |metrics: &Metrics| metrics.get(first).copied().unwrap_or(f64::INFINITY);
            if best.is_none_or(|(_, best)| value(metrics) < value(best)) {
                best = Some((epoch, metrics));
            }
            let (since, metrics) = best?;
            if epoch == epochs || epoch - since >= patience {
                return Some(Answer { metrics: metrics.clone(), epoch: since, is_early: epoch < epochs });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(errors: &[(u32, f64)]) -> Course {
        let mut course = Course::default();
        for (epoch, error) in errors {
            course.add(*epoch, Metrics::from([("error".to_owned(), *error)]));
        }
        course
    }

    fn answer(course: &Course, epochs: u32, patience: Option<u32>) -> Option<(f64, u32, bool)> {
        let answer = course.answer(epochs, "error", patience)?;
        Some((answer.metrics["error"], answer.epoch, answer.is_early))
    }

    #[test]
    fn without_patience_the_last_epoch_counts() {
        let course = course(&[(1, 9.0), (3, 5.0), (4, 6.0)]);
        assert_eq!(answer(&course, 4, None), Some((6.0, 4, false)));
        assert_eq!(answer(&course, 1, None), Some((9.0, 1, false)));
        assert_eq!(answer(&course, 2, None), None);
    }

    #[test]
    fn with_patience_the_best_epoch_counts() {
        let course = course(&[(1, 9.0), (2, 5.0), (3, 6.0), (4, 5.0), (5, 1.0), (6, 2.0)]);
        assert_eq!(answer(&course, 6, Some(2)), Some((5.0, 2, true)), "4 is not better than 2");
        assert_eq!(answer(&course, 4, Some(2)), Some((5.0, 2, false)));
        assert_eq!(answer(&course, 6, Some(3)), Some((1.0, 5, false)));
        assert_eq!(answer(&course, 7, Some(3)), None, "epoch 7 is not known");
        let gap = super::tests::course(&[(2, 1.0)]);
        assert_eq!(answer(&gap, 2, Some(1)), None);
    }
}

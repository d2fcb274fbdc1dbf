//! The best result of a run so far.

use super::problem::Goal;
use crate::comparison::hypervolume::contribution;
use crate::comparison::pareto::dominates;

/// The optimum counts as found if the regret is below this value. Smaller differences are rounding errors.
const FOUND: f64 = 1e-9;

/// Tracks the best result of a run with respect to the problem's goal.
#[derive(Clone, Debug)]
pub(super) struct Track<'a> {
    goal: &'a Goal,
    lowest: f64,
    report: Option<f64>,
    front: Vec<Vec<f64>>,
    volume: f64,
}

impl<'a> Track<'a> {
    pub(super) const fn new(goal: &'a Goal) -> Self {
        Self { goal, lowest: f64::INFINITY, report: None, front: Vec::new(), volume: 0.0 }
    }

    /// Adds the result of an evaluation with full fidelity. Returns whether the result lowered the regret.
    pub(super) fn add(&mut self, objectives: &[f64], report: Option<f64>) -> bool {
        match self.goal {
            Goal::Lowest { .. } => {
                let better = objectives.first().is_some_and(|value| *value < self.lowest);
                if better {
                    self.lowest = objectives[0];
                    self.report = report;
                }
                better
            }
            Goal::Hypervolume { reference, .. } => {
                let beaten =
                    |other: &Vec<f64>| dominates(other, objectives) || other.as_slice() == objectives;
                if objectives.len() != reference.len() || self.front.iter().any(beaten) {
                    return false;
                }
                let gain = contribution(objectives, &self.front, reference);
                self.front.retain(|other| !dominates(objectives, other));
                self.front.push(objectives.to_vec());
                self.volume += gain;
                gain > 0.0
            }
        }
    }

    /// Returns the distance of the best result from the optimum, which is never negative. Before the first
    /// result, the distance is infinite for a lowest value, and 1 for a hypervolume.
    pub(super) fn regret(&self) -> f64 {
        let regret = match self.goal {
            Goal::Lowest { optimum } => self.lowest - optimum,
            Goal::Hypervolume { optimum, .. } if *optimum > 0.0 => 1.0 - self.volume / optimum,
            Goal::Hypervolume { .. } => 0.0,
        };
        if regret < FOUND { 0.0 } else { regret }
    }

    /// Returns the reported value of the best architecture.
    pub(super) const fn report(&self) -> Option<f64> {
        self.report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regret_follows_the_lowest_value() {
        let goal = Goal::Lowest { optimum: 1.0 };
        let mut track = Track::new(&goal);
        assert!(track.regret().is_infinite());
        assert!(track.add(&[3.0], Some(30.0)) && !track.add(&[3.5], Some(20.0)) && !track.add(&[], None));
        assert!((track.regret() - 2.0).abs() < 1e-12);
        assert_eq!(track.report(), Some(30.0));
        assert!(track.add(&[1.0 + 1e-12], None));
        assert!(track.regret() <= 0.0);
    }

    #[test]
    fn regret_falls_by_the_volume_that_a_point_adds() {
        let goal = Goal::Hypervolume { reference: vec![4.0, 4.0], optimum: 6.0 };
        let mut track = Track::new(&goal);
        assert!((track.regret() - 1.0).abs() < 1e-12);
        for (point, regret) in
            [([3.0, 1.0], 0.5), ([3.0, 3.0], 0.5), ([2.0, 2.0], 2.0 / 12.0), ([1.0, 3.0], 0.0)]
        {
            track.add(&point, None);
            assert!((track.regret() - regret).abs() < 1e-12, "{point:?}: {}", track.regret());
        }
    }
}

//! Measures the regret of a strategy after a few evaluations, and the number of evaluations until it finds
//! the optimum.

use serde::{Deserialize, Serialize};

use super::{Run, Sample};

/// Numbers of evaluations after which the regret is reported.
const MILESTONES: [u64; 3] = [10, 20, 50];

/// Regret after a fixed number of evaluations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Milestone {
    /// Number of evaluations that have ended.
    pub evaluations: u64,
    /// Regret after this number of evaluations, over the seeds that made that many evaluations or found the
    /// optimum earlier.
    pub regret: Sample,
}

impl Milestone {
    /// Returns the milestones that at least one run has reached.
    pub(super) fn of(runs: &[Run]) -> Vec<Self> {
        let at = |evaluations: u64| {
            let regrets: Vec<f64> = runs.iter().filter_map(|run| regret_after(run, evaluations)).collect();
            Some(Self { evaluations, regret: Sample::of(&regrets)? })
        };
        MILESTONES.into_iter().filter_map(at).collect()
    }
}

/// Returns the regret of a run after a number of evaluations. Returns `None` if the run ended earlier without
/// finding the optimum, or if none of these evaluations had a result.
fn regret_after(run: &Run, evaluations: u64) -> Option<f64> {
    if run.evaluations < evaluations && evaluations_to_optimum(run).is_none() {
        return None;
    }
    let known = run.improved_after.partition_point(|after| *after <= evaluations);
    Some(run.improvements[known.checked_sub(1)?].1)
}

/// Returns the number of evaluations until the optimum was found. Returns `None` if the run did not find it.
pub(super) fn evaluations_to_optimum(run: &Run) -> Option<f64> {
    run.found_at?;
    run.improved_after.last().map(|after| *after as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(evaluations: u64, steps: &[(u64, f64)]) -> Run {
        let regret = steps.last().map_or(1.0, |(_, regret)| *regret);
        Run {
            regret,
            report: None,
            denoised_report: None,
            evaluations,
            found_at: (regret <= 0.0).then_some(7.0),
            // In this test, each evaluation costs 2 units of the budget.
            improvements: steps.iter().map(|(after, regret)| (2.0 * *after as f64, *regret)).collect(),
            improved_after: steps.iter().map(|(after, _)| *after).collect(),
            strategy_seconds: 0.0,
            asks: 0,
            last_seconds: 0.0,
        }
    }

    #[test]
    fn regret_counts_evaluations_and_not_their_cost() {
        let run = run(50, &[(1, 4.0), (10, 3.0), (11, 2.0), (30, 1.0)]);
        let regrets: Vec<(u64, f64)> =
            Milestone::of(&[run]).iter().map(|at| (at.evaluations, at.regret.mean)).collect();
        assert_eq!(regrets.len(), 3);
        for ((evaluations, regret), expected) in regrets.iter().zip([(10, 3.0), (20, 2.0), (50, 1.0)]) {
            assert_eq!(*evaluations, expected.0);
            assert!((regret - expected.1).abs() < 1e-12);
        }
    }

    #[test]
    fn a_run_that_ended_with_the_optimum_counts_and_one_that_ended_without_does_not() {
        let (found, short) = (run(15, &[(1, 2.0), (15, 0.0)]), run(15, &[(1, 2.0), (15, 1.0)]));
        assert_eq!(Milestone::of(std::slice::from_ref(&short)).len(), 1);
        let both = Milestone::of(&[found.clone(), short.clone()]);
        assert!((both[0].regret.mean - 2.0).abs() < 1e-12);
        assert!(both[1].regret.mean.abs() < 1e-12 && both[2].regret.mean.abs() < 1e-12);
        assert!(evaluations_to_optimum(&found).is_some_and(|after| (after - 15.0).abs() < 1e-12));
        assert!(evaluations_to_optimum(&short).is_none());
    }

    #[test]
    fn evaluations_that_all_failed_give_no_regret() {
        assert_eq!(Milestone::of(&[run(20, &[])]), []);
    }
}

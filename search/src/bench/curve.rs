//! Regret against budget, averaged over seeds.

use serde::{Deserialize, Serialize};

use super::run::Run;
use super::statistics::Sample;

/// Number of points of a curve after the first one.
const STEPS: usize = 100;

/// Mean regret against the budget spent. The curve begins at the first budget at which every seed has a
/// result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Budget spent, ascending, in the unit of the problem.
    pub spent: Vec<f64>,
    /// Mean regret over the seeds at each value of `spent`.
    pub regret: Vec<f64>,
    /// Half the width of the mean's 95 % confidence interval.
    pub confidence_95: Vec<f64>,
}

impl Curve {
    /// Computes the curve of these runs within a budget.
    pub(super) fn of(runs: &[Run], budget: f64) -> Self {
        let first = |run: &Run| run.improvements.first().map_or(budget, |(spent, _)| *spent);
        let begin = runs.iter().map(first).fold(0.0, f64::max);
        let mut curve = Self::default();
        for step in 0..=STEPS {
            let spent = begin + (budget - begin) * step as f64 / STEPS as f64;
            let regrets: Vec<f64> = runs.iter().filter_map(|run| regret_at(run, spent)).collect();
            if let Some(sample) = Sample::of(&regrets) {
                curve.spent.push(spent);
                curve.regret.push(sample.mean);
                curve.confidence_95.push(sample.confidence_95);
            }
        }
        curve
    }
}

/// Returns the regret of a run after it has spent `spent` of its budget. Returns `None` if the run has no
/// result by then.
fn regret_at(run: &Run, spent: f64) -> Option<f64> {
    let known = run.improvements.partition_point(|(at, _)| *at <= spent);
    Some(run.improvements[known.checked_sub(1)?].1)
}

/// Returns the mean regret of a run over the whole budget. For the time before the first result, the regret
/// of the first result is used.
pub(super) fn area(run: &Run, budget: f64) -> f64 {
    let Some(&(_, first)) = run.improvements.first() else { return run.regret };
    let (mut at, mut regret, mut total) = (0.0, first, 0.0);
    for &(spent, next) in &run.improvements {
        total += (spent - at) * regret;
        (at, regret) = (spent, next);
    }
    (total + (budget - at).max(0.0) * regret) / budget
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(improvements: &[(f64, f64)]) -> Run {
        Run {
            regret: improvements[improvements.len() - 1].1,
            report: None,
            denoised_report: None,
            evaluations: 0,
            found_at: None,
            improvements: improvements.to_vec(),
            improved_after: (1..).take(improvements.len()).collect(),
            strategy_seconds: 0.0,
            asks: 0,
            last_seconds: 0.0,
        }
    }

    #[test]
    fn area_and_curve_of_a_staircase_by_hand() {
        let run = run(&[(2.0, 4.0), (6.0, 1.0)]);
        // The regret is 4 until 6 units of the budget are spent, then 1 until 10 units are spent.
        assert!((area(&run, 10.0) - 2.8).abs() < 1e-12);
        let curve = Curve::of(std::slice::from_ref(&run), 10.0);
        assert!((curve.spent[0] - 2.0).abs() < 1e-12 && (curve.regret[0] - 4.0).abs() < 1e-12);
        assert_eq!(curve.spent.len(), 101);
        let last_high = curve.regret.iter().rposition(|regret| *regret > 3.0).unwrap();
        assert!((curve.spent[last_high] - 5.92).abs() < 1e-9);
    }
}

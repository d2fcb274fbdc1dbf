//! Compares trials by several objectives: dominance, non-dominated rank, crowding distance, Pareto front.
//!
//! All objectives are minimized. Feasible trials come before infeasible ones, and failed trials come last.

mod archive;
mod dominance;
#[cfg(test)]
pub(crate) mod points;

use std::borrow::Borrow;
use std::cmp::Ordering;

pub use self::archive::Archive;
pub use self::dominance::dominates;

use crate::trials::{Trial, TrialId};

/// The values by which a trial is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point<'a> {
    /// Values of the objectives, which must be finite. Empty for a failed trial.
    pub objectives: &'a [f64],
    /// Sum of the relative amounts by which costs exceed the constraints. It is 0 if all constraints are met.
    pub violation: f64,
}

impl<'a> From<&'a Trial> for Point<'a> {
    fn from(trial: &'a Trial) -> Self {
        Self { objectives: &trial.objectives.0, violation: trial.violation }
    }
}

impl Point<'_> {
    /// Whether the trial was measured and meets all constraints.
    #[must_use]
    pub fn is_feasible(&self) -> bool {
        !self.objectives.is_empty() && self.violation <= 0.0
    }
}

/// Returns the ids of the trials on the Pareto front, ascending. Only feasible trials at the highest measured
/// fidelity are considered. If several non-dominated trials have equal objectives, the front contains all of
/// them.
#[must_use]
pub fn front<T: Borrow<Trial>>(trials: &[T]) -> Vec<TrialId> {
    let feasible = || trials.iter().map(Borrow::borrow).filter(|trial| Point::from(*trial).is_feasible());
    let highest = feasible().map(|trial| trial.proposal.fidelity).max();
    let eligible: Vec<&Trial> = feasible().filter(|trial| Some(trial.proposal.fidelity) == highest).collect();
    let objectives: Vec<&[f64]> = eligible.iter().map(|trial| trial.objectives.0.as_slice()).collect();
    let ranks = sort_non_dominated(&objectives);
    let mut ids: Vec<TrialId> =
        eligible.iter().zip(ranks).filter(|(_, rank)| *rank == 0).map(|(trial, _)| trial.id).collect();
    ids.sort_unstable();
    ids
}

/// Returns the rank of each point. Feasible points come first: rank 0 contains the non-dominated points, rank
/// 1 the points that only points of rank 0 dominate, and so on. Infeasible points follow, ordered by their
/// violation. Failed points share the last rank.
#[must_use]
pub fn ranks(points: &[Point<'_>]) -> Vec<usize> {
    let mut ranks = vec![0; points.len()];
    let feasible: Vec<usize> = (0..points.len()).filter(|&i| points[i].is_feasible()).collect();
    let objectives: Vec<&[f64]> = feasible.iter().map(|&i| points[i].objectives).collect();
    let mut next = 0;
    for (&i, rank) in feasible.iter().zip(sort_non_dominated(&objectives)) {
        ranks[i] = rank;
        next = next.max(rank + 1);
    }
    let (failed, mut infeasible): (Vec<usize>, Vec<usize>) = (0..points.len())
        .filter(|&i| !points[i].is_feasible())
        .partition(|&i| points[i].objectives.is_empty());
    infeasible.sort_by(|&a, &b| points[a].violation.total_cmp(&points[b].violation));
    for equal in infeasible.chunk_by(|&a, &b| points[a].violation.total_cmp(&points[b].violation).is_eq()) {
        for &i in equal {
            ranks[i] = next;
        }
        next += 1;
    }
    for i in failed {
        ranks[i] = next;
    }
    ranks
}

/// Returns the crowding distance of each point of one rank. The crowding distance is the sum, over the
/// objectives, of the gap between the point's two neighbors, relative to the objective's range. It is
/// infinite for points with the lowest or highest value of an objective.
///
/// Source: Deb et al., A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE TEC 2002, section
/// III.B.
#[must_use]
pub fn crowding(objectives: &[&[f64]]) -> Vec<f64> {
    let mut distances = vec![0.0; objectives.len()];
    let dimensions = objectives.first().map_or(0, |first| first.len());
    let mut order: Vec<usize> = (0..objectives.len()).collect();
    #[allow(clippy::needless_range_loop, reason = "`d` is an index into every point")]
    for d in 0..dimensions {
        let value = |index: usize| objectives[index][d];
        order.sort_by(|&a, &b| value(a).total_cmp(&value(b)).then(a.cmp(&b)));
        let (first, last) = (order[0], order[order.len() - 1]);
        let range = value(last) - value(first);
        if range <= 0.0 {
            continue;
        }
        distances[first] = f64::INFINITY;
        distances[last] = f64::INFINITY;
        for window in order.windows(3) {
            distances[window[1]] += (value(window[2]) - value(window[0])) / range;
        }
    }
    distances
}

/// Returns the indices of the points from best to worst. Points are ordered by rank, then by descending
/// crowding distance, then by their index.
///
/// # Example
/// ```
/// use kiln_search::pareto::{Point, order};
/// let point = |objectives, violation| Point { objectives, violation };
/// let points = [point(&[][..], 0.0), point(&[3.0], 0.0), point(&[1.0], 0.5), point(&[2.0], 0.0)];
/// assert_eq!(order(&points), [3, 1, 2, 0]);
/// ```
#[must_use]
pub fn order(points: &[Point<'_>]) -> Vec<usize> {
    let ranks = ranks(points);
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|&i| (ranks[i], i));
    let mut sorted = Vec::with_capacity(order.len());
    for rank in order.chunk_by(|&a, &b| ranks[a] == ranks[b]) {
        if let [alone] = rank {
            sorted.push(*alone);
            continue;
        }
        let objectives: Vec<&[f64]> = rank.iter().map(|&i| points[i].objectives).collect();
        let distances = crowding(&objectives);
        let mut members: Vec<usize> = (0..rank.len()).collect();
        members.sort_by(|&a, &b| distances[b].total_cmp(&distances[a]).then(a.cmp(&b)));
        sorted.extend(members.into_iter().map(|member| rank[member]));
    }
    sorted
}

/// Returns the rank of each point by dominance alone.
///
/// Source: Zhang et al., An efficient approach to non-dominated sorting, IEEE TEC 2015 (ENS-BS). In
/// lexicographic order, only earlier points can dominate a point. So bisection over the fronts found so far
/// finds the point's front.
fn sort_non_dominated(objectives: &[&[f64]]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..objectives.len()).collect();
    order.sort_by(|&a, &b| lexicographic(objectives[a], objectives[b]));
    let mut ranks = vec![0; objectives.len()];
    if objectives.iter().all(|point| point.len() == 1) {
        for pair in order.windows(2) {
            let worse = lexicographic(objectives[pair[0]], objectives[pair[1]]).is_lt();
            ranks[pair[1]] = ranks[pair[0]] + usize::from(worse);
        }
        return ranks;
    }
    // With two objectives, the last member of a front has the front's lowest second value. If any member
    // dominates a later point, the last member also dominates that point.
    let looked_at = if objectives.iter().all(|point| point.len() == 2) { 1 } else { usize::MAX };
    let mut fronts: Vec<Vec<usize>> = Vec::new();
    for i in order {
        let rank = fronts.partition_point(|front| {
            front.iter().rev().take(looked_at).any(|&j| dominates(objectives[j], objectives[i]))
        });
        if rank == fronts.len() {
            fronts.push(Vec::new());
        }
        fronts[rank].push(i);
        ranks[i] = rank;
    }
    ranks
}

fn lexicographic(a: &[f64], b: &[f64]) -> Ordering {
    a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use kiln_space::Genotype;
    use proptest::prelude::*;

    use super::*;
    use crate::comparison::pareto::points::points;
    use crate::trials::{Costs, FailureKind, Fidelity, Measurement, Objectives, Origin, Outcome, Proposal};

    fn trial(id: TrialId, fidelity: Fidelity, objectives: &[f64], violation: f64) -> Trial {
        let outcome = if objectives.is_empty() {
            Outcome::Failed { kind: FailureKind::Diverged, reason: "loss is NaN".to_owned() }
        } else {
            Outcome::Measured(Measurement::default())
        };
        Trial {
            id,
            proposal: Proposal { genotype: Genotype::new([id as u8]), fidelity, origin: Origin::default() },
            outcome,
            costs: Costs::default(),
            objectives: Objectives(objectives.to_vec()),
            violation,
        }
    }

    #[test]
    fn front_leaves_out_failed_infeasible_and_low_fidelity_trials() {
        let trials = [
            trial(5, Fidelity::Full, &[2.0, 2.0], 0.0),
            trial(1, Fidelity::Full, &[1.0, 3.0], 0.0),
            trial(2, Fidelity::Full, &[2.0, 3.0], 0.0),
            trial(3, Fidelity::Full, &[0.0, 0.0], 0.1),
            trial(4, Fidelity::Epochs(3), &[0.0, 0.0], 0.0),
            trial(6, Fidelity::Full, &[], 0.0),
            trial(7, Fidelity::Full, &[2.0, 2.0], 0.0),
        ];
        assert_eq!(front(&trials), [1, 5, 7]);
        assert_eq!(front(&trials[3..5]), [4]);
        assert_eq!(front::<Trial>(&[]), [0; 0]);
    }

    #[test]
    fn ranks_put_feasible_before_infeasible_before_failed() {
        let point = |objectives, violation| Point { objectives, violation };
        let points = [
            point(&[][..], 0.0),
            point(&[0.0, 0.0], 2.0),
            point(&[0.0, 0.0], 1.0),
            point(&[9.0, 9.0], 0.0),
            point(&[1.0, 2.0], 0.0),
            point(&[2.0, 1.0], 0.0),
            point(&[9.0, 9.0], 1.0),
        ];
        assert_eq!(ranks(&points), [4, 3, 2, 1, 0, 0, 2]);
    }

    #[test]
    fn crowding_of_four_points_by_hand() {
        let points: [&[f64]; 4] = [&[0.0, 4.0], &[1.0, 2.0], &[3.0, 1.0], &[4.0, 0.0]];
        let distances = crowding(&points);
        assert!(distances[0].is_infinite() && distances[3].is_infinite());
        assert!((distances[1] - (3.0 / 4.0 + 3.0 / 4.0)).abs() < 1e-12);
        assert!((distances[2] - (3.0 / 4.0 + 2.0 / 4.0)).abs() < 1e-12);
        assert!(crowding(&[&[1.0, 1.0], &[1.0, 1.0]]).iter().all(|distance| *distance <= 0.0));
    }

    fn rank_by_definition(objectives: &[Vec<f64>]) -> Vec<usize> {
        let mut ranks = vec![usize::MAX; objectives.len()];
        for rank in 0..objectives.len() {
            let open: Vec<usize> = (0..objectives.len()).filter(|&i| ranks[i] == usize::MAX).collect();
            for &i in &open {
                if !open.iter().any(|&j| dominates(&objectives[j], &objectives[i])) {
                    ranks[i] = rank;
                }
            }
        }
        ranks
    }

    proptest! {
        #[test]
        fn front_holds_exactly_the_non_dominated_trials(
            values in points(3, 6, 40),
        ) {
            let trials: Vec<Trial> = values
                .iter()
                .enumerate()
                .map(|(i, value)| trial(i as TrialId, Fidelity::Full, value, 0.0))
                .collect();
            let front = front(&trials);
            let on = |id: &TrialId| trials[*id as usize].objectives.0.as_slice();
            for a in &front {
                prop_assert!(!front.iter().any(|b| dominates(on(b), on(a))));
            }
            for trial in &trials {
                let beaten = front.iter().any(|id| dominates(on(id), &trial.objectives.0));
                prop_assert_eq!(front.contains(&trial.id), !beaten);
            }
        }

        #[test]
        fn sort_equals_ranks_by_definition(
            values in points(3, 5, 40),
        ) {
            let objectives: Vec<&[f64]> = values.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(sort_non_dominated(&objectives), rank_by_definition(&values));
        }
    }
}

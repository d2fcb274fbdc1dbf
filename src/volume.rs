//! How much of the space of objectives the trials of a study dominate, and how that grew.

use kiln_search::hypervolume::hypervolume;
use kiln_search::pareto::dominates;
use kiln_search::{Constraint, Fidelity, Trial};

/// Room behind the worst value where nothing limits an objective, relative to the range of values.
const MARGIN: f64 = 0.1;

/// The trials that count for the front: measured, feasible, at the highest fidelity among them.
pub(crate) fn eligible(trials: &[Trial]) -> Vec<&Trial> {
    let counts = |trial: &&Trial| !trial.objectives.0.is_empty() && trial.violation <= 0.0;
    let highest: Option<Fidelity> = trials.iter().filter(counts).map(|trial| trial.proposal.fidelity).max();
    trials.iter().filter(counts).filter(|trial| Some(trial.proposal.fidelity) == highest).collect()
}

/// The point from which volume is measured: the limit of an objective that has one, and a little more than the worst value
/// of one that has none. `None` without values.
pub(crate) fn reference<'a>(
    objectives: &[String],
    limits: &[Constraint],
    values: impl Iterator<Item = &'a [f64]>,
) -> Option<Vec<f64>> {
    let mut ranges: Vec<(f64, f64)> = vec![(f64::INFINITY, f64::NEG_INFINITY); objectives.len()];
    for point in values.filter(|point| point.len() == objectives.len()) {
        for ((low, high), value) in ranges.iter_mut().zip(point) {
            (*low, *high) = (low.min(*value), high.max(*value));
        }
    }
    let limit = |objective: &String| {
        let limits = limits.iter().filter(|limit| limit.cost == *objective).map(|limit| limit.max);
        limits.min_by(f64::total_cmp)
    };
    let point = objectives.iter().zip(&ranges).map(|(objective, (low, high))| {
        let margin = if high > low { MARGIN * (high - low) } else { (high.abs() * MARGIN).max(f64::EPSILON) };
        (low <= high).then(|| limit(objective).unwrap_or(high + margin))
    });
    point.collect()
}

/// Volume of the front after each change: the number of trials then, counted from 1, and the share of the box between the
/// reference point and the best value of each objective that is dominated. Empty while the box is.
pub(crate) fn curve(trials: &[Trial], reference: &[f64]) -> Vec<(usize, f64)> {
    let eligible = eligible(trials);
    let best =
        |axis: usize| eligible.iter().map(|trial| trial.objectives.0[axis]).fold(f64::INFINITY, f64::min);
    let sides = reference.iter().enumerate().map(|(axis, reference)| reference - best(axis));
    let whole: f64 = if reference.is_empty() { 0.0 } else { sides.product() };
    if !(whole.is_finite() && whole > 0.0) {
        return Vec::new();
    }
    let mut front: Vec<&[f64]> = Vec::new();
    let mut points = Vec::new();
    for (index, trial) in trials.iter().enumerate() {
        let values = trial.objectives.0.as_slice();
        let counts = eligible.binary_search_by_key(&trial.id, |eligible| eligible.id).is_ok();
        if !counts || front.iter().any(|member| *member == values || dominates(member, values)) {
            continue;
        }
        front.retain(|member| !dominates(values, member));
        front.push(values);
        points.push((index + 1, hypervolume(&front, reference) / whole));
    }
    points
}

#[cfg(test)]
pub(crate) mod tests {
    use kiln_search::{Costs, FailureKind, Measurement, Objectives, Origin, Outcome, Proposal, TrialId};
    use kiln_space::Genotype;

    use super::*;

    /// A trial with an error in percent and a latency; failed without them.
    pub(crate) fn trial(id: TrialId, values: Option<(f64, f64)>, operator: &str) -> Trial {
        let origin = Origin { operator: operator.to_owned(), ..Origin::default() };
        let proposal = Proposal { genotype: Genotype::new([id as u8]), fidelity: Fidelity::Full, origin };
        let costs = [("latency_us".to_owned(), values.map_or(1.0, |(_, latency)| latency))];
        let (outcome, objectives) = match values {
            Some((error, latency)) => (
                Outcome::Measured(Measurement::new([("error_percent".to_owned(), error)].into()).unwrap()),
                vec![error, latency],
            ),
            None => (
                Outcome::Failed { kind: FailureKind::Diverged, reason: "loss is NaN <b>".to_owned() },
                Vec::new(),
            ),
        };
        let objectives = Objectives(objectives);
        Trial { id, proposal, outcome, costs: Costs(costs.into()), objectives, violation: 0.0 }
    }

    pub(crate) fn objectives() -> Vec<String> {
        vec!["error_percent".to_owned(), "latency_us".to_owned()]
    }

    #[test]
    fn a_curve_by_hand() {
        let values = [Some((4.0, 4.0)), None, Some((2.0, 6.0)), Some((5.0, 5.0)), Some((3.0, 2.0))];
        let trials: Vec<Trial> =
            values.into_iter().enumerate().map(|(id, values)| trial(id as TrialId, values, "")).collect();
        // The box is 8 by 8, from (10, 10) to (2, 2).
        let expected = [(1, 36.0 / 64.0), (3, 44.0 / 64.0), (5, 60.0 / 64.0)];
        let found = curve(&trials, &[10.0, 10.0]);
        assert_eq!(found.len(), expected.len());
        for ((at, volume), (expected_at, expected_volume)) in found.into_iter().zip(expected) {
            assert_eq!(at, expected_at);
            assert!((volume - expected_volume).abs() < 1e-12, "{volume}");
        }
        assert!(curve(&trials[1..2], &[10.0, 10.0]).is_empty());
        assert!(curve(&[], &[]).is_empty());
    }

    #[test]
    fn a_limit_is_the_reference_and_else_the_worst_value_with_some_room() {
        let points: [&[f64]; 2] = [&[1.0, 300.0], &[3.0, 200.0]];
        let limits = [Constraint::new("latency_us", 400.0)];
        let found = reference(&objectives(), &limits, points.into_iter()).unwrap();
        assert!((found[0] - 3.2).abs() < 1e-12 && (found[1] - 400.0).abs() < 1e-12);
        assert_eq!(reference(&objectives(), &limits, std::iter::empty()), None);
    }
}

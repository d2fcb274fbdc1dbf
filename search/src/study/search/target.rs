//! Checks whether a trial is good enough to end the search.

use std::collections::BTreeMap;

use crate::trials::{Fidelity, Trial};

/// Whether a trial reaches the target. The trial must be feasible and have full fidelity. Each metric or cost
/// in the target must not exceed its maximum. No trial reaches an empty target.
pub(super) fn is_reached(target: &BTreeMap<String, f64>, trial: &Trial) -> bool {
    let Some(measured) = trial.outcome.measurement() else { return false };
    let value = |name: &String| measured.get(name).or_else(|| trial.costs.0.get(name).copied());
    !target.is_empty()
        && trial.proposal.fidelity == Fidelity::Full
        && trial.violation <= 0.0
        && target.iter().all(|(name, most)| value(name).is_some_and(|value| value <= *most))
}

#[cfg(test)]
mod tests {
    use kiln_space::Genotype;

    use super::*;
    use crate::trials::{Costs, FailureKind, Objectives, Origin, Outcome, Proposal};

    fn table(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    fn trial(error_percent: f64) -> Trial {
        Trial {
            id: 3,
            proposal: Proposal {
                genotype: Genotype::new([0]),
                fidelity: Fidelity::Full,
                origin: Origin::default(),
            },
            outcome: Outcome::from_metrics(table(&[("error_percent", error_percent)])),
            costs: Costs(table(&[("latency_us", 10.0)]).into()),
            objectives: Objectives::default(),
            violation: 0.0,
        }
    }

    #[test]
    fn target_is_reached_by_feasible_full_trials_with_values_at_most_its_own() {
        let target = table(&[("error_percent", 1.5), ("latency_us", 10.0)]);
        assert!(is_reached(&target, &trial(1.5)));
        assert!(!is_reached(&target, &trial(1.6)));
        assert!(!is_reached(&table(&[("latency_us", 9.0)]), &trial(1.0)));
        assert!(!is_reached(&table(&[("energy_uj", 9.0)]), &trial(1.0)), "not known");
        assert!(!is_reached(&BTreeMap::new(), &trial(0.0)));
        assert!(!is_reached(&target, &Trial { violation: 0.1, ..trial(1.0) }));
        let mut short = trial(1.0);
        short.proposal.fidelity = Fidelity::Epochs(3);
        assert!(!is_reached(&target, &short));
        let failed = Outcome::Failed { kind: FailureKind::Diverged, reason: String::new() };
        assert!(!is_reached(&target, &Trial { outcome: failed, ..trial(1.0) }));
    }
}

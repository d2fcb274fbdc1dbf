//! Computes the values of a trial's objectives from its metrics and costs.

use super::fidelity::Fidelity;
use super::trial::{Costs, Objectives, Outcome, TrialId};

/// The error for an objective that is neither a measured metric nor a cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnknownObjective {
    /// Id of the trial.
    pub(crate) trial: TrialId,
    /// Name of the objective.
    pub(crate) objective: String,
    /// Names of the trial's metrics and costs.
    pub(crate) known: Vec<String>,
}

/// Returns the values of the objectives. Each value is the metric with the objective's name, or the cost with
/// that name if there is no such metric. A failed trial has no values. If a proxy evaluation has a single
/// metric, this metric replaces every objective that is neither a metric nor a cost.
pub(crate) fn objectives(
    trial: TrialId,
    names: &[String],
    fidelity: Fidelity,
    outcome: &Outcome,
    costs: &Costs,
) -> Result<Objectives, UnknownObjective> {
    let Some(measurement) = outcome.measurement() else { return Ok(Objectives::default()) };
    let stand_in = match (fidelity, measurement.metrics().len()) {
        (Fidelity::Proxy, 1) => measurement.metrics().values().next().copied(),
        _ => None,
    };
    let value = |name: &String| {
        let found = measurement.get(name).or_else(|| costs.0.get(name).copied()).or(stand_in);
        found.ok_or_else(|| UnknownObjective {
            trial,
            objective: name.clone(),
            known: measurement.metrics().keys().chain(costs.0.keys()).cloned().collect(),
        })
    };
    names.iter().map(value).collect::<Result<_, _>>().map(Objectives)
}

/// Whether a trial can have these objective values, if the names of the objectives are not known. Each value
/// must equal a metric or a cost, and a failed trial must have no values.
pub(crate) fn are_possible(objectives: &Objectives, outcome: &Outcome, costs: &Costs) -> bool {
    let Some(measurement) = outcome.measurement() else { return objectives.0.is_empty() };
    let known = || measurement.metrics().values().chain(costs.0.values());
    objectives.0.iter().all(|value| known().any(|known| known.to_bits() == value.to_bits()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn values(fidelity: Fidelity, metrics: &[(&str, f64)]) -> Result<Vec<f64>, UnknownObjective> {
        let names = ["error_percent".to_owned(), "latency_us".to_owned()];
        let table = |pairs: &[(&str, f64)]| -> BTreeMap<String, f64> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
        };
        let outcome = Outcome::from_metrics(table(metrics));
        let costs = Costs(table(&[("latency_us", 7.0)]).into());
        objectives(0, &names, fidelity, &outcome, &costs).map(|objectives| objectives.0)
    }

    #[test]
    fn proxy_with_one_metric_stands_in_for_unmeasured_objectives() {
        assert_eq!(values(Fidelity::Proxy, &[("negative_naswot", -3.0)]).unwrap(), [-3.0, 7.0]);
        assert_eq!(values(Fidelity::Full, &[("error_percent", 2.0), ("loss", 9.0)]).unwrap(), [2.0, 7.0]);
        assert!(values(Fidelity::Full, &[("negative_naswot", -3.0)]).is_err(), "only at its own fidelity");
        assert!(values(Fidelity::Proxy, &[("a", 1.0), ("b", 2.0)]).is_err(), "which of them it would be");
    }

    #[test]
    fn values_that_are_no_metric_or_cost_are_impossible() {
        let costs = Costs([("macs".to_owned(), 7.0)].into());
        let measured = Outcome::from_metrics([("error_percent".to_owned(), 2.0)].into());
        let failed = Outcome::from_metrics([("error_percent".to_owned(), f64::NAN)].into());
        for (values, possible) in [(&[2.0, 7.0][..], true), (&[7.0], true), (&[2.0, 7.5], false), (&[], true)]
        {
            assert_eq!(are_possible(&Objectives(values.to_vec()), &measured, &costs), possible, "{values:?}");
        }
        assert!(!are_possible(&Objectives(vec![7.0]), &failed, &costs));
    }
}

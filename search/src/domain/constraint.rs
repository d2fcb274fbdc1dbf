//! Upper limits on costs. A network's costs are checked before the network is trained.

use serde::{Deserialize, Serialize};

use crate::trials::Costs;

/// An upper limit on a cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constraint {
    /// Name of the cost, including unit and device as in [`Costs`], such as `latency_us`, `latency_us@raspi4`
    /// or `parameters`.
    pub cost: String,
    /// Maximum allowed value.
    pub max: f64,
}

impl Constraint {
    /// Creates a constraint with the maximum value `max` for `cost`.
    #[must_use]
    pub fn new(cost: impl Into<String>, max: f64) -> Self {
        Self { cost: cost.into(), max }
    }

    /// Returns the amount by which the cost exceeds the limit, relative to the limit. If the limit is not
    /// positive, the amount is absolute. Returns 0 if the limit is met, and `None` if the cost is missing.
    #[must_use]
    pub fn excess(&self, costs: &Costs) -> Option<f64> {
        let above = (costs.0.get(&self.cost)? - self.max).max(0.0);
        Some(if self.max > 0.0 { above / self.max } else { above })
    }
}

/// Returns the sum of the excesses over all constraints. Returns `None` if a constrained cost is missing.
pub(crate) fn violation(constraints: &[Constraint], costs: &Costs) -> Option<f64> {
    constraints.iter().map(|constraint| constraint.excess(costs)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excess_is_relative_to_a_positive_limit() {
        let costs = Costs([("macs".to_owned(), 150.0), ("parameters".to_owned(), 5.0)].into());
        let close = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-12;
        assert!(close(Constraint::new("macs", 100.0).excess(&costs), 0.5));
        assert!(close(Constraint::new("macs", 150.0).excess(&costs), 0.0));
        assert!(close(Constraint::new("macs", 0.0).excess(&costs), 150.0));
        assert_eq!(Constraint::new("latency_us", 1.0).excess(&costs), None);
        let both = [Constraint::new("macs", 100.0), Constraint::new("parameters", 4.0)];
        assert!(close(violation(&both, &costs), 0.75));
    }
}

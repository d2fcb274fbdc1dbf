//! Chooses the units of channels to remove so that a network meets a budget.

use std::collections::{BTreeMap, BTreeSet};

use kiln_space::Architecture;
use kiln_space::channels::{Coupling, Group};
use serde::{Deserialize, Serialize};

use super::super::budget::allocate;
use super::super::error::check_scores;
use super::super::{Best, PruningError};

/// Maximum number of steps in which a group loses its units. It bounds the number of costs that are computed.
const STEPS_MAX: usize = 32;

/// The number of units that a group keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// A group that loses units keeps a multiple of this number. Many runtimes are fastest with multiples of
    /// 4, 8 or 16 channels.
    pub multiple: usize,
    /// Each layer that creates channels keeps at least this number of units, or all if it has fewer. Taken
    /// as 1 if it is 0.
    pub minimum: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self { multiple: 1, minimum: 1 }
    }
}

/// The channels that are removed from an architecture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The removed units ([`Coupling::units`] of the architecture).
    pub removed: BTreeSet<usize>,
    /// Cost of the smaller architecture.
    pub cost: f64,
    /// Sum of the losses of the removed units.
    pub loss: f64,
}

/// Chooses the units to remove so that `cost` is at most `target`.
///
/// `losses` states what the removal of each unit loses ([`super::losses`]). Each group loses its units in
/// rising order of their losses. The group that loses least for each unit of cost that it saves is next,
/// until the budget is met. `cost` gets the smaller architecture and returns its MACs, bytes or predicted
/// latency, for example. Equal arguments give equal plans.
///
/// # Errors
/// [`PruningError`] when the losses do not fit the coupling, a number is not finite, or the budget cannot be
/// met. In the last case the error contains the plan that came closest.
///
/// # Example
/// ```
/// use kiln_export::pruning::structured::{Rules, plan};
/// use kiln_export::pruning::target;
/// use kiln_space::channels::Coupling;
/// use kiln_space::{Architecture, ArchitectureBuilder, Shape};
///
/// let mut b = ArchitectureBuilder::new(Shape::vector(4));
/// let hidden = b.linear("hidden", b.input(), 8)?;
/// b.linear("head", hidden, 2)?;
/// let architecture = b.finish()?;
///
/// let coupling = Coupling::new(&architecture)?;
/// let losses: Vec<f64> = (0..coupling.units().len()).map(|unit| unit as f64).collect();
/// let macs = |architecture: &Architecture| architecture.counts().macs as f64;
/// let half = target(macs(&architecture), 0.5)?;
/// let plan = plan(&architecture, &coupling, &losses, Rules { multiple: 2, minimum: 2 }, half, macs)?;
/// let smaller = coupling.shrink(&architecture, &plan.removed)?.architecture;
/// assert_eq!(smaller.layer(hidden).output, Shape::vector(4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn plan(
    architecture: &Architecture,
    coupling: &Coupling,
    losses: &[f64],
    rules: Rules,
    target: f64,
    mut cost: impl FnMut(&Architecture) -> f64,
) -> Result<Plan, PruningError> {
    check_scores("the units of channels", losses, coupling.units().len())?;
    if rules.multiple == 0 {
        return Err(PruningError::Multiple);
    }
    let orders: Vec<Order> =
        coupling.groups().iter().map(|group| Order::new(coupling, group, losses, rules)).collect();
    let steps: Vec<Vec<f64>> = orders.iter().map(|order| order.losses(losses)).collect();
    let removed = |levels: &[usize]| -> BTreeSet<usize> {
        orders.iter().zip(levels).flat_map(|(order, level)| order.removed(*level)).copied().collect()
    };
    let (chosen, is_met) = allocate(&steps, target, |levels| {
        Ok(cost(&coupling.shrink(architecture, &removed(levels))?.architecture))
    })?;
    let plan = Plan { removed: removed(&chosen.levels), cost: chosen.cost, loss: chosen.loss };
    if is_met {
        return Ok(plan);
    }
    let reached = plan.cost;
    Err(PruningError::Budget { target, reached, best: Box::new(Best::Channels(plan)) })
}

/// The order in which a group loses its units.
struct Order {
    units: Vec<usize>,
    /// Number of units that are removed at each level, rising from 0.
    counts: Vec<usize>,
}

impl Order {
    fn new(coupling: &Coupling, group: &Group, losses: &[f64], rules: Rules) -> Self {
        let by_loss = |a: &usize, b: &usize| losses[*a].total_cmp(&losses[*b]).then(a.cmp(b));
        let mut kept: BTreeSet<usize> = BTreeSet::new();
        for layer in &group.layers {
            let units: BTreeSet<usize> = coupling.rows(*layer).iter().copied().collect();
            let mut units: Vec<usize> = units.into_iter().collect();
            units.sort_by(|a, b| by_loss(b, a));
            kept.extend(units.iter().take(rules.minimum.max(1)));
        }
        let is_free = |unit: &usize| !coupling.units()[*unit].is_fixed && !kept.contains(unit);
        let mut units: Vec<usize> = group.units.iter().copied().filter(is_free).collect();
        units.sort_by(by_loss);
        let all = group.units.len();
        let fits = |count: &usize| (all - count).is_multiple_of(rules.multiple);
        let counts: Vec<usize> = (1..=units.len()).filter(fits).collect();
        let stride = counts.len().div_ceil(STEPS_MAX).max(1);
        // The last count is always among them.
        let mut counts: Vec<usize> = counts.into_iter().rev().step_by(stride).collect();
        counts.push(0);
        counts.reverse();
        Self { units, counts }
    }

    fn removed(&self, level: usize) -> &[usize] {
        &self.units[..self.counts[level]]
    }

    /// Returns the loss at each level.
    fn losses(&self, losses: &[f64]) -> Vec<f64> {
        let sum = |level| self.removed(level).iter().map(|unit| losses[*unit]).sum();
        (0..self.counts.len()).map(sum).collect()
    }
}

impl Plan {
    /// Returns the number of units that each group keeps and had, by the name of the first layer that creates
    /// the group's channels. Groups that cannot lose units are left out.
    ///
    /// # Panics
    /// When `coupling` belongs to another architecture.
    #[must_use]
    pub fn widths(&self, architecture: &Architecture, coupling: &Coupling) -> BTreeMap<String, [usize; 2]> {
        let is_free = |group: &&Group| group.units.iter().any(|unit| !coupling.units()[*unit].is_fixed);
        let width = |group: &Group| {
            let kept = group.units.iter().filter(|unit| !self.removed.contains(unit)).count();
            Some((architecture.layer(*group.layers.first()?).name.clone(), [kept, group.units.len()]))
        };
        coupling.groups().iter().filter(is_free).filter_map(width).collect()
    }
}

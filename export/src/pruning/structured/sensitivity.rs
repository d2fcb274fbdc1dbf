//! What a network loses when one of its groups loses channels.

use std::collections::BTreeSet;

use kiln_space::channels::{Coupling, Group};
use serde::{Deserialize, Serialize};

use super::super::budget::finite;
use super::super::error::check_scores;
use super::super::{PruningError, sparsity_of};
use super::{Plan, cut};
use crate::TrainedModel;

/// The smallest increase that counts, as a part of the largest one. Without it, a group whose removal
/// happened to help on the measured examples would lose all its channels for nothing.
const FLOOR: f64 = 0.01;

/// How much the loss of a network grows when one group alone loses a share of its units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// The share of its units that each group lost.
    pub share: f64,
    /// Growth of the loss for each group ([`Coupling::groups`]). 0 for groups that cannot lose units.
    pub increases: Vec<f64>,
}

/// Measures how much the loss of a network grows when one group alone loses a share of its units, those with
/// the lowest scores. `loss` gets the smaller network and returns its loss on some examples.
///
/// Source: H. Li et al., "Pruning Filters for Efficient `ConvNets`", ICLR 2017, section 3.2.
///
/// # Errors
/// [`PruningError`] when the network is invalid, the scores do not fit it, the share is 1 (100 %) or more, or
/// a loss is not finite.
pub fn sensitivity(
    model: &TrainedModel,
    coupling: &Coupling,
    scores: &[f64],
    share: f64,
    mut loss: impl FnMut(&TrainedModel) -> f64,
) -> Result<Sensitivity, PruningError> {
    sparsity_of(share)?;
    check_scores("the units of channels", scores, coupling.units().len())?;
    let whole = finite("loss", loss(model))?;
    let mut increases = Vec::with_capacity(coupling.groups().len());
    for group in coupling.groups() {
        let removed = kept_in_every_layer(coupling, group, lowest(coupling, group, scores, share));
        if removed.is_empty() {
            increases.push(0.0);
            continue;
        }
        let smaller = cut(model, &Plan { removed, cost: 0.0, loss: 0.0 })?;
        increases.push(finite("loss", loss(&smaller))? - whole);
    }
    Ok(Sensitivity { share, increases })
}

/// Turns scores into losses that can be compared between groups.
///
/// With a measured [`Sensitivity`], the units that were removed for it lose together what was measured.
/// Without, the units of each group lose 1 together. Within a group, losses are proportional to scores. If
/// scores are negative (movement), they count from the lowest score of the group.
///
/// Taylor scores are comparable as they are. They need no such step, because they estimate the loss.
///
/// # Errors
/// [`PruningError`] when scores or sensitivity do not fit the coupling or are not finite.
pub fn losses(
    coupling: &Coupling,
    scores: &[f64],
    sensitivity: Option<&Sensitivity>,
) -> Result<Vec<f64>, PruningError> {
    check_scores("the units of channels", scores, coupling.units().len())?;
    let mut floor = 0.0;
    if let Some(sensitivity) = sensitivity {
        check_scores("the groups of channels", &sensitivity.increases, coupling.groups().len())?;
        sparsity_of(sensitivity.share)?;
        floor = FLOOR * sensitivity.increases.iter().copied().fold(0.0, f64::max);
    }
    let mut losses = vec![0.0; scores.len()];
    for (index, group) in coupling.groups().iter().enumerate() {
        let lowest_score = group.units.iter().map(|unit| scores[*unit]).fold(0.0, f64::min);
        let (share, whole) = match sensitivity {
            None => (1.0, 1.0),
            Some(Sensitivity { share, increases }) => (*share, increases[index].max(floor)),
        };
        let sum = |units: &[usize]| units.iter().map(|unit| scores[*unit] - lowest_score).sum::<f64>();
        // If the lowest units have no score at all, they lose nothing, whatever was measured.
        let scale = match (sum(&lowest(coupling, group, scores, share)), sum(&group.units)) {
            (part, _) if part > 0.0 => whole / part,
            (_, all) if all > 0.0 => whole / all,
            _ => 0.0,
        };
        for unit in &group.units {
            losses[*unit] = (scores[*unit] - lowest_score) * scale;
        }
    }
    Ok(losses)
}

/// Returns the share of a group's units that has the lowest scores, at least one unit if some can be removed.
fn lowest(coupling: &Coupling, group: &Group, scores: &[f64], share: f64) -> Vec<usize> {
    let is_free = |unit: &usize| !coupling.units()[*unit].is_fixed;
    let mut units: Vec<usize> = group.units.iter().copied().filter(is_free).collect();
    units.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(a.cmp(b)));
    let count = (units.len() as f64 * share).round() as usize;
    units.truncate(count.max(1));
    units
}

/// Removes units from a list until every layer keeps at least one unit.
fn kept_in_every_layer(coupling: &Coupling, group: &Group, units: Vec<usize>) -> BTreeSet<usize> {
    let mut removed: BTreeSet<usize> = BTreeSet::new();
    for unit in units {
        removed.insert(unit);
        let is_empty =
            |layer: &kiln_space::LayerId| coupling.rows(*layer).iter().all(|unit| removed.contains(unit));
        if group.layers.iter().any(is_empty) {
            removed.remove(&unit);
        }
    }
    removed
}

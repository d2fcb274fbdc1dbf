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

/// How much the loss of a network grows when one group alone loses shares of its units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// The shares of its units that each group lost, rising.
    pub shares: Vec<f64>,
    /// For each group ([`Coupling::groups`]), the growth of the loss at each share. 0 for groups that cannot
    /// lose units.
    pub increases: Vec<Vec<f64>>,
}

/// Measures how much the loss of a network grows when one group alone loses each of these shares of its
/// units, those with the lowest scores. Several shares are needed, because the last channels of a group cost
/// far more than the first ones. `loss` gets the smaller network and returns its loss on some examples.
///
/// Source: H. Li et al., "Pruning Filters for Efficient `ConvNets`", ICLR 2017, section 3.2.
///
/// # Errors
/// [`PruningError`] when the network is invalid, the scores do not fit it, the shares do not rise or reach 1
/// (100 %), or a loss is not finite.
pub fn sensitivity(
    model: &TrainedModel,
    coupling: &Coupling,
    scores: &[f64],
    shares: &[f64],
    mut loss: impl FnMut(&TrainedModel) -> f64,
) -> Result<Sensitivity, PruningError> {
    check_shares(shares)?;
    check_scores("the units of channels", scores, coupling.units().len())?;
    let whole = finite("loss", loss(model))?;
    let mut increases = Vec::with_capacity(coupling.groups().len());
    for group in coupling.groups() {
        let mut of_group = Vec::with_capacity(shares.len());
        for share in shares {
            let removed = kept_in_every_layer(coupling, group, lowest(coupling, group, scores, *share));
            if removed.is_empty() {
                of_group.push(0.0);
                continue;
            }
            let smaller = cut(model, &Plan { removed, cost: 0.0, loss: 0.0 })?;
            of_group.push(finite("loss", loss(&smaller))? - whole);
        }
        increases.push(of_group);
    }
    Ok(Sensitivity { shares: shares.to_vec(), increases })
}

/// Checks that shares rise and stay below 1.
fn check_shares(shares: &[f64]) -> Result<(), PruningError> {
    let mut before = 0.0;
    for share in shares {
        sparsity_of(*share)?;
        if *share <= before {
            return Err(PruningError::Share { found: *share });
        }
        before = *share;
    }
    Ok(())
}

/// Turns scores into losses that can be compared between groups.
///
/// With a measured [`Sensitivity`], the units of a group lose together what was measured at each share. In
/// between, the loss grows in a straight line, and it never grows more slowly than before (the lower convex
/// hull of the measured points). A unit without any score loses nothing.
///
/// Without a sensitivity, the units of each group lose 1 together, in proportion to their scores. If scores
/// are negative (movement), they count from the lowest score of the group.
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
    let mut losses = vec![0.0; scores.len()];
    let mut floor = 0.0;
    if let Some(Sensitivity { shares, increases }) = sensitivity {
        check_shares(shares)?;
        for of_group in increases {
            check_scores("the shares of a group of channels", of_group, shares.len())?;
        }
        let largest: Vec<f64> = increases.iter().map(|all| all.iter().copied().fold(0.0, f64::max)).collect();
        check_scores("the groups of channels", &largest, coupling.groups().len())?;
        floor = FLOOR * largest.into_iter().fold(0.0, f64::max);
    }
    for (index, group) in coupling.groups().iter().enumerate() {
        let lowest_score = group.units.iter().map(|unit| scores[*unit]).fold(0.0, f64::min);
        let Some(Sensitivity { shares, increases }) = sensitivity else {
            let sum: f64 = group.units.iter().map(|unit| scores[*unit] - lowest_score).sum();
            let scale = if sum > 0.0 { 1.0 / sum } else { 0.0 };
            for unit in &group.units {
                losses[*unit] = (scores[*unit] - lowest_score) * scale;
            }
            continue;
        };
        let points =
            shares.iter().zip(&increases[index]).map(|(share, found)| [*share, found.max(floor * share)]);
        let curve = convex(points);
        let units = by_score(coupling, group, scores);
        let count = units.len().max(1) as f64;
        for (rank, unit) in units.iter().enumerate() {
            let grown = at(&curve, (rank + 1) as f64 / count) - at(&curve, rank as f64 / count);
            // Units of equal loss stay in the order of their scores.
            let in_order = 1.0 + 1e-6 * rank as f64 / count;
            losses[*unit] = if scores[*unit] > lowest_score { grown * in_order } else { 0.0 };
        }
    }
    Ok(losses)
}

/// Returns the lower convex hull of points with rising positions, from `[0, 0]` on.
fn convex(points: impl Iterator<Item = [f64; 2]>) -> Vec<[f64; 2]> {
    let mut hull = vec![[0.0, 0.0]];
    for point in points {
        while let [.., before, last] = hull[..] {
            let slope = |from: [f64; 2], to: [f64; 2]| (to[1] - from[1]) / (to[0] - from[0]);
            if slope(before, last) < slope(last, point) {
                break;
            }
            hull.pop();
        }
        hull.push(point);
    }
    hull
}

/// The value of a curve of straight lines at a position. The last line goes on beyond its end.
fn at(curve: &[[f64; 2]], position: f64) -> f64 {
    let lines = curve.windows(2);
    let line = lines.clone().find(|ends| ends[1][0] >= position).or_else(|| lines.last());
    let Some([[x, y], [right, top]]) = line else { return 0.0 };
    y + (top - y) * (position - x) / (right - x)
}

/// Returns the share of a group's units that has the lowest scores, at least one unit if some can be removed.
fn lowest(coupling: &Coupling, group: &Group, scores: &[f64], share: f64) -> Vec<usize> {
    let mut units = by_score(coupling, group, scores);
    let count = (units.len() as f64 * share).round() as usize;
    units.truncate(count.max(1));
    units
}

/// Returns the units of a group that can be removed, by rising score.
fn by_score(coupling: &Coupling, group: &Group, scores: &[f64]) -> Vec<usize> {
    let is_free = |unit: &usize| !coupling.units()[*unit].is_fixed;
    let mut units: Vec<usize> = group.units.iter().copied().filter(is_free).collect();
    units.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(a.cmp(b)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_convex_and_go_on_beyond_their_ends() {
        let curve = convex([[0.25, 0.4], [0.5, 0.5], [0.75, 2.0]].into_iter());
        // 0.4 lies above the line from 0 to 0.5 at 0.5.
        assert_eq!(curve, [[0.0, 0.0], [0.5, 0.5], [0.75, 2.0]]);
        for (position, expected) in [(0.0, 0.0), (0.25, 0.25), (0.5, 0.5), (0.625, 1.25), (1.0, 3.5)] {
            assert!((at(&curve, position) - expected).abs() < 1e-12, "{position}");
        }
        assert!(at(&[[0.0, 0.0]], 0.5).abs() < 1e-12);
    }
}

//! Chooses the share of zeros of each layer.

use std::collections::BTreeMap;

use kiln_space::{Architecture, Op, Sparsity};

use super::budget::allocate;
use super::error::check_scores;
use super::{Best, PruningError, sparsity_of};

/// Scores of the weights of each layer, by the layer's name ([`super::scores`]). Convolutions and fully
/// connected layers without scores are not pruned.
pub type LayerScores = BTreeMap<String, Vec<f64>>;

/// Chooses the sparsity of each layer so that the network meets a budget.
///
/// `shares` lists the shares of zeros that a layer may have, in rising order. `sensitivity` states how much
/// the network loses if a layer loses all its weights; layers that it does not name lose 1. A layer's loss
/// grows with the share of its scores that is removed. The layer that loses least for each unit of cost goes
/// to its next share until `cost` is at most `target`. `cost` gets the architecture with the sparsity of each
/// layer.
///
/// # Errors
/// [`PruningError`] when scores do not fit the architecture, a share is 1 (100 %) or more, or the budget
/// cannot be met. The error then contains the sparsity that came closest.
pub fn plan(
    architecture: &Architecture,
    scores: &LayerScores,
    sensitivity: &BTreeMap<String, f64>,
    shares: &[f64],
    target: f64,
    mut cost: impl FnMut(&Architecture) -> f64,
) -> Result<BTreeMap<String, Sparsity>, PruningError> {
    let mut options = vec![Sparsity::Dense];
    for share in shares {
        options.push(sparsity_of(*share)?);
    }
    let indices = check(architecture, scores)?;
    let losses: Vec<Vec<f64>> = scores
        .iter()
        .map(|(name, scores)| {
            let weight = sensitivity.get(name).copied().unwrap_or(1.0);
            removed_parts(scores, &options).into_iter().map(|part| part * weight).collect()
        })
        .collect();
    let mut pruned = architecture.clone();
    let (chosen, is_met) = allocate(&losses, target, |levels| {
        for (index, level) in indices.iter().zip(levels) {
            pruned.layers[*index].sparsity = options[*level];
        }
        Ok(cost(&pruned))
    })?;
    let plan: BTreeMap<String, Sparsity> =
        scores.keys().cloned().zip(chosen.levels.iter().map(|level| options[*level])).collect();
    if is_met {
        return Ok(plan);
    }
    Err(PruningError::Budget { target, reached: chosen.cost, best: Box::new(Best::Zeros(plan)) })
}

/// Returns the sparsity of each layer if the weights with the lowest scores of the whole network become zero.
/// Every layer keeps at least a thousandth of its weights.
///
/// # Errors
/// [`PruningError`] when scores do not fit the architecture, or the share is 1 (100 %) or more.
pub fn ranked(
    architecture: &Architecture,
    scores: &LayerScores,
    share: f64,
) -> Result<BTreeMap<String, Sparsity>, PruningError> {
    sparsity_of(share)?;
    check(architecture, scores)?;
    let mut all: Vec<(f64, usize)> = scores
        .values()
        .enumerate()
        .flat_map(|(layer, scores)| scores.iter().map(move |score| (*score, layer)))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let zeros = (all.len() as f64 * share).round() as usize;
    let mut counts = vec![0_usize; scores.len()];
    all[..zeros.min(all.len())].iter().for_each(|(_, layer)| counts[*layer] += 1);
    let of = |((name, scores), count): ((&String, &Vec<f64>), usize)| {
        let share = count as f64 / scores.len().max(1) as f64;
        sparsity_of(share.min(0.999)).map(|sparsity| (name.clone(), sparsity))
    };
    scores.iter().zip(counts).map(of).collect()
}

/// Checks the scores and returns the index of each layer that has some.
fn check(architecture: &Architecture, scores: &LayerScores) -> Result<Vec<usize>, PruningError> {
    let index = |(name, scores): (&String, &Vec<f64>)| {
        let found = architecture.ids().find(|id| architecture.layer(*id).name == *name);
        let unknown = || PruningError::Layer { name: name.clone() };
        let id = found.ok_or_else(unknown)?;
        if !matches!(architecture.layer(id).op, Op::Conv2d { .. } | Op::Linear { .. }) {
            return Err(unknown());
        }
        let counts = architecture.layer_counts(id);
        let biases = match architecture.layer(id).op {
            Op::Conv2d { bias: true, .. } | Op::Linear { bias: true, .. } => {
                architecture.layer(id).output.channels as u64
            }
            _ => 0,
        };
        let weights = (counts.parameters - biases) as usize;
        check_scores(&format!("the weights of layer `{name}`"), scores, weights)?;
        Ok(id.0)
    };
    scores.iter().map(index).collect()
}

/// Returns, for each option, the share of the sum of all scores that it removes. Negative scores count from
/// the lowest one.
fn removed_parts(scores: &[f64], options: &[Sparsity]) -> Vec<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let lowest = sorted.first().copied().unwrap_or(0.0).min(0.0);
    let total: f64 = sorted.iter().map(|score| score - lowest).sum();
    let part = |sparsity: &Sparsity| {
        let zeros = (sorted.len() as f64 * sparsity.zeros()) as usize;
        let removed: f64 = sorted[..zeros].iter().map(|score| score - lowest).sum();
        if total > 0.0 { removed / total } else { 0.0 }
    };
    options.iter().map(part).collect()
}

//! Scores of units of channels. The units with the lowest scores are removed first.

use kiln_space::channels::Coupling;
use kiln_space::{Architecture, BATCH_NORM_EPSILON, LayerId, Op};
use serde::{Deserialize, Serialize};

use super::super::PruningError;
use crate::{Arrays, TrainedModel};

/// How the magnitude of filters is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Sum of magnitudes.
    #[default]
    L1,
    /// Square root of the sum of squares.
    L2,
}

/// Scores each unit by the norm of all filters that compute its channels. If a batch normalization alone
/// reads a layer, its factor is multiplied into the filters, because a filter and its multiples give the same
/// normalized output.
///
/// Source: H. Li et al., "Pruning Filters for Efficient `ConvNets`", ICLR 2017 (L1 norms of filters); G. Fang
/// et al., `DepGraph`, CVPR 2023 (norms over all coupled filters). Differs: the batch normalization.
///
/// # Errors
/// [`PruningError`] when the model is invalid.
///
/// # Panics
/// When `coupling` belongs to another architecture.
pub fn filter_norms(model: &TrainedModel, coupling: &Coupling, norm: Norm) -> Result<Vec<f64>, PruningError> {
    model.check()?;
    let architecture = &model.architecture;
    let readers = architecture.readers();
    let mut sums = vec![0.0; coupling.units().len()];
    for id in architecture.ids() {
        let layer = architecture.layer(id);
        // Layers that the output does not depend on may have no arrays.
        let Some(weight) = model.arrays.get(&format!("{}.weight", layer.name)) else { continue };
        let factors = match readers[id.0].as_slice() {
            [reader] => norm_factors(model, *reader),
            _ => None,
        };
        let filters = weight.data.chunks_exact(weight.data.len() / layer.output.channels);
        for (row, filter) in filters.enumerate() {
            let factor = factors.as_ref().map_or(1.0, |factors| factors[row]);
            let values = filter.iter().map(|value| f64::from(*value) * factor);
            sums[coupling.rows(id)[row]] += match norm {
                Norm::L1 => values.map(f64::abs).sum::<f64>(),
                Norm::L2 => values.map(|value| value * value).sum::<f64>(),
            };
        }
    }
    if norm == Norm::L2 {
        for sum in &mut sums {
            *sum = sum.sqrt();
        }
    }
    Ok(sums)
}

/// Returns the factor by which a batch normalization multiplies each channel.
fn norm_factors(model: &TrainedModel, id: LayerId) -> Option<Vec<f64>> {
    let layer = model.architecture.layer(id);
    if layer.op != Op::BatchNorm {
        return None;
    }
    let part = |part: &str| model.arrays.get(&format!("{}.{part}", layer.name));
    let (scale, variance) = (part("scale")?, part("variance")?);
    let factor = |(scale, variance): (&f32, &f32)| {
        f64::from(scale.abs()) / (f64::from(*variance) + f64::from(BATCH_NORM_EPSILON)).sqrt()
    };
    Some(scale.data.iter().zip(&variance.data).map(factor).collect())
}

/// Scores each unit by how much the loss changes, to first order, if the unit is removed.
///
/// Removing a unit has the same effect as setting all weights that read it to zero. So the score is the
/// magnitude of the sum of `weight * gradient` over these weights. Add up the scores of several batches for a
/// steadier estimate.
///
/// `arrays` and `gradients` are named as in [`TrainedModel`].
///
/// Source: P. Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019, equation 8.
/// Differs: the weights that read the channels instead of those that compute them, so that normalizations and
/// sums in between need no special rules; the magnitude instead of the square.
///
/// # Errors
/// [`PruningError::Gradients`] when an array of gradients is missing or has the wrong size.
///
/// # Panics
/// When `coupling` belongs to another architecture.
pub fn taylor(
    architecture: &Architecture,
    coupling: &Coupling,
    arrays: &Arrays,
    gradients: &Arrays,
) -> Result<Vec<f64>, PruningError> {
    let sums = reading_sums(architecture, coupling, arrays, gradients)?;
    Ok(sums.into_iter().map(f64::abs).collect())
}

/// Adds one training step to movement scores of units: the sum of `-weight * gradient` over the weights that
/// read the unit. A unit whose weights move away from zero gets a higher score.
///
/// Source: V. Sanh et al., "Movement Pruning: Adaptive Sparsity by Fine-Tuning", `NeurIPS` 2020, equation 5;
/// F. Lagunas et al., "Block Pruning For Faster Transformers", EMNLP 2021 (sums over blocks).
///
/// # Errors
/// [`PruningError`] when `total` does not have one score for each unit, or an array of gradients is missing
/// or has the wrong size.
///
/// # Panics
/// When `coupling` belongs to another architecture.
pub fn add_movement(
    total: &mut [f64],
    architecture: &Architecture,
    coupling: &Coupling,
    arrays: &Arrays,
    gradients: &Arrays,
) -> Result<(), PruningError> {
    let expected = coupling.units().len();
    if total.len() != expected {
        let what = "the units of channels".to_owned();
        return Err(PruningError::Scores { what, found: total.len(), expected });
    }
    let sums = reading_sums(architecture, coupling, arrays, gradients)?;
    for (total, sum) in total.iter_mut().zip(sums) {
        *total -= sum;
    }
    Ok(())
}

/// Returns, for each unit, the sum of `weight * gradient` over the weights that read the unit.
fn reading_sums(
    architecture: &Architecture,
    coupling: &Coupling,
    arrays: &Arrays,
    gradients: &Arrays,
) -> Result<Vec<f64>, PruningError> {
    let mut sums = vec![0.0; coupling.units().len()];
    for id in architecture.ids() {
        let columns = coupling.columns(architecture, id);
        let name = format!("{}.weight", architecture.layer(id).name);
        let (false, Some(weight)) = (columns.is_empty(), arrays.get(&name)) else { continue };
        let found = gradients.get(&name).map_or(&[][..], |array| array.data.as_slice());
        let expected = weight.data.len();
        if found.len() != expected {
            return Err(PruningError::Gradients { name, found: found.len(), expected });
        }
        let window = expected / (columns.len() * architecture.layer(id).output.channels);
        for (index, (weight, gradient)) in weight.data.iter().zip(found).enumerate() {
            sums[columns[index / window % columns.len()]] += f64::from(*weight) * f64::from(*gradient);
        }
    }
    Ok(sums)
}

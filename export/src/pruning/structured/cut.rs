//! Cuts channels out of a network's arrays.

use kiln_space::channels::{Coupling, Shrunk};

use super::super::{PruningError, stated};
use super::Plan;
use crate::{Array, TrainedModel};

/// Returns the network without the channels that a plan removes.
///
/// The result is a valid network of its own: its architecture has fewer channels, and its arrays have fewer
/// rows and columns. It computes what the whole network computes with zeros in place of the removed channels.
/// Quantization grids stay as they are. A layer whose weights no longer have the sparsity that the
/// architecture states gets the sparsity that they have. The card has the new counts, and no measurements.
///
/// # Errors
/// [`PruningError`] when the network is invalid, or the plan does not fit it.
pub fn cut(model: &TrainedModel, plan: &Plan) -> Result<TrainedModel, PruningError> {
    model.check()?;
    let coupling = Coupling::new(&model.architecture)?;
    let Shrunk { architecture, outputs, inputs } = coupling.shrink(&model.architecture, &plan.removed)?;
    let mut cut = TrainedModel { architecture, ..model.clone() };
    for id in model.architecture.ids() {
        let name = &model.architecture.layer(id).name;
        let (rows, columns) = (&outputs[id.0], &inputs[id.0]);
        for part in ["weight", "bias", "scale", "shift", "mean", "variance"] {
            if let Some(array) = cut.arrays.get_mut(&format!("{name}.{part}")) {
                *array = selected(array, rows, if part == "weight" { columns } else { &[] });
            }
        }
    }
    set_stated_sparsity(&mut cut);
    let counts = cut.architecture.counts();
    cut.card.parameters = counts.parameters;
    cut.card.macs = counts.macs;
    cut.card.metrics.clear();
    cut.card.test = None;
    cut.check()?;
    Ok(cut)
}

/// Returns the rows and columns of an array. An array with one axis has no columns.
fn selected(array: &Array, rows: &[usize], columns: &[usize]) -> Array {
    let mut shape = array.shape.clone();
    shape[0] = rows.len();
    if array.shape.len() == 1 {
        return Array { shape, data: rows.iter().map(|row| array.data[*row]).collect() };
    }
    shape[1] = columns.len();
    let window: usize = array.shape[2..].iter().product();
    let stride = array.shape[1] * window;
    let mut data = Vec::with_capacity(shape.iter().product());
    for row in rows {
        for column in columns {
            data.extend_from_slice(&array.data[row * stride + column * window..][..window]);
        }
    }
    Array { shape, data }
}

/// Lowers the sparsity of each layer to what its weights have.
fn set_stated_sparsity(model: &mut TrainedModel) {
    let TrainedModel { architecture, arrays, .. } = model;
    for layer in &mut architecture.layers {
        if let Some(weight) = arrays.get(&format!("{}.weight", layer.name)) {
            layer.sparsity = stated(layer.sparsity, &weight.shape, &weight.data);
        }
    }
}

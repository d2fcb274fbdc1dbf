//! Finds the number formats of layers from the values that a file rounds to 8 bits.

use std::collections::BTreeMap;

use kiln_space::{Architecture, LayerId, NumberFormat, Op, Precision};

use super::error::OnnxError;
use crate::{Grid, QuantizationPlan};

/// Maximum number of layers in single precision that are found one after the other in an 8-bit network.
const PASSES_MAX: usize = 4096;

/// An edge where the file and a plan differ.
struct Difference {
    reader: LayerId,
    input: LayerId,
    is_planned: bool,
}

/// Sets the number formats of all layers, and returns the grids by the names of the layers that own them.
/// `reads` contains, for each layer, the grids of the values that it reads, `has_integers` whether its
/// weights are integers, and `grids` the grids to which the values of layers are rounded.
///
/// A convolution or fully connected layer computes in 8 bits if its weights are integers. All other layers
/// are first taken to be 8-bit layers. Where the plan of this network rounds other values than the file, a
/// layer is set to single precision, until plan and file agree.
pub(super) fn formats(
    architecture: &mut Architecture,
    reads: &[Vec<Option<Grid>>],
    has_integers: &[bool],
    grids: &BTreeMap<LayerId, Grid>,
) -> Result<BTreeMap<String, Grid>, OnnxError> {
    if grids.is_empty() && !has_integers.contains(&true) {
        return Ok(BTreeMap::new());
    }
    for id in architecture.ids() {
        let layer = &mut architecture.layers[id.0];
        let is_int8 = !is_kernel(&layer.op) || has_integers[id.0];
        let format = if is_int8 { NumberFormat::Int8 } else { NumberFormat::F32 };
        layer.precision = Precision::uniform(format);
    }
    let mut passes = 0;
    let plan = loop {
        let plan = QuantizationPlan::new(architecture);
        let lowered = match difference(architecture, &plan, reads) {
            Some(difference) => lowered(architecture, &plan, reads, &difference),
            None => match with_other_grid(architecture, &plan, reads, grids) {
                None => break plan,
                other => other,
            },
        };
        passes += 1;
        match lowered.filter(|_| passes < PASSES_MAX) {
            Some(id) => architecture.layers[id.0].precision = Precision::uniform(NumberFormat::F32),
            None => break plan,
        }
    };
    if let Some(difference) = difference(architecture, &plan, reads) {
        return Err(refuse(architecture, difference.input));
    }
    check_grids(architecture, &plan, reads, grids)?;
    let grid = |owner: LayerId| {
        let grid = grids.get(&owner).ok_or_else(|| refuse(architecture, owner))?;
        Ok((architecture.layer(owner).name.clone(), *grid))
    };
    plan.owners().map(grid).collect()
}

const fn is_kernel(op: &Op) -> bool {
    matches!(op, Op::Conv2d { .. } | Op::Linear { .. })
}

fn refuse(architecture: &Architecture, layer: LayerId) -> OnnxError {
    OnnxError::Rounding { layer: architecture.layer(layer).name.clone() }
}

/// The last edge where the plan rounds and the file does not, or the reverse. Later layers come first,
/// because the formats of their readers are then known.
fn difference(
    architecture: &Architecture,
    plan: &QuantizationPlan,
    reads: &[Vec<Option<Grid>>],
) -> Option<Difference> {
    architecture.ids().rev().find_map(|reader| {
        let layer = architecture.layer(reader);
        // Zeros do not read their input.
        if matches!(layer.op, Op::Zero { .. }) {
            return None;
        }
        layer.inputs.iter().zip(&reads[reader.0]).find_map(|(input, grid)| {
            let is_read = plan.reads_grids(reader) && plan.owner(*input).is_some();
            let is_planned = plan.is_stored(*input) || is_read;
            (is_planned != grid.is_some()).then_some(Difference { reader, input: *input, is_planned })
        })
    })
}

/// The layer that must compute in single precision because of a difference, or `None` if that cannot remove
/// the difference.
fn lowered(
    architecture: &Architecture,
    plan: &QuantizationPlan,
    reads: &[Vec<Option<Grid>>],
    difference: &Difference,
) -> Option<LayerId> {
    let Difference { reader, input, is_planned } = *difference;
    let can_be = |id: LayerId| {
        let layer = architecture.layer(id);
        !is_kernel(&layer.op) && layer.precision.activations == NumberFormat::Int8
    };
    let [first, second] = if is_planned {
        if plan.is_stored(input) { [input, reader] } else { [reader, input] }
    } else if is_stored_in_file(architecture, reads, reader) {
        // The two layers run as one in the plan, but not in the file. The second one stores its output in 8
        // bits, so the first one does not.
        [input, reader]
    } else {
        [reader, input]
    };
    [first, second].into_iter().find(|id| can_be(*id))
}

/// The last layer whose output the file rounds to another grid than that of the value that it passes on. It
/// computes in single precision: a layer in 8 bits would keep the grid. `None` if there is none.
fn with_other_grid(
    architecture: &Architecture,
    plan: &QuantizationPlan,
    reads: &[Vec<Option<Grid>>],
    grids: &BTreeMap<LayerId, Grid>,
) -> Option<LayerId> {
    architecture.ids().rev().find_map(|reader| {
        architecture.layer(reader).inputs.iter().zip(&reads[reader.0]).find_map(|(input, grid)| {
            let owner = plan.owner(*input)?;
            let layer = architecture.layer(*input);
            let can_be = !is_kernel(&layer.op) && layer.precision.activations == NumberFormat::Int8;
            let differs = grid.is_some_and(|grid| grids.get(&owner).is_none_or(|owned| *owned != grid));
            (differs && owner != *input && can_be).then_some(*input)
        })
    })
}

/// Whether the file rounds a layer's output for a reader in single precision.
fn is_stored_in_file(architecture: &Architecture, reads: &[Vec<Option<Grid>>], layer: LayerId) -> bool {
    architecture.ids().skip(layer.0 + 1).any(|reader| {
        let other = architecture.layer(reader);
        other.precision.activations != NumberFormat::Int8
            && other
                .inputs
                .iter()
                .zip(&reads[reader.0])
                .any(|(input, grid)| *input == layer && grid.is_some())
    })
}

/// Checks that every value is rounded to the grid of the layer that owns it.
fn check_grids(
    architecture: &Architecture,
    plan: &QuantizationPlan,
    reads: &[Vec<Option<Grid>>],
    grids: &BTreeMap<LayerId, Grid>,
) -> Result<(), OnnxError> {
    for reader in architecture.ids() {
        for (input, grid) in architecture.layer(reader).inputs.iter().zip(&reads[reader.0]) {
            let Some(grid) = grid else { continue };
            let owned = plan.owner(*input).and_then(|owner| grids.get(&owner));
            if owned.is_none_or(|owned| owned != grid) {
                return Err(refuse(architecture, *input));
            }
        }
    }
    Ok(())
}

//! Finds the number formats of layers from the values that a file rounds to 8 bits.

use std::collections::{BTreeMap, BTreeSet};

use kiln_space::{Architecture, LayerId, NumberFormat, Op, Precision};

use super::error::OnnxError;
use super::explicit;
use crate::onnx::graph::Rank;
use crate::{Grid, QuantizationPlan};

/// Maximum number of layers in single precision that are found one after the other in an 8-bit network.
const PASSES_MAX: usize = 4096;

/// What a file says about the rounding of layers. Each list has an entry for each layer.
#[derive(Debug)]
pub(super) struct Rounding {
    /// The grids of the values that the layer reads.
    pub(super) reads: Vec<Vec<Option<Grid>>>,
    /// The arrangement of the layer's value in the graph.
    pub(super) ranks: Vec<Rank>,
    /// The number formats of a convolution or fully connected layer, which its weights show.
    pub(super) kernels: BTreeMap<LayerId, Precision>,
    /// The grids to which the values of layers are rounded.
    pub(super) grids: BTreeMap<LayerId, Grid>,
}

impl Rounding {
    /// Creates the description of a network that has only its input.
    pub(super) fn new(input: Rank) -> Self {
        Self { reads: vec![Vec::new()], ranks: vec![input], kernels: BTreeMap::new(), grids: BTreeMap::new() }
    }

    /// Appends a layer that reads values of these grids.
    pub(super) fn add(&mut self, reads: Vec<Option<Grid>>, rank: Rank) {
        self.reads.push(reads);
        self.ranks.push(rank);
    }

    /// Whether a layer computes in integers.
    pub(super) fn computes_in_integers(&self, id: LayerId) -> bool {
        self.kernels.get(&id).is_some_and(|precision| precision.activations == NumberFormat::Int8)
    }
}

/// Names in use, and new names for layers that only round.
#[derive(Debug)]
pub(super) struct Names {
    taken: BTreeSet<String>,
    next: u64,
}

impl Names {
    /// Creates the list of the names in use.
    pub(super) fn new<'a>(taken: impl Iterator<Item = &'a str>) -> Self {
        Self { taken: taken.map(str::to_owned).collect(), next: 1 }
    }

    /// Returns a name that is not in use yet.
    pub(super) fn unique(&mut self) -> String {
        loop {
            let name = format!("rounded_{}", self.next);
            self.next += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

/// An edge where the file and a plan differ.
struct Difference {
    reader: LayerId,
    input: LayerId,
    is_planned: bool,
}

/// Sets the number formats of all layers, and returns the grids by the names of the layers that own them.
///
/// The weights of convolutions and fully connected layers show their formats. All other layers are first
/// taken to be 8-bit layers. Where the plan of this network rounds other values than the file, a layer is set
/// to single precision, until plan and file agree. If they never do, every rounding becomes a layer of its
/// own ([`explicit::explicit`]).
pub(super) fn formats(
    architecture: &mut Architecture,
    rounding: &Rounding,
) -> Result<BTreeMap<String, Grid>, OnnxError> {
    for (id, precision) in &rounding.kernels {
        architecture.layers[id.0].precision = *precision;
    }
    let integers = architecture.ids().any(|id| rounding.computes_in_integers(id));
    if rounding.grids.is_empty() && !integers {
        return Ok(BTreeMap::new());
    }
    let mut found = architecture.clone();
    infer(&mut found, rounding);
    if let Ok(grids) = checked_grids(&found, rounding) {
        *architecture = found;
        return Ok(grids);
    }
    let (found, rounding) = explicit::explicit(architecture, rounding);
    let grids = checked_grids(&found, &rounding)?;
    *architecture = found;
    Ok(grids)
}

/// Sets the number formats of the layers without weights, so that the plan rounds what the file rounds.
fn infer(architecture: &mut Architecture, rounding: &Rounding) {
    let Rounding { reads, kernels, grids, .. } = rounding;
    for id in architecture.ids().filter(|id| !kernels.contains_key(id)) {
        architecture.layers[id.0].precision = Precision::uniform(NumberFormat::Int8);
    }
    for _ in 0..PASSES_MAX {
        let plan = QuantizationPlan::new(architecture);
        let lowered = match difference(architecture, &plan, reads) {
            Some(difference) => lowered(architecture, &plan, reads, &difference),
            None => with_other_grid(architecture, &plan, reads, grids),
        };
        let Some(id) = lowered else { return };
        architecture.layers[id.0].precision = Precision::uniform(NumberFormat::F32);
    }
}

/// Returns the grids by the names of the layers that own them. Refuses a network that rounds other values
/// than the file, or to other grids.
fn checked_grids(
    architecture: &Architecture,
    rounding: &Rounding,
) -> Result<BTreeMap<String, Grid>, OnnxError> {
    let Rounding { reads, grids, .. } = rounding;
    let plan = QuantizationPlan::new(architecture);
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

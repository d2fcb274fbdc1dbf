//! Expresses the roundings of a file as layers of their own. The result computes what the file computes, even
//! if no choice of 8-bit layers rounds the same values.

use std::collections::BTreeMap;

use kiln_space::{
    ActivationKind, Architecture, Layer, LayerId, NumberFormat, Op, PoolKind, Precision, Sparsity,
};

use super::rounding::{Names, Rounding};
use crate::Grid;
use crate::onnx::graph::Rank;

/// Returns a network in which only these layers have 8 bits:
/// - Convolutions and fully connected layers that compute in integers.
/// - A ReLU that reads the sums of such a layer before they are rounded.
/// - An added layer after each value that is rounded for a layer in single precision. It is a maximum pooling
///   or a flattening that changes nothing, so it stays on the grid of its input. Exported graphs contain its
///   rounding and no node for it.
///
/// Also returns the roundings of that network.
pub(super) fn explicit(architecture: &Architecture, rounding: &Rounding) -> (Architecture, Rounding) {
    let mut names = Names::new(architecture.layers.iter().map(|layer| layer.name.as_str()));
    let is_clip = |id: LayerId| clips_sums(architecture, rounding, id);
    let mut all = Vec::with_capacity(architecture.layers.len());
    let mut found =
        Rounding { reads: Vec::new(), ranks: Vec::new(), kernels: BTreeMap::new(), grids: BTreeMap::new() };
    // For each layer, its new id, and the id of the layer that rounds its value.
    let mut ids: Vec<(LayerId, LayerId)> = Vec::with_capacity(architecture.layers.len());
    let rounded = rounded_for_single_precision(architecture, rounding);
    for id in architecture.ids() {
        let mut layer = architecture.layer(id).clone();
        let reads = &rounding.reads[id.0];
        let computes = rounding.computes_in_integers(id);
        for (input, grid) in layer.inputs.iter_mut().zip(reads) {
            let (plain, rounded) = ids[input.0];
            *input = if grid.is_some() && !computes { rounded } else { plain };
        }
        layer.precision = match rounding.kernels.get(&id) {
            Some(precision) => *precision,
            None if is_clip(id) => Precision::uniform(NumberFormat::Int8),
            None => Precision::default(),
        };
        let new = LayerId(all.len());
        let grid = rounding.grids.get(&id).copied();
        found.add(reads.clone(), rounding.ranks[id.0]);
        found.grids.extend(grid.map(|grid| (new, grid)));
        found.kernels.extend(rounding.kernels.get(&id).map(|precision| (new, *precision)));
        let is_stored = computes || is_clip(id);
        let output = layer.output;
        all.push(layer);
        let mut pair = (new, new);
        if let (true, false, Some(grid)) = (rounded[id.0], is_stored, grid) {
            let op = match rounding.ranks[id.0] {
                Rank::Map => {
                    Op::Pool { kind: PoolKind::Max, kernel: [1; 2], stride: [1; 2], padding: [0; 2] }
                }
                Rank::Vector => Op::Flatten,
            };
            pair.1 = LayerId(all.len());
            all.push(Layer {
                name: names.unique(),
                op,
                inputs: vec![new],
                output,
                weights: None,
                precision: Precision::uniform(NumberFormat::Int8),
                sparsity: Sparsity::Dense,
            });
            found.add(vec![Some(grid)], rounding.ranks[id.0]);
        }
        ids.push(pair);
    }
    (Architecture { input: architecture.input, layers: all }, found)
}

/// For each layer, whether a layer that does not compute in integers reads its rounded value.
fn rounded_for_single_precision(architecture: &Architecture, rounding: &Rounding) -> Vec<bool> {
    let mut rounded = vec![false; architecture.layers.len()];
    for id in architecture.ids().filter(|id| !rounding.computes_in_integers(*id)) {
        for (input, grid) in architecture.layer(id).inputs.iter().zip(&rounding.reads[id.0]) {
            rounded[input.0] |= grid.is_some();
        }
    }
    rounded
}

/// Whether a layer is a ReLU that reads the sums of a layer that computes in integers.
fn clips_sums(architecture: &Architecture, rounding: &Rounding, id: LayerId) -> bool {
    let layer = architecture.layer(id);
    let clips = matches!(layer.op, Op::Activation { kind: ActivationKind::Relu | ActivationKind::Relu6 });
    let reads: &[Option<Grid>] = &rounding.reads[id.0];
    clips && reads == [None] && rounding.computes_in_integers(layer.inputs[0])
}

//! Prunes sparse layers by magnitude: sets the smallest weights to zero.

use std::collections::BTreeMap;

use kiln_export::pruning::{Mask, scores::magnitude};
use kiln_space::{Architecture, Op, Sparsity};

use super::weights::Values;

/// Sets the weights of smallest magnitude in each sparse layer to zero.
///
/// Source: S. Han et al., "Learning both Weights and Connections for Efficient Neural Networks", `NeurIPS`
/// 2015; groups of neighboring input channels as in A. Mishra et al., "Accelerating Sparse Deep Neural
/// Networks", arXiv:2104.08378.
pub(crate) fn prune(architecture: &Architecture, arrays: &mut BTreeMap<String, Values>) {
    for (name, sparsity) in sparse_layers(architecture) {
        if let Some(Values { shape, data }) = arrays.get_mut(&format!("{name}.weight")) {
            let kept = kept(sparsity, shape, data);
            for (value, kept) in data.iter_mut().zip(kept) {
                *value *= kept;
            }
        }
    }
}

/// Whether the network has sparse layers.
pub(crate) fn is_sparse(architecture: &Architecture) -> bool {
    sparse_layers(architecture).next().is_some()
}

/// Names of the sparse layers, with their sparsity.
pub(crate) fn sparse_layers(architecture: &Architecture) -> impl Iterator<Item = (&str, Sparsity)> {
    let sums =
        architecture.layers.iter().filter(|layer| matches!(layer.op, Op::Conv2d { .. } | Op::Linear { .. }));
    sums.filter(|layer| layer.sparsity != Sparsity::Dense).map(|layer| (layer.name.as_str(), layer.sparsity))
}

/// Computes a mask by magnitude, with 1 for each weight that is kept, and 0 for each weight that is set to
/// zero ([`Mask::new`]).
///
/// # Shapes
/// `weights`: `[outputs, inputs, ..]`
pub(crate) fn kept(sparsity: Sparsity, shape: &[usize], weights: &[f32]) -> Vec<f32> {
    Mask::new(sparsity, shape, &magnitude(weights)).factors()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ones(kept: &[f32]) -> Vec<usize> {
        (0..kept.len()).filter(|index| kept[*index] > 0.5).collect()
    }

    #[test]
    fn weights_of_smallest_magnitude_become_zero() {
        let weights = [0.1, -0.5, 0.0, 0.3, -0.2, 0.4];
        let found = kept(Sparsity::Unstructured { permille: 500 }, &[2, 3], &weights);
        assert_eq!(ones(&found), [1, 3, 5]);
        // 34 % of 6 weights is rounded to two weights.
        assert_eq!(ones(&kept(Sparsity::Unstructured { permille: 340 }, &[2, 3], &weights)), [1, 3, 4, 5]);
        assert_eq!(ones(&kept(Sparsity::Dense, &[2, 3], &weights)).len(), 6);
    }

    #[test]
    fn a_group_holds_neighboring_input_channels_at_one_kernel_position() {
        // One output, five inputs, two kernel positions. The fifth input is not part of a whole group.
        let weights = [1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0, 0.0, 0.0];
        let found = kept(Sparsity::NOfM { n: 2, m: 4 }, &[1, 5, 1, 2], &weights);
        assert_eq!(ones(&found), [1, 3, 4, 6, 8, 9]);
        let equal = kept(Sparsity::NOfM { n: 1, m: 2 }, &[2, 2], &[1.0, 1.0, -1.0, 1.0]);
        assert_eq!(ones(&equal), [0, 2]);
    }
}

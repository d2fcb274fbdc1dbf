//! Which weights of a sparse layer are zero: those of least magnitude.

use std::collections::BTreeMap;

use kiln_space::{Architecture, Op, Sparsity};

use crate::weights::{Values, Weights};

/// What the names of a checkpoint's parts begin with, where they say which weights are kept.
const KEPT: &str = "kept ";

/// Sets the weights of sparse layers that are of least magnitude to zero.
///
/// Source: S. Han et al., "Learning both Weights and Connections for Efficient Neural Networks", `NeurIPS` 2015; groups of
/// neighboring input channels as in A. Mishra et al., "Accelerating Sparse Deep Neural Networks", arXiv:2104.08378.
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

/// Whether any weights of the network are zero by construction.
pub(crate) fn is_sparse(architecture: &Architecture) -> bool {
    sparse_layers(architecture).next().is_some()
}

fn sparse_layers(architecture: &Architecture) -> impl Iterator<Item = (&str, Sparsity)> {
    let sums =
        architecture.layers.iter().filter(|layer| matches!(layer.op, Op::Conv2d { .. } | Op::Linear { .. }));
    sums.filter(|layer| layer.sparsity != Sparsity::Dense).map(|layer| (layer.name.as_str(), layer.sparsity))
}

/// 1 for each weight that is kept, 0 for each that is not; of equal magnitudes the earlier is kept in a group, and set to
/// zero elsewhere.
///
/// # Shapes
/// `weights`: `[outputs, inputs, ..]`
fn kept(sparsity: Sparsity, shape: &[usize], weights: &[f32]) -> Vec<f32> {
    let mut kept = vec![1.0; weights.len()];
    let by_magnitude = |a: &usize, b: &usize| weights[*a].abs().total_cmp(&weights[*b].abs());
    match sparsity {
        Sparsity::Dense => {}
        Sparsity::Unstructured { permille } => {
            let zeros = weights.len() * usize::from(permille.min(1000)) / 1000;
            let mut order: Vec<usize> = (0..weights.len()).collect();
            order.sort_by(by_magnitude);
            order[..zeros].iter().for_each(|index| kept[*index] = 0.0);
        }
        Sparsity::NOfM { n, m } => {
            let (n, m) = (usize::from(n), usize::from(m).max(1));
            let window: usize = shape[2..].iter().product();
            let inputs = shape[1];
            for row in 0..shape[0] {
                for position in 0..window {
                    // Channels beyond the last whole group are all kept.
                    for group in 0..inputs / m {
                        let index = |channel: usize| (row * inputs + group * m + channel) * window + position;
                        let mut order: Vec<usize> = (0..m).map(index).collect();
                        order.sort_by(|a, b| by_magnitude(b, a));
                        order[n.min(m)..].iter().for_each(|index| kept[*index] = 0.0);
                    }
                }
            }
        }
    }
    kept
}

/// Zeros that a training makes and keeps: in the first half of the epochs ever more weights are set to zero, in the second
/// half the same ones. Patterns come at once, where the first half ends.
///
/// Source: M. Zhu and S. Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression",
/// arXiv:1710.01878, equation 1, an epoch as step.
pub(crate) struct Pruning {
    layers: Vec<(String, Sparsity)>,
    masks: Vec<(String, Values)>,
    epochs: u32,
}

impl Pruning {
    /// For a stand-alone network that is trained for so many epochs.
    pub(crate) fn new(architecture: &Architecture, epochs: u32) -> Self {
        let layers = sparse_layers(architecture);
        let layers = layers.map(|(name, sparsity)| (format!("{name}.weight"), sparsity)).collect();
        Self { layers, masks: Vec::new(), epochs }
    }

    /// Before an epoch: chooses the zeros, unless all are chosen.
    pub(crate) fn begin(&mut self, epoch: u32, weights: &mut Weights) {
        let ramp = (self.epochs / 2).max(1);
        if epoch < ramp {
            let part = f64::from(epoch + 1) / f64::from(ramp);
            let level = 1.0 - (1.0 - part).powi(3);
            self.masks = Vec::new();
            for (name, sparsity) in &self.layers {
                let sparsity = match sparsity {
                    Sparsity::Unstructured { permille } => {
                        Sparsity::Unstructured { permille: (f64::from(*permille) * level).round() as u16 }
                    }
                    _ if epoch + 1 < ramp => Sparsity::Dense,
                    whole => *whole,
                };
                let Values { shape, data } = weights.values(name);
                let mask = kept(sparsity, &shape, &data);
                self.masks.push((name.clone(), Values { shape, data: mask }));
            }
        }
        self.hold(weights);
    }

    /// The zeros chosen so far, by name, for a checkpoint: a byte for each weight, 1 where it is kept.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
        let bytes = |mask: &Values| mask.data.iter().map(|kept| u8::from(*kept > 0.5)).collect();
        self.masks.iter().map(move |(name, mask)| (format!("{KEPT}{name}"), bytes(mask)))
    }

    /// Takes the zeros of a checkpoint over; `weights` are those that they belong to.
    ///
    /// # Errors
    /// What does not fit.
    pub(crate) fn restore(
        &mut self,
        parts: &mut BTreeMap<String, Vec<u8>>,
        weights: &Weights,
    ) -> Result<(), String> {
        self.masks = Vec::new();
        for (name, _) in &self.layers {
            let Some(bytes) = parts.remove(&format!("{KEPT}{name}")) else { continue };
            let shape = weights.values(name).shape;
            if bytes.len() != shape.iter().product::<usize>() {
                return Err(format!("the zeros of `{name}` are of another size"));
            }
            let data = bytes.into_iter().map(f32::from).collect();
            self.masks.push((name.clone(), Values { shape, data }));
        }
        Ok(())
    }

    /// After a step: what was set to zero is zero again.
    pub(crate) fn hold(&self, weights: &mut Weights) {
        for (name, mask) in &self.masks {
            weights.multiply(name, mask);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use kiln_space::{ArchitectureBuilder, Precision, Shape};

    use super::*;

    fn ones(kept: &[f32]) -> Vec<usize> {
        (0..kept.len()).filter(|index| kept[*index] > 0.5).collect()
    }

    #[test]
    fn the_smallest_go_first() {
        let weights = [0.1, -0.5, 0.0, 0.3, -0.2, 0.4];
        let found = kept(Sparsity::Unstructured { permille: 500 }, &[2, 3], &weights);
        assert_eq!(ones(&found), [1, 3, 5]);
        // 6 * 0.34 is two whole weights.
        assert_eq!(ones(&kept(Sparsity::Unstructured { permille: 340 }, &[2, 3], &weights)), [1, 3, 4, 5]);
        assert_eq!(ones(&kept(Sparsity::Dense, &[2, 3], &weights)).len(), 6);
    }

    #[test]
    fn groups_are_neighboring_input_channels_at_one_place_of_the_window() {
        // One output, five inputs, a window of two: the fifth input is in no whole group.
        let weights = [1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0, 0.0, 0.0];
        let found = kept(Sparsity::NOfM { n: 2, m: 4 }, &[1, 5, 1, 2], &weights);
        assert_eq!(ones(&found), [1, 3, 4, 6, 8, 9]);
        let equal = kept(Sparsity::NOfM { n: 1, m: 2 }, &[2, 2], &[1.0, 1.0, -1.0, 1.0]);
        assert_eq!(ones(&equal), [0, 2]);
    }

    #[test]
    fn zeros_grow_over_the_first_half_of_the_epochs_and_stay() {
        let network = |sparsity| {
            let mut b = ArchitectureBuilder::new(Shape::vector(4));
            b.set_compression(Precision::default(), sparsity);
            b.linear("head", b.input(), 4).unwrap();
            b.finish().unwrap()
        };
        let data: Vec<f32> = (1..=16).map(|value| value as f32).collect();
        let values = Values { shape: vec![4, 4], data };
        let start = Weights::from_values([("head.weight".to_owned(), values)], &Device::flex().autodiff());
        let zeros =
            |weights: &Weights| weights.values("head.weight").data.iter().filter(|w| **w < 0.5).count();

        let mut weights = start.clone();
        let mut pruning = Pruning::new(&network(Sparsity::Unstructured { permille: 500 }), 8);
        // 1 - (3/4)^3, 1 - (2/4)^3, 1 - (1/4)^3 and all of 8 zeros among 16, in whole weights.
        let found = [0, 1, 2, 3, 7].map(|epoch| {
            pruning.begin(epoch, &mut weights);
            zeros(&weights)
        });
        assert_eq!(found, [4, 7, 7, 8, 8]);
        let ones = Values { shape: vec![4, 4], data: vec![1.0; 16] };
        let mut other = Weights::from_values([("head.weight".to_owned(), ones)], &Device::flex().autodiff());
        pruning.hold(&mut other);
        assert_eq!(zeros(&other), 8, "the same ones, whatever they have become");

        let mut weights = start;
        let mut pruning = Pruning::new(&network(Sparsity::NOfM { n: 1, m: 4 }), 4);
        let found = [0, 1, 2].map(|epoch| {
            pruning.begin(epoch, &mut weights);
            zeros(&weights)
        });
        assert_eq!(found, [0, 12, 12]);
    }
}

//! When the zeros of sparse layers are chosen while a network is trained.

use std::collections::BTreeMap;

use kiln_space::{Architecture, Sparsity};

use crate::network::sparsity::{kept, sparse_layers};
use crate::network::weights::{Values, Weights};

/// What the names of a checkpoint's parts begin with, where they say which weights are kept.
const KEPT: &str = "kept ";

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

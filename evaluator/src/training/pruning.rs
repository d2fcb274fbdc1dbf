//! Prunes sparse layers while a network is trained.

use std::collections::BTreeMap;

use kiln_export::pruning::Ramp;
use kiln_space::{Architecture, Sparsity};

use crate::network::sparsity::{kept, sparse_layers};
use crate::network::weights::{Values, Weights};
use crate::training::checkpoint_error::CheckpointError;

/// Prefix for the names of checkpoint parts that store masks.
const KEPT: &str = "kept ";

/// The pruning schedule and the masks of a training. With unstructured sparsity, the number of zeros grows
/// from epoch to epoch in the first half of the training. N-of-M patterns are chosen once, in the last epoch
/// of that half. In the second half, the masks do not change.
///
/// The schedule is a [`Ramp`] with an epoch as step.
pub(crate) struct Pruning {
    layers: Vec<(String, Sparsity)>,
    masks: Vec<(String, Values)>,
    epochs: u32,
}

impl Pruning {
    /// Creates the schedule for a stand-alone network that is trained for `epochs` epochs.
    pub(crate) fn new(architecture: &Architecture, epochs: u32) -> Self {
        let layers = sparse_layers(architecture);
        let layers = layers.map(|(name, sparsity)| (format!("{name}.weight"), sparsity)).collect();
        Self { layers, masks: Vec::new(), epochs }
    }

    /// Chooses the zeros before an epoch, unless the masks are already final.
    pub(crate) fn begin(&mut self, epoch: u32, weights: &mut Weights) {
        let ramp = (self.epochs / 2).max(1);
        if epoch < ramp {
            let level =
                Ramp { begin: 0, end: ramp.into(), initial: 0.0, target: 1.0 }.share(u64::from(epoch) + 1);
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

    /// Returns the current masks as named parts of a checkpoint. Each mask has one byte per weight, which is
    /// 1 if the weight is kept.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
        let bytes = |mask: &Values| mask.data.iter().map(|kept| u8::from(*kept > 0.5)).collect();
        self.masks.iter().map(move |(name, mask)| (format!("{KEPT}{name}"), bytes(mask)))
    }

    /// Restores the masks from the parts of a checkpoint. `weights` are the weights that the masks apply to.
    ///
    /// # Errors
    /// [`CheckpointError`] when a mask has another size than its weight.
    pub(crate) fn restore(
        &mut self,
        parts: &mut BTreeMap<String, Vec<u8>>,
        weights: &Weights,
    ) -> Result<(), CheckpointError> {
        self.masks = Vec::new();
        for (name, _) in &self.layers {
            let Some(bytes) = parts.remove(&format!("{KEPT}{name}")) else { continue };
            let shape = weights.values(name).shape;
            if bytes.len() != shape.iter().product::<usize>() {
                return Err(CheckpointError::MaskSize { name: name.clone() });
            }
            let data = bytes.into_iter().map(f32::from).collect();
            self.masks.push((name.clone(), Values { shape, data }));
        }
        Ok(())
    }

    /// Sets pruned weights to zero again after an optimizer step, which may have changed them.
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
    fn zeros_grow_in_the_first_half_of_the_epochs_and_then_stay() {
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
        // The target is 8 zeros among 16 weights. The epochs reach the fractions 1 - (3/4)^3, 1 - (2/4)^3, 1
        // - (1/4)^3 and 1 of the target.
        let found = [0, 1, 2, 3, 7].map(|epoch| {
            pruning.begin(epoch, &mut weights);
            zeros(&weights)
        });
        assert_eq!(found, [4, 7, 7, 8, 8]);
        let ones = Values { shape: vec![4, 4], data: vec![1.0; 16] };
        let mut other = Weights::from_values([("head.weight".to_owned(), ones)], &Device::flex().autodiff());
        pruning.hold(&mut other);
        assert_eq!(zeros(&other), 8, "zeros keep their places");

        let mut weights = start;
        let mut pruning = Pruning::new(&network(Sparsity::NOfM { n: 1, m: 4 }), 4);
        let found = [0, 1, 2].map(|epoch| {
            pruning.begin(epoch, &mut weights);
            zeros(&weights)
        });
        assert_eq!(found, [0, 12, 12]);
    }
}

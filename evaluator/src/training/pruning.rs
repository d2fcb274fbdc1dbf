//! Prunes sparse layers while a network is trained.

use std::collections::BTreeMap;

use burn::optim::GradientsParams;
use kiln_export::pruning::scores::{add_movement, magnitude, taylor};
use kiln_export::pruning::{Mask, Masking, Ramp};
use kiln_space::{Architecture, Sparsity};
use serde::Deserialize;

use crate::network::sparsity::sparse_layers;
use crate::network::weights::{Values, Weights};
use crate::training::checkpoint_error::CheckpointError;

/// Prefix for the names of checkpoint parts that store masks.
const KEPT: &str = "kept ";
/// Prefix for the names of checkpoint parts that store scores.
const SCORES: &str = "scores ";

/// How weights are scored. Those with the lowest scores become zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Criterion {
    /// By magnitude ([`magnitude`]).
    #[default]
    Magnitude,
    /// By the change of the loss, to first order, summed over the steps of an epoch ([`taylor`]).
    Taylor,
    /// By how far training moves a weight away from zero, summed over all steps ([`add_movement`]).
    Movement,
}

/// How a training chooses the zeros of sparse layers. The default is by magnitude, and gradually.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PruningRules {
    pub(crate) criterion: Criterion,
    /// With soft masks, weights are set to zero at the start of an epoch and then trained on like all others,
    /// until the masks are final.
    pub(crate) masking: Masking,
    /// Whether all zeros are chosen at once.
    pub(crate) one_shot: bool,
    /// Whether the zeros are those of the first weights.
    pub(crate) keeps_zeros: bool,
}

impl PruningRules {
    /// Returns the rules that keep the zeros of the first weights.
    pub(crate) fn keeping_zeros() -> Self {
        Self { keeps_zeros: true, ..Self::default() }
    }

    /// Fewest epochs that a training with these rules needs. Scores from gradients need an epoch of their own
    /// before the first choice, and the network an epoch after it.
    pub(crate) const fn fewest_epochs(self) -> u32 {
        if self.needs_gradients() { 2 } else { 1 }
    }

    const fn needs_gradients(self) -> bool {
        !matches!(self.criterion, Criterion::Magnitude)
    }
}

/// The pruning schedule and the masks of a training. With unstructured sparsity, the number of zeros grows
/// from epoch to epoch in the first half of the training. N-of-M patterns are chosen once, in the last epoch
/// of that half. In the second half, the masks do not change. Scores from gradients are known after the first
/// epoch, so the first zeros appear in the second one.
///
/// The schedule is a [`Ramp`] with an epoch as step.
pub(crate) struct Pruning {
    layers: Vec<(String, Sparsity)>,
    masks: Vec<(String, Values)>,
    /// Scores from gradients, one list for each layer. Empty without them.
    scores: Vec<Vec<f64>>,
    rules: PruningRules,
    /// First epoch that chooses masks, and the first one after the last choice.
    choices: [u32; 2],
}

impl Pruning {
    /// Creates the schedule for a stand-alone network that is trained for `epochs` epochs.
    pub(crate) fn new(architecture: &Architecture, epochs: u32, rules: PruningRules) -> Self {
        let layers = sparse_layers(architecture);
        let layers: Vec<_> = layers.map(|(name, sparsity)| (format!("{name}.weight"), sparsity)).collect();
        let rules = if rules.keeps_zeros { PruningRules::keeping_zeros() } else { rules };
        let first = u32::from(rules.needs_gradients());
        let is_once = rules.one_shot || rules.keeps_zeros;
        let end = if is_once { first + 1 } else { (epochs / 2).max(first + 1) };
        Self { layers, masks: Vec::new(), scores: Vec::new(), rules, choices: [first, end] }
    }

    /// Chooses the zeros before an epoch, unless the masks are already final.
    pub(crate) fn begin(&mut self, epoch: u32, weights: &mut Weights) {
        let [first, end] = self.choices;
        if (first..end).contains(&epoch) {
            let ramp = Ramp { begin: first.into(), end: end.into(), initial: 0.0, target: 1.0 };
            let level = ramp.share(u64::from(epoch) + 1);
            let before = std::mem::take(&mut self.masks);
            for (index, (name, sparsity)) in self.layers.iter().enumerate() {
                let sparsity = match sparsity {
                    Sparsity::Unstructured { permille } => {
                        Sparsity::Unstructured { permille: (f64::from(*permille) * level).round() as u16 }
                    }
                    _ if epoch + 1 < end => Sparsity::Dense,
                    whole => *whole,
                };
                let Values { shape, data } = weights.values(name);
                let mut scores = match self.scores.get(index) {
                    Some(scores) => scores.clone(),
                    None => magnitude(&data),
                };
                if let Some((_, mask)) = before.get(index).filter(|_| self.stays_zero()) {
                    for (score, _) in scores.iter_mut().zip(&mask.data).filter(|(_, kept)| **kept < 0.5) {
                        *score = f64::NEG_INFINITY;
                    }
                }
                let mask = Mask::new(sparsity, &shape, &scores).factors();
                self.masks.push((name.clone(), Values { shape, data: mask }));
            }
            if self.rules.criterion == Criterion::Taylor {
                self.scores.clear();
            }
        }
        self.mask(weights);
    }

    /// Whether scores alone would let pruned weights come back although they must not. Pruned weights have
    /// the smallest magnitude anyway.
    fn stays_zero(&self) -> bool {
        self.rules.masking == Masking::Hard && self.rules.needs_gradients()
    }

    /// Adds one step to the scores that come from gradients. `weights` are those before the step.
    pub(crate) fn observe(&mut self, epoch: u32, weights: &Weights, gradients: &GradientsParams) {
        if !self.rules.needs_gradients() || epoch + 1 >= self.choices[1] {
            return;
        }
        self.scores.resize(self.layers.len(), Vec::new());
        for ((name, _), scores) in self.layers.iter().zip(&mut self.scores) {
            let weights_of = weights.values(name).data;
            scores.resize(weights_of.len(), 0.0);
            let Some(gradients) = weights.gradient(name, gradients) else { continue };
            if self.rules.criterion == Criterion::Movement {
                add_movement(scores, &weights_of, &gradients);
            } else {
                for (score, more) in scores.iter_mut().zip(taylor(&weights_of, &gradients)) {
                    *score += more;
                }
            }
        }
    }

    /// Returns the current masks and scores as named parts of a checkpoint. Each mask has one byte per
    /// weight, which is 1 if the weight is kept. Each score has eight bytes.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
        let bytes = |mask: &Values| mask.data.iter().map(|kept| u8::from(*kept > 0.5)).collect();
        let masks = self.masks.iter().map(move |(name, mask)| (format!("{KEPT}{name}"), bytes(mask)));
        let numbers = |scores: &Vec<f64>| scores.iter().flat_map(|score| score.to_le_bytes()).collect();
        let scores = self.layers.iter().zip(&self.scores);
        masks.chain(scores.map(move |((name, _), scores)| (format!("{SCORES}{name}"), numbers(scores))))
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
        self.scores = Vec::new();
        for (name, _) in &self.layers {
            if let Some(bytes) = parts.remove(&format!("{SCORES}{name}")) {
                let scores = bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
                self.scores.push(scores);
            }
            let Some(bytes) = parts.remove(&format!("{KEPT}{name}")) else { continue };
            let shape = weights.values(name).shape;
            if bytes.len() != shape.iter().product::<usize>() {
                return Err(CheckpointError::MaskSize { name: name.clone() });
            }
            let data = bytes.into_iter().map(f32::from).collect();
            self.masks.push((name.clone(), Values { shape, data }));
        }
        let sizes = self.layers.iter().zip(&self.scores);
        for ((name, _), scores) in sizes {
            if scores.len() != weights.values(name).data.len() {
                return Err(CheckpointError::MaskSize { name: name.clone() });
            }
        }
        Ok(())
    }

    /// Sets pruned weights to zero again after an optimizer step in an epoch, which may have changed them.
    /// Soft masks let them change until the masks are final.
    pub(crate) fn hold(&self, epoch: u32, weights: &mut Weights) {
        if self.rules.masking == Masking::Hard || epoch + 1 >= self.choices[1] {
            self.mask(weights);
        }
    }

    fn mask(&self, weights: &mut Weights) {
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
        let mut pruning =
            Pruning::new(&network(Sparsity::Unstructured { permille: 500 }), 8, PruningRules::default());
        // The target is 8 zeros among 16 weights. The epochs reach the fractions 1 - (3/4)^3, 1 - (2/4)^3, 1
        // - (1/4)^3 and 1 of the target.
        let found = [0, 1, 2, 3, 7].map(|epoch| {
            pruning.begin(epoch, &mut weights);
            zeros(&weights)
        });
        assert_eq!(found, [4, 7, 7, 8, 8]);
        let ones = Values { shape: vec![4, 4], data: vec![1.0; 16] };
        let mut other = Weights::from_values([("head.weight".to_owned(), ones)], &Device::flex().autodiff());
        pruning.hold(7, &mut other);
        assert_eq!(zeros(&other), 8, "zeros keep their places");

        let mut weights = start;
        let mut pruning = Pruning::new(&network(Sparsity::NOfM { n: 1, m: 4 }), 4, PruningRules::default());
        let found = [0, 1, 2].map(|epoch| {
            pruning.begin(epoch, &mut weights);
            zeros(&weights)
        });
        assert_eq!(found, [0, 12, 12]);
    }

    /// A layer of 4 by 4 weights from 1 to 16, half of which become zero.
    fn half_of_sixteen() -> (Architecture, Weights) {
        let mut b = ArchitectureBuilder::new(Shape::vector(4));
        b.set_compression(Precision::default(), Sparsity::Unstructured { permille: 500 });
        b.linear("head", b.input(), 4).unwrap();
        let data: Vec<f32> = (1..=16).map(|value| value as f32).collect();
        let values = Values { shape: vec![4, 4], data };
        let weights = Weights::from_values([("head.weight".to_owned(), values)], &Device::flex().autodiff());
        (b.finish().unwrap(), weights)
    }

    /// The gradients of the sum of all weights times these factors, which are the factors.
    fn gradients(weights: &Weights, factors: &[f32]) -> GradientsParams {
        let weight = weights.parameters.matrices[0].val();
        let factors = burn::tensor::TensorData::new(factors.to_vec(), [4, 4]);
        let factors = burn::tensor::Tensor::<2>::from_data(factors, &weight.device());
        GradientsParams::from_grads((weight * factors).sum().backward(), &weights.parameters)
    }

    fn zeros(weights: &Weights) -> Vec<usize> {
        let data = weights.values("head.weight").data;
        (0..data.len()).filter(|index| data[*index].abs() < 0.5).collect()
    }

    #[test]
    fn scores_from_gradients_choose_the_zeros_after_an_epoch() {
        // Weight i + 1 has the gradient 1 / (i + 1)^2, so |weight * gradient| falls with i. Movement scores
        // are -weight * gradient: the gradients of the first weights are positive, which moves them to zero.
        let squares: Vec<f32> = (1..=16).map(|value| 1.0 / (value * value) as f32).collect();
        let signs: Vec<f32> = (0..16).map(|index| if index < 4 { 1.0 } else { -1.0 / 64.0 }).collect();
        for (criterion, factors, expected) in [
            (Criterion::Taylor, &squares, (8..16).collect::<Vec<_>>()),
            // Then the weights that are nearest to zero move away from it least.
            (Criterion::Movement, &signs, (0..8).collect()),
        ] {
            let (architecture, mut weights) = half_of_sixteen();
            let rules = PruningRules { criterion, one_shot: true, ..PruningRules::default() };
            let mut pruning = Pruning::new(&architecture, 4, rules);
            pruning.begin(0, &mut weights);
            assert!(zeros(&weights).is_empty());
            for _ in 0..2 {
                let found = gradients(&weights, factors);
                pruning.observe(0, &weights, &found);
            }
            // A checkpoint in the middle of the epoch keeps the scores.
            let mut parts: BTreeMap<String, Vec<u8>> = pruning.parts().collect();
            let mut restored = Pruning::new(&architecture, 4, rules);
            restored.restore(&mut parts, &weights).unwrap();
            assert!(parts.is_empty());
            restored.begin(1, &mut weights);
            assert_eq!(zeros(&weights), expected, "{criterion:?}");
            restored.begin(2, &mut weights);
            assert_eq!(zeros(&weights), expected, "{criterion:?}: final");
        }
    }

    #[test]
    fn soft_masks_let_weights_come_back_until_they_are_final() {
        let (architecture, mut weights) = half_of_sixteen();
        let grown = Values { shape: vec![4, 4], data: (0..16).map(|index| 20.0 - index as f32).collect() };
        let grown = Weights::from_values([("head.weight".to_owned(), grown)], &Device::flex().autodiff());
        for (masking, expected) in [(Masking::Soft, 8..16), (Masking::Hard, 0..8)] {
            let rules = PruningRules { masking, ..PruningRules::default() };
            let mut pruning = Pruning::new(&architecture, 4, rules);
            pruning.begin(0, &mut weights);
            assert_eq!(zeros(&weights), (0..7).collect::<Vec<_>>());
            // The training changes all weights: the pruned ones become the largest.
            let mut trained = grown.clone();
            pruning.hold(0, &mut trained);
            assert_eq!(zeros(&trained).is_empty(), masking == Masking::Soft);
            pruning.begin(1, &mut trained);
            let mut later = grown.clone();
            pruning.hold(1, &mut later);
            let expected: Vec<usize> = expected.collect();
            if masking == Masking::Soft {
                assert_eq!(zeros(&later), expected);
            } else {
                assert!(zeros(&later).starts_with(&expected[..7]));
            }
        }
    }
}

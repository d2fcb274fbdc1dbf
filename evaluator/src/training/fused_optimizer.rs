//! The CPU optimizer. It updates each parameter in one pass, by the same rules as burn's optimizers.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use kiln_kernels::{UpdateRule, update};

use crate::network::parameters::Parameters;
use crate::training::checkpoint_error::CheckpointError;
use crate::training::optimizer_settings::{OptimizerKind, OptimizerSettings};

/// Decay of the second moment in `adamw`, the same as burn's default.
const BETA_2: f32 = 0.999;
/// Constant that `adamw` adds to the root of the second moment, the same as burn's default.
const EPSILON: f32 = 1e-5;

/// The optimizer for parameters on the CPU.
pub(crate) struct FusedOptimizer {
    settings: OptimizerSettings,
    /// State of each parameter, by the parameter's id.
    memories: BTreeMap<u64, Memory>,
}

/// The optimizer state of one parameter.
struct Memory {
    /// Number of steps that have updated the parameter.
    steps: u32,
    /// The momentum, or the two moments of `adamw`, each as one vector.
    values: Vec<Tensor<1>>,
}

impl FusedOptimizer {
    pub(crate) const fn new(settings: OptimizerSettings) -> Self {
        Self { settings, memories: BTreeMap::new() }
    }

    /// Updates the parameters that have a gradient. Weight decay does not apply to vectors.
    pub(crate) fn step(
        &mut self,
        rate: f64,
        parameters: Parameters,
        gradients: GradientsParams,
    ) -> Parameters {
        parameters.map(&mut Step { optimizer: self, rate: rate as f32, gradients })
    }

    fn rule(&self, rate: f32, is_vector: bool, time: u32) -> UpdateRule {
        let momentum = self.settings.momentum as f32;
        let decay = if is_vector { 0.0 } else { self.settings.weight_decay as f32 };
        match self.settings.kind {
            OptimizerKind::Sgd => UpdateRule::Sgd { rate, momentum, decay },
            OptimizerKind::AdamW => {
                UpdateRule::AdamW { rate, betas: [momentum, BETA_2], epsilon: EPSILON, decay, time }
            }
        }
    }

    /// Serializes the state: the number of parameters, then for each parameter its id, its steps, the number
    /// of its tensors, their length, and their values.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = (self.memories.len() as u64).to_le_bytes().to_vec();
        for (id, memory) in &self.memories {
            let len = memory.values.first().map_or(0, |values| values.dims()[0]);
            let head = [*id, u64::from(memory.steps), memory.values.len() as u64, len as u64];
            bytes.extend(head.iter().flat_map(|number| number.to_le_bytes()));
            for values in &memory.values {
                let values = values.to_data().try_to_vec::<f32>().expect("memory is single precision");
                bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
        }
        bytes
    }

    /// Returns this optimizer with the state that [`FusedOptimizer::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`CheckpointError`] when the bytes are damaged, or another kind of optimizer wrote them.
    pub(crate) fn loaded(self, mut bytes: &[u8]) -> Result<Self, CheckpointError> {
        let mut memories = BTreeMap::new();
        let rest = &mut bytes;
        for _ in 0..number(rest)? {
            let [id, steps, tensors, len] = [number(rest)?, number(rest)?, number(rest)?, number(rest)?];
            if tensors != self.rule(0.0, true, 1).memories() as u64 {
                return Err(CheckpointError::OtherOptimizer);
            }
            let steps = u32::try_from(steps).map_err(|_| CheckpointError::OtherOptimizer)?;
            let values = (0..tensors).map(|_| floats(rest, len)).collect::<Result<_, CheckpointError>>()?;
            memories.insert(id, Memory { steps, values });
        }
        if rest.is_empty() { Ok(Self { memories, ..self }) } else { Err(CheckpointError::MemoryLength) }
    }
}

/// Reads the little-endian number at the beginning. `rest` becomes the bytes after it.
fn number(rest: &mut &[u8]) -> Result<u64, CheckpointError> {
    let (number, after) = rest.split_first_chunk().ok_or(CheckpointError::MemoryLength)?;
    *rest = after;
    Ok(u64::from_le_bytes(*number))
}

/// Reads the `len` floats at the beginning. `rest` becomes the bytes after them.
fn floats(rest: &mut &[u8], len: u64) -> Result<Tensor<1>, CheckpointError> {
    let bytes =
        usize::try_from(len).ok().and_then(|len| len.checked_mul(4)).ok_or(CheckpointError::MemoryLength)?;
    let (values, after) = rest.split_at_checked(bytes).ok_or(CheckpointError::MemoryLength)?;
    *rest = after;
    let (values, _) = values.as_chunks();
    let values: Vec<f32> = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
    let len = values.len();
    Ok(Tensor::from_data(TensorData::new(values, [len]), &Device::flex()))
}

struct Step<'a> {
    optimizer: &'a mut FusedOptimizer,
    rate: f32,
    gradients: GradientsParams,
}

impl ModuleMapper for Step<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        let Some(gradient) = self.gradients.remove::<D>(id) else { return param };
        let value = param.into_value();
        let is_autodiff = value.device().is_autodiff();
        let value = if is_autodiff { value.inner() } else { value };
        let (dims, len) = (value.dims(), value.shape().num_elements());
        let fresh = |rule: &UpdateRule| {
            let zeros = || Tensor::zeros([len], &value.device());
            Memory { steps: 0, values: (0..rule.memories()).map(|_| zeros()).collect() }
        };
        let before = self.optimizer.memories.remove(&id.val());
        let steps = before.as_ref().map_or(0, |memory| memory.steps);
        let rule = self.optimizer.rule(self.rate, D == 1, steps + 1);
        let mut memory = before.unwrap_or_else(|| fresh(&rule));
        memory.steps = steps + 1;
        let moved = update(rule, value.reshape([len]), gradient.reshape([len]), &mut memory.values);
        self.optimizer.memories.insert(id.val(), memory);
        let moved = moved.reshape(dims);
        let moved = if is_autodiff { Tensor::from_inner(moved).require_grad() } else { moved };
        Param::initialized(id, moved)
    }
}

#[cfg(test)]
mod tests {
    use super::super::optimizer::{Optimizer, by_burn};
    use super::*;
    use crate::network::weights::{Values, Weights};

    fn settings(kind: OptimizerKind) -> OptimizerSettings {
        OptimizerSettings { kind, learning_rate: 0.1, momentum: 0.9, weight_decay: 0.01 }
    }

    fn weights() -> Weights {
        let values = |seed: usize, count: usize| {
            (0..count).map(|i| ((i * 37 + seed * 11) % 101) as f32 / 50.0 - 1.0).collect::<Vec<f32>>()
        };
        let named = [
            ("a.weight", vec![5, 3, 3, 3]),
            ("b.weight", vec![7, 9]),
            ("b.bias", vec![7]),
            ("unused.weight", vec![2, 2]),
        ];
        let named = named.into_iter().enumerate().map(|(seed, (name, shape))| {
            let data = values(seed, shape.iter().product());
            (name.to_owned(), Values { shape, data })
        });
        Weights::from_values(named, &Device::flex().autodiff())
    }

    /// Returns the weights and the optimizer after some steps. The loss is the sum of squares and cubes of
    /// all weights except the unused one.
    fn trained(mut optimizer: Optimizer, mut weights: Weights, steps: usize) -> (Weights, Optimizer) {
        for _ in 0..steps {
            let mut loss = Squares { sum: None };
            weights.parameters.visit(&mut loss);
            let gradients = loss.sum.expect("there are parameters").backward();
            let gradients = GradientsParams::from_grads(gradients, &weights.parameters);
            weights.parameters = optimizer.step(0.05, weights.parameters, gradients);
        }
        (weights, optimizer)
    }

    struct Squares {
        sum: Option<Tensor<1>>,
    }

    impl burn::module::ModuleVisitor for Squares {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let x = param.val();
            if x.dims().iter().product::<usize>() == 4 {
                return;
            }
            let term = (x.clone() * x.clone() + x.clone() * x.clone() * x).sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + term,
                None => term,
            });
        }
    }

    fn all(weights: &Weights) -> Vec<f32> {
        let mut all = Collect(Vec::new());
        weights.parameters.visit(&mut all);
        all.0
    }

    struct Collect(Vec<f32>);

    impl burn::module::ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().try_to_vec::<f32>().unwrap());
        }
    }

    #[test]
    fn steps_equal_those_of_burns_optimizers_up_to_rounding() {
        for kind in [OptimizerKind::Sgd, OptimizerKind::AdamW] {
            let fused = Optimizer::Fused(FusedOptimizer::new(settings(kind)));
            let burn = Optimizer::Burn(Box::new(by_burn(&settings(kind), &weights().parameters)));
            let (found, _) = trained(fused, weights(), 7);
            let (expected, _) = trained(burn, weights(), 7);
            for (place, (found, expected)) in all(&found).iter().zip(all(&expected)).enumerate() {
                assert!((found - expected).abs() < 1e-4, "{kind:?} at {place}: {found}, not {expected}");
            }
            assert_eq!(all(&found).len(), all(&weights()).len());
        }
    }

    #[test]
    fn training_from_a_saved_memory_gives_the_same_bits() {
        for kind in [OptimizerKind::Sgd, OptimizerKind::AdamW] {
            let fresh = || Optimizer::Fused(FusedOptimizer::new(settings(kind)));
            let (whole, _) = trained(fresh(), weights(), 6);
            let (half, optimizer) = trained(fresh(), weights(), 3);
            let bytes = optimizer.to_bytes();
            let (resumed, _) = trained(fresh().loaded(bytes.clone()).unwrap(), half, 3);
            let bits = |weights: &Weights| all(weights).into_iter().map(f32::to_bits).collect::<Vec<u32>>();
            assert_eq!(bits(&whole), bits(&resumed));
            for end in [0, 7, 8, 20, bytes.len() - 1] {
                assert!(fresh().loaded(bytes[..end].to_vec()).is_err(), "{kind:?} cut at {end}");
            }
            let other = if kind == OptimizerKind::Sgd { OptimizerKind::AdamW } else { OptimizerKind::Sgd };
            assert!(Optimizer::Fused(FusedOptimizer::new(settings(other))).loaded(bytes).is_err());
        }
    }
}

//! Optimizer steps. Each is one pass over a parameter, its gradient and its optimizer state.

use std::mem::MaybeUninit;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::shared::memory::{Buffer, SharedMut};
use crate::shared::primitives::{Primitive, Values, applies, large};
use crate::simd::{InstructionSet, Kernel, Simd};

/// Number of values in a task.
const TASK: usize = 16 * 1024;

/// Maximum number of values that the calling thread processes alone, because waking another thread would take
/// longer.
const ALONE: usize = 4 * TASK;

/// Maximum number of state tensors of a parameter.
const MOST: usize = 2;

/// The rule by which a step updates a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum UpdateRule {
    /// Stochastic gradient descent with Nesterov momentum. The optimizer state is the velocity.
    ///
    /// Source: I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML
    /// 2013.
    ///
    /// Differs: the gradient is taken at the current weight, without look-ahead, as in deep learning
    /// libraries.
    Sgd {
        /// Learning rate.
        rate: f32,
        /// Fraction of the velocity that each step keeps.
        momentum: f32,
        /// Weight decay. It is added to the gradient.
        decay: f32,
    },
    /// Adam with decoupled weight decay. The optimizer state consists of the running mean of the gradient and
    /// the running mean of the squared gradient.
    ///
    /// Source: I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, algorithm 2.
    AdamW {
        /// Learning rate.
        rate: f32,
        /// Fraction of each running mean that a step keeps.
        betas: [f32; 2],
        /// Constant that is added to the root of the mean square.
        epsilon: f32,
        /// Weight decay. It is multiplied by the learning rate.
        decay: f32,
        /// Number of steps that have updated this parameter, including the current step.
        time: u32,
    },
}

impl UpdateRule {
    /// Number of state tensors of a parameter.
    #[must_use]
    pub const fn memories(&self) -> usize {
        match self {
            Self::Sgd { .. } => 1,
            Self::AdamW { .. } => MOST,
        }
    }
}

/// Applies a step to a parameter and returns the parameter's new value. `memory` is the optimizer state,
/// which is updated in place. It consists of [`UpdateRule::memories`] tensors, which must be zero before the
/// first step.
///
/// # Shapes
/// All tensors have the same shape.
///
/// # Panics
/// When the shapes differ, when `memory` has another number of tensors, or when the tensors are not `f32`
/// values on the CPU without autodiff.
#[must_use]
pub fn update<const D: usize>(
    rule: UpdateRule,
    weight: Tensor<D>,
    gradient: Tensor<D>,
    memory: &mut [Tensor<D>],
) -> Tensor<D> {
    assert_eq!(memory.len(), rule.memories(), "the memory is that of the rule");
    let dims = weight.dims();
    let alike =
        |tensor: &Tensor<D>| tensor.dims() == dims && applies(tensor) && !tensor.device().is_autodiff();
    assert!(
        alike(&weight) && alike(&gradient) && memory.iter().all(alike),
        "weight, gradient and memory are alike, `f32` and on the CPU"
    );
    let (weight, gradient) = (weight.into_dispatch(), gradient.into_dispatch());
    let first = memory[0].clone().into_dispatch();
    let second = memory[memory.len() - 1].clone().into_dispatch();
    let (weight, first, second) = Dispatch::kernel_update(weight, gradient, first, second, rule);
    memory[0] = Tensor::from_dispatch(first);
    if let Some(last) = memory.get_mut(1) {
        *last = Tensor::from_dispatch(second);
    }
    Tensor::from_dispatch(weight)
}

/// Extends the flex backend with this crate's optimizer kernels.
#[backend_extension(Flex)]
pub(crate) trait UpdateOps: Backend {
    /// Returns the new weight and the new optimizer state. If the rule has one state tensor, both state
    /// arguments and both returned state tensors are this tensor.
    fn kernel_update(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        rule: UpdateRule,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl UpdateOps for Flex {
    fn kernel_update(
        weight: Primitive,
        gradient: Primitive,
        first: Primitive,
        second: Primitive,
        rule: UpdateRule,
    ) -> (Primitive, Primitive, Primitive) {
        let shape = weight.shape();
        let set = InstructionSet::current();
        let inputs = [weight, gradient, first, second].map(Values::new);
        let [weight, gradient, first, second] = inputs.each_ref().map(Values::slice);
        let len = weight.len();
        let (mut kept, mut kept_too) = (None, None);
        match rule {
            UpdateRule::Sgd { rate, momentum, decay } => {
                let step = Sgd { rate, momentum, decay };
                let inputs = [weight, gradient, first];
                // SAFETY: `run` writes every element of all outputs.
                let weight = unsafe {
                    Buffer::filled(len, |weight| {
                        kept = Some(Buffer::filled(len, |first| run(set, step, inputs, [weight, first])));
                    })
                };
                let velocity = kept.map(|values| large(values, shape.clone())).expect("it was filled");
                (large(weight, shape), velocity.clone(), velocity)
            }
            UpdateRule::AdamW { rate, betas, epsilon, decay, time } => {
                let time = i32::try_from(time).unwrap_or(i32::MAX);
                let corrections = betas.map(|beta| 1.0 / (1.0 - beta.powi(time)));
                let step = AdamW { rate, betas, epsilon, kept: 1.0 - rate * decay, corrections };
                let inputs = [weight, gradient, first, second];
                // SAFETY: `run` writes every element of all outputs.
                let weight = unsafe {
                    Buffer::filled(len, |weight| {
                        kept = Some(Buffer::filled(len, |first| {
                            kept_too = Some(Buffer::filled(len, |second| {
                                run(set, step, inputs, [weight, first, second]);
                            }));
                        }));
                    })
                };
                let [first, second] = [kept, kept_too]
                    .map(|values| values.map(|values| large(values, shape.clone())).expect("it was filled"));
                (large(weight, shape), first, second)
            }
        }
    }
}

/// Computes `OUT` new vectors from `IN` vectors. The first vector of each is the weight.
trait Step<const IN: usize, const OUT: usize>: Copy + Sync {
    fn step<S: Simd>(self, simd: S, values: [S::Vector; IN]) -> [S::Vector; OUT];
}

#[derive(Clone, Copy)]
struct Sgd {
    rate: f32,
    momentum: f32,
    decay: f32,
}

impl Step<3, 2> for Sgd {
    #[inline(always)]
    fn step<S: Simd>(self, simd: S, [weight, gradient, velocity]: [S::Vector; 3]) -> [S::Vector; 2] {
        let momentum = simd.splat(self.momentum);
        let gradient = simd.mul_add(simd.splat(self.decay), weight, gradient);
        let velocity = simd.mul_add(momentum, velocity, gradient);
        let direction = simd.mul_add(momentum, velocity, gradient);
        [simd.mul_add(simd.splat(-self.rate), direction, weight), velocity]
    }
}

#[derive(Clone, Copy)]
struct AdamW {
    rate: f32,
    betas: [f32; 2],
    epsilon: f32,
    /// Fraction of the weight that remains after its decay.
    kept: f32,
    /// Factors that correct the bias of the running means, which start at zero.
    corrections: [f32; 2],
}

impl Step<4, 3> for AdamW {
    #[inline(always)]
    fn step<S: Simd>(self, simd: S, [weight, gradient, first, second]: [S::Vector; 4]) -> [S::Vector; 3] {
        let mean = |beta: f32, mean, value| {
            simd.mul_add(simd.splat(beta), mean, simd.mul(simd.splat(1.0 - beta), value))
        };
        let first = mean(self.betas[0], first, gradient);
        let second = mean(self.betas[1], second, simd.mul(gradient, gradient));
        let [mut lanes, mut squares] = [[0.0; 16]; 2];
        // SAFETY: no vector has more than 16 lanes.
        let direction = unsafe {
            simd.store(lanes.as_mut_ptr(), simd.mul(first, simd.splat(self.corrections[0])));
            simd.store(squares.as_mut_ptr(), simd.mul(second, simd.splat(self.corrections[1])));
            for (value, square) in lanes.iter_mut().zip(squares) {
                *value /= square.sqrt() + self.epsilon;
            }
            simd.load(lanes.as_ptr())
        };
        let kept = simd.mul(weight, simd.splat(self.kept));
        [simd.mul_add(simd.splat(-self.rate), direction, kept), first, second]
    }
}

/// Applies a step to all values, with one task per chunk, and writes every element of all outputs.
fn run<const IN: usize, const OUT: usize>(
    set: InstructionSet,
    step: impl Step<IN, OUT>,
    inputs: [&[f32]; IN],
    outputs: [&mut [MaybeUninit<f32>]; OUT],
) {
    let len = outputs[0].len();
    assert!(inputs.iter().all(|values| values.len() == len), "all tensors of a step are equally long");
    assert!(outputs.iter().all(|values| values.len() == len), "all tensors of a step are equally long");
    let outputs = outputs.map(|values| SharedMut::new(values.as_mut_ptr().cast()));
    let part = |from: usize, to: usize| {
        let inputs = inputs.map(|values| &values[from..to]);
        // SAFETY: the outputs have the same length as the inputs, and `from` is an index of both.
        let outputs = outputs.map(|values| unsafe { values.pointer().add(from) });
        set.run(Chunk { step, inputs, outputs });
    };
    if len <= ALONE {
        part(0, len);
    } else {
        let starts = (0..len.div_ceil(TASK)).into_par_iter().map(|task| task * TASK);
        starts.for_each(|from| part(from, (from + TASK).min(len)));
    }
}

struct Chunk<'a, T, const IN: usize, const OUT: usize> {
    step: T,
    inputs: [&'a [f32]; IN],
    /// The outputs. Each has room for the values of an input, and no other task writes there.
    outputs: [*mut f32; OUT],
}

impl<T: Step<IN, OUT>, const IN: usize, const OUT: usize> Kernel for Chunk<'_, T, IN, OUT> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let len = self.inputs[0].len();
        let whole = len - len % S::LANES;
        // SAFETY: inputs and outputs have `len` values.
        unsafe {
            for at in (0..whole).step_by(S::LANES) {
                let values = self.inputs.map(|input| simd.load(input.as_ptr().add(at)));
                let results = self.step.step(simd, values);
                for (output, result) in self.outputs.into_iter().zip(results) {
                    simd.store(output.add(at), result);
                }
            }
            let rest = len - whole;
            let values = self.inputs.map(|input| simd.load_first(input.as_ptr().add(whole), rest));
            let results = self.step.step(simd, values);
            for (output, result) in self.outputs.into_iter().zip(results) {
                simd.store_first(output.add(whole), result, rest);
            }
        }
    }
}

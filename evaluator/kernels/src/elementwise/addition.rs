//! Sums of two tensors of the same shape, in pooled memory and on all threads.

use std::mem::MaybeUninit;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::shared::memory::Buffer;
use crate::shared::primitives::{Primitive, Tracked, Values, applies, large};
use crate::simd::{InstructionSet, Kernel, Simd};

/// Number of values in a task.
const TASK: usize = 16 * 1024;

/// Maximum number of values that the calling thread processes alone, because waking another thread would take
/// longer.
const ALONE: usize = 4 * TASK;

/// Adds two tensors of the same shape.
///
/// # Panics
/// When the shapes differ.
#[must_use]
pub fn add<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    assert_eq!(a.dims(), b.dims(), "tensors that are added have the same shape");
    if !(applies(&a) && applies(&b)) {
        return a + b;
    }
    Tensor::from_dispatch(Dispatch::kernel_add(a.into_dispatch(), b.into_dispatch()))
}

/// Extends the flex backend with this crate's addition kernel.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait AddOps: Backend {
    fn kernel_add(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl AddOps for Flex {
    fn kernel_add(a: Primitive, b: Primitive) -> Primitive {
        let (shape, set) = (a.shape(), InstructionSet::current());
        let (a, b) = (Values::new(a), Values::new(b));
        let (a, b) = (a.slice(), b.slice());
        let fill = |target: &mut [MaybeUninit<f32>]| {
            if a.len() <= ALONE {
                return set.run(Sum { a, b, target });
            }
            let terms = a.par_chunks(TASK).zip(b.par_chunks(TASK));
            target.par_chunks_mut(TASK).zip(terms).for_each(|(target, (a, b))| set.run(Sum { a, b, target }));
        };
        // SAFETY: the chunks of both terms and of the sum have the same length, and each task writes all of
        // its chunk.
        large(unsafe { Buffer::filled(a.len(), fill) }, shape)
    }
}

#[derive(Debug)]
struct Addition;

impl Backward<Flex, 2> for Addition {
    type State = ();

    fn backward(self, ops: Ops<(), 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        for node in ops.parents.iter().flatten() {
            grads.register::<Flex>(node.id, gradient.clone());
        }
    }
}

impl<C: CheckpointStrategy> AddOps for Autodiff<Flex, C> {
    fn kernel_add(a: Tracked, b: Tracked) -> Tracked {
        let nodes = [a.node(), b.node()];
        match Addition.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish((), Flex::kernel_add(a.into_primitive(), b.into_primitive()))
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::kernel_add(a.into_primitive(), b.into_primitive())),
        }
    }
}

struct Sum<'a> {
    a: &'a [f32],
    b: &'a [f32],
    target: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        assert!(
            self.a.len() == self.b.len() && self.a.len() == self.target.len(),
            "tensors that are added have the same length"
        );
        for (sum, (a, b)) in self.target.iter_mut().zip(self.a.iter().zip(self.b)) {
            sum.write(a + b);
        }
    }
}

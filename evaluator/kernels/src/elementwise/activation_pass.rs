//! Applies a nonlinearity to each value of a tensor, and computes its gradient, each in a separate pass.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::elementwise::curves::{Curve, with_curve};
use crate::shared::activation::Activation;
use crate::shared::memory::Buffer;
use crate::simd::{InstructionSet, Kernel, Simd};

/// Number of values in a task.
const TASK: usize = 16 * 1024;

/// Maximum number of values that the calling thread processes alone, because waking another thread would take
/// longer.
const ALONE: usize = 4 * TASK;

/// Applies the nonlinearity to each value of `x`.
pub(crate) fn forward(activation: Activation, set: InstructionSet, x: &[f32]) -> Buffer {
    let fill = |output: &mut [MaybeUninit<f32>]| {
        if x.len() <= ALONE {
            return set.run(Forward { activation, x, output });
        }
        output.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).for_each(|(output, x)| {
            set.run(Forward { activation, x, output });
        });
    };
    // SAFETY: the chunks of input and output have the same length, and each task writes all of its chunk.
    unsafe { Buffer::filled(x.len(), fill) }
}

/// Computes the gradient of the input `x`.
pub(crate) fn backward(activation: Activation, set: InstructionSet, x: &[f32], gradient: &[f32]) -> Buffer {
    assert_eq!(x.len(), gradient.len(), "a gradient has the shape of its tensor");
    let fill = |output: &mut [MaybeUninit<f32>]| {
        if x.len() <= ALONE {
            return set.run(Backward { activation, x, gradient, output });
        }
        let inputs = x.par_chunks(TASK).zip(gradient.par_chunks(TASK));
        output.par_chunks_mut(TASK).zip(inputs).for_each(|(output, (x, gradient))| {
            set.run(Backward { activation, x, gradient, output });
        });
    };
    // SAFETY: the chunks of inputs and output have the same length, and each task writes all of its chunk.
    unsafe { Buffer::filled(x.len(), fill) }
}

struct Forward<'a> {
    activation: Activation,
    x: &'a [f32],
    output: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        with_curve!(self.activation, C => self.with::<S, C>(simd));
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn with<S: Simd, C: Curve>(self, simd: S) {
        let (x, output) = (self.x.as_ptr(), self.output.as_mut_ptr().cast::<f32>());
        let len = self.x.len();
        let whole = len - len % S::LANES;
        // SAFETY: `forward` passed input and output of the same length.
        unsafe {
            for at in (0..whole).step_by(S::LANES) {
                simd.store(output.add(at), C::value(simd, simd.load(x.add(at))));
            }
            let value = C::value(simd, simd.load_first(x.add(whole), len - whole));
            simd.store_first(output.add(whole), value, len - whole);
        }
    }
}

struct Backward<'a> {
    activation: Activation,
    x: &'a [f32],
    gradient: &'a [f32],
    output: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        with_curve!(self.activation, C => self.with::<S, C>(simd));
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn with<S: Simd, C: Curve>(self, simd: S) {
        let (x, gradient) = (self.x.as_ptr(), self.gradient.as_ptr());
        let output = self.output.as_mut_ptr().cast::<f32>();
        let len = self.x.len();
        let whole = len - len % S::LANES;
        // SAFETY: `backward` passed input, gradient and output of the same length.
        unsafe {
            for at in (0..whole).step_by(S::LANES) {
                let value = C::slope(simd, simd.load(x.add(at)), simd.load(gradient.add(at)));
                simd.store(output.add(at), value);
            }
            let rest = len - whole;
            let (x, gradient) = (x.add(whole), gradient.add(whole));
            let value = C::slope(simd, simd.load_first(x, rest), simd.load_first(gradient, rest));
            simd.store_first(output.add(whole), value, rest);
        }
    }
}

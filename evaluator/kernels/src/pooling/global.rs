//! The mean of each plane, and its gradient.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::shared::memory::Buffer;
use crate::simd::{InstructionSet, Kernel, Simd};

/// Approximate number of values in a task.
const TASK: usize = 32 * 1024;

/// Computes the means of planes with `plane` values each.
pub(crate) fn forward(set: InstructionSet, x: &[f32], plane: usize) -> Vec<f32> {
    let together = (TASK / plane).max(1);
    let mut means = vec![0.0; x.len() / plane];
    means.par_chunks_mut(together).zip(x.par_chunks(together * plane)).for_each(|(means, x)| {
        set.run(Means { x, plane, target: means });
    });
    means
}

/// Computes the gradient of the planes. Each value gets an equal part of its mean's gradient.
pub(crate) fn backward(gradient: &[f32], plane: usize) -> Buffer {
    let together = (TASK / plane).max(1);
    let fill = |target: &mut [MaybeUninit<f32>]| {
        let tasks = target.par_chunks_mut(together * plane).zip(gradient.par_chunks(together));
        tasks.for_each(|(target, gradient)| {
            for (target, gradient) in target.chunks_exact_mut(plane).zip(gradient) {
                let share = gradient / plane as f32;
                for value in target {
                    value.write(share);
                }
            }
        });
    };
    // SAFETY: the tasks cover all planes, and each writes all of its planes.
    unsafe { Buffer::filled(gradient.len() * plane, fill) }
}

struct Means<'a> {
    x: &'a [f32],
    plane: usize,
    target: &'a mut [f32],
}

impl Kernel for Means<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let whole = self.plane - self.plane % S::LANES;
        for (mean, x) in self.target.iter_mut().zip(self.x.chunks_exact(self.plane)) {
            let mut sum = simd.zero();
            // SAFETY: the plane has `plane` values.
            unsafe {
                for at in (0..whole).step_by(S::LANES) {
                    sum = simd.add(sum, simd.load(x.as_ptr().add(at)));
                }
                sum = simd.add(sum, simd.load_first(x.as_ptr().add(whole), self.plane - whole));
            }
            *mean = simd.sum(sum) / self.plane as f32;
        }
    }
}

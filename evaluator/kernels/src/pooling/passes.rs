//! Pools all planes of a tensor, forward and backward.
//!
//! Average pooling first adds the rows of a window, then the columns. `box_sums` computes averages with
//! stride 1. One task does all the work for a plane, so sums do not depend on the number of threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::pooling::box_sums;
use crate::pooling::kernels::{Backward, Forward};
use crate::pooling::windows::Pooling;
use crate::shared::memory::{Buffer, with_scratch};
use crate::simd::InstructionSet;

/// Approximate number of values in the planes of a task.
const TASK: usize = 32 * 1024;

/// Number of planes in a task.
fn together(pooling: &Pooling) -> usize {
    (TASK / pooling.planes()[0]).max(1)
}

/// Pools the planes of `x`.
pub(crate) fn forward(pooling: &Pooling, set: InstructionSet, x: &[f32]) -> Buffer {
    let [input, output] = pooling.planes();
    assert!(x.len().is_multiple_of(input), "a tensor has the shape of the pooling");
    let (together, boxes) = (together(pooling), pooling.boxes(false));
    let fill = |target: &mut [MaybeUninit<f32>]| {
        let run = |target: &mut [MaybeUninit<f32>], x: &[f32]| {
            if let Some(boxes) = &boxes {
                return box_sums::write(boxes, set, x, target);
            }
            with_scratch(pooling.scratch(), |scratch| {
                set.run(Forward { pooling, x, target, scratch });
            });
        };
        if x.len() <= TASK {
            return run(target, x);
        }
        let tasks = target.par_chunks_mut(together * output).zip(x.par_chunks(together * input));
        tasks.for_each(|(target, x)| run(target, x));
    };
    // SAFETY: the tasks cover all planes, and each writes all of its planes.
    unsafe { Buffer::filled(x.len() / input * output, fill) }
}

/// Computes the gradient of the input `x`. Only maximum pooling reads the values of `x`.
pub(crate) fn backward(
    pooling: &Pooling,
    set: InstructionSet,
    x: Option<&[f32]>,
    gradient: &[f32],
) -> Buffer {
    let [input, output] = pooling.planes();
    let len = gradient.len() / output * input;
    assert!(gradient.len().is_multiple_of(output), "a gradient has the shape of the pooling");
    assert!(x.is_none_or(|x| x.len() == len), "a tensor has the shape of the pooling");
    let (together, boxes) = (together(pooling), pooling.boxes(true));
    let fill = |target: &mut [MaybeUninit<f32>]| {
        let run = |target: &mut [MaybeUninit<f32>], x: Option<&[f32]>, gradient: &[f32]| {
            if let Some(boxes) = &boxes {
                return box_sums::write(boxes, set, gradient, target);
            }
            with_scratch(pooling.scratch(), |scratch| {
                set.run(Backward { pooling, x, gradient, target, scratch });
            });
        };
        if len <= TASK {
            return run(target, x, gradient);
        }
        let tasks = target.par_chunks_mut(together * input).zip(gradient.par_chunks(together * output));
        tasks.enumerate().for_each(|(task, (target, gradient))| {
            let x = x.map(|x| &x[task * together * input..][..target.len()]);
            run(target, x, gradient);
        });
    };
    // SAFETY: the tasks cover all planes, and each writes all of its planes.
    unsafe { Buffer::filled(len, fill) }
}

//! Maximum and average over windows of each plane, and their gradients.
//!
//! An average is taken line by line: the lines of a window are added, then the columns; without stride, `box_sums` does it. All
//! that touches a plane is done by one task, so that no sum depends on the number of threads.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::box_sums::{Boxes, Planes, Sides};
use crate::instruction_set::InstructionSet;
use crate::memory::{Buffer, with_scratch};
use crate::pooling_kernels::{Backward, Forward};

/// Values of planes that a task aims at.
const TASK: usize = 32 * 1024;

/// What becomes of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Max,
    /// Of the places inside the image.
    Average,
}

/// One direction of a plane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    pub(crate) size: usize,
    pub(crate) output: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    padding: usize,
}

/// Windows over planes of one size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pooling {
    pub(crate) kind: Kind,
    pub(crate) rows: Axis,
    pub(crate) columns: Axis,
}

impl Axis {
    /// # Panics
    /// When no window fits, or one may lie in the padding alone.
    pub(crate) fn new(size: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        assert!(stride > 0 && kernel > 0, "windows and strides are positive");
        assert!(2 * padding <= kernel, "the padding of a pooling is at most half its window");
        assert!(size + 2 * padding >= kernel, "a window is not larger than a padded image");
        Self { size, output: (size + 2 * padding - kernel) / stride + 1, kernel, stride, padding }
    }

    /// What a window covers of the image.
    pub(crate) fn window(&self, output: usize) -> Range<usize> {
        let start = output * self.stride;
        start.saturating_sub(self.padding)..(start + self.kernel - self.padding).min(self.size)
    }

    /// Sums over its windows, where they move by one place: means forward, and what comes back to each place backward.
    fn sides(&self, backward: bool) -> Sides {
        let means: Vec<f32> = (0..self.output).map(|output| 1.0 / self.window(output).len() as f32).collect();
        let (window, ones) = (self.kernel, vec![1.0; self.size]);
        if backward {
            Sides { read: means, written: ones, window, before: window - 1 - self.padding }
        } else {
            Sides { read: ones, written: means, window, before: self.padding }
        }
    }

    /// The windows whose place `tap` lies inside the image, and that place in the first of them.
    #[inline(always)]
    pub(crate) fn inside(&self, tap: usize) -> (Range<usize>, usize) {
        let from = self.padding.saturating_sub(tap).div_ceil(self.stride);
        let to = match (self.size + self.padding).checked_sub(tap + 1) {
            Some(last) => (last / self.stride + 1).min(self.output),
            None => 0,
        };
        (from..to.max(from), (from * self.stride + tap).saturating_sub(self.padding))
    }
}

impl Pooling {
    pub(crate) const fn planes(&self) -> [usize; 2] {
        [self.rows.size * self.columns.size, self.rows.output * self.columns.output]
    }

    /// Floats that a task works with: a line of the image, and two of the output. They are lent from outside of what is compiled for
    /// the instruction set, which a closure inside would not be.
    const fn scratch(&self) -> usize {
        self.columns.size + 2 * self.columns.output
    }

    /// Splits the scratch: a line of the image, one of the output, and how many columns of the image each window has.
    #[inline(always)]
    pub(crate) fn lines<'a>(&self, scratch: &'a mut [f32]) -> [&'a mut [f32]; 3] {
        let (line, rest) = scratch.split_at_mut(self.columns.size);
        let (output, counts) = rest.split_at_mut(self.columns.output);
        for (column, count) in counts.iter_mut().enumerate() {
            *count = self.columns.window(column).len() as f32;
        }
        [line, output, counts]
    }

    /// The sums over windows that an average without stride is.
    fn boxes(&self, backward: bool) -> Option<Boxes> {
        let without_stride = self.rows.stride == 1 && self.columns.stride == 1;
        let boxes = || Boxes { rows: self.rows.sides(backward), columns: self.columns.sides(backward) };
        (self.kind == Kind::Average && without_stride).then(boxes)
    }

    /// Planes that are one task.
    fn together(&self) -> usize {
        (TASK / self.planes()[0]).max(1)
    }

    pub(crate) fn forward(&self, set: InstructionSet, x: &[f32]) -> Buffer {
        let [input, output] = self.planes();
        assert!(x.len().is_multiple_of(input), "a tensor has the shape that was said");
        let (together, boxes) = (self.together(), self.boxes(false));
        let fill = |target: &mut [MaybeUninit<f32>]| {
            let run = |target: &mut [MaybeUninit<f32>], x: &[f32]| {
                if let Some(boxes) = &boxes {
                    return sum_boxes(set, boxes, x, target);
                }
                with_scratch(self.scratch(), |scratch| {
                    set.run(Forward { pooling: self, x, target, scratch });
                });
            };
            if x.len() <= TASK {
                return run(target, x);
            }
            let tasks = target.par_chunks_mut(together * output).zip(x.par_chunks(together * input));
            tasks.for_each(|(target, x)| run(target, x));
        };
        // SAFETY: each task writes all of its planes.
        unsafe { Buffer::filled(x.len() / input * output, fill) }
    }

    /// The gradient of the input `x`, whose values an average does not look at.
    pub(crate) fn backward(&self, set: InstructionSet, x: Option<&[f32]>, gradient: &[f32]) -> Buffer {
        let [input, output] = self.planes();
        let len = gradient.len() / output * input;
        assert!(gradient.len().is_multiple_of(output), "a gradient has the shape that was said");
        assert!(x.is_none_or(|x| x.len() == len), "a tensor has the shape that was said");
        let (together, boxes) = (self.together(), self.boxes(true));
        let fill = |target: &mut [MaybeUninit<f32>]| {
            let run = |target: &mut [MaybeUninit<f32>], x: Option<&[f32]>, gradient: &[f32]| {
                if let Some(boxes) = &boxes {
                    return sum_boxes(set, boxes, gradient, target);
                }
                with_scratch(self.scratch(), |scratch| {
                    set.run(Backward { pooling: self, x, gradient, target, scratch });
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
        // SAFETY: each task writes all of its planes.
        unsafe { Buffer::filled(len, fill) }
    }
}

fn sum_boxes(set: InstructionSet, boxes: &Boxes, source: &[f32], target: &mut [MaybeUninit<f32>]) {
    with_scratch(boxes.scratch(), |scratch| set.run(Planes { boxes, source, target, scratch }));
}

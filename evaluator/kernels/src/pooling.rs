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
use crate::simd::{Kernel, Simd};

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
    size: usize,
    pub(crate) output: usize,
    kernel: usize,
    stride: usize,
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
    fn window(&self, output: usize) -> Range<usize> {
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
    fn inside(&self, tap: usize) -> (Range<usize>, usize) {
        let from = self.padding.saturating_sub(tap).div_ceil(self.stride);
        let to = match (self.size + self.padding).checked_sub(tap + 1) {
            Some(last) => (last / self.stride + 1).min(self.output),
            None => 0,
        };
        (from..to.max(from), (from * self.stride + tap).saturating_sub(self.padding))
    }
}

impl Pooling {
    const fn planes(&self) -> [usize; 2] {
        [self.rows.size * self.columns.size, self.rows.output * self.columns.output]
    }

    /// Floats that a task works with: a line of the image, and two of the output. They are lent from outside of what is compiled for
    /// the instruction set, which a closure inside would not be.
    const fn scratch(&self) -> usize {
        self.columns.size + 2 * self.columns.output
    }

    /// Splits the scratch: a line of the image, one of the output, and how many columns of the image each window has.
    #[inline(always)]
    fn lines<'a>(&self, scratch: &'a mut [f32]) -> [&'a mut [f32]; 3] {
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

/// All values set to one.
#[inline(always)]
fn filled(values: &mut [MaybeUninit<f32>], with: f32) -> &mut [f32] {
    for value in values.iter_mut() {
        value.write(with);
    }
    // SAFETY: all values were written above, and a `MaybeUninit<f32>` lies as an `f32` does.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), values.len()) }
}

/// Visits the windows with `tap` inside the image: what they gather in, and the value at the place.
#[inline(always)]
fn visit(axis: &Axis, tap: usize, gathered: &mut [f32], line: &[f32], mut join: impl FnMut(&mut f32, f32)) {
    let (windows, first) = axis.inside(tap);
    if windows.is_empty() {
        return;
    }
    let (gathered, line) = (&mut gathered[windows], &line[first..]);
    if axis.stride == 1 {
        gathered.iter_mut().zip(line).for_each(|(gathered, value)| join(gathered, *value));
    } else {
        gathered
            .iter_mut()
            .zip(line.iter().step_by(axis.stride))
            .for_each(|(gathered, value)| join(gathered, *value));
    }
}

/// The larger one; what is not a number stays.
#[inline(always)]
fn is_larger(value: f32, than: f32) -> bool {
    value > than || (value.is_nan() && !than.is_nan())
}

struct Forward<'a> {
    pooling: &'a Pooling,
    x: &'a [f32],
    target: &'a mut [MaybeUninit<f32>],
    scratch: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Pooling { kind, rows, columns } = self.pooling;
        let [input, output] = self.pooling.planes();
        let planes = self.target.chunks_exact_mut(output).zip(self.x.chunks_exact(input));
        let [line, _, counts] = self.pooling.lines(self.scratch);
        for (target, x) in planes {
            for (index, target) in target.chunks_exact_mut(columns.output).enumerate() {
                let window = rows.window(index);
                let height = window.len() as f32;
                let lines = window.map(|row| &x[row * columns.size..][..columns.size]);
                match kind {
                    Kind::Max => {
                        let target = filled(target, f32::NEG_INFINITY);
                        for line in lines {
                            for tap in 0..columns.kernel {
                                visit(columns, tap, target, line, |most, value| {
                                    *most = if is_larger(value, *most) { value } else { *most };
                                });
                            }
                        }
                    }
                    Kind::Average => {
                        line.fill(0.0);
                        for one in lines {
                            line.iter_mut().zip(one).for_each(|(sum, value)| *sum += value);
                        }
                        let target = filled(target, 0.0);
                        for tap in 0..columns.kernel {
                            visit(columns, tap, target, line, |sum, value| *sum += value);
                        }
                        let sums = target.iter_mut().zip(&*counts);
                        sums.for_each(|(sum, width)| *sum /= height * width);
                    }
                }
            }
        }
    }
}

struct Backward<'a> {
    pooling: &'a Pooling,
    /// For a maximum.
    x: Option<&'a [f32]>,
    gradient: &'a [f32],
    target: &'a mut [MaybeUninit<f32>],
    scratch: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let [input, output] = self.pooling.planes();
        let planes = self.target.chunks_exact_mut(input).zip(self.gradient.chunks_exact(output));
        let mut lines = self.pooling.lines(self.scratch);
        for (index, (target, gradient)) in planes.enumerate() {
            let target = filled(target, 0.0);
            match self.x {
                Some(x) => largest(self.pooling, &x[index * input..][..input], gradient, target),
                None => spread(self.pooling, gradient, target, &mut lines),
            }
        }
    }
}

/// Adds each window's gradient to its first largest value.
#[inline(always)]
fn largest(pooling: &Pooling, x: &[f32], gradient: &[f32], target: &mut [f32]) {
    let Pooling { rows, columns, .. } = pooling;
    for (row, gradient) in gradient.chunks_exact(columns.output).enumerate() {
        let lines = rows.window(row);
        for (column, gradient) in gradient.iter().enumerate() {
            let window = columns.window(column);
            let mut best = lines.start * columns.size + window.start;
            for line in lines.clone() {
                for place in window.clone().map(|place| line * columns.size + place) {
                    best = if is_larger(x[place], x[best]) { place } else { best };
                }
            }
            target[best] += gradient;
        }
    }
}

/// Adds each window's gradient to all its values, in equal parts.
#[inline(always)]
fn spread(
    pooling: &Pooling,
    gradient: &[f32],
    target: &mut [f32],
    [line, shares, counts]: &mut [&mut [f32]; 3],
) {
    let Pooling { rows, columns, .. } = pooling;
    for (row, gradient) in gradient.chunks_exact(columns.output).enumerate() {
        let window = rows.window(row);
        let height = window.len() as f32;
        let parts = shares.iter_mut().zip(gradient).zip(counts.iter());
        parts.for_each(|((share, gradient), width)| *share = gradient / (height * width));
        line.fill(0.0);
        for tap in 0..columns.kernel {
            let (windows, first) = columns.inside(tap);
            if windows.is_empty() {
                continue;
            }
            let shares = &shares[windows];
            if columns.stride == 1 {
                line[first..].iter_mut().zip(shares).for_each(|(sum, share)| *sum += share);
            } else {
                let places = line[first..].iter_mut().step_by(columns.stride);
                places.zip(shares).for_each(|(sum, share)| *sum += share);
            }
        }
        for row in window {
            let places = &mut target[row * columns.size..][..columns.size];
            places.iter_mut().zip(line.iter()).for_each(|(sum, value)| *sum += value);
        }
    }
}

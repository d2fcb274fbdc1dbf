//! Pools the planes of one task, forward and backward, with any stride.

use std::mem::MaybeUninit;

use crate::pooling::windows::{Axis, Kind, Pooling};
use crate::simd::{Kernel, Simd};

/// Sets all values to `with`.
#[inline(always)]
fn filled(values: &mut [MaybeUninit<f32>], with: f32) -> &mut [f32] {
    for value in values.iter_mut() {
        value.write(with);
    }
    // SAFETY: all values were written above, and `MaybeUninit<f32>` has the layout of `f32`.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), values.len()) }
}

/// For each window, combines the value at position `tap` with the window's partial result. Windows in which
/// this position lies outside the image are skipped.
///
/// The loop runs over windows, not over the values of a window, so that the compiler can vectorize it.
#[inline(always)]
fn visit(axis: &Axis, tap: usize, gathered: &mut [f32], line: &[f32], mut join: impl FnMut(&mut f32, f32)) {
    let (windows, first) = axis.inside(tap);
    if windows.is_empty() {
        return;
    }
    let (gathered, line) = (&mut gathered[windows], &line[first..]);
    if axis.stride() == 1 {
        gathered.iter_mut().zip(line).for_each(|(gathered, value)| join(gathered, *value));
    } else {
        gathered
            .iter_mut()
            .zip(line.iter().step_by(axis.stride()))
            .for_each(|(gathered, value)| join(gathered, *value));
    }
}

/// Whether `value` replaces `than` as the maximum. NaN counts as larger than all numbers, so it is kept.
#[inline(always)]
fn is_larger(value: f32, than: f32) -> bool {
    value > than || (value.is_nan() && !than.is_nan())
}

/// Forward pass for the planes of a task.
pub(super) struct Forward<'a> {
    pub(super) pooling: &'a Pooling,
    pub(super) x: &'a [f32],
    pub(super) target: &'a mut [MaybeUninit<f32>],
    pub(super) scratch: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (kind, rows, columns) = (self.pooling.kind(), self.pooling.rows(), self.pooling.columns());
        let [input, output] = self.pooling.planes();
        let planes = self.target.chunks_exact_mut(output).zip(self.x.chunks_exact(input));
        let [line, _, counts] = self.pooling.lines(self.scratch);
        for (target, x) in planes {
            for (index, target) in target.chunks_exact_mut(columns.output()).enumerate() {
                let window = rows.window(index);
                let height = window.len() as f32;
                let lines = window.map(|row| &x[row * columns.size()..][..columns.size()]);
                match kind {
                    Kind::Max => {
                        let target = filled(target, f32::NEG_INFINITY);
                        for line in lines {
                            for tap in 0..columns.kernel() {
                                visit(columns, tap, target, line, |most, value| {
                                    *most = if is_larger(value, *most) { value } else { *most };
                                });
                            }
                        }
                    }
                    Kind::Average => {
                        // Add the rows first. Each column is then summed only once for all windows that
                        // contain it.
                        line.fill(0.0);
                        for one in lines {
                            line.iter_mut().zip(one).for_each(|(sum, value)| *sum += value);
                        }
                        let target = filled(target, 0.0);
                        for tap in 0..columns.kernel() {
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

/// Backward pass for the planes of a task.
pub(super) struct Backward<'a> {
    pub(super) pooling: &'a Pooling,
    /// The input, which only maximum pooling needs.
    pub(super) x: Option<&'a [f32]>,
    pub(super) gradient: &'a [f32],
    pub(super) target: &'a mut [MaybeUninit<f32>],
    pub(super) scratch: &'a mut [f32],
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

/// Adds each window's gradient to the first of the window's largest values.
#[inline(always)]
fn largest(pooling: &Pooling, x: &[f32], gradient: &[f32], target: &mut [f32]) {
    let (rows, columns) = (pooling.rows(), pooling.columns());
    for (row, gradient) in gradient.chunks_exact(columns.output()).enumerate() {
        let lines = rows.window(row);
        for (column, gradient) in gradient.iter().enumerate() {
            let window = columns.window(column);
            let mut best = lines.start * columns.size() + window.start;
            for line in lines.clone() {
                for place in window.clone().map(|place| line * columns.size() + place) {
                    best = if is_larger(x[place], x[best]) { place } else { best };
                }
            }
            target[best] += gradient;
        }
    }
}

/// Adds each window's gradient to all values of the window, in equal parts.
#[inline(always)]
fn spread(
    pooling: &Pooling,
    gradient: &[f32],
    target: &mut [f32],
    [line, shares, counts]: &mut [&mut [f32]; 3],
) {
    let (rows, columns) = (pooling.rows(), pooling.columns());
    for (row, gradient) in gradient.chunks_exact(columns.output()).enumerate() {
        let window = rows.window(row);
        let height = window.len() as f32;
        let parts = shares.iter_mut().zip(gradient).zip(counts.iter());
        parts.for_each(|((share, gradient), width)| *share = gradient / (height * width));
        line.fill(0.0);
        for tap in 0..columns.kernel() {
            let (windows, first) = columns.inside(tap);
            if windows.is_empty() {
                continue;
            }
            let shares = &shares[windows];
            if columns.stride() == 1 {
                line[first..].iter_mut().zip(shares).for_each(|(sum, share)| *sum += share);
            } else {
                let places = line[first..].iter_mut().step_by(columns.stride());
                places.zip(shares).for_each(|(sum, share)| *sum += share);
            }
        }
        for row in window {
            let places = &mut target[row * columns.size()..][..columns.size()];
            places.iter_mut().zip(line.iter()).for_each(|(sum, value)| *sum += value);
        }
    }
}

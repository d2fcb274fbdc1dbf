//! Batch normalization with the statistics of the batch, a nonlinearity after it, and the backward pass
//! through both.
//!
//! A channel is read once to compute its statistics and again to compute its result. At the second read, most
//! of the channel is still in the cache.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::elementwise::curves::{Curve, with_curve};
use crate::shared::activation::Activation;
use crate::shared::memory::{Buffer, SharedMut};
use crate::simd::{InstructionSet, Kernel, Simd};

/// Batch normalization of a tensor `[batch, channels, ..]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Normalization {
    batch: usize,
    channels: usize,
    /// Number of values of one channel in one image.
    plane: usize,
    epsilon: f64,
    /// Nonlinearity that is applied to the normalized values.
    activation: Activation,
}

/// Output and statistics.
pub(crate) struct Normalized {
    pub(crate) output: Buffer,
    pub(crate) mean: Vec<f32>,
    pub(crate) variance: Vec<f32>,
}

/// Gradients of input, scale and shift.
pub(crate) struct Gradients {
    pub(crate) x: Buffer,
    pub(crate) scale: Vec<f32>,
    pub(crate) shift: Vec<f32>,
}

impl Normalization {
    /// `plane` is the number of values of one channel in one image.
    pub(crate) const fn new(
        [batch, channels, plane]: [usize; 3],
        epsilon: f64,
        activation: Activation,
    ) -> Self {
        Self { batch, channels, plane, epsilon, activation }
    }

    pub(crate) const fn channels(&self) -> usize {
        self.channels
    }

    pub(crate) fn forward(&self, set: InstructionSet, x: &[f32], scale: &[f32], shift: &[f32]) -> Normalized {
        self.check(x, [scale, shift]);
        let mut statistics = Vec::new();
        let fill = |output: &mut [MaybeUninit<f32>]| {
            let output = SharedMut::new(output.as_mut_ptr().cast());
            statistics = (0..self.channels)
                .into_par_iter()
                .map(|channel| {
                    let (scale, shift) = (scale[channel], shift[channel]);
                    set.run(Forward { norm: self, channel, x, scale, shift, output })
                })
                .collect();
        };
        // SAFETY: each task writes all values of its channel, and the channels cover the whole tensor.
        let output = unsafe { Buffer::filled(x.len(), fill) };
        let (mean, variance) = statistics.into_iter().unzip();
        Normalized { output, mean, variance }
    }

    pub(crate) fn backward(
        &self,
        set: InstructionSet,
        x: &[f32],
        [scale, shift]: [&[f32]; 2],
        [mean, variance]: [&[f32]; 2],
        gradient: &[f32],
    ) -> Gradients {
        self.check(x, [scale, shift]);
        self.check(gradient, [mean, variance]);
        let mut sums = Vec::new();
        let fill = |output: &mut [MaybeUninit<f32>]| {
            let output = SharedMut::new(output.as_mut_ptr().cast());
            sums = (0..self.channels)
                .into_par_iter()
                .map(|channel| {
                    let deviation = self.inverse_deviation(variance[channel]);
                    let (scale, shift, mean) = (scale[channel], shift[channel], mean[channel]);
                    set.run(Backward {
                        norm: self,
                        channel,
                        x,
                        gradient,
                        scale,
                        shift,
                        mean,
                        deviation,
                        output,
                    })
                })
                .collect();
        };
        // SAFETY: each task writes all values of its channel, and the channels cover the whole tensor.
        let x = unsafe { Buffer::filled(x.len(), fill) };
        let (scale, shift) = sums.into_iter().unzip();
        Gradients { x, scale, shift }
    }

    fn check(&self, values: &[f32], by_channel: [&[f32]; 2]) {
        assert_eq!(
            values.len(),
            self.batch * self.channels * self.plane,
            "a tensor has the shape of the normalization"
        );
        assert!(
            by_channel.iter().all(|values| values.len() == self.channels),
            "there is a value for each channel"
        );
    }

    /// The reciprocal of the standard deviation.
    fn inverse_deviation(&self, variance: f32) -> f32 {
        (1.0 / (f64::from(variance) + self.epsilon).sqrt()) as f32
    }

    /// Number of values in a channel.
    fn count(&self) -> f32 {
        (self.batch * self.plane) as f32
    }

    /// Index at which the channel begins in each image.
    fn starts(&self, channel: usize) -> impl Iterator<Item = usize> + use<> {
        (channel * self.plane..).step_by(self.channels * self.plane).take(self.batch)
    }
}

/// Normalizes one channel and returns its mean and variance.
struct Forward<'a> {
    norm: &'a Normalization,
    channel: usize,
    x: &'a [f32],
    scale: f32,
    shift: f32,
    output: SharedMut,
}

impl Kernel for Forward<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> (f32, f32) {
        with_curve!(self.norm.activation, C => self.with::<S, C>(simd))
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn with<S: Simd, C: Curve>(self, simd: S) -> (f32, f32) {
        let (norm, x, output) = (self.norm, self.x.as_ptr(), self.output.pointer());
        let whole = norm.plane - norm.plane % S::LANES;
        let rest = norm.plane - whole;
        let mut sum = simd.zero();
        // Compute a separate sum for each image, because a sum of partial sums has a smaller rounding error
        // than one long sum.
        for start in norm.starts(self.channel) {
            let mut part = simd.zero();
            // SAFETY: `plane` values begin at each start, as `check` verified.
            unsafe {
                for at in (0..whole).step_by(S::LANES) {
                    part = simd.add(part, simd.load(x.add(start + at)));
                }
                part = simd.add(part, simd.load_first(x.add(start + whole), rest));
            }
            sum = simd.add(sum, part);
        }
        let mean = simd.sum(sum) / norm.count();
        let means = simd.splat(mean);
        let mut sum = simd.zero();
        for start in norm.starts(self.channel) {
            let mut part = simd.zero();
            // SAFETY: `plane` values begin at each start.
            unsafe {
                for at in (0..whole).step_by(S::LANES) {
                    let centered = simd.sub(simd.load(x.add(start + at)), means);
                    part = simd.mul_add(centered, centered, part);
                }
                let centered = simd.sub(simd.load_first(x.add(start + whole), rest), means);
                // Lanes beyond the plane were read as zeros. Centering turns them into minus the mean, so
                // they must be excluded.
                let centered = simd.keep_first(centered, rest);
                part = simd.mul_add(centered, centered, part);
            }
            sum = simd.add(sum, part);
        }
        let variance = simd.sum(sum) / norm.count();
        let factor = simd.splat(self.scale * norm.inverse_deviation(variance));
        let shift = simd.splat(self.shift);
        for start in norm.starts(self.channel) {
            // SAFETY: `plane` values begin at each start. The output has the same shape, and no other thread
            // writes this channel.
            unsafe {
                for at in (0..whole).step_by(S::LANES) {
                    let centered = simd.sub(simd.load(x.add(start + at)), means);
                    let value = simd.mul_add(centered, factor, shift);
                    simd.store(output.add(start + at), C::value(simd, value));
                }
                let centered = simd.sub(simd.load_first(x.add(start + whole), rest), means);
                let value = simd.mul_add(centered, factor, shift);
                simd.store_first(output.add(start + whole), C::value(simd, value), rest);
            }
        }
        (mean, variance)
    }
}

/// Writes the gradient of one channel's input, and returns the gradients of the channel's scale and shift.
struct Backward<'a> {
    norm: &'a Normalization,
    channel: usize,
    x: &'a [f32],
    gradient: &'a [f32],
    scale: f32,
    shift: f32,
    mean: f32,
    /// The reciprocal of the standard deviation.
    deviation: f32,
    output: SharedMut,
}

impl Kernel for Backward<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> (f32, f32) {
        with_curve!(self.norm.activation, C => self.with::<S, C>(simd))
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn with<S: Simd, C: Curve>(self, simd: S) -> (f32, f32) {
        let norm = self.norm;
        let (x, gradient, output) = (self.x.as_ptr(), self.gradient.as_ptr(), self.output.pointer());
        let whole = norm.plane - norm.plane % S::LANES;
        let rest = norm.plane - whole;
        let means = simd.splat(self.mean);
        let (factor, shift) = (simd.splat(self.scale * self.deviation), simd.splat(self.shift));
        let (mut sum, mut product) = (simd.zero(), simd.zero());
        for start in norm.starts(self.channel) {
            let (mut part, mut part_product) = (simd.zero(), simd.zero());
            // SAFETY: `plane` values begin at each start, in input and gradient, as `check` verified.
            unsafe {
                for at in (0..whole).step_by(S::LANES) {
                    let centered = simd.sub(simd.load(x.add(start + at)), means);
                    let value = simd.load(gradient.add(start + at));
                    let value = C::slope(simd, simd.mul_add(centered, factor, shift), value);
                    part = simd.add(part, value);
                    part_product = simd.mul_add(value, centered, part_product);
                }
                let centered = simd.sub(simd.load_first(x.add(start + whole), rest), means);
                let value = simd.load_first(gradient.add(start + whole), rest);
                let value = C::slope(simd, simd.mul_add(centered, factor, shift), value);
                part = simd.add(part, value);
                part_product = simd.mul_add(value, centered, part_product);
            }
            sum = simd.add(sum, part);
            product = simd.add(product, part_product);
        }
        let shift_gradient = simd.sum(sum);
        let scale_gradient = simd.sum(product) * self.deviation;
        let count = norm.count();
        let slope = simd.splat(-self.scale * self.deviation * self.deviation * scale_gradient / count);
        let level = simd.splat(-self.scale * self.deviation * shift_gradient / count);
        for start in norm.starts(self.channel) {
            // SAFETY: `plane` values begin at each start. The output has the same shape, and no other thread
            // writes this channel.
            unsafe {
                for at in (0..whole).step_by(S::LANES) {
                    let centered = simd.sub(simd.load(x.add(start + at)), means);
                    let value = simd.load(gradient.add(start + at));
                    let value = C::slope(simd, simd.mul_add(centered, factor, shift), value);
                    let result = simd.mul_add(value, factor, simd.mul_add(centered, slope, level));
                    simd.store(output.add(start + at), result);
                }
                let centered = simd.sub(simd.load_first(x.add(start + whole), rest), means);
                let value = simd.load_first(gradient.add(start + whole), rest);
                let value = C::slope(simd, simd.mul_add(centered, factor, shift), value);
                let result = simd.mul_add(value, factor, simd.mul_add(centered, slope, level));
                simd.store_first(output.add(start + whole), result, rest);
            }
        }
        (scale_gradient, shift_gradient)
    }
}

//! Convolution forward and backward, with dense or depthwise kernels.

use rayon::prelude::*;

use crate::convolution::batch::Images;
use crate::dense::correlate::{correlate, correlate_into};
use crate::dense::correlation::Correlation;
use crate::dense::weight_gradient as dense_gradient;
use crate::depthwise::plan as depthwise;
use crate::depthwise::weight_gradient as depthwise_gradient;
use crate::planes::geometry::{Axis, Geometry};
use crate::shared::activation::Activation;
use crate::shared::memory::Buffer;
use crate::shared::weight_slice::WeightValues;
use crate::simd::{InstructionSet, Kernel, Simd};

/// A convolution for any number of images: its plan, and its weight in the order in which the kernels read
/// it.
#[derive(Debug)]
pub(crate) struct Prepared {
    set: InstructionSet,
    plan: Plan,
    weights: Vec<f32>,
}

#[derive(Debug)]
enum Plan {
    Dense(Correlation),
    Depthwise(depthwise::Plan),
}

impl Prepared {
    pub(crate) fn new(set: InstructionSet, geometry: &Geometry, weight: WeightValues<'_>) -> Self {
        if geometry.is_depthwise() {
            let plan = depthwise::forward(geometry);
            return Self { set, weights: plan.pack_weights(set, weight), plan: Plan::Depthwise(plan) };
        }
        let flat = geometry.flattened();
        let channels = [flat.in_group(), flat.out_group()];
        let axes = [&flat.rows(), &flat.columns()];
        let plan = Correlation::new(flat.groups(), channels, axes, flat.is_pointwise());
        let weights = plan.pack_weights(set, |group, output, input, tap| {
            weight.get(group * flat.out_group() + output, input, tap)
        });
        Self { set, weights, plan: Plan::Dense(plan) }
    }

    /// The instruction set that the weight was packed for.
    pub(crate) const fn set(&self) -> InstructionSet {
        self.set
    }

    /// Computes the output, `[batch, out_channels, ..]`.
    pub(crate) fn run(&self, x: &[f32], bias: Option<&[f32]>, activation: Activation) -> Buffer {
        match &self.plan {
            Plan::Dense(plan) => correlate(plan, self.set, x, &self.weights, bias, activation),
            Plan::Depthwise(plan) => plan.run(self.set, x, &self.weights, bias, activation),
        }
    }
}

/// Computes the input's gradient from the output's gradient.
pub(crate) fn input_gradient(
    set: InstructionSet,
    geometry: &Geometry,
    weight: WeightValues<'_>,
    gradient: &[f32],
) -> Buffer {
    if geometry.is_depthwise() {
        let plan = depthwise::backward(geometry);
        return plan.run(set, gradient, &plan.pack_weights(set, weight), None, Activation::Identity);
    }
    let (plan, packed) = backward(set, geometry, weight);
    correlate(&plan, set, gradient, &packed, None, Activation::Identity)
}

/// Computes the weight's gradient and passes each value to `add`, with output channel, input channel within
/// the group, and row and column of the kernel. `x` is the input, and `gradient` is the output's gradient.
pub(crate) fn weight_gradient(
    set: InstructionSet,
    geometry: &Geometry,
    x: &[f32],
    gradient: &[f32],
    add: impl FnMut(usize, usize, [usize; 2], f32),
) {
    let images = Images::new(geometry.batch(), x, gradient);
    if geometry.is_depthwise() {
        let sums = depthwise_gradient::Plan::new(set, geometry);
        let total = images.sums(sums.sums(), |x, gradient, to| sums.add(x, gradient, to));
        sums.visit(total.values(), add);
    } else {
        let sums = dense_gradient::Plan::new(set, geometry);
        let total = images.sums(sums.sums(), |x, gradient, to| sums.add(x, gradient, to));
        sums.visit(total.values(), add);
    }
}

/// Computes the gradients of input and weight in one pass over the batch. They are bitwise equal to the
/// results of [`input_gradient`] and [`weight_gradient`].
pub(crate) fn gradients(
    set: InstructionSet,
    geometry: &Geometry,
    x: &[f32],
    weight: WeightValues<'_>,
    gradient: &[f32],
    add: impl FnMut(usize, usize, [usize; 2], f32),
) -> Buffer {
    let images = Images::new(geometry.batch(), x, gradient);
    let nothing = Activation::Identity;
    if geometry.is_depthwise() {
        let plan = depthwise::backward(geometry);
        let (packed, sums) = (plan.pack_weights(set, weight), depthwise_gradient::Plan::new(set, geometry));
        let add_images = |x: &[f32], gradient: &[f32], to: &mut [f32]| sums.add(x, gradient, to);
        // SAFETY: `planes` writes all of its target.
        let [written, total] = unsafe {
            images.sums_and(sums.sums(), add_images, |gradient, target| {
                plan.planes(set, 0, gradient, &packed, None, nothing, target);
            })
        };
        sums.visit(total.values(), add);
        return written;
    }
    let (plan, packed) = backward(set, geometry, weight);
    let sums = dense_gradient::Plan::new(set, geometry);
    let add_images = |x: &[f32], gradient: &[f32], to: &mut [f32]| sums.add(x, gradient, to);
    // SAFETY: `correlate_into` writes all of its target.
    let [written, total] = unsafe {
        images.sums_and(sums.sums(), add_images, |gradient, target| {
            correlate_into(&plan, set, gradient, &packed, None, nothing, target);
        })
    };
    sums.visit(total.values(), add);
    written
}

/// The correlation that computes the input's gradient, with its packed weights.
fn backward(set: InstructionSet, geometry: &Geometry, weight: WeightValues<'_>) -> (Correlation, Vec<f32>) {
    let flat = geometry.flattened();
    let channels = [flat.out_group(), flat.in_group()];
    let axes = [&Axis::backward(&flat, 0), &Axis::backward(&flat, 1)];
    let plan = Correlation::new(flat.groups(), channels, axes, flat.is_pointwise());
    let packed = plan.pack_weights(set, |group, input, output, tap| {
        weight.get(group * flat.out_group() + output, input, tap)
    });
    (plan, packed)
}

/// Computes the bias's gradient from the output's gradient.
pub(crate) fn bias_gradient(set: InstructionSet, geometry: &Geometry, gradient: &[f32]) -> Vec<f32> {
    let (channels, plane) = (geometry.out_channels(), geometry.output().iter().product());
    (0..channels)
        .into_par_iter()
        .map(|channel| {
            let planes = gradient.chunks_exact(plane).skip(channel).step_by(channels);
            planes.map(|plane| f64::from(set.run(Sum(plane)))).sum::<f64>() as f32
        })
        .collect()
}

/// Sums the values of a slice.
struct Sum<'a>(&'a [f32]);

impl Kernel for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let vectors = self.0.chunks_exact(S::LANES);
        let rest = vectors.remainder();
        let mut sum = simd.zero();
        for vector in vectors {
            // SAFETY: an exact chunk contains `LANES` floats.
            sum = simd.add(sum, unsafe { simd.load(vector.as_ptr()) });
        }
        // SAFETY: the remainder contains `rest.len()` floats, fewer than `LANES`.
        let rest = unsafe { simd.load_first(rest.as_ptr(), rest.len()) };
        simd.sum(simd.add(sum, rest))
    }
}

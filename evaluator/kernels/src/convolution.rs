//! Dense convolution and its gradients, in terms of correlations.

use rayon::prelude::*;

use crate::correlation::Correlation;
use crate::depthwise;
use crate::geometry::{Axis, Geometry};
use crate::instruction_set::InstructionSet;
use crate::memory::Buffer;
use crate::simd::{Kernel, Simd};
use crate::weight_gradient;

/// The output, `[batch, out_channels, ..]`.
pub(crate) fn forward(
    set: InstructionSet,
    geometry: &Geometry,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Buffer {
    if geometry.is_depthwise() {
        return depthwise::forward(set, geometry, x, weight, bias);
    }
    let pointwise = geometry.is_pointwise();
    let flat = geometry.flattened();
    let channels = [flat.in_group(), flat.out_group()];
    let plan = Correlation::new(flat.batch, flat.groups, channels, [flat.rows(), flat.columns()], pointwise);
    let packed = plan.pack_weights(set, |group, output, input, tap| {
        weight[weight_index(&flat, group * flat.out_group() + output, input, tap)]
    });
    plan.run(set, x, &packed, bias)
}

/// The gradient of the input, given that of the output.
pub(crate) fn input_gradient(
    set: InstructionSet,
    geometry: &Geometry,
    weight: &[f32],
    gradient: &[f32],
) -> Buffer {
    if geometry.is_depthwise() {
        return depthwise::input_gradient(set, geometry, weight, gradient);
    }
    let pointwise = geometry.is_pointwise();
    let flat = geometry.flattened();
    let channels = [flat.out_group(), flat.in_group()];
    let axes = [Axis::backward(&flat, 0), Axis::backward(&flat, 1)];
    let plan = Correlation::new(flat.batch, flat.groups, channels, axes, pointwise);
    let packed = plan.pack_weights(set, |group, input, output, tap| {
        weight[weight_index(&flat, group * flat.out_group() + output, input, tap)]
    });
    plan.run(set, gradient, &packed, None)
}

/// The gradient of the weight, given the input and the gradient of the output.
pub(crate) fn weight_gradient(
    set: InstructionSet,
    geometry: &Geometry,
    x: &[f32],
    gradient: &[f32],
) -> Vec<f32> {
    if geometry.is_depthwise() {
        return depthwise::weight_gradient(set, geometry, x, gradient);
    }
    weight_gradient::run(set, geometry, x, gradient)
}

/// The gradient of the bias, given that of the output.
pub(crate) fn bias_gradient(set: InstructionSet, geometry: &Geometry, gradient: &[f32]) -> Vec<f32> {
    let (channels, plane) = (geometry.out_channels, geometry.output[0] * geometry.output[1]);
    (0..channels)
        .into_par_iter()
        .map(|channel| {
            let planes = gradient.chunks_exact(plane).skip(channel).step_by(channels);
            planes.map(|plane| f64::from(set.run(Sum(plane)))).sum::<f64>() as f32
        })
        .collect()
}

fn weight_index(geometry: &Geometry, output: usize, input: usize, [row, column]: [usize; 2]) -> usize {
    ((output * geometry.in_group() + input) * geometry.kernel[0] + row) * geometry.kernel[1] + column
}

/// The sum of a slice.
struct Sum<'a>(&'a [f32]);

impl Kernel for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let vectors = self.0.chunks_exact(S::LANES);
        let rest = vectors.remainder();
        let mut sum = simd.zero();
        for vector in vectors {
            // SAFETY: an exact chunk holds `LANES` floats.
            sum = simd.add(sum, unsafe { simd.load(vector.as_ptr()) });
        }
        // SAFETY: the remainder holds `rest.len()` floats, fewer than `LANES`.
        let rest = unsafe { simd.load_first(rest.as_ptr(), rest.len()) };
        simd.sum(simd.add(sum, rest))
    }
}

//! Dense convolution and its gradients, in terms of correlations.

use rayon::prelude::*;

use crate::correlation::Correlation;
use crate::epilogue::Epilogue;
use crate::geometry::{Axis, Geometry};
use crate::instruction_set::InstructionSet;
use crate::memory::Buffer;
use crate::simd::{Kernel, Simd};
use crate::weight_gradient;
use crate::weight_slice::WeightValues;
use crate::{depthwise, depthwise_gradient};

/// The output, `[batch, out_channels, ..]`.
pub(crate) fn forward(
    set: InstructionSet,
    geometry: &Geometry,
    x: &[f32],
    weight: WeightValues<'_>,
    bias: Option<&[f32]>,
    epilogue: Epilogue,
) -> Buffer {
    if geometry.is_depthwise() {
        return depthwise::forward(set, geometry, x, weight, bias, epilogue);
    }
    let flat = geometry.flattened();
    let channels = [flat.in_group(), flat.out_group()];
    let axes = [&flat.rows(), &flat.columns()];
    let plan = Correlation::new(flat.batch, flat.groups, channels, axes, flat.is_pointwise());
    let packed = plan.pack_weights(set, |group, output, input, tap| {
        weight.get(group * flat.out_group() + output, input, tap)
    });
    plan.run(set, x, &packed, bias, epilogue)
}

/// The gradient of the input, given that of the output.
pub(crate) fn input_gradient(
    set: InstructionSet,
    geometry: &Geometry,
    weight: WeightValues<'_>,
    gradient: &[f32],
) -> Buffer {
    if geometry.is_depthwise() {
        return depthwise::input_gradient(set, geometry, weight, gradient);
    }
    let flat = geometry.flattened();
    let channels = [flat.out_group(), flat.in_group()];
    let axes = [&Axis::backward(&flat, 0), &Axis::backward(&flat, 1)];
    let plan = Correlation::new(flat.batch, flat.groups, channels, axes, flat.is_pointwise());
    let packed = plan.pack_weights(set, |group, input, output, tap| {
        weight.get(group * flat.out_group() + output, input, tap)
    });
    plan.run(set, gradient, &packed, None, Epilogue::Nothing)
}

/// Gives `add` the gradient of each weight, given the input and the gradient of the output: output channel, input
/// channel within the group, row and column of the kernel, value.
pub(crate) fn weight_gradient(
    set: InstructionSet,
    geometry: &Geometry,
    x: &[f32],
    gradient: &[f32],
    add: impl FnMut(usize, usize, [usize; 2], f32),
) {
    if geometry.is_depthwise() {
        depthwise_gradient::run(set, geometry, x, gradient, add);
    } else {
        weight_gradient::run(set, geometry, x, gradient, add);
    }
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

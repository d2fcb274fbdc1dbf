//! The gradient of a dense convolution's weight: products of shifted input planes and planes of the output's gradient.
//!
//! The batch is cut into chunks that depend on the shapes alone; the sums of the chunks are added in order, so that
//! the result is the same for any number of threads.

use rayon::prelude::*;

use crate::correlation::images_together;
use crate::geometry::{Axis, Geometry};
use crate::instruction_set::InstructionSet;
use crate::memory::with_scratch;
use crate::packing::{Packing, span};
use crate::simd::{Kernel, Simd};

/// Chunks of the batch at most.
const CHUNKS: usize = 16;

/// Floats that the sums of all chunks may take.
const SUMS: usize = 4 << 20;

/// Weights of a channel that are summed together.
const K: usize = 3;

/// Floats of images that are read together where they lie.
const TARGET: usize = 64 * 1024;

pub(crate) fn run(set: InstructionSet, geometry: &Geometry, x: &[f32], gradient: &[f32]) -> Vec<f32> {
    let plan = Plan::new(geometry);
    let geometry = &plan.geometry;
    let x_image = geometry.in_channels * geometry.input[0] * geometry.input[1];
    let gradient_image = geometry.out_channels * geometry.output[0] * geometry.output[1];
    assert_eq!(x.len(), geometry.batch * x_image, "an input has the shape that was planned for");
    assert_eq!(gradient.len(), geometry.batch * gradient_image, "a gradient has the shape of the output");
    let weights = geometry.out_channels * plan.offsets.len();
    let chunks = CHUNKS.min(SUMS / weights).max(1);
    let images = geometry.batch.div_ceil(chunks).next_multiple_of(plan.images);
    let sums: Vec<Vec<f32>> = x
        .par_chunks(images * x_image)
        .zip(gradient.par_chunks(images * gradient_image))
        .map(|(x, gradient)| {
            let mut sums = vec![0.0; weights];
            with_scratch(plan.scratch(), |scratch| {
                let groups =
                    x.chunks(plan.images * x_image).zip(gradient.chunks(plan.images * gradient_image));
                for (x, gradient) in groups {
                    let images = x.len() / x_image;
                    set.run(Task { plan: &plan, x, gradient, scratch, sums: &mut sums, images });
                }
            });
            sums
        })
        .collect();
    let mut sums = sums.into_iter();
    let mut total = sums.next().expect("a batch has images");
    for chunk in sums {
        for (total, value) in total.iter_mut().zip(chunk) {
            *total += value;
        }
    }
    total
}

/// What is the same for all images.
struct Plan {
    geometry: Geometry,
    rows: Axis,
    columns: Axis,
    images: usize,
    /// The input, and the output's gradient at the places of the output.
    input: Packing,
    output: Packing,
    /// Where each weight of an output channel finds the input, channel by channel, tap by tap.
    offsets: Vec<usize>,
    /// Whether images are read where they lie.
    direct: bool,
}

impl Plan {
    fn new(geometry: &Geometry) -> Self {
        let pointwise = geometry.is_pointwise();
        let geometry = geometry.flattened();
        let (rows, columns) = (geometry.rows(), geometry.columns());
        let channels = geometry.in_group() + geometry.out_group();
        let pixels = geometry.input[1];
        let direct = pointwise && (pixels >= 48 || pixels.is_multiple_of(16));
        let images = if direct {
            (TARGET / (pixels * channels)).clamp(1, geometry.batch.div_ceil(CHUNKS))
        } else {
            images_together(&rows, &columns, channels, geometry.batch)
        };
        let (input, output) =
            (Packing::read(&rows, &columns, images), Packing::written(&rows, &columns, images));
        let (taps, channel_len) = if direct {
            (vec![0], pixels)
        } else {
            (input.phases(&rows, &columns).remove(0).offsets, input.channel_len())
        };
        let channel = |channel: usize| taps.iter().map(move |offset| channel * channel_len + offset);
        let offsets = (0..geometry.in_group()).flat_map(channel).collect();
        Self { geometry, rows, columns, images, input, output, offsets, direct }
    }

    fn scratch(&self) -> usize {
        if self.direct {
            return 0;
        }
        self.geometry.in_group() * self.input.channel_len()
            + self.geometry.out_group() * self.output.channel_len()
    }
}

/// Images that are read together.
struct Task<'a> {
    plan: &'a Plan,
    x: &'a [f32],
    gradient: &'a [f32],
    scratch: &'a mut [f32],
    /// What the gradient is added to.
    sums: &'a mut [f32],
    images: usize,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // Eight rows of sums fill the registers of AVX-512; where half of the last eight would be idle, take four.
        let channels = self.plan.geometry.out_group();
        let eight = S::LANES == 16 && (channels > 12 || channels.div_ceil(4).is_multiple_of(2));
        if eight { self.with_tiles::<S, 8>(simd) } else { self.with_tiles::<S, 4>(simd) }
    }
}

impl Task<'_> {
    /// Goes through tiles of `R` output channels and `K` weights of each.
    #[inline(always)]
    fn with_tiles<S: Simd, const R: usize>(self, simd: S) {
        let Self { plan, x, gradient, scratch, sums, images } = self;
        let geometry = &plan.geometry;
        let (x_plane, gradient_plane) =
            (geometry.input[0] * geometry.input[1], geometry.output[0] * geometry.output[1]);
        let (x_image, gradient_image) =
            (geometry.in_channels * x_plane, geometry.out_channels * gradient_plane);
        let (in_group, out_group) = (geometry.in_group(), geometry.out_group());
        let weights = plan.offsets.len();
        let packed_x = if plan.direct { 0 } else { in_group * plan.input.channel_len() };
        let (packed_x, packed_gradient) = scratch.split_at_mut(packed_x);
        for group in 0..geometry.groups {
            // SAFETY: `run` checked the lengths of input and gradient against the plan and lends the scratch that it
            // asks for. Packed planes are zero wherever the output has no pixel, up to the span rounded up to a
            // vector, and offsets stay inside them; what is read directly is read to the end of the image only.
            unsafe {
                let x = x.as_ptr().add(group * in_group * x_plane);
                let gradient = gradient.as_ptr().add(group * out_group * gradient_plane);
                let products = if plan.direct {
                    Products {
                        x,
                        gradient,
                        gradient_stride: gradient_plane,
                        positions: x_plane,
                        repeats: images,
                        x_repeat: x_image,
                        gradient_repeat: gradient_image,
                    }
                } else {
                    for channel in 0..in_group {
                        let plane = packed_x.as_mut_ptr().add(channel * plan.input.channel_len());
                        plan.input.pack(simd, x.add(channel * x_plane), x_image, images, plane);
                    }
                    for channel in 0..out_group {
                        let plane = packed_gradient.as_mut_ptr().add(channel * plan.output.channel_len());
                        let source = gradient.add(channel * gradient_plane);
                        plan.output.pack(simd, source, gradient_image, images, plane);
                    }
                    Products {
                        x: packed_x.as_ptr(),
                        gradient: packed_gradient.as_ptr(),
                        gradient_stride: plan.output.channel_len(),
                        positions: span(&plan.rows, &plan.columns, images).next_multiple_of(S::LANES),
                        repeats: 1,
                        x_repeat: 0,
                        gradient_repeat: 0,
                    }
                };
                for offsets in (0..weights).step_by(K) {
                    for first in (0..out_group).step_by(R) {
                        let used = K.min(weights - offsets);
                        let rows = R.min(out_group - first);
                        let used_offsets = &plan.offsets[offsets..offsets + used];
                        let tile = products.tile::<S, R>(simd, used_offsets, first, rows);
                        for (row, values) in tile.iter().enumerate().take(rows) {
                            let start = (group * out_group + first + row) * weights + offsets;
                            for (sum, value) in sums[start..start + used].iter_mut().zip(values) {
                                *sum += value;
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Planes whose products are summed.
struct Products {
    x: *const f32,
    gradient: *const f32,
    /// From one output channel to the next.
    gradient_stride: usize,
    /// Positions in a plane, and how often planes follow at which distance.
    positions: usize,
    repeats: usize,
    x_repeat: usize,
    gradient_repeat: usize,
}

impl Products {
    /// Sums for `rows <= R` output channels from `first` on, and at most `K` offsets.
    ///
    /// # Safety
    /// Both planes can be read at `positions` positions, the input from each offset on.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize>(
        &self,
        simd: S,
        offsets: &[usize],
        first: usize,
        rows: usize,
    ) -> [[f32; K]; R] {
        let mut sums = [[simd.zero(); K]; R];
        // A tile beyond the last row or offset computes the last one again, which the caller leaves out.
        let mut row_starts = [0; R];
        for (row, start) in row_starts.iter_mut().enumerate() {
            *start = (first + row.min(rows - 1)) * self.gradient_stride;
        }
        let mut starts = [0; K];
        for (index, start) in starts.iter_mut().enumerate() {
            *start = offsets[index.min(offsets.len() - 1)];
        }
        let whole = self.positions - self.positions % S::LANES;
        let rest = self.positions - whole;
        for repeat in 0..self.repeats {
            // SAFETY: the caller answers for all positions.
            unsafe {
                let x = self.x.add(repeat * self.x_repeat);
                let gradient = self.gradient.add(repeat * self.gradient_repeat);
                let mut at = 0;
                while at < whole {
                    let mut values = [simd.zero(); K];
                    for (value, start) in values.iter_mut().zip(starts) {
                        *value = simd.load(x.add(start + at));
                    }
                    for (sums, start) in sums.iter_mut().zip(row_starts) {
                        let gradient = simd.load(gradient.add(start + at));
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = simd.mul_add(gradient, value, *sum);
                        }
                    }
                    at += S::LANES;
                }
                if rest > 0 {
                    let mut values = [simd.zero(); K];
                    for (value, start) in values.iter_mut().zip(starts) {
                        *value = simd.load_first(x.add(start + whole), rest);
                    }
                    for (sums, start) in sums.iter_mut().zip(row_starts) {
                        let gradient = simd.load_first(gradient.add(start + whole), rest);
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = simd.mul_add(gradient, value, *sum);
                        }
                    }
                }
            }
        }
        let mut totals = [[0.0; K]; R];
        for (totals, sums) in totals.iter_mut().zip(sums) {
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = simd.sum(sum);
            }
        }
        totals
    }
}

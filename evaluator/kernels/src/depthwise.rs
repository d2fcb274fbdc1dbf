//! Depthwise convolution, one filter a channel, and its gradients.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::geometry::{Axis, Geometry};
use crate::instruction_set::InstructionSet;
use crate::memory::{Buffer, with_scratch};
use crate::packing::{Packing, Phase, Unpacking, span};
use crate::simd::{Kernel, Simd};

/// Floats of planes that a task aims at.
const TASK: usize = 32 * 1024;

/// Taps whose sums stay in registers while a plane is read.
const TAPS: usize = 9;

pub(crate) fn forward(
    set: InstructionSet,
    geometry: &Geometry,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Buffer {
    correlate(set, geometry, [geometry.rows(), geometry.columns()], x, weight, bias)
}

pub(crate) fn input_gradient(
    set: InstructionSet,
    geometry: &Geometry,
    weight: &[f32],
    gradient: &[f32],
) -> Buffer {
    let axes = [Axis::backward(geometry, 0), Axis::backward(geometry, 1)];
    correlate(set, geometry, axes, gradient, weight, None)
}

/// Sums the shifted planes of each channel, weighted.
fn correlate(
    set: InstructionSet,
    geometry: &Geometry,
    [rows, columns]: [Axis; 2],
    source: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Buffer {
    let channels = geometry.in_channels;
    let packing = Packing::read(&rows, &columns, 1);
    let phases = packing.phases(&rows, &columns);
    let kernel = geometry.kernel[0] * geometry.kernel[1];
    let weights: Vec<f32> = (0..channels)
        .flat_map(|channel| phases.iter().flat_map(|phase| &phase.taps).map(move |tap| (channel, tap)))
        .map(|(channel, [row, column])| weight[channel * kernel + row * geometry.kernel[1] + column])
        .collect();
    let taps = weights.len() / channels;
    let positions = span(&rows, &columns, 1);
    let unpacking = Unpacking::new(&rows, &columns);
    let (source_plane, target_plane) = (rows.read * columns.read, rows.written * columns.written);
    let planes = geometry.batch * channels;
    assert_eq!(source.len(), planes * source_plane, "an input has the shape that was planned for");
    assert!(bias.is_none_or(|bias| bias.len() == channels), "there is a bias for each channel");
    let together = (TASK / source_plane.max(target_plane)).max(1);
    let fill = |target: &mut [MaybeUninit<f32>]| {
        let tasks =
            target.par_chunks_mut(together * target_plane).zip(source.par_chunks(together * source_plane));
        tasks.enumerate().for_each(|(task, (target, source))| {
            let line = positions.next_multiple_of(16) + 16;
            with_scratch(packing.channel_len() + line, |scratch| {
                let targets = target.chunks_exact_mut(target_plane);
                for (index, (target, source)) in targets.zip(source.chunks_exact(source_plane)).enumerate() {
                    let channel = (task * together + index) % channels;
                    let start = bias.map_or(0.0, |bias| bias[channel]);
                    let weights = &weights[channel * taps..(channel + 1) * taps];
                    let (packing, phases, unpacking) = (&packing, &phases, &unpacking);
                    set.run(Plane {
                        packing,
                        phases,
                        unpacking,
                        positions,
                        source,
                        weights,
                        start,
                        target,
                        scratch,
                    });
                }
            });
        });
    };
    // SAFETY: the tasks cover all planes, and the phases all pixels of a plane.
    unsafe { Buffer::filled(planes * target_plane, fill) }
}

/// One channel of one image.
struct Plane<'a> {
    packing: &'a Packing,
    phases: &'a [Phase],
    unpacking: &'a Unpacking,
    positions: usize,
    source: &'a [f32],
    /// Those of the channel, by phase and tap.
    weights: &'a [f32],
    start: f32,
    target: &'a mut [MaybeUninit<f32>],
    scratch: &'a mut [f32],
}

impl Kernel for Plane<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (packed, line) = self.scratch.split_at_mut(self.packing.channel_len());
        let target = self.target.as_mut_ptr().cast::<f32>();
        // SAFETY: source and target are whole planes of the shapes that packing and unpacking were made for, the
        // scratch holds both, and offsets stay inside the packed planes for all positions rounded up to a vector.
        unsafe {
            self.packing.pack(simd, self.source.as_ptr(), 0, 1, packed.as_mut_ptr());
            let mut weights = self.weights;
            for phase in self.phases {
                let (now, later) = weights.split_at(phase.offsets.len());
                weights = later;
                let vectors = self.positions.div_ceil(S::LANES);
                let tiles = vectors.div_ceil(4);
                let mut vector = 0;
                for tile in 0..tiles {
                    let width = vectors / tiles + usize::from(tile < vectors % tiles);
                    let (from, to) =
                        (packed.as_ptr().add(vector * S::LANES), line.as_mut_ptr().add(vector * S::LANES));
                    match width {
                        1 => sum_taps::<S, 1>(simd, from, &phase.offsets, now, self.start, to),
                        2 => sum_taps::<S, 2>(simd, from, &phase.offsets, now, self.start, to),
                        3 => sum_taps::<S, 3>(simd, from, &phase.offsets, now, self.start, to),
                        _ => sum_taps::<S, 4>(simd, from, &phase.offsets, now, self.start, to),
                    }
                    vector += width;
                }
                self.unpacking.unpack(simd, line.as_ptr(), phase.place, target, 0, 1);
            }
        }
    }
}

/// Writes `V` vectors of `start` plus the weighted values at the offsets.
///
/// # Safety
/// `V` vectors can be read at each offset and written at `to`.
#[inline(always)]
unsafe fn sum_taps<S: Simd, const V: usize>(
    simd: S,
    from: *const f32,
    offsets: &[usize],
    weights: &[f32],
    start: f32,
    to: *mut f32,
) {
    let mut sums = [simd.splat(start); V];
    // SAFETY: the caller answers for both sides.
    unsafe {
        for (offset, weight) in offsets.iter().zip(weights) {
            let weight = simd.splat(*weight);
            let from = from.add(*offset);
            for (vector, sum) in sums.iter_mut().enumerate() {
                *sum = simd.mul_add(weight, simd.load(from.add(vector * S::LANES)), *sum);
            }
        }
        for (vector, sum) in sums.iter().enumerate() {
            simd.store(to.add(vector * S::LANES), *sum);
        }
    }
}

/// The gradient of the weight; each channel adds the images of the batch in order.
pub(crate) fn weight_gradient(
    set: InstructionSet,
    geometry: &Geometry,
    x: &[f32],
    gradient: &[f32],
) -> Vec<f32> {
    let (rows, columns) = (geometry.rows(), geometry.columns());
    let (input, output) = (Packing::read(&rows, &columns, 1), Packing::written(&rows, &columns, 1));
    let phase = input.phases(&rows, &columns).remove(0);
    let positions = span(&rows, &columns, 1);
    let channels = geometry.in_channels;
    let planes = geometry.batch * channels;
    assert_eq!(x.len(), planes * rows.read * columns.read, "an input has the shape that was planned for");
    assert_eq!(
        gradient.len(),
        planes * rows.written * columns.written,
        "a gradient has the shape of the output"
    );
    let sums: Vec<Vec<f32>> = (0..channels)
        .into_par_iter()
        .map(|channel| {
            let taps = phase.offsets.len();
            with_scratch(input.channel_len() + output.channel_len() + taps * 16, |scratch| {
                let (input, output, offsets) = (&input, &output, &phase.offsets);
                let planes = [rows.read * columns.read, rows.written * columns.written];
                set.run(Products {
                    input,
                    output,
                    offsets,
                    positions,
                    planes,
                    channels,
                    channel,
                    x,
                    gradient,
                    scratch,
                })
            })
        })
        .collect();
    sums.concat()
}

/// The products of one channel of all images.
struct Products<'a> {
    input: &'a Packing,
    output: &'a Packing,
    offsets: &'a [usize],
    positions: usize,
    /// Pixels of input and output.
    planes: [usize; 2],
    channels: usize,
    channel: usize,
    x: &'a [f32],
    gradient: &'a [f32],
    scratch: &'a mut [f32],
}

impl Kernel for Products<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<f32> {
        let (x, rest) = self.scratch.split_at_mut(self.input.channel_len());
        let (gradient, sums) = rest.split_at_mut(self.output.channel_len());
        sums.fill(0.0);
        let taps = self.offsets.len();
        let planes = self.x.chunks_exact(self.planes[0]).zip(self.gradient.chunks_exact(self.planes[1]));
        for (x_plane, gradient_plane) in planes.skip(self.channel).step_by(self.channels) {
            // SAFETY: both planes have the shapes that the packings were made for, and the scratch holds both. Packed
            // planes are zero wherever the output has no pixel, and offsets stay inside for all positions rounded up
            // to a vector. `sums` holds a vector for each tap.
            unsafe {
                self.input.pack(simd, x_plane.as_ptr(), 0, 1, x.as_mut_ptr());
                self.output.pack(simd, gradient_plane.as_ptr(), 0, 1, gradient.as_mut_ptr());
                for first in (0..taps).step_by(TAPS) {
                    let mut values = [simd.zero(); TAPS];
                    let mut starts = [0; TAPS];
                    for (tap, start) in starts.iter_mut().enumerate() {
                        *start = self.offsets[(first + tap).min(taps - 1)];
                    }
                    let mut at = 0;
                    while at < self.positions {
                        let gradient = simd.load(gradient.as_ptr().add(at));
                        for (value, start) in values.iter_mut().zip(starts) {
                            *value = simd.mul_add(gradient, simd.load(x.as_ptr().add(start + at)), *value);
                        }
                        at += S::LANES;
                    }
                    for (tap, value) in values.into_iter().enumerate().take(taps - first) {
                        let sum = sums.as_mut_ptr().add((first + tap) * S::LANES);
                        simd.store(sum, simd.add(simd.load(sum), value));
                    }
                }
            }
        }
        // SAFETY: `sums` holds a vector for each tap.
        (0..taps).map(|tap| simd.sum(unsafe { simd.load(sums.as_ptr().add(tap * S::LANES)) })).collect()
    }
}

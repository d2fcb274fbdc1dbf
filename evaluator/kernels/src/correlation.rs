//! Dense correlation: each written channel is a weighted sum of shifted planes of the channels read.
//!
//! Forward convolution and the gradient of its input are both of this form; `convolution` says which weights and
//! axes they have.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::geometry::Axis;
use crate::instruction_set::InstructionSet;
use crate::memory::{Buffer, with_scratch};
use crate::packing::{Packing, Phase, Unpacking, span};
use crate::simd::{Kernel, Simd};

/// Floats of packed input that a task aims at, to stay in the second level of the cache.
const TARGET: usize = 64 * 1024;

/// Positions that a task aims at, so that the last tile of them is a small part.
const POSITIONS: usize = 512;

/// An image at least this large is read where it lies, when its pixels need no packing.
const DIRECT: usize = 144;

/// A correlation between the images of a batch, planned once for all of them.
pub(crate) struct Correlation {
    batch: usize,
    groups: usize,
    /// Channels of a group.
    read: usize,
    written: usize,
    rows: Axis,
    columns: Axis,
    images: usize,
    packing: Packing,
    unpacking: Unpacking,
    /// With the offsets of all channels, channel by channel.
    phases: Vec<Phase>,
    /// Whether images are read where they lie.
    direct: bool,
}

impl Correlation {
    /// `read` and `written` are channels of one group.
    pub(crate) fn new(
        batch: usize,
        groups: usize,
        [read, written]: [usize; 2],
        [rows, columns]: [Axis; 2],
        pointwise: bool,
    ) -> Self {
        let pixels = columns.read;
        let direct = pointwise && pixels >= DIRECT;
        let images = if direct { 1 } else { images_together(&rows, &columns, read, batch) };
        let packing = Packing::read(&rows, &columns, images);
        let channel_len = if direct { pixels } else { packing.channel_len() };
        let mut phases = packing.phases(&rows, &columns);
        for phase in &mut phases {
            let taps = if direct { vec![0] } else { std::mem::take(&mut phase.offsets) };
            let channel = |channel: usize| taps.iter().map(move |offset| channel * channel_len + offset);
            phase.offsets = (0..read).flat_map(channel).collect();
        }
        let unpacking = Unpacking::new(&rows, &columns);
        Self { batch, groups, read, written, rows, columns, images, packing, unpacking, phases, direct }
    }

    /// Lays the weights out as the kernel reads them: by group, phase, block of written channels, weight, channel.
    ///
    /// `weight` is asked for group, written channel, read channel, and row and column of the kernel.
    pub(crate) fn pack_weights(
        &self,
        set: InstructionSet,
        weight: impl Fn(usize, usize, usize, [usize; 2]) -> f32,
    ) -> Vec<f32> {
        let block = set.block_rows();
        let mut packed = Vec::new();
        for group in 0..self.groups {
            for phase in &self.phases {
                for first in (0..self.written).step_by(block) {
                    for read in 0..self.read {
                        for tap in &phase.taps {
                            packed.extend((first..first + block).map(|written| {
                                if written < self.written { weight(group, written, read, *tap) } else { 0.0 }
                            }));
                        }
                    }
                }
            }
        }
        packed
    }

    /// Correlates the batch `source` with packed weights.
    pub(crate) fn run(
        &self,
        set: InstructionSet,
        source: &[f32],
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Buffer {
        let source_image = self.groups * self.read * self.rows.read * self.columns.read;
        let target_image = self.groups * self.written * self.rows.written * self.columns.written;
        assert_eq!(source.len(), self.batch * source_image, "an input has the shape that was planned for");
        assert!(
            bias.is_none_or(|bias| bias.len() == self.groups * self.written),
            "there is a bias for each channel"
        );
        let per_group: usize = self.phases.iter().map(|phase| phase.offsets.len()).sum();
        let blocks = self.written.div_ceil(set.block_rows());
        assert_eq!(
            weights.len(),
            self.groups * per_group * blocks * set.block_rows(),
            "weights were packed for this"
        );
        let fill = |target: &mut [MaybeUninit<f32>]| {
            let tasks = target.par_chunks_mut(self.images * target_image);
            tasks.zip(source.par_chunks(self.images * source_image)).for_each(|(target, source)| {
                let packed = if self.direct { 0 } else { self.read * self.packing.channel_len() };
                let rows = if self.direct { 0 } else { set.block_rows() * self.line_len() };
                with_scratch(packed + rows, |scratch| {
                    let images = target.len() / target_image;
                    set.run(Task { plan: self, source, weights, bias, target, scratch, images });
                });
            });
        };
        // SAFETY: the chunks cover the whole target, and each task writes all channels and pixels of its images.
        unsafe { Buffer::filled(self.batch * target_image, fill) }
    }

    /// Floats of scratch for the positions of one written channel.
    fn line_len(&self) -> usize {
        span(&self.rows, &self.columns, self.images).next_multiple_of(16) + 16
    }
}

/// How many images are packed side by side: a function of the shapes alone.
pub(crate) fn images_together(rows: &Axis, columns: &Axis, channels: usize, batch: usize) -> usize {
    let positions = (rows.pitch * columns.pitch).max(1);
    let floats = channels * rows.read_phases * columns.read_phases * positions;
    (POSITIONS.div_ceil(positions)).min(TARGET / floats.max(1)).min(batch / 8).max(1)
}

/// The images of one task.
struct Task<'a> {
    plan: &'a Correlation,
    source: &'a [f32],
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    target: &'a mut [MaybeUninit<f32>],
    scratch: &'a mut [f32],
    images: usize,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if S::LANES == 16 { self.with_rows::<S, 8, 4>(simd) } else { self.with_rows::<S, 4, 2>(simd) }
    }
}

impl Task<'_> {
    /// Runs blocks of `R` channels, the last one with `H` where that is enough.
    #[inline(always)]
    fn with_rows<S: Simd, const R: usize, const H: usize>(self, simd: S) {
        let Self { plan, source, weights, bias, target, scratch, images } = self;
        let source_plane = plan.rows.read * plan.columns.read;
        let target_plane = plan.rows.written * plan.columns.written;
        let source_image = plan.groups * plan.read * source_plane;
        let target_image = plan.groups * plan.written * target_plane;
        let positions = span(&plan.rows, &plan.columns, images);
        let (packed, lines) =
            scratch.split_at_mut(if plan.direct { 0 } else { plan.read * plan.packing.channel_len() });
        let target = target.as_mut_ptr().cast::<f32>();
        let mut weights = weights.as_ptr();
        for group in 0..plan.groups {
            // SAFETY: `run` checked the lengths of source, weights and target against the plan, and lends scratch for
            // the packed planes and one block of lines. Offsets stay inside the packed planes (or, read directly,
            // inside the image) for every position of the span rounded up to a vector, by the plan's construction.
            unsafe {
                let source = source.as_ptr().add(group * plan.read * source_plane);
                let input = if plan.direct {
                    source
                } else {
                    for channel in 0..plan.read {
                        let plane = packed.as_mut_ptr().add(channel * plan.packing.channel_len());
                        plan.packing.pack(
                            simd,
                            source.add(channel * source_plane),
                            source_image,
                            images,
                            plane,
                        );
                    }
                    packed.as_ptr()
                };
                for phase in &plan.phases {
                    for first in (0..plan.written).step_by(R) {
                        let rows = R.min(plan.written - first);
                        let channel = group * plan.written + first;
                        let mut start = [0.0; R];
                        if let Some(bias) = bias {
                            start[..rows].copy_from_slice(&bias[channel..channel + rows]);
                        }
                        let planes = target.add(channel * target_plane);
                        let (output, stride) = if plan.direct {
                            (planes, target_plane)
                        } else {
                            (lines.as_mut_ptr(), plan.line_len())
                        };
                        let block = Block {
                            input,
                            offsets: &phase.offsets,
                            weights,
                            start: &start,
                            output,
                            stride,
                            rows,
                        };
                        if rows <= H {
                            block.run::<S, R, H>(simd, positions, plan.direct);
                        } else {
                            block.run::<S, R, R>(simd, positions, plan.direct);
                        }
                        if !plan.direct {
                            for row in 0..rows {
                                let line = output.add(row * stride).cast_const();
                                let plane = planes.add(row * target_plane);
                                plan.unpacking.unpack(simd, line, phase.place, plane, target_image, images);
                            }
                        }
                        weights = weights.add(phase.offsets.len() * R);
                    }
                }
            }
        }
    }
}

/// A block of written channels over all positions.
struct Block<'a> {
    input: *const f32,
    offsets: &'a [usize],
    /// For each offset one weight for each row.
    weights: *const f32,
    /// What each row begins with.
    start: &'a [f32],
    output: *mut f32,
    stride: usize,
    /// Rows that are written.
    rows: usize,
}

impl Block<'_> {
    /// Computes `R` rows, whose weights lie `W` apart, in tiles of about equal width.
    ///
    /// # Safety
    /// Input at each offset, weights and output are valid for `positions`, rounded up to whole vectors unless `exact`.
    #[inline(always)]
    unsafe fn run<S: Simd, const W: usize, const R: usize>(&self, simd: S, positions: usize, exact: bool) {
        let vectors = positions.div_ceil(S::LANES);
        let tiles = vectors.div_ceil(3);
        let mut vector = 0;
        for tile in 0..tiles {
            let width = vectors / tiles + usize::from(tile < vectors % tiles);
            let at = vector * S::LANES;
            vector += width;
            let last = if exact {
                (positions - at).min(width * S::LANES) - (width - 1) * S::LANES
            } else {
                S::LANES
            };
            // SAFETY: the caller answers for `positions`, and the tiles cover just those.
            unsafe {
                match width {
                    1 => self.tile::<S, W, R, 1>(simd, at, last),
                    2 => self.tile::<S, W, R, 2>(simd, at, last),
                    _ => self.tile::<S, W, R, 3>(simd, at, last),
                }
            }
        }
    }

    /// Computes `R` rows of `V` vectors, of the last of which only `last` lanes are touched in memory.
    ///
    /// # Safety
    /// As for `run`, for the positions from `at` on.
    #[inline(always)]
    unsafe fn tile<S: Simd, const W: usize, const R: usize, const V: usize>(
        &self,
        simd: S,
        at: usize,
        last: usize,
    ) {
        let mut sums = [[simd.zero(); V]; R];
        for (row, sums) in sums.iter_mut().enumerate() {
            *sums = [simd.splat(self.start[row]); V];
        }
        let mut weights = self.weights;
        let full = last == S::LANES;
        for &offset in self.offsets {
            // SAFETY: the caller answers for input and weights.
            unsafe {
                let from = self.input.add(offset + at);
                let mut values = [simd.zero(); V];
                for (vector, value) in values.iter_mut().enumerate().take(V - 1) {
                    *value = simd.load(from.add(vector * S::LANES));
                }
                let end = from.add((V - 1) * S::LANES);
                values[V - 1] = if full { simd.load(end) } else { simd.load_first(end, last) };
                for (row, sums) in sums.iter_mut().enumerate() {
                    let weight = simd.splat(*weights.add(row));
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = simd.mul_add(weight, value, *sum);
                    }
                }
                weights = weights.add(W);
            }
        }
        for (row, sums) in sums.iter().enumerate().take(self.rows) {
            // SAFETY: the caller answers for the output of the written rows.
            unsafe {
                let to = self.output.add(row * self.stride + at);
                for (vector, sum) in sums.iter().enumerate().take(V - 1) {
                    simd.store(to.add(vector * S::LANES), *sum);
                }
                simd.store_first(to.add((V - 1) * S::LANES), sums[V - 1], last);
            }
        }
    }
}

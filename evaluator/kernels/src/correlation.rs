//! Dense correlation: each written channel is a weighted sum of shifted planes of the channels read.
//!
//! Forward convolution and the gradient of its input are both of this form; `convolution` says which weights and
//! axes they have.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::epilogue::Epilogue;
use crate::geometry::Axis;
use crate::instruction_set::InstructionSet;
use crate::memory::{Buffer, with_scratch};
use crate::packing::{Packing, Phase, SLACK, copy};
use crate::simd::{Kernel, Simd};
use crate::tile::Block;
use crate::unpacking::Unpacking;

/// Pixels of an image that fill vectors of every instruction set; of smaller ones, several are taken together where
/// that is simple.
const PIXELS: usize = 16;

/// Pixels from which on reading where they lie loses to copying: so many planes, a power of two apart, do not fit the
/// sets of the cache.
const DIRECT: usize = 128;

/// A correlation between the images of a batch, planned once for all of them.
pub(crate) struct Correlation {
    batch: usize,
    groups: usize,
    /// Channels of a group.
    read: usize,
    written: usize,
    source_plane: usize,
    target_plane: usize,
    packing: Packing,
    unpacking: Unpacking,
    /// With the offsets of all channels, channel by channel.
    phases: Vec<Phase>,
    input: Input,
}

/// How the input lies before the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    /// As it comes.
    Direct,
    /// The pixels of so many small images side by side.
    Together(usize),
    /// In shifted copies.
    Packed,
}

impl Correlation {
    /// `read` and `written` are channels of one group.
    pub(crate) fn new(
        batch: usize,
        groups: usize,
        [read, written]: [usize; 2],
        [rows, columns]: [&Axis; 2],
        pointwise: bool,
    ) -> Self {
        let (packing, unpacking) = (Packing::new(rows, columns), Unpacking::new(rows, columns));
        let source_plane = rows.read * columns.read;
        let input = match source_plane {
            PIXELS..DIRECT if pointwise => Input::Direct,
            ..PIXELS if pointwise => Input::Together((4 * PIXELS / source_plane).min(batch)),
            _ => Input::Packed,
        };
        let channel_len = match input {
            Input::Direct => source_plane,
            Input::Together(images) => images * source_plane + SLACK,
            Input::Packed => packing.channel_len(),
        };
        let mut phases = packing.phases(rows, columns);
        for phase in &mut phases {
            let of_taps = std::mem::take(&mut phase.offsets);
            let taps = if input == Input::Packed { of_taps } else { vec![0] };
            let channel = |channel: usize| taps.iter().map(move |offset| channel * channel_len + offset);
            phase.offsets = (0..read).flat_map(channel).collect();
        }
        let target_plane = rows.written * columns.written;
        Self { batch, groups, read, written, source_plane, target_plane, packing, unpacking, phases, input }
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
        let mut packed = Vec::with_capacity(self.packed_weights(set));
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

    /// Floats of packed weights.
    fn packed_weights(&self, set: InstructionSet) -> usize {
        let per_group: usize = self.phases.iter().map(|phase| phase.offsets.len()).sum();
        self.groups * per_group * self.written.next_multiple_of(set.block_rows())
    }

    /// Correlates the batch `source` with packed weights.
    pub(crate) fn run(
        &self,
        set: InstructionSet,
        source: &[f32],
        weights: &[f32],
        bias: Option<&[f32]>,
        epilogue: Epilogue,
    ) -> Buffer {
        let source_image = self.groups * self.read * self.source_plane;
        let target_image = self.groups * self.written * self.target_plane;
        assert_eq!(source.len(), self.batch * source_image, "an input has the shape that was planned for");
        assert!(
            bias.is_none_or(|bias| bias.len() == self.groups * self.written),
            "there is a bias for each channel"
        );
        assert_eq!(weights.len(), self.packed_weights(set), "weights were packed for this");
        let together = if let Input::Together(images) = self.input { images } else { 1 };
        let lines = if self.writes_in_place() { 0 } else { self.lines(set) };
        let fill = |target: &mut [MaybeUninit<f32>]| {
            let tasks = target.par_chunks_mut(together * target_image);
            tasks.zip(source.par_chunks(together * source_image)).for_each(|(target, source)| {
                let images = target.len() / target_image;
                with_scratch(self.packed_input() + lines, |scratch| {
                    set.run(Task { plan: self, source, weights, bias, epilogue, target, scratch, images });
                });
            });
        };
        // SAFETY: the chunks cover the whole target, and each task writes all channels and pixels of its images.
        unsafe { Buffer::filled(self.batch * target_image, fill) }
    }

    /// Whether sums go where they belong at once, not through scratch.
    fn writes_in_place(&self) -> bool {
        let whole = self.phases.len() == 1 && self.target_plane >= PIXELS;
        whole && !matches!(self.input, Input::Together(_))
    }

    /// Positions that a block of channels computes at once.
    fn positions(&self) -> usize {
        if let Input::Together(images) = self.input {
            images * self.source_plane
        } else {
            self.unpacking.positions()
        }
    }

    /// Floats of scratch for the positions of one written channel and phase of columns.
    fn line(&self) -> usize {
        self.positions().next_multiple_of(SLACK) + SLACK
    }

    /// Floats of scratch for the results of a block of channels.
    fn lines(&self, set: InstructionSet) -> usize {
        let column_phases = self.phases.iter().filter(|phase| phase.place[0] == 0).count();
        set.block_rows() * column_phases * self.line()
    }

    /// Floats of scratch for the input of a group.
    fn packed_input(&self) -> usize {
        self.read
            * match self.input {
                Input::Direct => 0,
                Input::Together(images) => images * self.source_plane + SLACK,
                Input::Packed => self.packing.channel_len(),
            }
    }
}

/// The images of one task.
struct Task<'a> {
    plan: &'a Correlation,
    source: &'a [f32],
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    epilogue: Epilogue,
    target: &'a mut [MaybeUninit<f32>],
    scratch: &'a mut [f32],
    images: usize,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if S::LANES == 16 { self.with_rows::<S, 8, 3>(simd) } else { self.with_rows::<S, 6, 2>(simd) }
    }
}

impl Task<'_> {
    /// Runs blocks of `R` channels, in tiles of at most `V` vectors; the last one with fewer rows where that is enough.
    #[inline(always)]
    fn with_rows<S: Simd, const R: usize, const V: usize>(self, simd: S) {
        let plan = self.plan;
        let (packed, lines) = self.scratch.split_at_mut(plan.packed_input());
        let (packed, lines) = (packed.as_mut_ptr(), lines.as_mut_ptr());
        let target = self.target.as_mut_ptr().cast::<f32>();
        let in_place = plan.writes_in_place();
        let column_phases = plan.phases.iter().filter(|phase| phase.place[0] == 0).count();
        let mut weights = self.weights.as_ptr();
        for group in 0..plan.groups {
            // SAFETY: `run` checked the lengths of source, weights and target against the plan, and lends scratch for
            // the packed planes and the lines of one block. Offsets stay inside the packed planes (or, read directly,
            // inside the image) for every position, and for a whole vector where there are fewer.
            unsafe {
                let source = self.source.as_ptr().add(group * plan.read * plan.source_plane);
                let input = self.input(simd, source, packed);
                for phases in plan.phases.chunks_exact(column_phases) {
                    for first in (0..plan.written).step_by(R) {
                        let rows = R.min(plan.written - first);
                        let channel = group * plan.written + first;
                        let mut start = [0.0; R];
                        if let Some(bias) = self.bias {
                            start[..rows].copy_from_slice(&bias[channel..channel + rows]);
                        }
                        let planes = target.add(channel * plan.target_plane);
                        let block = first / R;
                        let mut of_phase = weights;
                        for (number, phase) in phases.iter().enumerate() {
                            let (output, stride) = if in_place {
                                (planes, plan.target_plane)
                            } else {
                                (lines.add(number * plan.line()), column_phases * plan.line())
                            };
                            let taps = phase.offsets.len();
                            let block = Block {
                                input,
                                offsets: &phase.offsets,
                                weights: of_phase.add(block * taps * R),
                                start: &start,
                                epilogue: self.epilogue,
                                output,
                                stride,
                                rows,
                            };
                            of_phase = of_phase.add(taps * plan.written.next_multiple_of(R));
                            match rows {
                                ..=2 => block.run::<S, R, 2, 3>(simd, plan.positions()),
                                3 | 4 => block.run::<S, R, 4, 2>(simd, plan.positions()),
                                _ => block.run::<S, R, R, V>(simd, plan.positions()),
                            }
                        }
                        if !in_place {
                            self.place(simd, lines, phases[0].place[0], rows, planes);
                        }
                    }
                    let taps: usize = phases.iter().map(|phase| phase.offsets.len()).sum();
                    weights = weights.add(taps * plan.written.next_multiple_of(R));
                }
            }
        }
    }

    /// Where the kernel reads a group's input, packed for it if need be.
    ///
    /// # Safety
    /// `source` is the group's first plane in the first image; `packed` is what `packed_input` says.
    #[inline(always)]
    unsafe fn input<S: Simd>(&self, simd: S, source: *const f32, packed: *mut f32) -> *const f32 {
        let plan = self.plan;
        let image = plan.groups * plan.read * plan.source_plane;
        // SAFETY: the caller answers for both sides, by the plan's sizes.
        unsafe {
            match plan.input {
                Input::Direct => return source,
                Input::Packed => {
                    plan.packing.prepare(simd, packed, plan.read);
                    plan.packing.pack(simd, source, packed, plan.read);
                }
                Input::Together(images) => {
                    for channel in 0..plan.read {
                        let line = packed.add(channel * (images * plan.source_plane + SLACK));
                        for number in 0..self.images {
                            let plane = source.add(number * image + channel * plan.source_plane);
                            copy(simd, plane, line.add(number * plan.source_plane), plan.source_plane);
                        }
                    }
                }
            }
        }
        packed
    }

    /// Brings the lines of a block of channels to their places.
    ///
    /// # Safety
    /// `lines` is what `lines` of the plan says, filled; `planes` is the block's first plane in the first image.
    #[inline(always)]
    unsafe fn place<S: Simd>(
        &self,
        simd: S,
        lines: *const f32,
        row_phase: usize,
        rows: usize,
        planes: *mut f32,
    ) {
        let plan = self.plan;
        let image = plan.groups * plan.written * plan.target_plane;
        let column_phases = plan.phases.iter().filter(|phase| phase.place[0] == 0).count();
        for row in 0..rows {
            // SAFETY: the caller answers for both sides, by the plan's sizes.
            unsafe {
                let line = lines.add(row * column_phases * plan.line());
                let plane = planes.add(row * plan.target_plane);
                if let Input::Together(_) = plan.input {
                    for number in 0..self.images {
                        let from = line.add(number * plan.target_plane);
                        copy(simd, from, plane.add(number * image), plan.target_plane);
                    }
                } else {
                    plan.unpacking.unpack(simd, line, plan.line(), row_phase, plane);
                }
            }
        }
    }
}

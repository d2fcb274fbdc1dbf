//! Runs the plan of a dense correlation on images.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::dense::correlation::{Correlation, Input};
use crate::dense::tile::Block;
use crate::planes::lines::copy;
use crate::planes::packing::SLACK;
use crate::shared::activation::Activation;
use crate::shared::memory::{Buffer, with_scratch};
use crate::simd::{InstructionSet, Kernel, Simd};

/// Correlates the images `source` with packed weights, on all threads.
pub(crate) fn correlate(
    plan: &Correlation,
    set: InstructionSet,
    source: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    activation: Activation,
) -> Buffer {
    let [source_image, target_image] = plan.image_lens();
    assert!(source.len().is_multiple_of(source_image), "an input has the shape that was planned for");
    let together = plan.together();
    let fill = |target: &mut [MaybeUninit<f32>]| {
        let tasks = target.par_chunks_mut(together * target_image);
        tasks.zip(source.par_chunks(together * source_image)).for_each(|(target, source)| {
            correlate_into(plan, set, source, weights, bias, activation, target);
        });
    };
    // SAFETY: the chunks cover the whole target, and `correlate_into` writes all of a chunk.
    unsafe { Buffer::filled(source.len() / source_image * target_image, fill) }
}

/// Correlates images on this thread and writes all of the target.
pub(crate) fn correlate_into(
    plan: &Correlation,
    set: InstructionSet,
    source: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    activation: Activation,
    target: &mut [MaybeUninit<f32>],
) {
    let [source_image, target_image] = plan.image_lens();
    assert!(
        source.len().is_multiple_of(source_image)
            && target.len() == source.len() / source_image * target_image,
        "a target has room for the images of the source"
    );
    assert!(
        bias.is_none_or(|bias| bias.len() == plan.groups() * plan.written()),
        "there is a bias for each channel"
    );
    assert_eq!(weights.len(), plan.packed_weights(set), "weights were packed for this plan");
    let lines = if plan.writes_in_place() { 0 } else { plan.lines(set) };
    with_scratch(plan.packed_input() + lines, |scratch| {
        let tasks = target.chunks_mut(plan.together() * target_image);
        for (target, source) in tasks.zip(source.chunks(plan.together() * source_image)) {
            let images = target.len() / target_image;
            let scratch = &mut *scratch;
            set.run(Task { plan, source, weights, bias, activation, target, scratch, images });
        }
    });
}

/// Images that are computed together. `correlate_into` has checked the lengths of all slices against the
/// plan.
struct Task<'a> {
    plan: &'a Correlation,
    source: &'a [f32],
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    activation: Activation,
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
    /// Runs blocks of `R` channels, in tiles of at most `V` vectors. The last block has fewer rows if fewer
    /// channels are left.
    ///
    /// The `R * V` sums and the `V` vectors that they read must fit the registers. Otherwise the compiler
    /// spills sums, and each spilled sum costs a load and a store per multiply-add.
    #[inline(always)]
    fn with_rows<S: Simd, const R: usize, const V: usize>(self, simd: S) {
        let plan = self.plan;
        let (packed, lines) = self.scratch.split_at_mut(plan.packed_input());
        let (packed, lines) = (packed.as_mut_ptr(), lines.as_mut_ptr());
        let target = self.target.as_mut_ptr().cast::<f32>();
        let in_place = plan.writes_in_place();
        let column_phases = plan.phases().iter().filter(|phase| phase.place[0] == 0).count();
        let mut weights = self.weights.as_ptr();
        // The scratch buffer contains whole images, so a correlation that uses the buffer has only one piece.
        let pieces = if in_place { (plan.positions() / plan.piece()).max(1) } else { 1 };
        for group in 0..plan.groups() {
            // SAFETY: `correlate_into` checked the lengths of source, weights and target against the plan,
            // and provides a scratch buffer for the packed planes and the results of one block. Offsets stay
            // inside the packed planes for every position, or inside the image if it is read in place. If
            // there are fewer positions than a vector has lanes, offsets stay inside for a whole vector.
            unsafe {
                let source = self.source.as_ptr().add(group * plan.read() * plan.source_plane());
                let input = self.input(simd, source, packed);
                for phases in plan.phases().chunks_exact(column_phases) {
                    // Compute all channels of a piece before the next piece. Then all blocks but the first
                    // read the piece's input from the cache.
                    for piece in 0..pieces {
                        let from = piece * plan.piece();
                        let end = if piece + 1 == pieces { plan.positions() } else { from + plan.piece() };
                        let positions = end - from;
                        for first in (0..plan.written()).step_by(R) {
                            let rows = R.min(plan.written() - first);
                            let channel = group * plan.written() + first;
                            let mut start = [0.0; R];
                            if let Some(bias) = self.bias {
                                start[..rows].copy_from_slice(&bias[channel..channel + rows]);
                            }
                            let planes = target.add(channel * plan.target_plane() + from);
                            let block = first / R;
                            let mut of_phase = weights;
                            for (number, phase) in phases.iter().enumerate() {
                                let (output, stride) = if in_place {
                                    (planes, plan.target_plane())
                                } else {
                                    (lines.add(number * plan.line()), column_phases * plan.line())
                                };
                                let taps = phase.offsets.len();
                                let block = Block {
                                    input: input.add(from),
                                    offsets: &phase.offsets,
                                    weights: of_phase.add(block * taps * R),
                                    start: &start,
                                    activation: self.activation,
                                    output,
                                    stride,
                                    rows,
                                };
                                of_phase = of_phase.add(taps * plan.written().next_multiple_of(R));
                                // A block with few rows computes more vectors at once, so that the processor
                                // can work on several independent sums.
                                match rows {
                                    ..=2 => block.run::<S, R, 2, 3>(simd, positions),
                                    3 | 4 => block.run::<S, R, 4, 2>(simd, positions),
                                    _ => block.run::<S, R, R, V>(simd, positions),
                                }
                            }
                            if !in_place {
                                self.place(simd, lines, phases[0].place[0], rows, planes);
                            }
                        }
                    }
                    let taps: usize = phases.iter().map(|phase| phase.offsets.len()).sum();
                    weights = weights.add(taps * plan.written().next_multiple_of(R));
                }
            }
        }
    }

    /// Returns a pointer to the input of a group. Packs the input first if the plan requires it.
    ///
    /// # Safety
    /// `source` is the group's first plane in the first image; `packed` has room for `packed_input` floats.
    #[inline(always)]
    unsafe fn input<S: Simd>(&self, simd: S, source: *const f32, packed: *mut f32) -> *const f32 {
        let plan = self.plan;
        let image = plan.groups() * plan.read() * plan.source_plane();
        // SAFETY: the caller guarantees both sides, with the sizes of the plan.
        unsafe {
            match plan.input() {
                Input::Direct => return source,
                Input::Packed => {
                    plan.packing().prepare(simd, packed, plan.read());
                    plan.packing().pack(simd, source, packed, plan.read());
                }
                Input::Together(images) => {
                    for channel in 0..plan.read() {
                        let line = packed.add(channel * (images * plan.source_plane() + SLACK));
                        for number in 0..self.images {
                            let plane = source.add(number * image + channel * plan.source_plane());
                            copy(simd, plane, line.add(number * plan.source_plane()), plan.source_plane());
                        }
                    }
                }
            }
        }
        packed
    }

    /// Copies the results of a block of channels from the scratch buffer to the image.
    ///
    /// # Safety
    /// `lines` contains the results of the block, which are `lines` floats in the plan. `planes` is the
    /// block's first plane in the first image.
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
        let image = plan.groups() * plan.written() * plan.target_plane();
        let column_phases = plan.phases().iter().filter(|phase| phase.place[0] == 0).count();
        for row in 0..rows {
            // SAFETY: the caller guarantees both sides, with the sizes of the plan.
            unsafe {
                let line = lines.add(row * column_phases * plan.line());
                let plane = planes.add(row * plan.target_plane());
                if let Input::Together(_) = plan.input() {
                    for number in 0..self.images {
                        let from = line.add(number * plan.target_plane());
                        copy(simd, from, plane.add(number * image), plan.target_plane());
                    }
                } else {
                    plan.unpacking().unpack(simd, line, plan.line(), row_phase, plane);
                }
            }
        }
    }
}

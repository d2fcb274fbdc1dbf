//! What a task of a dense correlation does with its images.

use std::mem::MaybeUninit;

use crate::activation::Activation;
use crate::correlation::{Correlation, Input};
use crate::lines::copy;
use crate::packing::SLACK;
use crate::simd::{Kernel, Simd};
use crate::tile::Block;

/// The images of one task.
pub(crate) struct Task<'a> {
    pub(crate) plan: &'a Correlation,
    pub(crate) source: &'a [f32],
    pub(crate) weights: &'a [f32],
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) activation: Activation,
    pub(crate) target: &'a mut [MaybeUninit<f32>],
    pub(crate) scratch: &'a mut [f32],
    pub(crate) images: usize,
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
        // Through scratch goes an image as a whole.
        let pieces = if in_place { (plan.positions() / plan.piece()).max(1) } else { 1 };
        for group in 0..plan.groups {
            // SAFETY: `run` checked the lengths of source, weights and target against the plan, and lends scratch for
            // the packed planes and the lines of one block. Offsets stay inside the packed planes (or, read directly,
            // inside the image) for every position, and for a whole vector where there are fewer.
            unsafe {
                let source = self.source.as_ptr().add(group * plan.read * plan.source_plane);
                let input = self.input(simd, source, packed);
                for phases in plan.phases.chunks_exact(column_phases) {
                    for piece in 0..pieces {
                        let from = piece * plan.piece();
                        let end = if piece + 1 == pieces { plan.positions() } else { from + plan.piece() };
                        let positions = end - from;
                        for first in (0..plan.written).step_by(R) {
                            let rows = R.min(plan.written - first);
                            let channel = group * plan.written + first;
                            let mut start = [0.0; R];
                            if let Some(bias) = self.bias {
                                start[..rows].copy_from_slice(&bias[channel..channel + rows]);
                            }
                            let planes = target.add(channel * plan.target_plane + from);
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
                                    input: input.add(from),
                                    offsets: &phase.offsets,
                                    weights: of_phase.add(block * taps * R),
                                    start: &start,
                                    activation: self.activation,
                                    output,
                                    stride,
                                    rows,
                                };
                                of_phase = of_phase.add(taps * plan.written.next_multiple_of(R));
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

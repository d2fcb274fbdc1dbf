//! Depthwise convolution, with one filter per channel, and the gradient of its input.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::depthwise::row_by_row::Sums;
use crate::depthwise::rows::Rows;
use crate::planes::geometry::{Axis, Geometry};
use crate::planes::packing::{Packing, Phase, SLACK};
use crate::planes::tiles::tiles;
use crate::planes::unpacking::Unpacking;
use crate::shared::activation::Activation;
use crate::shared::memory::{Buffer, with_scratch};
use crate::shared::weight_slice::WeightValues;
use crate::simd::{InstructionSet, Kernel, Simd};

/// Approximate number of floats in the planes of a task.
const TASK: usize = 32 * 1024;

/// Number of floats in packed planes that stay in the first-level cache.
const PACKED: usize = 4 * 1024;

/// The plan of the convolution.
pub(crate) fn forward(geometry: &Geometry) -> Plan {
    Plan::new(geometry, &geometry.rows(), &geometry.columns())
}

/// The plan for the gradient of the convolution's input.
pub(crate) fn backward(geometry: &Geometry) -> Plan {
    Plan::new(geometry, &Axis::backward(geometry, 0), &Axis::backward(geometry, 1))
}

/// Plans a weighted sum of the shifted planes of each channel. One plan serves any number of planes.
#[derive(Debug)]
pub(crate) struct Plan {
    channels: usize,
    source_plane: usize,
    target_plane: usize,
    packing: Packing,
    unpacking: Unpacking,
    phases: Vec<Phase>,
    /// The plan for reading planes in place, row by row. If it is `None`, planes are packed.
    rows: Option<Rows>,
}

impl Plan {
    fn new(geometry: &Geometry, rows: &Axis, columns: &Axis) -> Self {
        let packing = Packing::new(rows, columns);
        Self {
            channels: geometry.in_channels(),
            source_plane: rows.read() * columns.read(),
            target_plane: rows.written() * columns.written(),
            phases: packing.phases(rows, columns),
            packing,
            unpacking: Unpacking::new(rows, columns),
            rows: Rows::new(rows, columns),
        }
    }

    /// Packs the weights by channel, phase and tap, or in the order that `rows` requires.
    pub(crate) fn pack_weights(&self, set: InstructionSet, weight: WeightValues<'_>) -> Vec<f32> {
        if let Some(rows) = &self.rows {
            return rows.pack_weights(set, self.channels, weight);
        }
        let taps = || self.phases.iter().flat_map(|phase| &phase.taps);
        (0..self.channels).flat_map(|channel| taps().map(move |tap| weight.get(channel, 0, *tap))).collect()
    }

    /// Computes the depthwise convolution of all planes of the images `source`, on all threads.
    pub(crate) fn run(
        &self,
        set: InstructionSet,
        source: &[f32],
        weights: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
    ) -> Buffer {
        let planes = source.len() / self.source_plane;
        assert!(
            source.len().is_multiple_of(self.channels * self.source_plane),
            "an input has the shape that was planned for"
        );
        let together = self.task(set);
        let fill = |target: &mut [MaybeUninit<f32>]| {
            let targets = target.par_chunks_mut(together * self.target_plane);
            let tasks = targets.zip(source.par_chunks(together * self.source_plane));
            tasks.enumerate().for_each(|(task, (target, source))| {
                self.planes(set, task * together, source, weights, bias, activation, target);
            });
        };
        // SAFETY: the tasks cover all planes, and `planes` writes all of a task.
        unsafe { Buffer::filled(planes * self.target_plane, fill) }
    }

    /// Number of planes in a task. Planes that share vectors stay in one task.
    fn task(&self, set: InstructionSet) -> usize {
        let together = (TASK / self.source_plane.max(self.target_plane)).max(1);
        match self.rows.as_ref().map_or(1, |rows| rows.side_by_side(set.lanes())) {
            1 => together,
            shared if self.channels.is_multiple_of(shared) => together.next_multiple_of(shared),
            _ => together.next_multiple_of(self.channels),
        }
    }

    /// Computes the sums for some planes on this thread and writes all of the target. `first` is the number
    /// of the first plane, counted over images and channels.
    #[allow(clippy::too_many_arguments, reason = "one more than `run` has")]
    pub(crate) fn planes(
        &self,
        set: InstructionSet,
        first: usize,
        source: &[f32],
        weights: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
        target: &mut [MaybeUninit<f32>],
    ) {
        if let Some(rows) = &self.rows {
            let channels = self.channels;
            return Sums { channels, first, source, weights, bias, activation }.write(set, rows, target);
        }
        assert!(
            source.len().is_multiple_of(self.source_plane)
                && target.len() == source.len() / self.source_plane * self.target_plane,
            "a target has room for the planes of the source"
        );
        let taps: usize = self.phases.iter().map(|phase| phase.offsets.len()).sum();
        assert_eq!(weights.len(), self.channels * taps, "there is a filter for each channel");
        assert!(bias.is_none_or(|bias| bias.len() == self.channels), "there is a bias for each channel");
        with_scratch(self.together() * self.packing.channel_len() + self.lines(), |scratch| {
            set.run(Planes { plan: self, first, source, weights, bias, activation, target, scratch });
        });
    }

    /// Number of planes that are packed at once. For small planes, packing calls cost more than the copies
    /// themselves.
    fn together(&self) -> usize {
        (PACKED / self.packing.channel_len()).clamp(1, self.channels)
    }

    /// Whether sums are stored directly in the image, without a scratch buffer.
    fn writes_in_place(&self) -> bool {
        self.phases.len() == 1 && self.target_plane >= SLACK
    }

    /// Number of floats in the scratch buffer for one phase.
    fn line(&self) -> usize {
        self.unpacking.positions().next_multiple_of(SLACK) + SLACK
    }

    /// Number of floats in the scratch buffer for the results of a plane.
    fn lines(&self) -> usize {
        if self.writes_in_place() { 0 } else { self.phases.len() * self.line() }
    }
}

/// The planes of one call of `planes`. That function has checked the lengths of all slices.
struct Planes<'a> {
    plan: &'a Plan,
    first: usize,
    source: &'a [f32],
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    activation: Activation,
    target: &'a mut [MaybeUninit<f32>],
    scratch: &'a mut [f32],
}

impl Kernel for Planes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let plan = self.plan;
        let (packed, lines) = self.scratch.split_at_mut(plan.together() * plan.packing.channel_len());
        let (packed, lines) = (packed.as_mut_ptr(), lines.as_mut_ptr());
        let (in_place, target) = (plan.writes_in_place(), self.target.as_mut_ptr().cast::<f32>());
        let column_phases = plan.phases.iter().filter(|phase| phase.place[0] == 0).count();
        let taps = self.weights.len() / plan.channels;
        let tiles: Vec<_> = tiles(plan.unpacking.positions(), S::LANES, 8).collect();
        let planes = self.target.len() / plan.target_plane;
        let together = plan.together();
        // SAFETY: the scratch buffer has room for the planes of `together` channels.
        unsafe { plan.packing.prepare(simd, packed, together) };
        for index in 0..planes {
            let channel = (self.first + index) % plan.channels;
            let start = self.bias.map_or(0.0, |bias| bias[channel]);
            let mut weights = &self.weights[channel * taps..(channel + 1) * taps];
            // SAFETY: source and target are whole planes with the shapes of packing and unpacking, and the
            // scratch buffer has room for both. Offsets stay inside the packed planes for all positions, and
            // for a whole vector if there are fewer positions.
            unsafe {
                let target = target.add(index * plan.target_plane);
                if index % together == 0 {
                    let source = self.source.as_ptr().add(index * plan.source_plane);
                    plan.packing.pack(simd, source, packed, together.min(planes - index));
                }
                let packed = packed.add(index % together * plan.packing.channel_len());
                for (number, phase) in plan.phases.iter().enumerate() {
                    let (now, later) = weights.split_at(phase.offsets.len());
                    weights = later;
                    let to = if in_place { target } else { lines.add(number * plan.line()) };
                    let filter =
                        Filter { offsets: &phase.offsets, weights: now, start, activation: self.activation };
                    filter.run(simd, packed, &tiles, to);
                }
                if !in_place {
                    for first in (0..plan.phases.len()).step_by(column_phases) {
                        let row_phase = plan.phases[first].place[0];
                        let lines = lines.add(first * plan.line());
                        plan.unpacking.unpack(simd, lines, plan.line(), row_phase, target);
                    }
                }
            }
        }
    }
}

/// The weights of a channel, and the offset at which each weight reads its input.
struct Filter<'a> {
    offsets: &'a [usize],
    weights: &'a [f32],
    start: f32,
    activation: Activation,
}

impl Filter<'_> {
    /// Computes the sums for the positions of these tiles. Each tile has at most eight vectors.
    ///
    /// Each tile width is compiled separately, so that the sums of a tile stay in registers.
    ///
    /// # Safety
    /// The tiles can be read at each offset from `from` and written at `to`.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, from: *const f32, tiles: &[[usize; 2]], to: *mut f32) {
        for &[at, width] in tiles {
            // SAFETY: the caller guarantees the tiles.
            unsafe {
                let (from, to) = (from.add(at), to.add(at));
                match width {
                    1 => self.tile::<S, 1>(simd, from, to),
                    2 => self.tile::<S, 2>(simd, from, to),
                    3 => self.tile::<S, 3>(simd, from, to),
                    4 => self.tile::<S, 4>(simd, from, to),
                    5 => self.tile::<S, 5>(simd, from, to),
                    6 => self.tile::<S, 6>(simd, from, to),
                    7 => self.tile::<S, 7>(simd, from, to),
                    _ => self.tile::<S, 8>(simd, from, to),
                }
            }
        }
    }

    /// Computes the sums of `V` vectors.
    ///
    /// # Safety
    /// The vectors can be read at each offset from `from` and written at `to`.
    #[inline(always)]
    unsafe fn tile<S: Simd, const V: usize>(&self, simd: S, from: *const f32, to: *mut f32) {
        let mut sums = [simd.splat(self.start); V];
        // SAFETY: the caller guarantees that source and target can be accessed.
        unsafe {
            for (offset, weight) in self.offsets.iter().zip(self.weights) {
                let weight = simd.splat(*weight);
                let from = from.add(*offset);
                for (vector, sum) in sums.iter_mut().enumerate() {
                    *sum = simd.mul_add(weight, simd.load(from.add(vector * S::LANES)), *sum);
                }
            }
            for (vector, sum) in sums.iter().enumerate() {
                simd.store(to.add(vector * S::LANES), self.activation.stored(simd, *sum));
            }
        }
    }
}

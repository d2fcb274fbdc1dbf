//! Dense correlation: each written channel is a weighted sum of shifted planes of the channels read.
//!
//! Forward convolution and the gradient of its input are both of this form; `convolution` says which weights and
//! axes they have.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::activation::Activation;
use crate::correlation_task::Task;
use crate::geometry::Axis;
use crate::instruction_set::InstructionSet;
use crate::memory::{Buffer, with_scratch};
use crate::packing::{Packing, Phase, SLACK};
use crate::unpacking::Unpacking;

/// Pixels of an image that fill vectors of every instruction set; of smaller ones, several are taken together where
/// that is simple.
const PIXELS: usize = 16;

/// Pixels from which on reading where they lie loses to copying: so many planes, a power of two apart, do not fit the
/// sets of the cache.
const DIRECT: usize = 128;

/// Floats of the input that are read for all written channels before the next ones.
const CACHED: usize = 48 * 1024;

/// Positions that any number of vectors of a tile divides.
const PIECE: usize = 96;

/// A correlation between images, planned once for any number of them.
#[derive(Debug)]
pub(crate) struct Correlation {
    pub(crate) groups: usize,
    /// Channels of a group.
    pub(crate) read: usize,
    pub(crate) written: usize,
    pub(crate) source_plane: usize,
    pub(crate) target_plane: usize,
    pub(crate) packing: Packing,
    pub(crate) unpacking: Unpacking,
    /// With the offsets of all channels, channel by channel.
    pub(crate) phases: Vec<Phase>,
    pub(crate) input: Input,
}

/// How the input lies before the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
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
        groups: usize,
        [read, written]: [usize; 2],
        [rows, columns]: [&Axis; 2],
        pointwise: bool,
    ) -> Self {
        let (packing, unpacking) = (Packing::new(rows, columns), Unpacking::new(rows, columns));
        let source_plane = rows.read * columns.read;
        let input = match source_plane {
            PIXELS..DIRECT if pointwise => Input::Direct,
            ..PIXELS if pointwise => Input::Together(4 * PIXELS / source_plane),
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
        Self { groups, read, written, source_plane, target_plane, packing, unpacking, phases, input }
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
        let mut packed = vec![0.0; self.packed_weights(set)];
        let mut from = 0;
        for group in 0..self.groups {
            for phase in &self.phases {
                for first in (0..self.written).step_by(block) {
                    let of_block = &mut packed[from..from + self.read * phase.taps.len() * block];
                    from += of_block.len();
                    for written in first..(first + block).min(self.written) {
                        let mut places = of_block.iter_mut().skip(written - first).step_by(block);
                        for read in 0..self.read {
                            for (tap, place) in phase.taps.iter().zip(&mut places) {
                                *place = weight(group, written, read, *tap);
                            }
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

    /// Correlates the images `source` with packed weights.
    pub(crate) fn run(
        &self,
        set: InstructionSet,
        source: &[f32],
        weights: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
    ) -> Buffer {
        let [source_image, target_image] = self.image_lens();
        assert!(source.len().is_multiple_of(source_image), "an input has the shape that was planned for");
        let together = self.together();
        let fill = |target: &mut [MaybeUninit<f32>]| {
            let tasks = target.par_chunks_mut(together * target_image);
            tasks.zip(source.par_chunks(together * source_image)).for_each(|(target, source)| {
                self.images(set, source, weights, bias, activation, target);
            });
        };
        // SAFETY: the chunks cover the whole target, and all channels and pixels of their images are written.
        unsafe { Buffer::filled(source.len() / source_image * target_image, fill) }
    }

    /// Correlates some images on this thread; writes all of the target.
    pub(crate) fn images(
        &self,
        set: InstructionSet,
        source: &[f32],
        weights: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
        target: &mut [MaybeUninit<f32>],
    ) {
        let [source_image, target_image] = self.image_lens();
        assert!(
            source.len().is_multiple_of(source_image)
                && target.len() == source.len() / source_image * target_image,
            "a target has room for the images of the source"
        );
        assert!(
            bias.is_none_or(|bias| bias.len() == self.groups * self.written),
            "there is a bias for each channel"
        );
        assert_eq!(weights.len(), self.packed_weights(set), "weights were packed for this");
        let lines = if self.writes_in_place() { 0 } else { self.lines(set) };
        with_scratch(self.packed_input() + lines, |scratch| {
            let tasks = target.chunks_mut(self.together() * target_image);
            for (target, source) in tasks.zip(source.chunks(self.together() * source_image)) {
                let images = target.len() / target_image;
                let scratch = &mut *scratch;
                set.run(Task { plan: self, source, weights, bias, activation, target, scratch, images });
            }
        });
    }

    /// Floats of an image that is read, and of one that is written.
    fn image_lens(&self) -> [usize; 2] {
        let source = self.groups * self.read * self.source_plane;
        [source, self.groups * self.written * self.target_plane]
    }

    /// Images that are computed at once.
    fn together(&self) -> usize {
        if let Input::Together(images) = self.input { images } else { 1 }
    }

    /// Whether sums go where they belong at once, not through scratch.
    pub(crate) fn writes_in_place(&self) -> bool {
        let whole = self.phases.len() == 1 && self.target_plane >= PIXELS;
        whole && !matches!(self.input, Input::Together(_))
    }

    /// Positions that a block of channels computes at once.
    pub(crate) fn positions(&self) -> usize {
        if let Input::Together(images) = self.input {
            images * self.source_plane
        } else {
            self.unpacking.positions()
        }
    }

    /// Positions that all written channels compute before the next ones, so that what they read stays in the second
    /// level of the cache.
    pub(crate) fn piece(&self) -> usize {
        let read = self.packed_input() / self.positions().max(1);
        (CACHED / read.max(1) / PIECE).max(1) * PIECE
    }

    /// Floats of scratch for the positions of one written channel and phase of columns.
    pub(crate) fn line(&self) -> usize {
        self.positions().next_multiple_of(SLACK) + SLACK
    }

    /// Floats of scratch for the results of a block of channels.
    fn lines(&self, set: InstructionSet) -> usize {
        let column_phases = self.phases.iter().filter(|phase| phase.place[0] == 0).count();
        set.block_rows() * column_phases * self.line()
    }

    /// Floats of scratch for the input of a group.
    pub(crate) fn packed_input(&self) -> usize {
        self.read
            * match self.input {
                Input::Direct => 0,
                Input::Together(images) => images * self.source_plane + SLACK,
                Input::Packed => self.packing.channel_len(),
            }
    }
}

//! The plan of a dense correlation: each written channel is a weighted sum of shifted planes of the read
//! channels.
//!
//! Forward convolution and the gradient of its input both have this form; `convolution` chooses their weights
//! and axes. `correlate` runs a plan.

use crate::planes::geometry::Axis;
use crate::planes::packing::{Packing, Phase, SLACK};
use crate::planes::unpacking::Unpacking;
use crate::simd::InstructionSet;

/// Pixels that fill a vector of every instruction set. Smaller images of a pointwise convolution are computed
/// together.
const PIXELS: usize = 16;

/// From so many pixels on, planes are copied instead of read in place. Planes a power of two apart compete
/// for the same sets of the cache.
const DIRECT: usize = 128;

/// Floats of input that all written channels read before the next piece, so that they stay in the second
/// level of the cache.
const CACHED: usize = 48 * 1024;

/// Positions of the smallest piece. It is a multiple of every tile: of 1, 2 or 3 vectors of 8 or 16 lanes.
const PIECE: usize = 96;

/// A correlation between images, planned once for any number of images.
#[derive(Debug)]
pub(crate) struct Correlation {
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

/// How the kernel finds its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// In place.
    Direct,
    /// In scratch, the pixels of this number of small images side by side.
    Together(usize),
    /// In scratch, in shifted copies.
    Packed,
}

impl Correlation {
    /// `read` and `written` are the channels of one group.
    pub(crate) fn new(
        groups: usize,
        [read, written]: [usize; 2],
        [rows, columns]: [&Axis; 2],
        pointwise: bool,
    ) -> Self {
        let (packing, unpacking) = (Packing::new(rows, columns), Unpacking::new(rows, columns));
        let source_plane = rows.read() * columns.read();
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
        let target_plane = rows.written() * columns.written();
        Self { groups, read, written, source_plane, target_plane, packing, unpacking, phases, input }
    }

    /// Packs the weights in the order of the kernel: by group, phase, block of written channels, read channel
    /// and tap, written channel.
    ///
    /// `weight` takes group, written channel, read channel, and row and column of the kernel.
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
    pub(super) fn packed_weights(&self, set: InstructionSet) -> usize {
        let per_group: usize = self.phases.iter().map(|phase| phase.offsets.len()).sum();
        self.groups * per_group * self.written.next_multiple_of(set.block_rows())
    }

    pub(super) const fn groups(&self) -> usize {
        self.groups
    }

    /// Read channels of a group.
    pub(super) const fn read(&self) -> usize {
        self.read
    }

    /// Written channels of a group.
    pub(super) const fn written(&self) -> usize {
        self.written
    }

    pub(super) const fn source_plane(&self) -> usize {
        self.source_plane
    }

    pub(super) const fn target_plane(&self) -> usize {
        self.target_plane
    }

    pub(super) const fn packing(&self) -> &Packing {
        &self.packing
    }

    pub(super) const fn unpacking(&self) -> &Unpacking {
        &self.unpacking
    }

    /// The written phases, each with the offsets of all channels, channel by channel.
    pub(super) fn phases(&self) -> &[Phase] {
        &self.phases
    }

    pub(super) const fn input(&self) -> Input {
        self.input
    }

    /// Floats of a read image and of a written one.
    pub(super) fn image_lens(&self) -> [usize; 2] {
        let source = self.groups * self.read * self.source_plane;
        [source, self.groups * self.written * self.target_plane]
    }

    /// Number of images that are computed at once.
    pub(super) fn together(&self) -> usize {
        if let Input::Together(images) = self.input { images } else { 1 }
    }

    /// Whether sums are stored at their places directly, without scratch.
    pub(super) fn writes_in_place(&self) -> bool {
        let whole = self.phases.len() == 1 && self.target_plane >= PIXELS;
        whole && !matches!(self.input, Input::Together(_))
    }

    /// Positions that a block of channels computes.
    pub(super) fn positions(&self) -> usize {
        if let Input::Together(images) = self.input {
            images * self.source_plane
        } else {
            self.unpacking.positions()
        }
    }

    /// Positions that all written channels compute before the next piece. The input of a piece stays in the
    /// second level of the cache.
    pub(super) fn piece(&self) -> usize {
        let read = self.packed_input() / self.positions().max(1);
        (CACHED / read.max(1) / PIECE).max(1) * PIECE
    }

    /// Floats of scratch for the positions of one written channel and column phase.
    pub(super) fn line(&self) -> usize {
        self.positions().next_multiple_of(SLACK) + SLACK
    }

    /// Floats of scratch for the results of a block of channels.
    pub(super) fn lines(&self, set: InstructionSet) -> usize {
        let column_phases = self.phases.iter().filter(|phase| phase.place[0] == 0).count();
        set.block_rows() * column_phases * self.line()
    }

    /// Floats of scratch for the input of a group.
    pub(super) fn packed_input(&self) -> usize {
        self.read
            * match self.input {
                Input::Direct => 0,
                Input::Together(images) => images * self.source_plane + SLACK,
                Input::Packed => self.packing.channel_len(),
            }
    }
}

//! Plans dense correlations. In a correlation, each written channel is a weighted sum of shifted planes of
//! the read channels.
//!
//! Both forward convolution and the gradient of its input have this form. `convolution` chooses weights and
//! axes for them. `correlate` runs a plan.

use crate::planes::geometry::Axis;
use crate::planes::packing::{Packing, Phase, SLACK};
use crate::planes::unpacking::Unpacking;
use crate::simd::InstructionSet;

/// Number of pixels that fill a vector of every instruction set. If images have fewer pixels, pointwise
/// convolutions combine several images.
const PIXELS: usize = 16;

/// Planes with at least this number of pixels are copied instead of read in place. Planes whose distance is a
/// power of two compete for the same sets of the cache.
const DIRECT: usize = 128;

/// Number of input floats in a piece. All written channels read a piece before they continue with the next,
/// so the piece stays in the second-level cache.
const CACHED: usize = 48 * 1024;

/// Number of positions in the smallest piece. It is a multiple of every tile size: 1, 2 or 3 vectors of 8 or
/// 16 lanes.
const PIECE: usize = 96;

/// A correlation that is planned once and can run on any number of images.
#[derive(Debug)]
pub(crate) struct Correlation {
    groups: usize,
    /// Number of channels that are read in a group.
    read: usize,
    written: usize,
    source_plane: usize,
    target_plane: usize,
    packing: Packing,
    unpacking: Unpacking,
    /// Written phases. Their offsets are listed for all channels, channel by channel.
    phases: Vec<Phase>,
    input: Input,
}

/// How the kernel reads its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// Reads the images in place.
    Direct,
    /// Reads a scratch buffer, which contains the pixels of this number of small images next to each other.
    Together(usize),
    /// Reads a scratch buffer, which contains shifted copies of the planes.
    Packed,
}

impl Correlation {
    /// `read` and `written` are the numbers of channels in one group.
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

    /// Packs the weights in the order in which the kernel reads them: by group, phase, block of written
    /// channels, read channel and tap, written channel.
    ///
    /// The arguments of `weight` are group, written channel, read channel, and row and column of the kernel.
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

    /// Number of floats in the packed weights.
    pub(super) fn packed_weights(&self, set: InstructionSet) -> usize {
        let per_group: usize = self.phases.iter().map(|phase| phase.offsets.len()).sum();
        self.groups * per_group * self.written.next_multiple_of(set.block_rows())
    }

    pub(super) const fn groups(&self) -> usize {
        self.groups
    }

    /// Number of channels that are read in a group.
    pub(super) const fn read(&self) -> usize {
        self.read
    }

    /// Number of channels that are written in a group.
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

    /// The written phases. The offsets in each phase are listed for all channels, channel by channel.
    pub(super) fn phases(&self) -> &[Phase] {
        &self.phases
    }

    pub(super) const fn input(&self) -> Input {
        self.input
    }

    /// Number of floats in an image that is read, and in one that is written.
    pub(super) fn image_lens(&self) -> [usize; 2] {
        let source = self.groups * self.read * self.source_plane;
        [source, self.groups * self.written * self.target_plane]
    }

    /// Number of images that are computed at once.
    pub(super) fn together(&self) -> usize {
        if let Input::Together(images) = self.input { images } else { 1 }
    }

    /// Whether sums are stored directly in the image, without a scratch buffer.
    pub(super) fn writes_in_place(&self) -> bool {
        let whole = self.phases.len() == 1 && self.target_plane >= PIXELS;
        whole && !matches!(self.input, Input::Together(_))
    }

    /// Number of positions that a block of channels computes.
    pub(super) fn positions(&self) -> usize {
        if let Input::Together(images) = self.input {
            images * self.source_plane
        } else {
            self.unpacking.positions()
        }
    }

    /// Number of positions in a piece. All written channels compute a piece before they continue with the
    /// next, so the piece's input stays in the second-level cache.
    pub(super) fn piece(&self) -> usize {
        let read = self.packed_input() / self.positions().max(1);
        (CACHED / read.max(1) / PIECE).max(1) * PIECE
    }

    /// Number of floats in the scratch buffer for the positions of one written channel and column phase.
    pub(super) fn line(&self) -> usize {
        self.positions().next_multiple_of(SLACK) + SLACK
    }

    /// Number of floats in the scratch buffer for the results of a block of channels.
    pub(super) fn lines(&self, set: InstructionSet) -> usize {
        let column_phases = self.phases.iter().filter(|phase| phase.place[0] == 0).count();
        set.block_rows() * column_phases * self.line()
    }

    /// Number of floats in the scratch buffer for the input of a group.
    pub(super) fn packed_input(&self) -> usize {
        self.read
            * match self.input {
                Input::Direct => 0,
                Input::Together(images) => images * self.source_plane + SLACK,
                Input::Packed => self.packing.channel_len(),
            }
    }
}

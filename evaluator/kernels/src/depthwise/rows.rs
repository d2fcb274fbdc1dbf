//! The plan for depthwise sums over planes that are read in place, row by row.
//!
//! It supports square kernels of size 3, 5 and 7 with a stride of 1 or 2, and one factor for a whole plane.
//! Planes that are at most half a vector wide are copied next to each other, row by row. A vector then
//! contains the same row of several channels.

use crate::planes::geometry::Axis;
use crate::shared::weight_slice::WeightValues;
use crate::simd::{InstructionSet, Simd};

/// Maximum number of masks for a row: one for each of seven taps with stride 1, or four pairs with stride 2.
pub(super) const MASKS: usize = 8;

/// A plan for planes of one size.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    kernel: usize,
    stride: usize,
    /// First row and first column that position zero reads. Rows and columns in the padding are negative.
    first: [isize; 2],
    /// Size of a plane that is read.
    read: [usize; 2],
    /// Size of a plane that is written.
    written: [usize; 2],
    /// Index of each kernel row and column, in the order of the positions that they read.
    order: [Vec<usize>; 2],
}

impl Rows {
    /// Returns `None` if this plan does not support the kernel or the stride.
    pub(super) fn new(rows: &Axis, columns: &Axis) -> Option<Self> {
        let [down, along] = [in_order(rows)?, in_order(columns)?];
        let (kernel, stride) = (down.1.len(), rows.read_phases());
        let fits = matches!((kernel, stride), (1, 1) | (3 | 5 | 7, 1 | 2))
            && along.1.len() == kernel
            && columns.read_phases() == stride;
        fits.then_some(Self {
            kernel,
            stride,
            first: [down.0, along.0],
            read: [rows.read(), columns.read()],
            written: [rows.written(), columns.written()],
            order: [down.1, along.1],
        })
    }

    /// Side of the kernel.
    #[inline]
    pub(super) const fn kernel(&self) -> usize {
        self.kernel
    }

    #[inline]
    pub(super) const fn stride(&self) -> usize {
        self.stride
    }

    /// First row and first column that position zero reads. Rows and columns in the padding are negative.
    #[inline]
    pub(super) const fn first(&self) -> [isize; 2] {
        self.first
    }

    /// Size of a plane that is read.
    #[inline]
    pub(super) const fn read(&self) -> [usize; 2] {
        self.read
    }

    /// Size of a plane that is written.
    #[inline]
    pub(super) const fn written(&self) -> [usize; 2] {
        self.written
    }

    /// Number of planes that share a vector.
    pub(super) fn side_by_side(&self, lanes: usize) -> usize {
        let width = self.written[1].max(self.read[1].div_ceil(self.stride)).next_power_of_two();
        (lanes / width).max(1)
    }

    /// Packs the weights in the order in which the kernel reads them: by channel and tap. If channels share
    /// vectors, packs them by lot of channels, tap and lane.
    pub(super) fn pack_weights(
        &self,
        set: InstructionSet,
        channels: usize,
        weight: WeightValues<'_>,
    ) -> Vec<f32> {
        let [rows, columns] = &self.order;
        let taps = || rows.iter().flat_map(|row| columns.iter().map(move |column| [*row, *column]));
        let (lanes, together) = (set.lanes(), self.side_by_side(set.lanes()));
        if together == 1 {
            return (0..channels)
                .flat_map(|channel| taps().map(move |tap| weight.get(channel, 0, tap)))
                .collect();
        }
        let mut packed = vec![0.0; self.packed_weights(set, channels)];
        let taps: Vec<_> = taps().collect();
        let width = lanes / together;
        for channel in 0..channels {
            let (lot, member) = (channel / together, channel % together);
            for (number, tap) in taps.iter().enumerate() {
                let at = (lot * taps.len() + number) * lanes + member * width;
                packed[at..at + width].fill(weight.get(channel, 0, *tap));
            }
        }
        packed
    }

    /// Number of floats in the packed weights.
    pub(super) fn packed_weights(&self, set: InstructionSet, channels: usize) -> usize {
        let taps = self.kernel * self.kernel;
        match self.side_by_side(set.lanes()) {
            1 => channels * taps,
            together => channels.div_ceil(together) * taps * set.lanes(),
        }
    }

    /// Number of floats in the scratch buffer: two lots if planes share vectors, and otherwise zero.
    pub(super) fn scratch(&self, set: InstructionSet) -> usize {
        if self.side_by_side(set.lanes()) == 1 { 0 } else { 2 * self.lot(set.lanes()) }
    }

    /// Number of floats in a lot. A lot contains the input rows and the output rows of planes that share
    /// vectors.
    pub(super) const fn lot(&self, lanes: usize) -> usize {
        (self.read[0] * self.stride + self.written[0]) * lanes
    }

    /// Returns the masks for loads from a row, with lanes that start at column `at`. The masks exclude
    /// columns beyond the row.
    ///
    /// With stride 1 there is one load per tap. With stride 2 there are two loads per pair of taps: the even
    /// elements belong to the first tap, the odd elements to the second.
    pub(super) fn masks<S: Simd>(&self, simd: S, at: usize) -> [S::Mask; MASKS] {
        let width = S::LANES / self.side_by_side(S::LANES);
        std::array::from_fn(|load| {
            let (distance, ahead) =
                if self.stride == 1 { (load, 0) } else { (load / 2 * 2, load % 2 * S::LANES) };
            simd.mask(|lane| {
                let element = ahead + lane;
                let column = at + element / self.stride % width;
                let read = column * self.stride + element % self.stride + distance;
                read.checked_add_signed(self.first[1]).is_some_and(|read| read < self.read[1])
            })
        })
    }
}

/// Returns the offset at which the first tap reads, and the indices of all taps in the order of their
/// offsets. Returns `None` if positions are written in phases, or if there are gaps between taps.
fn in_order(axis: &Axis) -> Option<(isize, Vec<usize>)> {
    let [taps] = axis.taps() else { return None };
    let mut taps: Vec<_> = taps
        .iter()
        .map(|tap| (tap.shift * axis.read_phases() as isize + tap.phase as isize, tap.index))
        .collect();
    taps.sort_unstable();
    let first = taps.first()?.0;
    let gapless = taps.iter().zip(first..).all(|((distance, _), expected)| *distance == expected);
    gapless.then(|| (first, taps.into_iter().map(|(_, index)| index).collect()))
}

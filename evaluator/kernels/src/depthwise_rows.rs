//! Depthwise sums of planes that are read where they lie, row by row: masks leave out what a tap reads beyond the ends of a row,
//! and each row that is read goes into the sums of all rows that it belongs to, which are kept in registers.
//!
//! For square kernels of 3, 5 and 7 without stride or with one of 2, and for factors of whole planes. Planes narrower than half a vector are put side by side, row
//! by row, so that a vector holds the same row of several channels.

use std::mem::MaybeUninit;

use crate::activation::Activation;
use crate::geometry::Axis;
use crate::instruction_set::InstructionSet;
use crate::simd::{Kernel, Simd};
use crate::strips::{Strip, Strips};
use crate::weight_slice::WeightValues;

/// Masks of a row at most: of seven taps without stride, and of four pairs of vectors with one.
pub(crate) const MASKS: usize = 8;

/// Sums of one form over the planes of a channel each.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    kernel: usize,
    stride: usize,
    /// First row and column that the first position reads, and sizes.
    pub(crate) first: [isize; 2],
    pub(crate) read: [usize; 2],
    pub(crate) written: [usize; 2],
    /// Index of each row and column of the kernel, in the order of what they read.
    order: [Vec<usize>; 2],
}

impl Rows {
    /// `None` for sums of other forms.
    pub(crate) fn new(rows: &Axis, columns: &Axis) -> Option<Self> {
        let [down, along] = [in_order(rows)?, in_order(columns)?];
        let (kernel, stride) = (down.1.len(), rows.read_phases);
        let fits = matches!((kernel, stride), (1, 1) | (3 | 5 | 7, 1 | 2))
            && along.1.len() == kernel
            && columns.read_phases == stride;
        fits.then_some(Self {
            kernel,
            stride,
            first: [down.0, along.0],
            read: [rows.read, columns.read],
            written: [rows.written, columns.written],
            order: [down.1, along.1],
        })
    }

    /// Planes that share a vector.
    pub(crate) fn side_by_side(&self, lanes: usize) -> usize {
        let width = self.written[1].max(self.read[1].div_ceil(self.stride)).next_power_of_two();
        (lanes / width).max(1)
    }

    /// Weights as the kernel reads them: by channel and tap, or by channels that share vectors, tap, and lane.
    pub(crate) fn pack_weights(
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

    /// Floats of packed weights.
    pub(crate) fn packed_weights(&self, set: InstructionSet, channels: usize) -> usize {
        let taps = self.kernel * self.kernel;
        match self.side_by_side(set.lanes()) {
            1 => channels * taps,
            together => channels.div_ceil(together) * taps * set.lanes(),
        }
    }

    /// Floats of scratch: rows read and written of two lots of planes side by side.
    pub(crate) fn scratch(&self, set: InstructionSet) -> usize {
        if self.side_by_side(set.lanes()) == 1 { 0 } else { 2 * self.lot(set.lanes()) }
    }

    /// Floats of the rows read and written of planes side by side.
    const fn lot(&self, lanes: usize) -> usize {
        (self.read[0] * self.stride + self.written[0]) * lanes
    }

    /// What the loads of a row read for lanes from column `at` on: a vector for each tap, or with stride two vectors for every
    /// second one, of which every second element belongs to the tap after it.
    fn masks<S: Simd>(&self, simd: S, at: usize) -> [S::Mask; MASKS] {
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

/// The distance that the first tap reads at, and the indices of all taps in the order of theirs; `None` where positions are
/// written in phases, or taps leave gaps.
fn in_order(axis: &Axis) -> Option<(isize, Vec<usize>)> {
    let [taps] = axis.taps.as_slice() else { return None };
    let mut taps: Vec<_> = taps
        .iter()
        .map(|tap| (tap.shift * axis.read_phases as isize + tap.phase as isize, tap.index))
        .collect();
    taps.sort_unstable();
    let first = taps.first()?.0;
    let gapless = taps.iter().zip(first..).all(|((distance, _), expected)| *distance == expected);
    gapless.then(|| (first, taps.into_iter().map(|(_, index)| index).collect()))
}

/// Some of the planes, counted over images and channels; where several share a vector, the first is the first of them.
pub(crate) struct Planes<'a> {
    pub(crate) rows: &'a Rows,
    pub(crate) channels: usize,
    pub(crate) first: usize,
    pub(crate) source: &'a [f32],
    pub(crate) weights: &'a [f32],
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) activation: Activation,
    pub(crate) target: &'a mut [MaybeUninit<f32>],
    pub(crate) scratch: &'a mut [f32],
}

impl Kernel for Planes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let shared = self.rows.side_by_side(S::LANES) > 1;
        match (self.rows.kernel, self.rows.stride, shared) {
            (1, _, false) => self.alone::<S, 1, 1>(simd),
            (1, _, true) => self.shared::<S, 1, 1>(simd),
            (3, 1, false) => self.alone::<S, 3, 1>(simd),
            (3, 1, true) => self.shared::<S, 3, 1>(simd),
            (3, _, false) => self.alone::<S, 3, 2>(simd),
            (3, _, true) => self.shared::<S, 3, 2>(simd),
            (5, 1, false) => self.alone::<S, 5, 1>(simd),
            (5, 1, true) => self.shared::<S, 5, 1>(simd),
            (5, _, false) => self.alone::<S, 5, 2>(simd),
            (5, _, true) => self.shared::<S, 5, 2>(simd),
            (_, 1, false) => self.alone::<S, 7, 1>(simd),
            (_, 1, true) => self.shared::<S, 7, 1>(simd),
            (_, _, false) => self.alone::<S, 7, 2>(simd),
            (_, _, true) => self.shared::<S, 7, 2>(simd),
        }
    }
}

impl Planes<'_> {
    /// Lengths of a plane that is read and of one that is written.
    const fn lens(&self) -> [usize; 2] {
        let Rows { read, written, .. } = self.rows;
        [read[0] * read[1], written[0] * written[1]]
    }

    /// Planes whose rows are at least about as long as a vector: a strip of columns of one plane is a vector wide.
    #[inline(always)]
    fn alone<S: Simd, const K: usize, const STRIDE: usize>(mut self, simd: S) {
        let (rows, activation) = (self.rows, self.activation);
        let width = rows.written[1];
        let strips = width.div_ceil(S::LANES);
        let masks: Vec<[S::Mask; MASKS]> =
            (0..strips).map(|strip| rows.masks(simd, start_of::<S>(strip, width))).collect();
        let (pitches, count) = ([rows.read[1], width], width.min(S::LANES));
        let total = self.target.len() / self.lens()[1] * strips;
        for number in (0..total).step_by(2) {
            let first = self.strip::<S, K, STRIDE>(simd, number, &masks);
            // SAFETY: source and target are whole planes of these sizes, there are weights for each channel (all of which `planes` of
            // the plan checked), masks leave out what is not in a row, and a strip's lanes lie in the rows that are written.
            unsafe {
                if number + 1 == total {
                    let strips = [first];
                    Strips { rows, pitches, count, activation, each: strips }
                        .run::<K, STRIDE, true, false>(simd);
                    break;
                }
                let pair = [first, self.strip::<S, K, STRIDE>(simd, number + 1, &masks)];
                let pair = Strips { rows, pitches, count, activation, each: pair };
                if strips.is_multiple_of(2) {
                    pair.run::<K, STRIDE, true, false>(simd);
                } else {
                    pair.run::<K, STRIDE, false, false>(simd);
                }
            }
        }
    }

    /// A strip of all strips of all planes.
    #[inline(always)]
    fn strip<S: Simd, const K: usize, const STRIDE: usize>(
        &mut self,
        simd: S,
        number: usize,
        masks: &[[S::Mask; MASKS]],
    ) -> Strip<S> {
        let ([read, written], width) = (self.lens(), self.rows.written[1]);
        let (plane, strip) = (number / masks.len(), number % masks.len());
        let (channel, at) = ((self.first + plane) % self.channels, start_of::<S>(strip, width));
        let input = self.source.as_ptr().wrapping_add(plane * read + at * STRIDE);
        Strip {
            // What lies before the plane is not read.
            input: input.wrapping_offset(self.rows.first[1]),
            weights: self.weights[channel * K * K..].as_ptr(),
            start: simd.splat(self.bias.map_or(0.0, |bias| bias[channel])),
            masks: masks[strip],
            output: self.target.as_mut_ptr().cast::<f32>().wrapping_add(plane * written + at),
        }
    }

    /// Narrow planes, several side by side in a vector.
    #[inline(always)]
    fn shared<S: Simd, const K: usize, const STRIDE: usize>(mut self, simd: S) {
        let (rows, activation) = (self.rows, self.activation);
        let planes = self.target.len() / self.lens()[1];
        let masks = rows.masks(simd, 0);
        let (first, lot) = (self.scratch.as_mut_ptr(), rows.lot(S::LANES));
        let (pitches, count) = ([STRIDE * S::LANES, S::LANES], S::LANES);
        let mut plane = 0;
        while plane < planes {
            // SAFETY: the scratch holds two lots, there are weights for each channel, and masks leave out what is not in a row.
            unsafe {
                let next = plane + self.count::<S>(plane);
                let one = self.side_by_side::<S, K, STRIDE>(simd, plane, first, masks);
                if next == planes {
                    let strips = [one];
                    Strips { rows, pitches, count, activation, each: strips }
                        .run::<K, STRIDE, false, true>(simd);
                    self.apart::<S, STRIDE>(simd, plane, first);
                    break;
                }
                let second = first.add(lot);
                let strips = [one, self.side_by_side::<S, K, STRIDE>(simd, next, second, masks)];
                Strips { rows, pitches, count, activation, each: strips }.run::<K, STRIDE, false, true>(simd);
                self.apart::<S, STRIDE>(simd, plane, first);
                self.apart::<S, STRIDE>(simd, next, second);
                plane = next + self.count::<S>(next);
            }
        }
    }

    /// Planes from this one on that share a vector: of one image, as many as there are.
    #[inline(always)]
    fn count<S: Simd>(&self, plane: usize) -> usize {
        let planes = self.target.len() / self.lens()[1];
        let left = self.channels - (self.first + plane) % self.channels;
        self.rows.side_by_side(S::LANES).min(planes - plane).min(left)
    }

    /// Brings the rows of planes side by side.
    ///
    /// # Safety
    /// `lot` has room for them, and for the rows that will be written.
    #[inline(always)]
    unsafe fn side_by_side<S: Simd, const K: usize, const STRIDE: usize>(
        &self,
        simd: S,
        plane: usize,
        lot: *mut f32,
        masks: [S::Mask; MASKS],
    ) -> Strip<S> {
        let rows = self.rows;
        let (read, together) = (self.lens()[0], rows.side_by_side(S::LANES));
        let width = S::LANES / together;
        let channel = (self.first + plane) % self.channels;
        let mut start = [0.0; 16];
        if let Some(bias) = self.bias {
            for number in 0..self.count::<S>(plane) {
                start[number * width..(number + 1) * width].fill(bias[channel + number]);
            }
        }
        for number in 0..self.count::<S>(plane) {
            // SAFETY: the plane is one of the source; its rows fit their part of a row side by side.
            unsafe {
                let from = self.source.as_ptr().add((plane + number) * read);
                let to = lot.add(number * STRIDE * width);
                move_rows(simd, from, to, [rows.read[1], STRIDE * S::LANES], rows.read);
            }
        }
        Strip {
            input: lot.cast_const().wrapping_offset(rows.first[1]),
            weights: self.weights[channel / together * K * K * S::LANES..].as_ptr(),
            // SAFETY: there are as many floats as the widest vector has.
            start: unsafe { simd.load(start.as_ptr()) },
            masks,
            output: lot.wrapping_add(rows.read[0] * STRIDE * S::LANES),
        }
    }

    /// Brings rows that were written side by side to their planes.
    ///
    /// # Safety
    /// They are in this lot.
    #[inline(always)]
    unsafe fn apart<S: Simd, const STRIDE: usize>(&mut self, simd: S, plane: usize, lot: *const f32) {
        let rows = self.rows;
        let (written, width) = (self.lens()[1], S::LANES / rows.side_by_side(S::LANES));
        for number in 0..self.count::<S>(plane) {
            // SAFETY: the plane is one of the target, and its sums are in the lot.
            unsafe {
                let from = lot.add(rows.read[0] * STRIDE * S::LANES + number * width);
                let to = self.target.as_mut_ptr().cast::<f32>().add((plane + number) * written);
                move_rows(simd, from, to, [S::LANES, rows.written[1]], rows.written);
            }
        }
    }
}

/// Where a strip of a row begins: the last ends where the row does.
const fn start_of<S: Simd>(strip: usize, width: usize) -> usize {
    let (at, last) = (strip * S::LANES, width.saturating_sub(S::LANES));
    if at < last { at } else { last }
}

/// Copies rows that are less than a vector long.
///
/// # Safety
/// They can be read at `from` and written at `to`, with these distances between them.
#[inline(always)]
unsafe fn move_rows<S: Simd>(
    simd: S,
    from: *const f32,
    to: *mut f32,
    pitches: [usize; 2],
    [height, width]: [usize; 2],
) {
    for row in 0..height {
        // SAFETY: as the caller says; a row that is read with a stride may be as long as two vectors.
        unsafe {
            let (from, to) = (from.add(row * pitches[0]), to.add(row * pitches[1]));
            let first = width.min(S::LANES);
            simd.store_first(to, simd.load_first(from, first), first);
            if width > S::LANES {
                let rest = width - S::LANES;
                simd.store_first(to.add(S::LANES), simd.load_first(from.add(S::LANES), rest), rest);
            }
        }
    }
}

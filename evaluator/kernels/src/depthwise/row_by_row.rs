//! Depthwise sums over planes that are read in place, row by row.
//!
//! Masks exclude what a tap would read beyond the ends of a row. With stride 1, each input row is read once
//! and added to the sums of all output rows that it contributes to. These sums stay in registers.

use std::mem::MaybeUninit;

use crate::depthwise::rows::{MASKS, Rows};
use crate::depthwise::strips::{Strip, Strips};
use crate::shared::activation::Activation;
use crate::shared::memory::with_scratch;
use crate::simd::{InstructionSet, Kernel, Simd};

/// Planes of several channels, and what to compute from them.
pub(super) struct Sums<'a> {
    pub(super) channels: usize,
    /// Number of the first plane, counted over images and channels. If several planes share a vector, `first`
    /// is the number of the first of these planes.
    pub(super) first: usize,
    pub(super) source: &'a [f32],
    pub(super) weights: &'a [f32],
    pub(super) bias: Option<&'a [f32]>,
    pub(super) activation: Activation,
}

impl Sums<'_> {
    /// Computes the sums of the planes on this thread and writes all of the target.
    pub(super) fn write(self, set: InstructionSet, rows: &Rows, target: &mut [MaybeUninit<f32>]) {
        let Self { channels, first, source, weights, bias, activation } = self;
        let [read, written] = lens(rows);
        assert!(
            source.len().is_multiple_of(read) && target.len() == source.len() / read * written,
            "a target has room for the planes of the source"
        );
        assert_eq!(weights.len(), rows.packed_weights(set, channels), "there is a filter for each channel");
        assert!(bias.is_none_or(|bias| bias.len() == channels), "there is a bias for each channel");
        with_scratch(rows.scratch(set), |scratch| {
            set.run(Planes { rows, channels, first, source, weights, bias, activation, target, scratch });
        });
    }
}

/// Number of floats in a plane that is read, and in one that is written.
const fn lens(rows: &Rows) -> [usize; 2] {
    let ([height, width], [written_height, written_width]) = (rows.read(), rows.written());
    [height * width, written_height * written_width]
}

/// The planes of one call of `write`. That function has checked the lengths of all slices.
struct Planes<'a> {
    rows: &'a Rows,
    channels: usize,
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
        let shared = self.rows.side_by_side(S::LANES) > 1;
        match (self.rows.kernel(), self.rows.stride(), shared) {
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
    /// Number of floats in a plane that is read, and in one that is written.
    #[inline(always)]
    const fn lens(&self) -> [usize; 2] {
        lens(self.rows)
    }

    /// Sums planes that are wider than half a vector. Each strip of columns is one vector wide.
    #[inline(always)]
    fn alone<S: Simd, const K: usize, const STRIDE: usize>(mut self, simd: S) {
        let (rows, activation) = (self.rows, self.activation);
        let width = rows.written()[1];
        let strips = width.div_ceil(S::LANES);
        let masks: Vec<[S::Mask; MASKS]> =
            (0..strips).map(|strip| rows.masks(simd, start_of::<S>(strip, width))).collect();
        let (pitches, count) = ([rows.read()[1], width], width.min(S::LANES));
        let total = self.target.len() / self.lens()[1] * strips;
        // Compute two strips at a time. While one strip waits for its sums, the processor computes the other.
        for number in (0..total).step_by(2) {
            let first = self.strip::<S, K, STRIDE>(simd, number, &masks);
            // SAFETY: `write` checked that source and target are whole planes of these sizes and that there
            // are weights for each channel. Masks exclude positions outside a row, and the lanes of a strip
            // lie in the rows that are written.
            unsafe {
                if number + 1 == total {
                    let strips = [first];
                    Strips { rows, pitches, count, activation, each: strips }
                        .run::<K, STRIDE, true, false>(simd);
                    break;
                }
                let pair = [first, self.strip::<S, K, STRIDE>(simd, number + 1, &masks)];
                let pair = Strips { rows, pitches, count, activation, each: pair };
                // If the number of strips is even, both strips belong to one plane and share its weights.
                if strips.is_multiple_of(2) {
                    pair.run::<K, STRIDE, true, false>(simd);
                } else {
                    pair.run::<K, STRIDE, false, false>(simd);
                }
            }
        }
    }

    /// Returns the strip with this number. Strips are numbered over all planes.
    #[inline(always)]
    fn strip<S: Simd, const K: usize, const STRIDE: usize>(
        &mut self,
        simd: S,
        number: usize,
        masks: &[[S::Mask; MASKS]],
    ) -> Strip<S> {
        let ([read, written], width) = (self.lens(), self.rows.written()[1]);
        let (plane, strip) = (number / masks.len(), number % masks.len());
        let (channel, at) = ((self.first + plane) % self.channels, start_of::<S>(strip, width));
        let input = self.source.as_ptr().wrapping_add(plane * read + at * STRIDE);
        Strip {
            // The pointer may point before the plane. Masks exclude everything before the plane.
            input: input.wrapping_offset(self.rows.first()[1]),
            weights: self.weights[channel * K * K..].as_ptr(),
            start: simd.splat(self.bias.map_or(0.0, |bias| bias[channel])),
            masks: masks[strip],
            output: self.target.as_mut_ptr().cast::<f32>().wrapping_add(plane * written + at),
        }
    }

    /// Sums narrow planes, several of which share each vector.
    #[inline(always)]
    fn shared<S: Simd, const K: usize, const STRIDE: usize>(mut self, simd: S) {
        let (rows, activation) = (self.rows, self.activation);
        let planes = self.target.len() / self.lens()[1];
        let masks = rows.masks(simd, 0);
        let (first, lot) = (self.scratch.as_mut_ptr(), rows.lot(S::LANES));
        let (pitches, count) = ([STRIDE * S::LANES, S::LANES], S::LANES);
        let mut plane = 0;
        while plane < planes {
            // SAFETY: the scratch buffer has room for two lots, `write` checked that there are weights for
            // each channel, and masks exclude positions outside a row.
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

    /// Number of planes that share a vector, starting with this plane. All of them belong to one image.
    #[inline(always)]
    fn count<S: Simd>(&self, plane: usize) -> usize {
        let planes = self.target.len() / self.lens()[1];
        let left = self.channels - (self.first + plane) % self.channels;
        self.rows.side_by_side(S::LANES).min(planes - plane).min(left)
    }

    /// Copies the rows of several planes next to each other, so that they share vectors.
    ///
    /// # Safety
    /// `lot` has room for these rows and for the rows that will be written.
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
            // SAFETY: the plane belongs to the source, and its rows fit into their part of each shared row.
            unsafe {
                let from = self.source.as_ptr().add((plane + number) * read);
                let to = lot.add(number * STRIDE * width);
                move_rows(simd, from, to, [rows.read()[1], STRIDE * S::LANES], rows.read());
            }
        }
        Strip {
            input: lot.cast_const().wrapping_offset(rows.first()[1]),
            weights: self.weights[channel / together * K * K * S::LANES..].as_ptr(),
            // SAFETY: the array contains as many floats as the widest vector.
            start: unsafe { simd.load(start.as_ptr()) },
            masks,
            output: lot.wrapping_add(rows.read()[0] * STRIDE * S::LANES),
        }
    }

    /// Copies the results from shared rows back to their planes.
    ///
    /// # Safety
    /// `lot` contains the results.
    #[inline(always)]
    unsafe fn apart<S: Simd, const STRIDE: usize>(&mut self, simd: S, plane: usize, lot: *const f32) {
        let rows = self.rows;
        let (written, width) = (self.lens()[1], S::LANES / rows.side_by_side(S::LANES));
        for number in 0..self.count::<S>(plane) {
            // SAFETY: the plane belongs to the target, and the lot contains its sums.
            unsafe {
                let from = lot.add(rows.read()[0] * STRIDE * S::LANES + number * width);
                let to = self.target.as_mut_ptr().cast::<f32>().add((plane + number) * written);
                move_rows(simd, from, to, [S::LANES, rows.written()[1]], rows.written());
            }
        }
    }
}

/// First column of a strip. The last strip ends at the end of the row and may overlap the previous strip.
const fn start_of<S: Simd>(strip: usize, width: usize) -> usize {
    let (at, last) = (strip * S::LANES, width.saturating_sub(S::LANES));
    if at < last { at } else { last }
}

/// Copies rows that are at most two vectors long.
///
/// # Safety
/// The rows can be read at `from` and written at `to`, with these distances between rows.
#[inline(always)]
unsafe fn move_rows<S: Simd>(
    simd: S,
    from: *const f32,
    to: *mut f32,
    pitches: [usize; 2],
    [height, width]: [usize; 2],
) {
    for row in 0..height {
        // SAFETY: the caller guarantees that source and target can be accessed. A row that is read with
        // stride 2 may be two vectors long.
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

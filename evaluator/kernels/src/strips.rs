//! Depthwise sums of strips of columns, a vector wide, with the sums of the rows that are under way in registers.

use crate::activation::Activation;
use crate::depthwise_rows::{MASKS, Rows};
use crate::simd::Simd;

/// Columns of a plane, or of planes side by side, that fit a vector.
#[derive(Clone, Copy)]
pub(crate) struct Strip<S: Simd> {
    /// What the first tap reads for the first position, in row zero.
    pub(crate) input: *const f32,
    pub(crate) weights: *const f32,
    /// What the sums begin with.
    pub(crate) start: S::Vector,
    pub(crate) masks: [S::Mask; MASKS],
    pub(crate) output: *mut f32,
}

/// Strips that are computed at once, so that the processor has something to do while it waits for a sum.
pub(crate) struct Strips<'a, S: Simd, const P: usize> {
    pub(crate) rows: &'a Rows,
    /// Between rows that are read, and between those that are written.
    pub(crate) pitches: [usize; 2],
    /// Lanes that are written.
    pub(crate) count: usize,
    pub(crate) activation: Activation,
    pub(crate) each: [Strip<S>; P],
}

impl<S: Simd, const P: usize> Strips<'_, S, P> {
    /// `SAME`: all strips have the weights of the first. `LANES`: there is a weight for each lane.
    ///
    /// # Safety
    /// For each strip: the rows that are read can be read where the masks allow it, there are weights for all taps, and the rows
    /// that are written can be.
    #[inline(always)]
    pub(crate) unsafe fn run<const K: usize, const STRIDE: usize, const SAME: bool, const LANES: bool>(
        &self,
        simd: S,
    ) {
        // SAFETY: as the caller says.
        unsafe {
            if STRIDE == 1 {
                self.rolling::<K, SAME, LANES>(simd);
            } else {
                self.striding::<K, SAME, LANES>(simd);
            }
        }
    }

    /// Sums without stride: each row goes into the sums of `K` rows.
    ///
    /// # Safety
    /// As for `run`.
    #[inline(always)]
    unsafe fn rolling<const K: usize, const SAME: bool, const LANES: bool>(&self, simd: S) {
        let (height, written) = (self.rows.read[0] as isize, self.rows.written[0]);
        let mut sums = [[simd.zero(); K]; P];
        for (sums, strip) in sums.iter_mut().zip(&self.each) {
            *sums = [strip.start; K];
        }
        for step in 0..written + K - 1 {
            let row = step as isize + self.rows.first[0];
            if (0..height).contains(&row) {
                let from = row as usize * self.pitches[0];
                for column in 0..K {
                    let mut values = [simd.zero(); P];
                    for (value, strip) in values.iter_mut().zip(&self.each) {
                        // SAFETY: the row is one of those read, and the mask leaves out what is not in it.
                        *value = unsafe {
                            simd.load_masked(strip.input.wrapping_add(from + column), strip.masks[column])
                        };
                    }
                    for tap in 0..K {
                        // SAFETY: there are weights for all taps.
                        let weights = unsafe { self.weights::<SAME, LANES>(simd, tap * K + column) };
                        for ((sums, value), weight) in sums.iter_mut().zip(values).zip(weights) {
                            sums[K - 1 - tap] = simd.mul_add(weight, value, sums[K - 1 - tap]);
                        }
                    }
                }
            }
            for (sums, strip) in sums.iter_mut().zip(&self.each) {
                if let Some(done) = (step + 1).checked_sub(K) {
                    // SAFETY: this is one of the rows that are written.
                    unsafe { self.store(simd, strip, done, sums[0]) };
                }
                for tap in 1..K {
                    sums[tap - 1] = sums[tap];
                }
                sums[K - 1] = strip.start;
            }
        }
    }

    /// Sums with a stride of two, one row after the other.
    ///
    /// # Safety
    /// As for `run`.
    #[inline(always)]
    unsafe fn striding<const K: usize, const SAME: bool, const LANES: bool>(&self, simd: S) {
        let height = self.rows.read[0] as isize;
        for written in 0..self.rows.written[0] {
            let mut sums = [simd.zero(); P];
            for (sum, strip) in sums.iter_mut().zip(&self.each) {
                *sum = strip.start;
            }
            for tap in 0..K {
                let row = (2 * written + tap) as isize + self.rows.first[0];
                if !(0..height).contains(&row) {
                    continue;
                }
                let from = row as usize * self.pitches[0];
                let mut values = [[simd.zero(); K]; P];
                for (values, strip) in values.iter_mut().zip(&self.each) {
                    for pair in 0..K.div_ceil(2) {
                        let at = strip.input.wrapping_add(from + 2 * pair);
                        // SAFETY: the row is one of those read, and the masks leave out what is not in it.
                        let both = unsafe {
                            let first = simd.load_masked(at, strip.masks[2 * pair]);
                            [first, simd.load_masked(at.wrapping_add(S::LANES), strip.masks[2 * pair + 1])]
                        };
                        values[2 * pair] = simd.even(both[0], both[1]);
                        if 2 * pair + 1 < K {
                            values[2 * pair + 1] = simd.odd(both[0], both[1]);
                        }
                    }
                }
                for column in 0..K {
                    // SAFETY: there are weights for all taps.
                    let weights = unsafe { self.weights::<SAME, LANES>(simd, tap * K + column) };
                    for ((sum, values), weight) in sums.iter_mut().zip(&values).zip(weights) {
                        *sum = simd.mul_add(weight, values[column], *sum);
                    }
                }
            }
            for (sum, strip) in sums.into_iter().zip(&self.each) {
                // SAFETY: this is one of the rows that are written.
                unsafe { self.store(simd, strip, written, sum) };
            }
        }
    }

    /// The weight of a tap, for each strip.
    ///
    /// # Safety
    /// There are weights for the tap.
    #[inline(always)]
    unsafe fn weights<const SAME: bool, const LANES: bool>(&self, simd: S, tap: usize) -> [S::Vector; P] {
        let mut weights = [simd.zero(); P];
        for (index, weight) in weights.iter_mut().enumerate() {
            let from = self.each[if SAME { 0 } else { index }].weights;
            // SAFETY: as the caller says.
            *weight = unsafe {
                if LANES { simd.load(from.add(tap * S::LANES)) } else { simd.splat(*from.add(tap)) }
            };
        }
        weights
    }

    /// # Safety
    /// The row can be written.
    #[inline(always)]
    unsafe fn store(&self, simd: S, strip: &Strip<S>, row: usize, sum: S::Vector) {
        let value = self.activation.stored(simd, sum);
        // SAFETY: as the caller says.
        unsafe {
            let to = strip.output.add(row * self.pitches[1]);
            if self.count == S::LANES {
                simd.store(to, value);
            } else {
                simd.store_first(to, value, self.count);
            }
        }
    }
}

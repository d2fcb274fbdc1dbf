//! Computes depthwise sums for strips of columns. A strip is one vector wide. The sums of unfinished rows
//! stay in registers.

use crate::depthwise::rows::{MASKS, Rows};
use crate::shared::activation::Activation;
use crate::simd::Simd;

/// A strip of columns that fits a vector. The columns belong to one plane, or to several planes that share
/// vectors.
#[derive(Clone, Copy)]
pub(super) struct Strip<S: Simd> {
    /// Pointer to the input that the first tap reads for the first position in row zero.
    pub(super) input: *const f32,
    pub(super) weights: *const f32,
    /// Initial value of the sums.
    pub(super) start: S::Vector,
    pub(super) masks: [S::Mask; MASKS],
    pub(super) output: *mut f32,
}

/// Strips that are computed together. While one strip waits for its sums, the processor computes another.
pub(super) struct Strips<'a, S: Simd, const P: usize> {
    pub(super) rows: &'a Rows,
    /// Distance between rows that are read, and between rows that are written.
    pub(super) pitches: [usize; 2],
    /// Number of lanes to write.
    pub(super) count: usize,
    pub(super) activation: Activation,
    pub(super) each: [Strip<S>; P],
}

impl<S: Simd, const P: usize> Strips<'_, S, P> {
    /// Computes all rows of the strips.
    ///
    /// `SAME`: all strips use the weights of the first strip. `LANES`: each lane has its own weight.
    ///
    /// # Safety
    /// For each strip, rows can be read where the masks allow it, there are weights for all taps, and the
    /// rows to write can be written.
    #[inline(always)]
    pub(super) unsafe fn run<const K: usize, const STRIDE: usize, const SAME: bool, const LANES: bool>(
        &self,
        simd: S,
    ) {
        // SAFETY: the caller guarantees what the called functions require.
        unsafe {
            if STRIDE == 1 {
                self.rolling::<K, SAME, LANES>(simd);
            } else {
                self.striding::<K, SAME, LANES>(simd);
            }
        }
    }

    /// Computes the sums with stride 1. Each row that is read contributes to `K` rows that are written, whose
    /// sums are in registers at the same time. Each element is loaded once per kernel column, not once per
    /// tap.
    ///
    /// # Safety
    /// The same as for `run`.
    #[inline(always)]
    unsafe fn rolling<const K: usize, const SAME: bool, const LANES: bool>(&self, simd: S) {
        let (height, written) = (self.rows.read()[0] as isize, self.rows.written()[0]);
        let mut sums = [[simd.zero(); K]; P];
        for (sums, strip) in sums.iter_mut().zip(&self.each) {
            *sums = [strip.start; K];
        }
        for step in 0..written + K - 1 {
            let row = step as isize + self.rows.first()[0];
            if (0..height).contains(&row) {
                let from = row as usize * self.pitches[0];
                for column in 0..K {
                    let mut values = [simd.zero(); P];
                    for (value, strip) in values.iter_mut().zip(&self.each) {
                        // SAFETY: the row can be read, and the mask excludes positions outside it.
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
            // The oldest row is complete and is stored. The sums of the other rows move up by one. `K` is a
            // constant, so the compiler turns this into moves between registers.
            for (sums, strip) in sums.iter_mut().zip(&self.each) {
                if let Some(done) = (step + 1).checked_sub(K) {
                    // SAFETY: this row can be written.
                    unsafe { self.store(simd, strip, done, sums[0]) };
                }
                for tap in 1..K {
                    sums[tap - 1] = sums[tap];
                }
                sums[K - 1] = strip.start;
            }
        }
    }

    /// Computes the sums with stride 2, one written row at a time.
    ///
    /// # Safety
    /// The same as for `run`.
    #[inline(always)]
    unsafe fn striding<const K: usize, const SAME: bool, const LANES: bool>(&self, simd: S) {
        let height = self.rows.read()[0] as isize;
        for written in 0..self.rows.written()[0] {
            let mut sums = [simd.zero(); P];
            for (sum, strip) in sums.iter_mut().zip(&self.each) {
                *sum = strip.start;
            }
            for tap in 0..K {
                let row = (2 * written + tap) as isize + self.rows.first()[0];
                if !(0..height).contains(&row) {
                    continue;
                }
                let from = row as usize * self.pitches[0];
                let mut values = [[simd.zero(); K]; P];
                for (values, strip) in values.iter_mut().zip(&self.each) {
                    // Two loads serve two taps: the even elements of both belong to one tap, the odd elements
                    // to the next.
                    for pair in 0..K.div_ceil(2) {
                        let at = strip.input.wrapping_add(from + 2 * pair);
                        // SAFETY: the row can be read, and the masks exclude positions outside it.
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
                // SAFETY: this row can be written.
                unsafe { self.store(simd, strip, written, sum) };
            }
        }
    }

    /// Returns the weight of a tap for each strip.
    ///
    /// # Safety
    /// The weights of all strips contain this tap.
    #[inline(always)]
    unsafe fn weights<const SAME: bool, const LANES: bool>(&self, simd: S, tap: usize) -> [S::Vector; P] {
        let mut weights = [simd.zero(); P];
        for (index, weight) in weights.iter_mut().enumerate() {
            let from = self.each[if SAME { 0 } else { index }].weights;
            // SAFETY: the caller guarantees the weights.
            *weight = unsafe {
                if LANES { simd.load(from.add(tap * S::LANES)) } else { simd.splat(*from.add(tap)) }
            };
        }
        weights
    }

    /// Stores the sums of a row.
    ///
    /// # Safety
    /// The row can be written.
    #[inline(always)]
    unsafe fn store(&self, simd: S, strip: &Strip<S>, row: usize, sum: S::Vector) {
        let value = self.activation.stored(simd, sum);
        // SAFETY: the caller guarantees the row.
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

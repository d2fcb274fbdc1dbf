//! The innermost loop of a dense correlation: sums of a few channels and a few vectors of positions, in
//! registers.

use crate::planes::tiles::tiles;
use crate::shared::activation::Activation;
use crate::simd::Simd;

/// A block of written channels over all positions.
pub(crate) struct Block<'a> {
    pub(crate) input: *const f32,
    pub(crate) offsets: &'a [usize],
    /// For each offset, a weight for each row.
    pub(crate) weights: *const f32,
    /// Start of the sums of each row.
    pub(crate) start: &'a [f32],
    pub(crate) activation: Activation,
    pub(crate) output: *mut f32,
    pub(crate) stride: usize,
    /// Number of rows that are written.
    pub(crate) rows: usize,
}

impl Block<'_> {
    /// Computes `R` rows, whose weights lie `W` apart, in tiles of at most `V <= 3` vectors.
    ///
    /// # Safety
    /// Input at each offset, weights and output are valid for `positions`, and at least for one vector.
    #[inline(always)]
    pub(crate) unsafe fn run<S: Simd, const W: usize, const R: usize, const V: usize>(
        &self,
        simd: S,
        positions: usize,
    ) {
        for [at, width] in tiles(positions, S::LANES, V) {
            // SAFETY: the caller guarantees `positions`. Each tile ends there at the latest, or begins at
            // zero and is one vector.
            unsafe {
                match width {
                    1 => self.tile::<S, W, R, 1>(simd, at),
                    2 => self.tile::<S, W, R, 2>(simd, at),
                    _ => self.tile::<S, W, R, V>(simd, at),
                }
            }
        }
    }

    /// Computes `R` rows of `V` vectors.
    ///
    /// # Safety
    /// As for `run`, for the vectors from `at` on.
    #[inline(always)]
    unsafe fn tile<S: Simd, const W: usize, const R: usize, const V: usize>(&self, simd: S, at: usize) {
        let mut sums = [[simd.zero(); V]; R];
        for (row, sums) in sums.iter_mut().enumerate() {
            *sums = [simd.splat(self.start[row]); V];
        }
        let mut weights = self.weights;
        for &offset in self.offsets {
            // SAFETY: the caller guarantees input and weights.
            unsafe {
                let from = self.input.add(offset + at);
                // Each loaded vector is used for all rows: one load for `R` multiply-adds.
                let mut values = [simd.zero(); V];
                for (vector, value) in values.iter_mut().enumerate() {
                    *value = simd.load(from.add(vector * S::LANES));
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let weight = simd.splat(*weights.add(row));
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = simd.mul_add(weight, value, *sum);
                    }
                }
                weights = weights.add(W);
            }
        }
        self.activation.store_all(simd, &mut sums);
        // The loop runs to the constant `R`, not to `self.rows`. With a loop of variable length the compiler
        // indexes the sums, keeps them in memory, and stores a sum after each multiply-add.
        for (row, sums) in sums.iter().enumerate() {
            if row < self.rows {
                // SAFETY: the caller guarantees the output of the written rows.
                unsafe {
                    let to = self.output.add(row * self.stride + at);
                    for (vector, sum) in sums.iter().enumerate() {
                        simd.store(to.add(vector * S::LANES), *sum);
                    }
                }
            }
        }
    }
}

//! The innermost loop of a dense correlation. It keeps the sums of a few channels and a few vectors of
//! positions in registers.

use crate::planes::tiles::tiles;
use crate::shared::activation::Activation;
use crate::simd::Simd;

/// A block of written channels over all positions.
pub(crate) struct Block<'a> {
    pub(crate) input: *const f32,
    pub(crate) offsets: &'a [usize],
    /// Weights. For each offset, there is one weight per row.
    pub(crate) weights: *const f32,
    /// Initial value of each row's sums.
    pub(crate) start: &'a [f32],
    pub(crate) activation: Activation,
    pub(crate) output: *mut f32,
    pub(crate) stride: usize,
    /// Number of rows that are written.
    pub(crate) rows: usize,
}

impl Block<'_> {
    /// Computes `R` rows in tiles of at most `V <= 3` vectors. The weights of consecutive offsets are `W`
    /// floats apart.
    ///
    /// # Safety
    /// Input at each offset, weights and output are valid for `positions` elements, and for at least one
    /// vector.
    #[inline(always)]
    pub(crate) unsafe fn run<S: Simd, const W: usize, const R: usize, const V: usize>(
        &self,
        simd: S,
        positions: usize,
    ) {
        for [at, width] in tiles(positions, S::LANES, V) {
            // SAFETY: the caller guarantees `positions`. Each tile either ends at `positions` or earlier, or
            // begins at zero and is one vector.
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
    /// The requirements of `run`, for the vectors that start at `at`.
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
                // Each loaded vector is used for all rows, so there is one load per `R` multiply-adds.
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
        // The loop bound is the constant `R`, not `self.rows`. With a variable bound, the compiler indexes
        // the sums, keeps them in memory, and stores a sum after each multiply-add.
        for (row, sums) in sums.iter().enumerate() {
            if row < self.rows {
                // SAFETY: the caller guarantees the output of the rows that are written.
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

//! The innermost loop of a dense correlation: sums of a few channels over a few vectors of positions, in registers.

use crate::epilogue::Epilogue;
use crate::simd::Simd;

/// A block of written channels over all positions.
pub(crate) struct Block<'a> {
    pub(crate) input: *const f32,
    pub(crate) offsets: &'a [usize],
    /// For each offset one weight for each row.
    pub(crate) weights: *const f32,
    /// What each row begins with.
    pub(crate) start: &'a [f32],
    pub(crate) epilogue: Epilogue,
    pub(crate) output: *mut f32,
    pub(crate) stride: usize,
    /// Rows that are written.
    pub(crate) rows: usize,
}

impl Block<'_> {
    /// Computes `R` rows, whose weights lie `W` apart, in tiles of at most `V` vectors (three at most), about equally
    /// wide; the last vector may repeat a part of the one before.
    ///
    /// # Safety
    /// Input at each offset, weights and output are valid for `positions`, at least for one vector.
    #[inline(always)]
    pub(crate) unsafe fn run<S: Simd, const W: usize, const R: usize, const V: usize>(
        &self,
        simd: S,
        positions: usize,
    ) {
        let vectors = positions.div_ceil(S::LANES);
        // Not more than there are whole ones, so that there is something to repeat.
        let tiles = vectors.div_ceil(V.min(positions / S::LANES).max(1));
        let mut vector = 0;
        for tile in 0..tiles {
            let width = vectors / tiles + usize::from(tile < vectors % tiles);
            let at = (vector * S::LANES).min(positions.saturating_sub(width * S::LANES));
            vector += width;
            // SAFETY: the caller answers for `positions`, and each tile ends there at the latest, or begins at zero
            // and is one vector.
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
            // SAFETY: the caller answers for input and weights.
            unsafe {
                let from = self.input.add(offset + at);
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
        for (row, sums) in sums.iter().enumerate().take(self.rows) {
            // SAFETY: the caller answers for the output of the written rows.
            unsafe {
                let to = self.output.add(row * self.stride + at);
                for (vector, sum) in sums.iter().enumerate() {
                    simd.store(to.add(vector * S::LANES), self.epilogue.apply(simd, *sum));
                }
            }
        }
    }
}

//! The innermost loop of a dense correlation: sums of a few channels over a few vectors of positions, in registers.

use crate::activation::Activation;
use crate::simd::Simd;

/// Cuts positions into tiles of at most `most` vectors, about equally wide: where each begins, and how many vectors it
/// has. The last may repeat a part of the one before; where there is less than a vector, it is one.
pub(crate) fn tiles(positions: usize, lanes: usize, most: usize) -> impl Iterator<Item = [usize; 2]> {
    let vectors = positions.div_ceil(lanes);
    // Not wider than what there is, so that there is something to repeat.
    let tiles = vectors.div_ceil(most.min(positions / lanes).max(1));
    (0..tiles).map(move |tile| {
        let (width, wider) = (vectors / tiles, vectors % tiles);
        let before = tile * width + tile.min(wider);
        let width = width + usize::from(tile < wider);
        [(before * lanes).min(positions.saturating_sub(width * lanes)), width]
    })
}

/// A block of written channels over all positions.
pub(crate) struct Block<'a> {
    pub(crate) input: *const f32,
    pub(crate) offsets: &'a [usize],
    /// For each offset one weight for each row.
    pub(crate) weights: *const f32,
    /// What each row begins with.
    pub(crate) start: &'a [f32],
    pub(crate) activation: Activation,
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
        for [at, width] in tiles(positions, S::LANES, V) {
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
        self.activation.store_all(simd, &mut sums);
        // Counted to `R`: with a loop of variable length the compiler keeps the sums in memory, and stores each after each
        // multiply-add.
        for (row, sums) in sums.iter().enumerate() {
            if row < self.rows {
                // SAFETY: the caller answers for the output of the written rows.
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

#[cfg(test)]
mod tests {
    use super::tiles;

    #[test]
    fn tiles_cover_all_positions_and_nothing_else() {
        for lanes in [8, 16] {
            for most in 1..=8 {
                for positions in 1..200 {
                    let mut covered = 0;
                    for [at, width] in tiles(positions, lanes, most) {
                        assert!(at <= covered && (1..=most).contains(&width));
                        covered = at + width * lanes;
                    }
                    assert_eq!(covered, positions.max(lanes), "{lanes} lanes, at most {most} vectors");
                }
            }
        }
    }
}

//! Sums outer products over pixels: vectors of channels times single values.

use crate::simd::Simd;

/// Number of pixels in a block. Sums stay in registers for a block, and the block's values stay in the
/// first-level cache for all tiles.
const PIXELS: usize = 256;

/// Transposes planes of `channels`. Each vector of channels becomes a sequence of vectors, pixel by pixel.
///
/// # Safety
/// `channels * pixels` floats can be read at `from`. The same number of floats can be written at `to`, with
/// the number of channels rounded up to a whole vector.
#[inline(always)]
pub(crate) unsafe fn transpose<S: Simd>(
    simd: S,
    from: *const f32,
    channels: usize,
    pixels: usize,
    to: *mut f32,
) {
    for first in (0..channels).step_by(8) {
        let rows = (channels - first).min(8);
        // SAFETY: the block of eight channels lies in one vector of the target. Whole blocks are transposed
        // if there are eight channels and eight pixels. The last block may overlap the previous one.
        unsafe {
            let from = from.add(first * pixels);
            let to = to.add(first / S::LANES * S::LANES * pixels + first % S::LANES);
            if rows == 8 && pixels >= 8 {
                for pixel in (0..pixels).step_by(8) {
                    let pixel = pixel.min(pixels - 8);
                    simd.transpose(from.add(pixel), pixels, to.add(pixel * S::LANES), S::LANES);
                }
            } else {
                for row in 0..rows {
                    for pixel in 0..pixels {
                        *to.add(pixel * S::LANES + row) = *from.add(row * pixels + pixel);
                    }
                }
            }
        }
    }
}

/// The two operands of the products.
pub(crate) struct Products<'a> {
    /// Vectors of channels. Each is stored pixel by pixel.
    pub(crate) transposed: *const f32,
    pub(crate) vectors: usize,
    /// Single values. They are read pixel by pixel, starting at each offset.
    pub(crate) read: *const f32,
    pub(crate) offsets: &'a [usize],
    pub(crate) pixels: usize,
}

impl Products<'_> {
    /// Adds the products to `sums`, which has a vector for each combination of a vector of channels and an
    /// offset.
    ///
    /// # Safety
    /// `vectors * pixels` vectors can be read at `transposed`, and `pixels` floats at each offset from
    /// `read`.
    #[inline(always)]
    pub(crate) unsafe fn add_to<S: Simd>(&self, simd: S, sums: &mut [f32]) {
        assert!(sums.len() >= self.vectors * self.offsets.len() * S::LANES, "there is room for every sum");
        for start in (0..self.pixels).step_by(PIXELS) {
            let end = (start + PIXELS).min(self.pixels);
            let mut vector = 0;
            while vector < self.vectors {
                let left = self.vectors - vector;
                // Compute two vectors at a time. The last three vectors are computed together, because a
                // single vector would need to load a value for each multiply-add.
                let width = if left == 3 { 3 } else { left.min(2) };
                // SAFETY: the caller guarantees both operands. The assertion above checked that `sums` is
                // large enough.
                unsafe {
                    match (width, S::LANES) {
                        (1, _) => self.tiles::<S, 1, 8>(simd, vector, [start, end], sums),
                        (2, 16) => self.tiles::<S, 2, 8>(simd, vector, [start, end], sums),
                        (2, _) => self.tiles::<S, 2, 6>(simd, vector, [start, end], sums),
                        (_, 16) => self.tiles::<S, 3, 8>(simd, vector, [start, end], sums),
                        (_, _) => self.tiles::<S, 3, 3>(simd, vector, [start, end], sums),
                    }
                }
                vector += width;
            }
        }
    }

    /// Adds the products of `V` vectors for all offsets, `K` offsets at a time.
    ///
    /// # Safety
    /// The requirements of `add_to`, for the pixels from `start` to `end`.
    #[inline(always)]
    unsafe fn tiles<S: Simd, const V: usize, const K: usize>(
        &self,
        simd: S,
        vector: usize,
        [start, end]: [usize; 2],
        sums: &mut [f32],
    ) {
        let count = self.offsets.len();
        for first in (0..count).step_by(K) {
            let mut values = [[simd.zero(); K]; V];
            // SAFETY: the caller guarantees both operands. If fewer than `K` offsets are left, the last
            // offset is read repeatedly, and these additional sums are not stored.
            unsafe {
                let mut reads = [self.read; K];
                for (index, read) in reads.iter_mut().enumerate() {
                    *read = self.read.add(self.offsets[(first + index).min(count - 1)]);
                }
                let channels = self.transposed.add(vector * self.pixels * S::LANES);
                for pixel in start..end {
                    let mut column = [simd.zero(); V];
                    for (index, channels_of) in column.iter_mut().enumerate() {
                        *channels_of = simd.load(channels.add((index * self.pixels + pixel) * S::LANES));
                    }
                    for (index, read) in reads.iter().enumerate() {
                        let value = simd.splat(*read.add(pixel));
                        for (values, column) in values.iter_mut().zip(column) {
                            values[index] = simd.mul_add(column, value, values[index]);
                        }
                    }
                }
                for (index, values) in values.iter().enumerate() {
                    let to = sums.as_mut_ptr().add(((vector + index) * count + first) * S::LANES);
                    for (offset, value) in values.iter().enumerate().take(count - first) {
                        let sum = to.add(offset * S::LANES);
                        simd.store(sum, simd.add(simd.load(sum), *value));
                    }
                }
            }
        }
    }
}

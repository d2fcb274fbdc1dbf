//! Some columns of a product of matrices: they are brought side by side, as many as fit two vectors, and multiplied with single
//! values of the left side, six rows at a time: twelve vectors of sums in registers.

use std::ops::Range;

use crate::activation::Activation;
use crate::memory::SharedMut;
use crate::product::{Matrix, Product};
use crate::simd::{Kernel, Simd};

/// Rows whose sums are in registers at once, and vectors of columns.
const ROWS: usize = 6;
pub(crate) const VECTORS: usize = 2;

/// Terms that are added before the next ones, so that the columns brought side by side stay in the first level of the cache.
pub(crate) const TERMS: usize = 256;

/// Some columns of a product.
pub(crate) struct Panel<'a> {
    pub(crate) product: &'a Product<'a>,
    /// As many as the vectors have lanes at most.
    pub(crate) columns: Range<usize>,
    /// `TERMS` lines of the vectors' lanes.
    pub(crate) scratch: &'a mut [f32],
    pub(crate) target: SharedMut,
    pub(crate) distance: usize,
}

impl Kernel for Panel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { product, columns, scratch, target, distance } = self;
        let (left, right) = (product.left, product.right);
        let mut start = [0.0; VECTORS * 16];
        if let Some(values) = product.start {
            start[..columns.len()].copy_from_slice(&values[columns.clone()]);
        }
        let terms = left.columns;
        let mut from = 0;
        loop {
            let to = (from + TERMS).min(terms);
            // SAFETY: both matrices lie inside their slices, which `Matrix::part` checked; the scratch has a line for each term of
            // the part, and the caller of `write` answers for the target, of which this task alone writes these columns.
            unsafe {
                gather(simd, right, from..to, columns.clone(), scratch);
                for row in (0..left.rows).step_by(ROWS) {
                    let tile = Tile {
                        left: left.values.as_ptr().add(row * left.distances[0] + from * left.distances[1]),
                        distances: left.distances,
                        right: scratch.as_ptr(),
                        terms: to - from,
                        start: (from == 0).then_some(start.as_ptr()),
                        activation: if to == terms { product.activation } else { Activation::Identity },
                        target: target.pointer().add(row * distance + columns.start),
                        distance,
                        columns: columns.len(),
                    };
                    match left.rows - row {
                        1 => tile.run::<S, 1>(simd),
                        2 => tile.run::<S, 2>(simd),
                        3 => tile.run::<S, 3>(simd),
                        4 => tile.run::<S, 4>(simd),
                        5 => tile.run::<S, 5>(simd),
                        _ => tile.run::<S, ROWS>(simd),
                    }
                }
            }
            from = to;
            if from == terms {
                break;
            }
        }
    }
}

/// Brings columns of a matrix side by side, a line of `VECTORS` vectors for each of some rows; lanes beyond the columns are zero.
///
/// # Safety
/// The rows and columns are those of the matrix.
#[inline(always)]
unsafe fn gather<S: Simd>(
    simd: S,
    matrix: Matrix<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
    scratch: &mut [f32],
) {
    let width = VECTORS * S::LANES;
    let [down, along] = matrix.distances;
    let (count, lines) = (columns.len(), rows.len());
    assert!(count <= width && lines * width <= scratch.len(), "there is room for every line");
    // SAFETY: the caller answers for the matrix; there is room for every line, as was checked.
    unsafe {
        let from = matrix.values.as_ptr().add(rows.start * down + columns.start * along);
        let to = scratch.as_mut_ptr();
        if along == 1 {
            for line in 0..lines {
                for vector in 0..VECTORS {
                    let lane = vector * S::LANES;
                    let left = count.saturating_sub(lane).min(S::LANES);
                    let value = simd.load_first(from.add(line * down).wrapping_add(lane), left);
                    simd.store(to.add(line * width + lane), value);
                }
            }
            return;
        }
        let blocks = if down == 1 { [count / 8 * 8, lines / 8 * 8] } else { [0, 0] };
        for column in (0..blocks[0]).step_by(8) {
            for line in (0..blocks[1]).step_by(8) {
                simd.transpose(from.add(column * along + line), along, to.add(line * width + column), width);
            }
        }
        for line in 0..lines {
            let first = if line < blocks[1] { blocks[0] } else { 0 };
            for column in first..width {
                let value = if column < count { *from.add(line * down + column * along) } else { 0.0 };
                *to.add(line * width + column) = value;
            }
        }
    }
}

/// Rows of some columns.
struct Tile {
    left: *const f32,
    distances: [usize; 2],
    /// A line of `VECTORS` vectors for each term.
    right: *const f32,
    terms: usize,
    /// What the sums begin with; those that are there otherwise.
    start: Option<*const f32>,
    activation: Activation,
    target: *mut f32,
    distance: usize,
    columns: usize,
}

impl Tile {
    /// # Safety
    /// `R` rows with the terms can be read on the left, a line for each term on the right and `VECTORS` vectors at the start; `R`
    /// rows of the columns can be written at the target, and read unless there is a start.
    #[inline(always)]
    unsafe fn run<S: Simd, const R: usize>(&self, simd: S) {
        let mut sums = [[simd.zero(); VECTORS]; R];
        let in_vector = |vector: usize| self.columns.saturating_sub(vector * S::LANES).min(S::LANES);
        // SAFETY: the caller answers for all sides; beyond the columns nothing is read or written.
        unsafe {
            for (row, sums) in sums.iter_mut().enumerate() {
                for (vector, sum) in sums.iter_mut().enumerate() {
                    let lane = vector * S::LANES;
                    *sum = if let Some(start) = self.start {
                        simd.load(start.add(lane))
                    } else {
                        let place = self.target.add(row * self.distance).wrapping_add(lane);
                        simd.load_first(place, in_vector(vector))
                    };
                }
            }
            let (mut left, mut right) = (self.left, self.right);
            for _ in 0..self.terms {
                let mut values = [simd.zero(); VECTORS];
                for (vector, value) in values.iter_mut().enumerate() {
                    *value = simd.load(right.add(vector * S::LANES));
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let single = simd.splat(*left.add(row * self.distances[0]));
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = simd.mul_add(single, value, *sum);
                    }
                }
                left = left.wrapping_add(self.distances[1]);
                right = right.wrapping_add(VECTORS * S::LANES);
            }
            for (row, sums) in sums.iter().enumerate() {
                for (vector, sum) in sums.iter().enumerate() {
                    let place = self.target.add(row * self.distance).wrapping_add(vector * S::LANES);
                    let value = self.activation.stored(simd, *sum);
                    if in_vector(vector) == S::LANES {
                        simd.store(place, value);
                    } else {
                        simd.store_first(place, value, in_vector(vector));
                    }
                }
            }
        }
    }
}

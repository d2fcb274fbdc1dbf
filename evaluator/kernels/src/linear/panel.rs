//! Computes some columns of a matrix product.
//!
//! As many columns of the right matrix as fit two vectors are copied to a scratch buffer. They are multiplied
//! by single values of the left matrix, six rows at a time. Twelve vectors of sums stay in registers.

use std::ops::Range;

use crate::linear::matrix::Matrix;
use crate::shared::activation::Activation;
use crate::shared::memory::SharedMut;
use crate::simd::{Kernel, Simd};

/// Number of rows whose sums are in registers at once.
const ROWS: usize = 6;
/// Number of vectors that contain the columns.
pub(super) const VECTORS: usize = 2;

/// Number of terms in a block. A block is added to all rows before the next block is copied, so the copied
/// columns stay in the first-level cache.
pub(super) const TERMS: usize = 256;

/// Some columns of a matrix product.
pub(super) struct Panel<'a> {
    left: Matrix<'a>,
    right: Matrix<'a>,
    start: Option<&'a [f32]>,
    activation: Activation,
    /// Columns to compute. Their number is at most the number of lanes in `VECTORS` vectors.
    columns: Range<usize>,
    /// Scratch buffer with `TERMS` rows of `VECTORS` vectors.
    scratch: &'a mut [f32],
    target: SharedMut,
    distance: usize,
}

impl<'a> Panel<'a> {
    /// `start` has an initial value for each column of the product. Rows of the target are `distance` floats
    /// apart.
    ///
    /// # Safety
    /// These columns can be written in all rows at `target`, and nothing else accesses them until the panel
    /// has run.
    pub(super) unsafe fn new(
        [left, right]: [Matrix<'a>; 2],
        start: Option<&'a [f32]>,
        activation: Activation,
        columns: Range<usize>,
        scratch: &'a mut [f32],
        target: SharedMut,
        distance: usize,
    ) -> Self {
        assert_eq!(left.columns(), right.rows(), "each column of the left side has a row on the right");
        assert!(columns.end <= right.columns(), "the columns are those of the product");
        Self { left, right, start, activation, columns, scratch, target, distance }
    }
}

impl Kernel for Panel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { left, right, start: first, activation, columns, scratch, target, distance } = self;
        let mut start = [0.0; VECTORS * 16];
        if let Some(values) = first {
            start[..columns.len()].copy_from_slice(&values[columns.clone()]);
        }
        let terms = left.columns();
        let mut from = 0;
        loop {
            let to = (from + TERMS).min(terms);
            // SAFETY: both matrices lie inside their slices, as `Matrix::part` checked, and `new` checked
            // that their shapes match. `gather` checks that the scratch buffer has a row for each term. The
            // caller of `new` guarantees the target, and only this panel uses these columns of the target.
            unsafe {
                gather(simd, right, from..to, columns.clone(), scratch);
                for row in (0..left.rows()).step_by(ROWS) {
                    let tile = Tile {
                        left: left.pointer().add(row * left.distances()[0] + from * left.distances()[1]),
                        distances: left.distances(),
                        right: scratch.as_ptr(),
                        terms: to - from,
                        start: (from == 0).then_some(start.as_ptr()),
                        activation: if to == terms { activation } else { Activation::Identity },
                        target: target.pointer().add(row * distance + columns.start),
                        distance,
                        columns: columns.len(),
                    };
                    match left.rows() - row {
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

/// Copies columns of a matrix to the scratch buffer. Each matrix row in `rows` becomes `VECTORS` vectors.
/// Lanes after the last column are zero.
///
/// # Safety
/// The matrix contains these rows and columns.
#[inline(always)]
unsafe fn gather<S: Simd>(
    simd: S,
    matrix: Matrix<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
    scratch: &mut [f32],
) {
    let width = VECTORS * S::LANES;
    let [down, along] = matrix.distances();
    let (count, lines) = (columns.len(), rows.len());
    assert!(count <= width && lines * width <= scratch.len(), "there is room for every line");
    // SAFETY: the caller guarantees the matrix, and the assertion above checked that the scratch buffer has
    // room for every row.
    unsafe {
        let from = matrix.pointer().add(rows.start * down + columns.start * along);
        let to = scratch.as_mut_ptr();
        // There are three cases. Either rows are contiguous, or columns are contiguous and are transposed in
        // blocks of eight, or neither is contiguous.
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

/// Some rows of a panel.
struct Tile {
    left: *const f32,
    distances: [usize; 2],
    /// Points to the scratch buffer, which contains `VECTORS` vectors for each term.
    right: *const f32,
    terms: usize,
    /// Initial value of the sums. If it is `None`, the sums continue from the values at the target.
    start: Option<*const f32>,
    activation: Activation,
    target: *mut f32,
    distance: usize,
    columns: usize,
}

impl Tile {
    /// Computes `R` rows.
    ///
    /// # Safety
    /// `R` rows of the terms can be read at `left`, and `VECTORS` vectors for each term at `right`. `VECTORS`
    /// vectors can be read at `start`. `R` rows of the columns can be written at the target. If `start` is
    /// `None`, these rows can also be read.
    #[inline(always)]
    unsafe fn run<S: Simd, const R: usize>(&self, simd: S) {
        let mut sums = [[simd.zero(); VECTORS]; R];
        let in_vector = |vector: usize| self.columns.saturating_sub(vector * S::LANES).min(S::LANES);
        // SAFETY: the caller guarantees operands, start and target. Masks exclude everything beyond the
        // columns.
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
            // Two loads and `R` broadcasts serve `2 * R` multiply-adds. The sums are independent, so the
            // processor need not wait for one sum before it computes the next.
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

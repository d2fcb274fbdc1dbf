//! Views of matrices. Each view stores the distance between rows and between columns, so nothing is
//! transposed in memory.

use std::ops::Range;

/// A matrix inside a slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// Distance between rows, and between columns.
    distances: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// Views a whole matrix that is stored row by row.
    pub(super) fn whole(values: &'a [f32], [rows, columns]: [usize; 2]) -> Self {
        Self::part(values, columns, [0..rows, 0..columns])
    }

    /// Views some rows and columns of a matrix that is stored row by row. Each row has `row` values.
    ///
    /// # Panics
    /// When the part exceeds the matrix.
    pub(super) fn part(values: &'a [f32], row: usize, [rows, columns]: [Range<usize>; 2]) -> Self {
        assert!(columns.end <= row && rows.end * row <= values.len(), "a part lies inside its matrix");
        let start = (rows.start * row + columns.start).min(values.len());
        let (rows, columns) = (rows.len(), columns.len());
        Self { values: &values[start..], rows, columns, distances: [row, 1] }
    }

    /// Views the transposed matrix.
    pub(super) const fn transposed(self) -> Self {
        let [rows, columns] = self.distances;
        Self { rows: self.columns, columns: self.rows, distances: [columns, rows], ..self }
    }

    #[inline]
    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    #[inline]
    pub(super) const fn columns(&self) -> usize {
        self.columns
    }

    /// Distance between rows, and between columns.
    #[inline]
    pub(super) const fn distances(&self) -> [usize; 2] {
        self.distances
    }

    /// Pointer to the first element. The element in row `r` and column `c` is `r * distances[0] + c *
    /// distances[1]` floats after it, inside the slice.
    #[inline]
    pub(super) const fn pointer(&self) -> *const f32 {
        self.values.as_ptr()
    }
}

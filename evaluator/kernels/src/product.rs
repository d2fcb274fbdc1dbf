//! Products of matrices that lie anywhere in memory: rows and columns each have a distance of their own, so that nothing is
//! transposed beforehand.
//!
//! A task computes some columns, see `panel`. The terms of a sum are added in their order, whatever the number of threads.

use std::ops::Range;

use rayon::prelude::*;

use crate::activation::Activation;
use crate::instruction_set::InstructionSet;
use crate::memory::{SharedMut, with_scratch};
use crate::panel::{Panel, TERMS, VECTORS};

/// Products of a task at least: waking another thread takes as long as some of them.
const TASK: usize = 512 * 1024;

/// A matrix in a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Between the rows, and between the columns.
    pub(crate) distances: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// All of a matrix that lies row by row.
    pub(crate) fn whole(values: &'a [f32], [rows, columns]: [usize; 2]) -> Self {
        Self::part(values, columns, [0..rows, 0..columns])
    }

    /// Rows and columns of a matrix that lies row by row, each of `row` values.
    ///
    /// # Panics
    /// When the part goes beyond the matrix.
    pub(crate) fn part(values: &'a [f32], row: usize, [rows, columns]: [Range<usize>; 2]) -> Self {
        assert!(columns.end <= row && rows.end * row <= values.len(), "a part lies inside its matrix");
        let start = (rows.start * row + columns.start).min(values.len());
        let (rows, columns) = (rows.len(), columns.len());
        Self { values: &values[start..], rows, columns, distances: [row, 1] }
    }

    /// The same with rows and columns exchanged.
    pub(crate) const fn transposed(self) -> Self {
        let [rows, columns] = self.distances;
        Self { rows: self.columns, columns: self.rows, distances: [columns, rows], ..self }
    }
}

/// A product of two matrices, and what becomes of its sums.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product<'a> {
    pub(crate) left: Matrix<'a>,
    pub(crate) right: Matrix<'a>,
    /// What the sums of each column begin with, if not with zero.
    pub(crate) start: Option<&'a [f32]>,
    /// Applied to the sums; one that can be stored with them.
    pub(crate) activation: Activation,
}

impl<'a> Product<'a> {
    /// The product alone.
    pub(crate) const fn of(left: Matrix<'a>, right: Matrix<'a>) -> Self {
        Self { left, right, start: None, activation: Activation::Identity }
    }

    /// Writes the product at `target`, its rows `distance` apart.
    ///
    /// # Safety
    /// A matrix of the product's rows and columns can be written there, and nothing else uses it meanwhile.
    pub(crate) unsafe fn write(&self, set: InstructionSet, target: *mut f32, distance: usize) {
        let (left, right) = (self.left, self.right);
        assert_eq!(left.columns, right.rows, "the left side has a column for each row of the right one");
        assert!(self.start.is_none_or(|start| start.len() == right.columns), "a start has a value a column");
        assert!(self.activation.is_stored(), "this nonlinearity is not stored with a sum");
        let width = VECTORS * set.lanes();
        let panels = right.columns.div_ceil(width);
        let target = SharedMut::new(target);
        let panel = |panel: usize| {
            let columns = panel * width..((panel + 1) * width).min(right.columns);
            with_scratch(width * TERMS, |scratch| {
                set.run(Panel { product: self, columns, scratch, target, distance });
            });
        };
        let in_task = TASK.div_ceil((left.rows * left.columns * width).max(1));
        if panels <= in_task {
            (0..panels).for_each(panel);
        } else {
            (0..panels).into_par_iter().with_min_len(in_task).for_each(panel);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    /// A matrix of just its values, so that a memory checker sees what lies beyond, and its elements.
    fn draw(rng: &mut Pcg64, [rows, columns]: [usize; 2], transposed: bool) -> (Box<[f32]>, Vec<Vec<f64>>) {
        let values: Box<[f32]> = (0..rows * columns).map(|_| rng.random_range(-1.0..1.0)).collect();
        let at =
            |row: usize, column: usize| if transposed { column * rows + row } else { row * columns + column };
        let elements =
            (0..rows).map(|row| (0..columns).map(|column| f64::from(values[at(row, column)])).collect());
        let elements = elements.collect();
        (values, elements)
    }

    #[test]
    fn products_are_what_the_definition_says() {
        let mut rng = Pcg64::seed_from_u64(3);
        let sizes = [1, 2, 3, 5, 6, 7, 8, 10, 16, 17, 31, 33, 64, 257, 300];
        let activations = Activation::ALL.into_iter().filter(|activation| activation.is_stored());
        let activations: Vec<Activation> = activations.collect();
        for round in 0..60 {
            let [rows, terms, columns] = [(); 3].map(|()| sizes[rng.random_range(0..sizes.len())]);
            let flips = [rng.random_bool(0.5), rng.random_bool(0.5)];
            let (left_values, left) = draw(&mut rng, [rows, terms], flips[0]);
            let (right_values, right) = draw(&mut rng, [terms, columns], flips[1]);
            let start: Box<[f32]> = (0..columns).map(|_| rng.random_range(-1.0..1.0)).collect();
            let start = (round % 3 > 0).then_some(&*start);
            let activation = activations[round % activations.len()];
            let side = |values, [rows, columns]: [usize; 2], flip| {
                if flip {
                    Matrix::whole(values, [columns, rows]).transposed()
                } else {
                    Matrix::whole(values, [rows, columns])
                }
            };
            let left_side = side(&left_values, [rows, terms], flips[0]);
            let right_side = side(&right_values, [terms, columns], flips[1]);
            let product = Product { left: left_side, right: right_side, start, activation };
            for set in InstructionSet::ALL {
                if set != InstructionSet::Avx512 && !set.is_supported() {
                    continue;
                }
                let distance = columns + round % 2;
                let mut target = vec![f32::NAN; (rows - 1) * distance + columns].into_boxed_slice();
                // SAFETY: the target has the rows, as far apart as is said.
                unsafe { product.write(set, target.as_mut_ptr(), distance) };
                for row in 0..rows {
                    for column in 0..columns {
                        let terms = (0..terms).map(|term| left[row][term] * right[term][column]);
                        let sum = start.map_or(0.0, |start| f64::from(start[column])) + terms.sum::<f64>();
                        let expected = activation.exact(sum);
                        let found = f64::from(target[row * distance + column]);
                        let what = format!("{} {rows}x{columns} {flips:?} {activation:?}", set.name());
                        assert!((found - expected).abs() < 1e-4, "{what}: {found}, not {expected}");
                    }
                }
            }
        }
    }
}

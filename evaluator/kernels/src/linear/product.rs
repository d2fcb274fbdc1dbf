//! Matrix products, computed on all threads.
//!
//! A task computes some columns (`panel`). The terms of a sum are always added in the same order, for any
//! number of threads.

use rayon::prelude::*;

use crate::linear::matrix::Matrix;
use crate::linear::panel::{Panel, TERMS, VECTORS};
use crate::shared::activation::Activation;
use crate::shared::memory::{SharedMut, with_scratch};
use crate::simd::InstructionSet;

/// Number of multiply-adds in the smallest task. Such a task takes about as long as waking another thread.
const TASK: usize = 512 * 1024;

/// A product of two matrices, with an initial value for its sums and a nonlinearity.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product<'a> {
    left: Matrix<'a>,
    right: Matrix<'a>,
    start: Option<&'a [f32]>,
    activation: Activation,
}

impl<'a> Product<'a> {
    /// Creates a product without initial values and without a nonlinearity.
    pub(super) const fn new(left: Matrix<'a>, right: Matrix<'a>) -> Self {
        Self { left, right, start: None, activation: Activation::Identity }
    }

    /// Sets the initial value of the sums in each column. Without it, sums start at zero.
    pub(super) const fn with_start(self, start: Option<&'a [f32]>) -> Self {
        Self { start, ..self }
    }

    /// Sets the nonlinearity that is applied to the sums. The nonlinearity must be one that
    /// [`Activation::is_stored`] accepts.
    pub(super) const fn with_activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// Writes the product at `target`. Its rows are `distance` floats apart.
    ///
    /// # Safety
    /// A matrix with the product's rows and columns can be written there, and nothing else accesses it in the
    /// meantime.
    pub(super) unsafe fn write(&self, set: InstructionSet, target: *mut f32, distance: usize) {
        let Self { left, right, start, activation } = *self;
        assert_eq!(left.columns(), right.rows(), "the left side has a column for each row of the right one");
        assert!(start.is_none_or(|start| start.len() == right.columns()), "a start has a value a column");
        assert!(activation.is_stored(), "this nonlinearity is not stored with a sum");
        let width = VECTORS * set.lanes();
        let panels = right.columns().div_ceil(width);
        let target = SharedMut::new(target);
        let panel = |panel: usize| {
            let columns = panel * width..((panel + 1) * width).min(right.columns());
            with_scratch(width * TERMS, |scratch| {
                // SAFETY: the caller guarantees the target. Each panel has different columns of the target.
                let panel = unsafe {
                    Panel::new([left, right], start, activation, columns, scratch, target, distance)
                };
                set.run(panel);
            });
        };
        let in_task = TASK.div_ceil((left.rows() * left.columns() * width).max(1));
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

    /// The values of a random matrix, and its elements by row and column. The values fill their allocation,
    /// so that a memory checker detects accesses beyond them.
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
    fn products_equal_the_definition_for_any_shape_and_transposition() {
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
            let product = Product::new(left_side, right_side).with_start(start).with_activation(activation);
            for set in InstructionSet::ALL {
                if set != InstructionSet::Avx512 && !set.is_supported() {
                    continue;
                }
                let distance = columns + round % 2;
                let mut target = vec![f32::NAN; (rows - 1) * distance + columns].into_boxed_slice();
                // SAFETY: the target has room for the rows of the product, `distance` floats apart.
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

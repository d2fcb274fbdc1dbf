//! A fully connected layer and its gradients, computed as matrix products. The layer reads a part of a weight
//! in place.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::Arc;

use crate::linear::matrix::Matrix;
use crate::linear::product::Product;
use crate::shared::activation::Activation;
use crate::shared::memory::Buffer;
use crate::shared::shared_gradient::Deposit;
use crate::shared::weight_slice::{Places, WeightSlice};
use crate::simd::InstructionSet;

/// A fully connected layer that uses a part of a weight `[outputs, inputs]`.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    batch: usize,
    /// Shape of the whole weight.
    whole: [usize; 2],
    /// Ranges of outputs and inputs that are read.
    part: [Range<usize>; 2],
    activation: Activation,
    /// Receives the gradient of the part. If `deposit` is `None`, burn receives the gradient of the whole
    /// weight.
    deposit: Option<Deposit>,
}

impl Linear {
    /// Creates a layer for `batch` examples. `whole` is the shape of the weight, and `part` the ranges of
    /// outputs and inputs that the layer reads.
    ///
    /// # Panics
    /// When the part exceeds the weight.
    pub(crate) fn new(
        batch: usize,
        whole: [usize; 2],
        part: [Range<usize>; 2],
        activation: Activation,
        deposit: Option<Deposit>,
    ) -> Self {
        assert!(part[0].end <= whole[0] && part[1].end <= whole[1], "a slice lies inside its weight");
        Self { batch, whole, part, activation, deposit }
    }

    pub(crate) const fn batch(&self) -> usize {
        self.batch
    }

    /// Shape of the whole weight.
    pub(crate) const fn whole(&self) -> [usize; 2] {
        self.whole
    }

    pub(crate) const fn activation(&self) -> Activation {
        self.activation
    }

    pub(crate) const fn deposit(&self) -> Option<&Deposit> {
        self.deposit.as_ref()
    }

    /// Positions of the part's elements in the whole weight.
    pub(crate) fn places(&self) -> Arc<Places> {
        let [outputs, inputs] = self.part.clone().map(|range| Vec::from([range]));
        let [whole_outputs, whole_inputs] = self.whole;
        let slice = WeightSlice { outputs, inputs, kernel: [1, 1] };
        Arc::new(Places::new(&slice, [whole_outputs, whole_inputs, 1, 1]))
    }

    /// Number of outputs that are read.
    pub(crate) const fn outputs(&self) -> usize {
        self.part[0].end - self.part[0].start
    }

    /// Number of inputs that are read.
    pub(crate) const fn inputs(&self) -> usize {
        self.part[1].end - self.part[1].start
    }

    fn weight<'a>(&self, weight: &'a [f32]) -> Matrix<'a> {
        Matrix::part(weight, self.whole[1], self.part.clone())
    }

    /// Computes the output, `[batch, outputs]`.
    pub(crate) fn forward(
        &self,
        set: InstructionSet,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Buffer {
        let left = Matrix::whole(x, [self.batch, self.inputs()]);
        let right = self.weight(weight).transposed();
        let product = Product::new(left, right).with_start(bias).with_activation(self.activation);
        self.rows(set, &product, self.outputs())
    }

    /// Computes the input's gradient from the gradient of the sums before the nonlinearity.
    pub(crate) fn input_gradient(&self, set: InstructionSet, weight: &[f32], gradient: &[f32]) -> Buffer {
        let left = Matrix::whole(gradient, [self.batch, self.outputs()]);
        self.rows(set, &Product::new(left, self.weight(weight)), self.inputs())
    }

    /// Computes the whole weight's gradient from the gradient of the sums. The gradient is zero outside the
    /// part.
    pub(crate) fn weight_gradient(&self, set: InstructionSet, x: &[f32], gradient: &[f32]) -> Buffer {
        let [outputs, inputs] = self.whole;
        assert!(self.part[0].end <= outputs && self.part[1].end <= inputs, "a part lies inside its weight");
        if self.part == [0..outputs, 0..inputs] {
            return self.part_gradient(set, x, gradient);
        }
        let start = self.part[0].start * inputs + self.part[1].start;
        let fill = |values: &mut [f32]| {
            let target = values[start..].as_mut_ptr();
            // SAFETY: the part lies inside the whole weight, and its rows are `inputs` apart.
            unsafe { self.products(x, gradient).write(set, target, inputs) };
        };
        Buffer::zeroed_and(outputs * inputs, fill)
    }

    /// Computes the gradient of the part alone, `[outputs, inputs]`.
    pub(crate) fn part_gradient(&self, set: InstructionSet, x: &[f32], gradient: &[f32]) -> Buffer {
        let fill = |values: &mut [MaybeUninit<f32>]| {
            // SAFETY: the buffer has room for the part, row by row.
            unsafe { self.products(x, gradient).write(set, values.as_mut_ptr().cast(), self.inputs()) };
        };
        // SAFETY: a product writes all its values.
        unsafe { Buffer::filled(self.outputs() * self.inputs(), fill) }
    }

    /// Returns the matrix product that is the gradient of the part.
    fn products<'a>(&self, x: &'a [f32], gradient: &'a [f32]) -> Product<'a> {
        let left = Matrix::whole(gradient, [self.batch, self.outputs()]).transposed();
        Product::new(left, Matrix::whole(x, [self.batch, self.inputs()]))
    }

    /// Computes the bias's gradient by adding the rows of the sums' gradient in order.
    pub(crate) fn bias_gradient(&self, gradient: &[f32]) -> Vec<f32> {
        let mut sums = vec![0.0; self.outputs()];
        for row in gradient.chunks_exact(self.outputs()) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
        sums
    }

    /// Computes a matrix product with one row per example.
    fn rows(&self, set: InstructionSet, product: &Product<'_>, columns: usize) -> Buffer {
        let fill = |target: &mut [MaybeUninit<f32>]| {
            // SAFETY: target and product both have `columns` values for each example.
            unsafe { product.write(set, target.as_mut_ptr().cast(), columns) };
        };
        // SAFETY: a product writes all its values.
        unsafe { Buffer::filled(self.batch * columns, fill) }
    }
}

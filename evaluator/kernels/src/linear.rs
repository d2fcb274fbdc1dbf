//! A fully connected layer and its gradients, in terms of products of matrices. It reads a part of a weight where it lies.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::Arc;

use crate::activation::Activation;
use crate::instruction_set::InstructionSet;
use crate::memory::Buffer;
use crate::product::{Matrix, Product};
use crate::shared_gradient::Deposit;
use crate::weight_slice::{Places, WeightSlice};

/// A fully connected layer with a part of a weight `[outputs, inputs]`.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub(crate) batch: usize,
    /// Shape of the whole weight.
    pub(crate) whole: [usize; 2],
    /// Outputs and inputs that are read of it.
    pub(crate) part: [Range<usize>; 2],
    pub(crate) activation: Activation,
    /// Where the gradient of the part goes, if not to burn's.
    pub(crate) deposit: Option<Deposit>,
}

impl Linear {
    /// Where the part lies in the whole.
    pub(crate) fn places(&self) -> Arc<Places> {
        let [outputs, inputs] = self.part.clone().map(|range| Vec::from([range]));
        let [whole_outputs, whole_inputs] = self.whole;
        let slice = WeightSlice { outputs, inputs, kernel: [1, 1] };
        Arc::new(Places::new(&slice, [whole_outputs, whole_inputs, 1, 1]))
    }

    const fn outputs(&self) -> usize {
        self.part[0].end - self.part[0].start
    }

    const fn inputs(&self) -> usize {
        self.part[1].end - self.part[1].start
    }

    fn weight<'a>(&self, weight: &'a [f32]) -> Matrix<'a> {
        Matrix::part(weight, self.whole[1], self.part.clone())
    }

    /// The output, `[batch, outputs]`.
    pub(crate) fn forward(
        &self,
        set: InstructionSet,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Buffer {
        let left = Matrix::whole(x, [self.batch, self.inputs()]);
        let right = self.weight(weight).transposed();
        let product = Product { left, right, start: bias, activation: self.activation };
        self.rows(set, &product, self.outputs())
    }

    /// The gradient of the input, given that of the sums.
    pub(crate) fn input_gradient(&self, set: InstructionSet, weight: &[f32], gradient: &[f32]) -> Buffer {
        let left = Matrix::whole(gradient, [self.batch, self.outputs()]);
        self.rows(set, &Product::of(left, self.weight(weight)), self.inputs())
    }

    /// The gradient of the whole weight, given that of the sums; zero where the part is not.
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

    /// The gradient of the part alone, `[outputs, inputs]`.
    pub(crate) fn part_gradient(&self, set: InstructionSet, x: &[f32], gradient: &[f32]) -> Buffer {
        let fill = |values: &mut [MaybeUninit<f32>]| {
            // SAFETY: there is room for the part, row after row.
            unsafe { self.products(x, gradient).write(set, values.as_mut_ptr().cast(), self.inputs()) };
        };
        // SAFETY: a product writes all its values.
        unsafe { Buffer::filled(self.outputs() * self.inputs(), fill) }
    }

    /// The gradient of the part as a product.
    fn products<'a>(&self, x: &'a [f32], gradient: &'a [f32]) -> Product<'a> {
        let left = Matrix::whole(gradient, [self.batch, self.outputs()]).transposed();
        Product::of(left, Matrix::whole(x, [self.batch, self.inputs()]))
    }

    /// The gradient of the bias, given that of the sums: their rows, added in order.
    pub(crate) fn bias_gradient(&self, gradient: &[f32]) -> Vec<f32> {
        let mut sums = vec![0.0; self.outputs()];
        for row in gradient.chunks_exact(self.outputs()) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
        sums
    }

    /// A product with a row for each example.
    fn rows(&self, set: InstructionSet, product: &Product<'_>, columns: usize) -> Buffer {
        let fill = |target: &mut [MaybeUninit<f32>]| {
            // SAFETY: the target has `columns` values for each example, and so has the product.
            unsafe { product.write(set, target.as_mut_ptr().cast(), columns) };
        };
        // SAFETY: a product writes all its values.
        unsafe { Buffer::filled(self.batch * columns, fill) }
    }
}

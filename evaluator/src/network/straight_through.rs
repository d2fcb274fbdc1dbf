//! Rounds values and weights to quantization grids while a network is trained. The forward pass computes the
//! rounded values. The backward pass treats rounding as the identity.

use burn::tensor::{Device, Tensor, TensorData};
use kiln_export::Grid;

/// A quantization grid whose scale is trained. The zero point is fixed.
///
/// Source: S. Esser et al., "Learned Step Size Quantization", ICLR 2020, equations 1 to 3 and section 2.2.
/// Differs: the trained parameter is the logarithm of the scale. Its gradient is divided by the squared
/// scale, so that a small gradient step changes the scale by the same amount as in the source. The scale
/// stays positive with every optimizer.
#[derive(Clone, Debug)]
pub(crate) struct LearnedGrid {
    /// The grid with the present scale.
    pub(crate) grid: Grid,
    /// Natural logarithm of the scale, `[1]`.
    pub(crate) log_scale: Tensor<1>,
}

/// Scales below this one are trained as if they were this large.
const SMALLEST_SCALE: f32 = 1e-12;

impl LearnedGrid {
    /// Rounds values to the grid, exactly as [`Grid::round`] does. Gradients flow to the values inside the
    /// range of the grid, and to the logarithm of the scale.
    pub(super) fn round(&self, value: Tensor<4>) -> Tensor<4> {
        let Self { grid, log_scale } = self;
        let [least, most] = grid.steps();
        let [_, channels, height, width] = value.dims();
        let scaled = value.clone().detach() / grid.scale;
        let integers = scaled.clone().round().clamp(least, most);
        let inside = between(&scaled, least, most);
        // The derivative of the rounded value by the scale: `round(v) - v` inside the range, and the end of
        // the range outside.
        let slope = integers.clone() - scaled * inside.clone();
        let size = grid.scale.max(SMALLEST_SCALE);
        let weight = gradient_scale(channels * height * width, least.abs().max(most)) / size;
        let by_scale = slope * weight * change(log_scale.clone()).reshape([1, 1, 1, 1]);
        let by_value = change(value * inside);
        integers * grid.scale + by_value + by_scale
    }
}

/// Rounds values to the grid that covers the range of this batch. Gradients flow to all values: none is
/// outside the range.
pub(super) fn round_to_own_range(value: Tensor<4>) -> Tensor<4> {
    let constant = value.clone().detach();
    let end = |tensor: Tensor<1>| tensor.into_data().try_to_vec::<f32>().map_or(f32::NAN, |end| end[0]);
    let (min, max) = (end(constant.clone().min()), end(constant.clone().max()));
    // Values that are not finite make the loss not finite, which ends the training with a clear error.
    let Some(grid) = Grid::covering(min, max) else { return value };
    let [least, most] = grid.steps();
    (constant / grid.scale).round().clamp(least, most) * grid.scale + change(value)
}

/// Rounds the weights of each output channel to symmetric grids with integers up to `largest`, whose range
/// is that of the channel's weights. Gradients flow to all weights.
///
/// # Shapes
/// - `weight`: `[outputs, ..]`
pub(super) fn round_by_channel<const D: usize>(weight: Tensor<D>, largest: f32) -> Tensor<D> {
    let dims = weight.dims();
    let rows = weight.clone().detach().reshape([dims[0], dims[1..].iter().product()]);
    let step = rows.clone().abs().max_dim(1).clamp_min(f32::MIN_POSITIVE) / largest;
    let rounded = (rows / step.clone()).round().clamp(-largest, largest) * step;
    rounded.reshape(dims) + change(weight)
}

/// Bounds below this share of the layer's largest bound are trained as if they were this large.
const SMALLEST_BOUND: f32 = 0.02;

/// Trained bounds of a layer's weights, one for each output channel. Weights beyond a bound are set to it
/// before they are rounded.
pub(crate) struct WeightBounds {
    /// Natural logarithm of the step that the bound is a multiple of, `[outputs]`.
    pub(crate) log_steps: Tensor<1>,
    /// The bounds, `[outputs]`.
    pub(crate) bounds: Vec<f32>,
    /// The multiple: the largest integer of a weight.
    pub(crate) largest: f32,
}

impl WeightBounds {
    /// Returns `rounded` in the forward pass. Gradients flow to the weights within their bounds, and to the
    /// logarithms of the steps.
    ///
    /// # Shapes
    /// - `weight`: `[outputs, ..]`
    /// - `rounded`: the same, the weights as the exported network has them
    pub(crate) fn through<const D: usize>(&self, weight: Tensor<D>, rounded: Tensor<D>) -> Tensor<D> {
        let device = rounded.device();
        let dims = weight.dims();
        let mut each = [1; D];
        each[0] = dims[0];
        let per_channel = |values: Vec<f32>| vector(values, &device).reshape(each);
        let bound = per_channel(self.bounds.clone());
        let constant = weight.clone().detach();
        let inside = constant.clone().abs().lower_equal(bound.clone()).float();
        let outside = inside.clone().neg() + 1.0;
        let bounded = constant.clone() * inside.clone() + constant.sign() * outside.clone() * bound.clone();
        // The derivative by the bound: `(rounded - v) / bound` inside, as a step that is a fraction of the
        // bound moves the rounding error, and the sign of the weight in addition outside.
        let slope = (rounded.clone() - bounded.clone()) / bound.clone() + bounded.sign() * outside;
        let elements: usize = dims[1..].iter().product();
        let weight_of_gradient = gradient_scale(elements, self.largest);
        // The derivative by the step is `largest` times as large. It is divided by the step itself, because
        // the parameter is its logarithm. A channel whose weights are all zero has a tiny step, which one
        // training step must not multiply by a huge factor.
        let most = self.bounds.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        let divisor = self.bounds.iter().map(|bound| bound.max(SMALLEST_BOUND * most)).collect();
        let by_bound = slope * (self.largest * self.largest * weight_of_gradient) / per_channel(divisor)
            * change(self.log_steps.clone()).reshape(each);
        rounded + change(weight * inside) + by_bound
    }
}

/// The factor for gradients of a step size: `1 / sqrt(values * largest)`.
fn gradient_scale(values: usize, largest: f32) -> f32 {
    1.0 / (values as f32 * largest).max(1.0).sqrt()
}

/// Returns a tensor of zeros with the gradient of `value`.
pub(super) fn change<const D: usize>(value: Tensor<D>) -> Tensor<D> {
    value.clone() - value.detach()
}

/// Returns 1 where a value lies in the range, and 0 elsewhere.
fn between(value: &Tensor<4>, least: f32, most: f32) -> Tensor<4> {
    let above = value.clone().greater_equal_elem(least).float();
    above * value.clone().lower_equal_elem(most).float()
}

fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let size = values.len();
    Tensor::from_data(TensorData::new(values, [size]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [f32; 8] = [-3.0, -0.62, -0.21, 0.0, 0.14, 0.37, 0.88, 9.0];

    fn device() -> Device {
        Device::flex().autodiff()
    }

    fn values(device: &Device) -> Tensor<4> {
        Tensor::from_data(TensorData::new(VALUES.to_vec(), [1, 2, 2, 2]), device)
    }

    fn to_vec<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    /// Weights of the loss `sum(weight * output)`, so that every value has another gradient.
    fn factors() -> [f32; 8] {
        std::array::from_fn(|index| 0.5 + index as f32 * 0.25)
    }

    fn weighted<const D: usize>(output: Tensor<D>) -> Tensor<1> {
        let factors = TensorData::new(factors().to_vec(), output.dims());
        let device = output.device();
        (output * Tensor::from_data(factors, &device)).sum()
    }

    #[test]
    fn learned_grid_rounds_as_the_exported_grid_and_passes_gradients_inside_its_range() {
        let device = device();
        let grid = Grid { scale: 0.1, zero_point: -118 };
        let log_scale = vector(vec![grid.scale.ln()], &device).require_grad();
        let inputs = values(&device).require_grad();
        let learned = LearnedGrid { grid, log_scale: log_scale.clone() };
        let output = learned.round(inputs.clone());
        let expected: Vec<f32> = VALUES.iter().map(|value| grid.round(*value)).collect();
        assert_eq!(to_vec(output.clone()), expected);
        let gradients = weighted(output).backward();
        // The range is from -1 to 24.5, so only -3 is outside.
        let mut straight = factors();
        straight[0] = 0.0;
        assert_eq!(to_vec(inputs.grad(&gradients).unwrap()), straight);
        // Equation 3 of the source, times the gradient scale, for the scale and divided by it once more.
        let [least, most] = grid.steps();
        let slope = |value: &f32| {
            let scaled = value / grid.scale;
            if scaled < least { least } else { scaled.round_ties_even() - scaled }
        };
        let sum: f32 = VALUES.iter().zip(factors()).map(|(value, factor)| slope(value) * factor).sum();
        let expected = sum / (8.0 * most).sqrt() / grid.scale;
        let found = to_vec(log_scale.grad(&gradients).unwrap())[0];
        assert!((found - expected).abs() < 1e-4 * expected.abs(), "{found} is not {expected}");
    }

    #[test]
    fn gradient_of_a_scale_is_that_of_finite_differences_where_rounding_is_differentiable() {
        // All values are beyond the range, so the output is an end of the range times the scale.
        let device = device();
        let beyond = [-30.0, 40.0, 55.0, -60.0, 70.0, 80.0, -90.0, 99.0_f32];
        let rounded = |scale: f32| -> f32 {
            let grid = Grid { scale, zero_point: -100 };
            beyond.iter().zip(factors()).map(|(value, factor)| grid.round(*value) * factor).sum()
        };
        let grid = Grid { scale: 0.05, zero_point: -100 };
        let log_scale = vector(vec![grid.scale.ln()], &device).require_grad();
        let learned = LearnedGrid { grid, log_scale: log_scale.clone() };
        let inputs = Tensor::from_data(TensorData::new(beyond.to_vec(), [1, 2, 2, 2]), &device);
        let gradients = weighted(learned.round(inputs)).backward();
        let step = 1e-3;
        let by_scale = (rounded(grid.scale + step) - rounded(grid.scale - step)) / (2.0 * step);
        let expected = by_scale * gradient_scale(8, grid.steps()[1]) / grid.scale;
        let found = to_vec(log_scale.grad(&gradients).unwrap())[0];
        assert!((found - expected).abs() < 1e-3 * expected.abs(), "{found} is not {expected}");
    }

    #[test]
    fn weight_bounds_pass_gradients_of_finite_differences_beyond_a_bound() {
        // Two output channels of four weights. In the first, two weights are beyond the bound of 0.5.
        let device = device();
        let weights = [0.1, -0.7, 0.9, 0.3, -0.2, 0.15, 0.05, 0.4_f32];
        let largest = 7.0;
        let bounded = |bounds: [f32; 2]| -> Vec<f32> {
            weights.iter().enumerate().map(|(at, w)| w.clamp(-bounds[at / 4], bounds[at / 4])).collect()
        };
        let rounded = |bounds: [f32; 2]| -> Vec<f32> {
            let step = |at: usize| bounds[at / 4] / largest;
            let round = |(at, w): (usize, &f32)| (w / step(at)).round_ties_even() * step(at);
            bounded(bounds).iter().enumerate().map(round).collect()
        };
        let bounds = [0.5_f32, 0.4];
        let logs: Vec<f32> = bounds.iter().map(|bound| (bound / largest).ln()).collect();
        let log_steps = vector(logs, &device).require_grad();
        let inputs =
            Tensor::<2>::from_data(TensorData::new(weights.to_vec(), [2, 4]), &device).require_grad();
        let constant = Tensor::<2>::from_data(TensorData::new(rounded(bounds), [2, 4]), &device);
        let trained = WeightBounds { log_steps: log_steps.clone(), bounds: bounds.to_vec(), largest };
        let output = trained.through(inputs.clone(), constant);
        assert_eq!(to_vec(output.clone()), rounded(bounds));
        let gradients = weighted(output).backward();
        let mut straight = factors();
        straight[1] = 0.0;
        straight[2] = 0.0;
        assert_eq!(to_vec(inputs.grad(&gradients).unwrap()), straight);
        let found = to_vec(log_steps.grad(&gradients).unwrap());
        for channel in 0..2 {
            // The straight-through derivative by the step `s`: `round(w / s) - w / s` within the bound, and
            // the difference quotient of the rounded weight beyond it.
            let (step, delta) = (bounds[channel] / largest, 1e-3);
            let quotient = |at: usize| {
                let moved = |by: f32| {
                    let mut bounds = bounds;
                    bounds[channel] = (step + by) * largest;
                    rounded(bounds)[at]
                };
                (moved(delta) - moved(-delta)) / (2.0 * delta)
            };
            let slope = |at: usize| {
                let scaled = weights[at] / step;
                if weights[at].abs() > bounds[channel] {
                    quotient(at)
                } else {
                    scaled.round_ties_even() - scaled
                }
            };
            let sum: f32 = (4 * channel..4 * channel + 4).map(|at| slope(at) * factors()[at]).sum();
            let expected = sum / (4.0 * largest).sqrt() / step;
            let found = found[channel];
            assert!((found - expected).abs() < 2e-3 * expected.abs(), "{channel}: {found} is not {expected}");
        }
    }

    #[test]
    fn channel_of_zeros_has_finite_gradients() {
        let device = device();
        let weights = [0.0, 0.0, 0.0, 0.0, -0.2, 0.15, 0.05, 0.4_f32];
        let bounds = vec![f32::MIN_POSITIVE, 0.4];
        let log_steps = vector(vec![f32::MIN_POSITIVE.ln(), 0.4_f32.ln()], &device).require_grad();
        let inputs =
            Tensor::<2>::from_data(TensorData::new(weights.to_vec(), [2, 4]), &device).require_grad();
        let rounded = Tensor::<2>::from_data(TensorData::new(weights.to_vec(), [2, 4]), &device);
        let trained = WeightBounds { log_steps: log_steps.clone(), bounds, largest: 127.0 };
        let gradients = weighted(trained.through(inputs.clone(), rounded)).backward();
        assert_eq!(to_vec(inputs.grad(&gradients).unwrap()), factors());
        assert!(to_vec(log_steps.grad(&gradients).unwrap()).iter().all(|value| value.is_finite()));
    }

    #[test]
    fn own_ranges_round_as_the_grid_of_the_batch_and_pass_every_gradient() {
        let device = device();
        let inputs = values(&device).require_grad();
        let output = round_to_own_range(inputs.clone());
        let grid = Grid::covering(-3.0, 9.0).unwrap();
        let expected: Vec<f32> = VALUES.iter().map(|value| grid.round(*value)).collect();
        assert_eq!(to_vec(output.clone()), expected);
        assert_eq!(to_vec(inputs.grad(&weighted(output).backward()).unwrap()), factors());
        let weights =
            Tensor::<2>::from_data(TensorData::new(VALUES.to_vec(), [2, 4]), &device).require_grad();
        let output = round_by_channel(weights.clone(), 127.0);
        for (at, (found, weight)) in to_vec(output.clone()).iter().zip(VALUES).enumerate() {
            let step = [3.0, 9.0][at / 4] / 127.0;
            assert!((found - (weight / step).round_ties_even() * step).abs() < 1e-6, "{found}, {weight}");
        }
        assert_eq!(to_vec(weights.grad(&weighted(output).backward()).unwrap()), factors());
    }
}

//! Nonlinearities and pooling on burn's tensors. If the kernels do not support a tensor, burn's own
//! operations run.

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use burn::tensor::module;
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};

use crate::pooling::windows::{Axis, Kind, Pooling};
use crate::shared::activation::Activation;
use crate::shared::primitives::applies;
use crate::tensors::plane_operations::{PlaneOp, PlaneOps};

/// Applies a nonlinearity to each value of a tensor.
#[must_use]
pub fn activate<const D: usize>(x: Tensor<D>, activation: Activation) -> Tensor<D> {
    if activation == Activation::Identity || !applies(&x) {
        return activation.by_burn(x);
    }
    Tensor::from_dispatch(Dispatch::kernel_planes(x.into_dispatch(), PlaneOp::Activation(activation)))
}

/// Returns the largest value of each window. If several values are largest, the first of them receives the
/// gradient.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`
/// - output: `[batch, channels, (height + 2 * padding - kernel) / stride + 1, ..]`
///
/// # Panics
/// When the padding is more than half the window, or the window is larger than the padded image.
#[must_use]
pub fn max_pool2d(x: Tensor<4>, kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Tensor<4> {
    let pooling = pooling(&x, Kind::Max, kernel, stride, padding);
    if !applies(&x) {
        let options = MaxPoolOptions::new(kernel).with_stride(stride).with_padding(padding);
        return module::max_pool2d(x, options);
    }
    Tensor::from_dispatch(Dispatch::kernel_planes(x.into_dispatch(), PlaneOp::Pooling(pooling)))
}

/// Returns the mean over those values of each window that lie inside the image.
///
/// # Shapes
/// The same as for [`max_pool2d`].
///
/// # Panics
/// When the padding is more than half the window, or the window is larger than the padded image.
#[must_use]
pub fn avg_pool2d(x: Tensor<4>, kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Tensor<4> {
    let pooling = pooling(&x, Kind::Average, kernel, stride, padding);
    if !applies(&x) {
        let options = AvgPoolOptions::new(kernel).with_stride(stride).with_padding(padding);
        return module::avg_pool2d(x, options.with_count_include_pad(false));
    }
    Tensor::from_dispatch(Dispatch::kernel_planes(x.into_dispatch(), PlaneOp::Pooling(pooling)))
}

/// Returns the mean of each plane.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`
/// - output: `[batch, channels, 1, 1]`
#[must_use]
pub fn global_avg_pool2d(x: Tensor<4>) -> Tensor<4> {
    if !applies(&x) {
        let [batch, channels, height, width] = x.dims();
        return x.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels, 1, 1]);
    }
    Tensor::from_dispatch(Dispatch::kernel_planes(x.into_dispatch(), PlaneOp::GlobalPooling))
}

fn pooling(
    x: &Tensor<4>,
    kind: Kind,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
) -> Pooling {
    let [_, _, height, width] = x.dims();
    let axis = |size, axis: usize| Axis::new(size, kernel[axis], stride[axis], padding[axis]);
    Pooling::new(kind, [axis(height, 0), axis(width, 1)])
}

//! Convolution on burn's tensors. If the kernels do not support a tensor, burn's own operation runs.

use std::ops::Range;
use std::sync::Arc;

use burn::backend::Dispatch;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, module};

use crate::planes::geometry::Geometry;
use crate::shared::activation::Activation;
use crate::shared::primitives::applies;
use crate::shared::shared_gradient::Deposit;
use crate::shared::weight_slice::{Places, WeightSlice};
use crate::tensors::operations::{Convolution, KernelOps};

/// Convolution in two dimensions with zero padding on both sides.
///
/// # Shapes
/// - `x`: `[batch, in_channels, height, width]`
/// - `weight`: `[out_channels, in_channels / groups, kernel_height, kernel_width]`
/// - `bias`: `[out_channels]`
/// - output: `[batch, out_channels, (height + 2 * padding - kernel) / stride + 1, ..]`
///
/// # Panics
/// When the shapes do not match, or the kernel is larger than the padded image.
#[must_use]
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: [usize; 2],
    padding: [usize; 2],
    groups: usize,
) -> Tensor<4> {
    let slice = WeightSlice::whole(weight.dims());
    conv2d_sliced(x, SharedWeight { whole: weight, slice, deposit: None }, bias, stride, padding, groups)
}

/// A slice of a weight that a convolution reads.
#[derive(Debug, Clone)]
pub struct SharedWeight {
    /// The whole weight, `[.., .., .., ..]`, at least as large as the slice.
    pub whole: Tensor<4>,
    /// The slice that is read.
    pub slice: WeightSlice,
    /// Receives the gradient of the slice.
    ///
    /// Without a deposit, or if the kernels do not support the tensors, burn receives the gradient of the
    /// whole weight, with zeros outside the slice.
    pub deposit: Option<Deposit>,
}

/// Runs the convolution [`conv2d`] with a slice of a weight, which is read in place, without a copy.
///
/// # Shapes
/// - the same as for [`conv2d`], with a weight of the slice's shape
///
/// # Panics
/// In the same cases as [`conv2d`], and when the slice exceeds the weight.
#[must_use]
pub fn conv2d_sliced(
    x: Tensor<4>,
    weight: SharedWeight,
    bias: Option<Tensor<1>>,
    stride: [usize; 2],
    padding: [usize; 2],
    groups: usize,
) -> Tensor<4> {
    let SharedWeight { whole: weight, slice, deposit } = weight;
    let places = Places::new(&slice, weight.dims());
    let geometry = Geometry::new(x.dims(), slice.shape(), stride, padding, groups);
    if !kernels_apply(&geometry, &x, &weight, bias.as_ref()) {
        let weight = cut(weight, &slice);
        return module::conv2d(x, weight, bias, ConvOptions::new(stride, padding, [1, 1], groups));
    }
    let (places, activation) = (Arc::new(places), Activation::Identity);
    run(x, weight, bias, Convolution { geometry, places, activation, kept: None, deposit })
}

/// Runs a convolution with the kernels.
pub(super) fn run(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    convolution: Convolution,
) -> Tensor<4> {
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => Dispatch::kernel_conv2d_bias(x, weight, bias.into_dispatch(), convolution),
        None => Dispatch::kernel_conv2d(x, weight, convolution),
    })
}

/// Whether the kernels support these tensors. The shapes of the first two are already checked.
pub(super) fn kernels_apply(
    geometry: &Geometry,
    x: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
) -> bool {
    if let Some(bias) = bias {
        assert_eq!(bias.dims(), [geometry.out_channels()], "a bias has one value for each output channel");
    }
    geometry.out_channels() > 0 && applies(x) && applies(weight) && bias.is_none_or(applies)
}

/// Copies a slice of a weight to a separate tensor. If the slice is the whole weight, returns the weight
/// itself.
///
/// # Shapes
/// - output: the shape of the slice
///
/// # Panics
/// When the slice exceeds the weight.
#[must_use]
pub fn cut(weight: Tensor<4>, slice: &WeightSlice) -> Tensor<4> {
    let whole = weight.dims();
    slice.check(whole);
    let ([top, left], [height, width]) = (slice.corner(whole), slice.kernel);
    let cropped = if slice.kernel == whole[2..] {
        weight
    } else {
        weight.slice([0..whole[0], 0..whole[1], top..top + height, left..left + width])
    };
    let along = |whole: Tensor<4>, axis: usize, ranges: &[Range<usize>]| match ranges {
        [all] if *all == (0..whole.dims()[axis]) => whole,
        [one] => whole.narrow(axis, one.start, one.len()),
        many => {
            let parts = many.iter().map(|range| whole.clone().narrow(axis, range.start, range.len()));
            Tensor::cat(parts.collect(), axis)
        }
    };
    along(along(cropped, 0, &slice.outputs), 1, &slice.inputs)
}

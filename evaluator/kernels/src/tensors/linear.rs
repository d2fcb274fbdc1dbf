//! The fully connected layer on burn's tensors. If the kernels do not support a tensor, burn's own operations
//! run.

use std::ops::Range;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use crate::linear::layer::Linear;
use crate::shared::activation::Activation;
use crate::shared::primitives::applies;
use crate::shared::shared_gradient::Deposit;
use crate::tensors::linear_operations::LinearOps;
use crate::tensors::planes::activate;

/// A fully connected layer and a nonlinearity: `activation(x * weight^T + bias)`.
///
/// # Shapes
/// - `x`: `[batch, ..]`, with `inputs` values per example
/// - `weight`: `[outputs, inputs]`
/// - `bias`: `[outputs]`
/// - output: `[batch, outputs, 1, ..]`, with as many dimensions as `x`
///
/// # Panics
/// When the shapes do not match.
#[must_use]
pub fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Activation,
) -> Tensor<D> {
    let [outputs, inputs] = weight.dims();
    linear_sliced(x, weight, [0..outputs, 0..inputs], bias, activation, None)
}

/// Runs the layer [`linear`] with some outputs and inputs of `weight`. This part of the weight is read in
/// place, without a copy.
///
/// `deposit` receives the gradient of that part. Without a deposit, burn receives the gradient of the whole
/// weight, with zeros outside the part.
///
/// # Shapes
/// - `weight`: `[.., ..]`, at least as large as the part
/// - the others: the same as for [`linear`], with a weight of the part's shape
///
/// # Panics
/// In the same cases as [`linear`], and when the part exceeds the weight.
#[must_use]
pub fn linear_sliced<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    part: [Range<usize>; 2],
    bias: Option<Tensor<1>>,
    activation: Activation,
    deposit: Option<Deposit>,
) -> Tensor<D> {
    const { assert!(D >= 2, "a fully connected layer reads tensors with a dimension of features") };
    let (dims, whole) = (x.dims(), weight.dims());
    let (batch, [outputs, inputs]) = (dims[0], [part[0].len(), part[1].len()]);
    assert!(part[0].end <= whole[0] && part[1].end <= whole[1], "a slice lies inside its weight");
    assert_eq!(
        dims[1..].iter().product::<usize>(),
        inputs,
        "an example has as many values as there are inputs"
    );
    if let Some(bias) = &bias {
        assert_eq!(bias.dims(), [outputs], "a bias has one value for each output");
    }
    if outputs == 0 || !(applies(&x) && applies(&weight) && bias.as_ref().is_none_or(applies)) {
        let mut shape = [1; D];
        (shape[0], shape[1]) = (batch, outputs);
        let output = x.reshape([batch, inputs]).matmul(weight.slice(part).transpose());
        let output = match bias {
            Some(bias) => output + bias.unsqueeze(),
            None => output,
        };
        return activation.by_burn(output.reshape(shape));
    }
    let is_tracked = x.device().is_autodiff() || weight.device().is_autodiff();
    let joined = activation.is_stored() && (activation.keeps_slope() || !is_tracked);
    let of_sums = if joined { activation } else { Activation::Identity };
    let layer = Linear::new(batch, whole, part, of_sums, deposit);
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    let output = Tensor::from_dispatch(match bias {
        Some(bias) => Dispatch::kernel_linear_bias(x, weight, bias.into_dispatch(), layer),
        None => Dispatch::kernel_linear(x, weight, layer),
    });
    if joined { output } else { activate(output, activation) }
}

//! Defines the steps of a forward pass. A step reads outputs of earlier steps, and one kernel computes its
//! layer.

use burn::tensor::Tensor;
use kiln_kernels::{Activation, FixedConv2d};
use kiln_space::{ActivationKind, Layer, LayerId, Op, PoolKind, Shape};

use super::integers::IntegerKernel;
use super::rounding::Rounding;
use super::window::Window;

/// A step, which computes the value of one layer.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) layer: LayerId,
    pub(super) reads: Vec<Read>,
    pub(super) kind: StepKind,
    /// How the value is rounded.
    pub(super) output: Rounding,
}

/// A value that a step reads.
#[derive(Clone, Debug)]
pub(super) struct Read {
    /// The layer whose value the step reads.
    pub(super) layer: LayerId,
    /// Whether no later step reads the value, so that its memory can be freed.
    pub(super) is_last: bool,
    pub(super) rounding: Rounding,
}

/// The operation that a step applies to its inputs.
#[derive(Debug)]
pub(super) enum StepKind {
    /// Returns the input unchanged, because an earlier step already computes this layer or because the plan
    /// omits it.
    Pass,
    /// Constant zeros.
    Zero(Shape),
    /// A convolution. The executor looks up its weights by key.
    Conv(Window),
    /// A convolution with the normalization after it folded into weight and bias.
    FoldedConv { kernel: Tensor<4>, bias: Tensor<1>, window: Window },
    /// A fully connected layer with the given weights, `[out, in]`.
    FoldedLinear { matrix: Tensor<2>, bias: Tensor<1> },
    /// A convolution whose weights are rounded by output channel. The executor looks them up by key. The
    /// number is the largest integer of a weight.
    RoundedConv(Window, f32),
    /// A fully connected layer whose weights are rounded by output channel. The executor looks them up by
    /// key.
    RoundedLinear(f32),
    /// A convolution whose weights are already packed for the kernels. It includes the normalization and the
    /// nonlinearity after it.
    FixedConv(FixedConv2d),
    /// Sums of integer inputs times integer weights.
    IntegerSums { kernel: IntegerKernel, window: Window },
    /// Normalization with the statistics of the batch, and the nonlinearity after it.
    BatchNorm { after: Activation },
    /// Normalization with collected statistics.
    FixedBatchNorm { scale: Tensor<1>, shift: Tensor<1>, mean: Tensor<1>, variance: Tensor<1> },
    /// A fully connected layer and the nonlinearity after it. The executor looks up its weights by key.
    Linear { after: Activation },
    /// A nonlinearity.
    Activate(Activation),
    /// A nonlinearity that burn's own operations compute, as in exported packages.
    ActivateByBurn(Activation),
    /// The maximum of each window.
    MaxPool(Window),
    /// The mean of each window.
    AveragePool(Window),
    /// The mean of each window, which burn's own operation computes.
    AveragePoolByBurn(Window),
    /// The mean of each channel.
    GlobalPool,
    /// The mean of each channel, which burn's own operation computes.
    GlobalPoolByBurn,
    /// Flattens all values of an example to channels.
    Flatten,
    /// The sum of all inputs.
    Add,
    /// Concatenates the channels of all inputs.
    Concat,
    /// The product of two inputs.
    Multiply,
}

impl StepKind {
    /// The step that computes a single layer, with weights by key and normalization with the batch's
    /// statistics.
    pub(super) fn plain(layer: &Layer) -> Self {
        let window = Window::of(layer);
        match layer.op {
            Op::Input => Self::Pass,
            Op::Zero { .. } => Self::Zero(layer.output),
            Op::Conv2d { .. } => Self::Conv(window),
            Op::Linear { .. } => Self::Linear { after: Activation::Identity },
            Op::BatchNorm => Self::BatchNorm { after: Activation::Identity },
            Op::Activation { kind } => Self::Activate(nonlinearity(kind)),
            Op::Pool { kind: PoolKind::Max, .. } => Self::MaxPool(window),
            Op::Pool { kind: PoolKind::Average, .. } => Self::AveragePool(window),
            Op::GlobalPool => Self::GlobalPool,
            Op::Flatten => Self::Flatten,
            Op::Add => Self::Add,
            Op::Concat => Self::Concat,
            Op::Mul => Self::Multiply,
        }
    }

    /// Like [`Self::plain`], but burn's own operations compute means and nonlinearities.
    pub(super) fn by_burn(layer: &Layer) -> Self {
        match Self::plain(layer) {
            Self::Activate(activation) => Self::ActivateByBurn(activation),
            Self::AveragePool(window) => Self::AveragePoolByBurn(window),
            Self::GlobalPool => Self::GlobalPoolByBurn,
            plain => plain,
        }
    }
}

/// Converts an activation of an architecture to the same activation in `kiln_kernels`.
pub(super) const fn nonlinearity(kind: ActivationKind) -> Activation {
    match kind {
        ActivationKind::Relu => Activation::Relu,
        ActivationKind::Relu6 => Activation::Relu6,
        ActivationKind::HardSwish => Activation::HardSwish,
        ActivationKind::HardSigmoid => Activation::HardSigmoid,
        ActivationKind::Sigmoid => Activation::Sigmoid,
        ActivationKind::Silu => Activation::Silu,
        ActivationKind::Tanh => Activation::Tanh,
        ActivationKind::Gelu => Activation::Gelu,
    }
}

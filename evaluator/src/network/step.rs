//! One step of a forward pass: what it reads, and what computes the value of its layer.

use burn::tensor::Tensor;
use kiln_export::Grid;
use kiln_kernels::{Activation, FixedConv2d};
use kiln_space::{ActivationKind, Layer, LayerId, Op, PoolKind, Shape};

use super::integers::IntegerKernel;
use super::rounding::Rounding;
use super::window::Window;

/// A step, which gives the value of one layer.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) layer: LayerId,
    pub(super) reads: Vec<Read>,
    pub(super) kind: StepKind,
    /// The grid to which the value is rounded.
    pub(super) grid: Option<Grid>,
}

/// A value that a step reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    /// The layer whose value is read.
    pub(super) layer: LayerId,
    /// Whether no later step reads the value, so that it need not be kept.
    pub(super) is_last: bool,
    pub(super) rounding: Rounding,
}

/// What a step computes from what it reads.
#[derive(Debug)]
pub(super) enum StepKind {
    /// The input unchanged: an earlier step computes this layer too, or the plan leaves it out.
    Pass,
    /// Zeros.
    Zero(Shape),
    /// A convolution with weights by key.
    Conv(Window),
    /// A convolution whose weight and bias include the normalization after it.
    FoldedConv { kernel: Tensor<4>, bias: Tensor<1>, window: Window },
    /// A convolution that the kernels have prepared. It includes the normalization and the nonlinearity after
    /// it.
    FixedConv(FixedConv2d),
    /// Sums of integers, with integer weights.
    IntegerSums { kernel: IntegerKernel, window: Window },
    /// Normalization by the statistics of the batch, and the nonlinearity after it.
    BatchNorm { after: Activation },
    /// Normalization by collected statistics.
    FixedBatchNorm { scale: Tensor<1>, shift: Tensor<1>, mean: Tensor<1>, variance: Tensor<1> },
    /// A fully connected layer with weights by key, and the nonlinearity after it.
    Linear { after: Activation },
    /// A nonlinearity.
    Activate(Activation),
    /// A nonlinearity by burn's own operations, as in exported packages.
    ActivateByBurn(Activation),
    /// The maximum of each window.
    MaxPool(Window),
    /// The mean of each window.
    AveragePool(Window),
    /// The mean of each window by burn's own operation.
    AveragePoolByBurn(Window),
    /// The mean of each channel.
    GlobalPool,
    /// The mean of each channel by burn's own operation.
    GlobalPoolByBurn,
    /// All values of an example, as channels.
    Flatten,
    /// The sum of all inputs.
    Add,
    /// The channels of all inputs, one input after another.
    Concat,
    /// The product of two inputs.
    Multiply,
}

impl StepKind {
    /// A layer by itself: weights by key, normalization by the batch, nothing joined.
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

    /// As [`Self::plain`], with burn's own means and nonlinearities.
    pub(super) fn by_burn(layer: &Layer) -> Self {
        match Self::plain(layer) {
            Self::Activate(activation) => Self::ActivateByBurn(activation),
            Self::AveragePool(window) => Self::AveragePoolByBurn(window),
            Self::GlobalPool => Self::GlobalPoolByBurn,
            plain => plain,
        }
    }
}

/// The name of a nonlinearity in the kernels.
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

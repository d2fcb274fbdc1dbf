//! The operations of layers and their output shapes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Shape, SpaceError};

/// The epsilon that every batch normalization adds to the variance.
pub const BATCH_NORM_EPSILON: f32 = 1e-5;

/// The operation of a layer. It does not store channel counts that follow from the inputs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// The network's input. Layer 0 is always an input, and no other layer is one.
    Input,
    /// A tensor of zeros that represents a missing connection. The tensor's height and width are the input's
    /// height and width divided by the stride.
    Zero {
        /// Output channels.
        channels: usize,
        /// Stride of the connection that the tensor replaces.
        stride: usize,
    },
    /// Two-dimensional convolution. The weight is `[out_channels, in_channels / groups, kernel, kernel]`.
    Conv2d {
        /// Output channels.
        out_channels: usize,
        /// `[height, width]` of the window.
        kernel: [usize; 2],
        /// `[vertical, horizontal]` step.
        stride: [usize; 2],
        /// Zeros added on each side, `[vertical, horizontal]`.
        padding: [usize; 2],
        /// Number of groups; equal to the input channels for a depthwise convolution.
        groups: usize,
        /// Whether one bias per output channel is added.
        bias: bool,
    },
    /// Fully connected layer on a vector. The weight is `[out_features, in_features]`.
    Linear {
        /// Output features.
        out_features: usize,
        /// Whether a bias is added.
        bias: bool,
    },
    /// Batch normalization over the channels, with scale and shift.
    BatchNorm,
    /// Element-wise nonlinearity.
    Activation {
        /// Kind of the nonlinearity.
        kind: ActivationKind,
    },
    /// Pooling over windows. The average counts only positions inside the image.
    Pool {
        /// Maximum or average.
        kind: PoolKind,
        /// `[height, width]` of the window.
        kernel: [usize; 2],
        /// `[vertical, horizontal]` step.
        stride: [usize; 2],
        /// Padding on each side, `[vertical, horizontal]`.
        padding: [usize; 2],
    },
    /// Average over all positions of each channel. Reduces `[c, h, w]` to `[c, 1, 1]`.
    GlobalPool,
    /// Reshapes `[c, h, w]` to `[c * h * w, 1, 1]`. Channels are the outermost dimension.
    Flatten,
    /// Sum of two or more inputs of equal shape.
    Add,
    /// Concatenation of the inputs along the channels, in order.
    Concat,
    /// Product of the first input with the second, which has the same shape or `[c, 1, 1]`.
    Mul,
}

/// Element-wise nonlinearities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationKind {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x * min(max(x + 3, 0), 6) / 6`.
    HardSwish,
    /// `min(max(x + 3, 0), 6) / 6`.
    HardSigmoid,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x / (1 + exp(-x))`.
    Silu,
    /// `tanh(x)`.
    Tanh,
    /// `x / 2 * (1 + erf(x / sqrt(2)))`.
    Gelu,
}

impl ActivationKind {
    /// Every kind, in declaration order.
    pub const ALL: [Self; 8] = [
        Self::Relu,
        Self::Relu6,
        Self::HardSwish,
        Self::HardSigmoid,
        Self::Sigmoid,
        Self::Silu,
        Self::Tanh,
        Self::Gelu,
    ];

    /// The name in configs: `relu`, `hard_swish`, ...
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Relu6 => "relu6",
            Self::HardSwish => "hard_swish",
            Self::HardSigmoid => "hard_sigmoid",
            Self::Sigmoid => "sigmoid",
            Self::Silu => "silu",
            Self::Tanh => "tanh",
            Self::Gelu => "gelu",
        }
    }
}

impl fmt::Display for ActivationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How pooling reduces a window to one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolKind {
    /// The largest value.
    Max,
    /// The mean of the values inside the image.
    Average,
}

impl Op {
    /// The name that messages and tables of layers show.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Zero { .. } => "zero",
            Self::Conv2d { .. } => "conv2d",
            Self::Linear { .. } => "linear",
            Self::BatchNorm => "batch_norm",
            Self::Activation { kind } => kind.name(),
            Self::Pool { kind: PoolKind::Max, .. } => "max_pool",
            Self::Pool { kind: PoolKind::Average, .. } => "average_pool",
            Self::GlobalPool => "global_pool",
            Self::Flatten => "flatten",
            Self::Add => "add",
            Self::Concat => "concat",
            Self::Mul => "mul",
        }
    }

    /// Whether the operation has weights.
    #[must_use]
    pub const fn has_weights(&self) -> bool {
        matches!(self, Self::Conv2d { .. } | Self::Linear { .. } | Self::BatchNorm)
    }

    /// Computes the output shape for inputs of these shapes.
    ///
    /// # Errors
    /// [`SpaceError::Shape`] when the operation does not accept these inputs.
    pub fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, SpaceError> {
        let refuse =
            |expected: &'static str| SpaceError::Shape { op: self.name(), inputs: inputs.to_vec(), expected };
        let one = || match inputs {
            [input] => Ok(*input),
            _ => Err(refuse("exactly one input")),
        };
        match self {
            Self::Input => Err(refuse("no shape inference: the architecture states its input")),
            Self::Zero { channels, stride } => {
                let input = one()?;
                if *stride == 0 || *channels == 0 {
                    return Err(refuse("a positive stride and number of channels"));
                }
                Ok(Shape::new(*channels, input.height.div_ceil(*stride), input.width.div_ceil(*stride)))
            }
            Self::Conv2d { out_channels, kernel, stride, padding, groups, .. } => {
                let input = one()?;
                let divides = *groups > 0
                    && input.channels.is_multiple_of(*groups)
                    && out_channels.is_multiple_of(*groups);
                if !divides || *out_channels == 0 {
                    return Err(refuse("input and output channels that the groups divide"));
                }
                let [height, width] = window(input, *kernel, *stride, *padding)
                    .ok_or_else(|| refuse("a window that fits into the padded input"))?;
                Ok(Shape::new(*out_channels, height, width))
            }
            Self::Linear { out_features, .. } => {
                let input = one()?;
                if input.positions() != 1 || *out_features == 0 {
                    return Err(refuse("a vector `[features, 1, 1]`"));
                }
                Ok(Shape::vector(*out_features))
            }
            Self::BatchNorm | Self::Activation { .. } => one(),
            Self::Pool { kernel, stride, padding, .. } => {
                let input = one()?;
                if padding[0] * 2 > kernel[0] || padding[1] * 2 > kernel[1] {
                    return Err(refuse("padding of at most half the window"));
                }
                let [height, width] = window(input, *kernel, *stride, *padding)
                    .ok_or_else(|| refuse("a window that fits into the padded input"))?;
                Ok(Shape::new(input.channels, height, width))
            }
            Self::GlobalPool => Ok(Shape::vector(one()?.channels)),
            Self::Flatten => Ok(Shape::vector(one()?.elements())),
            Self::Add => match inputs {
                [first, rest @ ..] if !rest.is_empty() && rest.iter().all(|shape| shape == first) => {
                    Ok(*first)
                }
                _ => Err(refuse("two or more inputs of one shape")),
            },
            Self::Concat => match inputs {
                [first, ..] if inputs.iter().all(|s| s.height == first.height && s.width == first.width) => {
                    Ok(Shape { channels: inputs.iter().map(|s| s.channels).sum(), ..*first })
                }
                _ => Err(refuse("one or more inputs of one height and width")),
            },
            Self::Mul => match inputs {
                [left, right] if left == right || *right == Shape::vector(left.channels) => Ok(*left),
                _ => Err(refuse("two inputs of one shape, or the second of shape `[channels, 1, 1]`")),
            },
        }
    }
}

/// Returns the output height and width of a sliding window, or `None` if the window does not fit.
fn window(input: Shape, kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Option<[usize; 2]> {
    let along = |size: usize, axis: usize| {
        if stride[axis] == 0 || kernel[axis] == 0 {
            return None;
        }
        let padded = padding[axis].checked_mul(2)?.checked_add(size)?;
        Some(padded.checked_sub(kernel[axis])? / stride[axis] + 1)
    };
    Some([along(input.height, 0)?, along(input.width, 1)?])
}

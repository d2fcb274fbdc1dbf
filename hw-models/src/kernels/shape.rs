//! Describes a kernel by all that its latency may depend on. Equal descriptions are one kernel.

use std::fmt;
use std::str::FromStr;

use kiln_space::{
    ActivationKind, Architecture, ArchitectureBuilder, LayerId, NumberFormat, Op, Precision, Shape,
    SpaceError, Sparsity, WeightRef,
};

use super::activations::Activations;
use crate::Kernel;

/// What a kernel computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KernelKind {
    /// Convolution that reads all channels.
    Conv,
    /// Convolution that reads several, but not all channels for each output.
    GroupedConv,
    /// Convolution that reads one channel for each output.
    DepthwiseConv,
    /// Fully connected layer.
    Linear,
    /// Maximum over windows.
    MaxPool,
    /// Average over windows.
    AveragePool,
    /// Average over all positions.
    GlobalPool,
    /// Sum of tensors that no other kernel adds.
    Add,
    /// Product of two tensors.
    Mul,
    /// Normalization that is not folded into weights.
    BatchNorm,
    /// Nonlinearity that no other kernel computes.
    Activation,
    /// Joins tensors along their channels.
    Concat,
}

/// A kernel: its operation, shapes, formats and what is fused into it, for a whole batch.
///
/// Zeros among the weights are left out: in these models they save no time.
///
/// # Example
/// ```
/// use kiln_hw_models::KernelShape;
/// let text = "conv b1 16x28x28 32x14x14 k3x3 s2x2 p1x1 g1 f32 f32 relu";
/// let kernel: KernelShape = text.parse().unwrap();
/// assert_eq!((kernel.output.channels, kernel.to_string()), (32, text.to_owned()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelShape {
    /// What it computes.
    pub kind: KernelKind,
    /// Examples in the batch.
    pub batch: u64,
    /// Shape of the first input, or of all inputs joined for [`KernelKind::Concat`].
    pub input: Shape,
    /// Shape of the output.
    pub output: Shape,
    /// `[height, width]` of the window; 1 without one.
    pub kernel: [usize; 2],
    /// Steps of the window.
    pub stride: [usize; 2],
    /// Zeros on each side.
    pub padding: [usize; 2],
    /// Groups of a convolution; 1 otherwise.
    pub groups: usize,
    /// Number of tensors that a sum, product or concatenation reads; 1 otherwise.
    pub tensors: usize,
    /// Whether another tensor is added before the output is written.
    pub adds: bool,
    /// Format of the weights.
    pub weights: NumberFormat,
    /// Format of the output.
    pub activations: NumberFormat,
    /// Nonlinearities, in order.
    pub(crate) nonlinear: Activations,
}

impl KernelKind {
    /// Every kind, in declaration order.
    pub const ALL: [Self; 12] = [
        Self::Conv,
        Self::GroupedConv,
        Self::DepthwiseConv,
        Self::Linear,
        Self::MaxPool,
        Self::AveragePool,
        Self::GlobalPool,
        Self::Add,
        Self::Mul,
        Self::BatchNorm,
        Self::Activation,
        Self::Concat,
    ];

    /// The name in device files and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conv => "conv",
            Self::GroupedConv => "grouped_conv",
            Self::DepthwiseConv => "depthwise_conv",
            Self::Linear => "linear",
            Self::MaxPool => "max_pool",
            Self::AveragePool => "average_pool",
            Self::GlobalPool => "global_pool",
            Self::Add => "add",
            Self::Mul => "mul",
            Self::BatchNorm => "batch_norm",
            Self::Activation => "activation",
            Self::Concat => "concat",
        }
    }

    /// Whether the kernel reads weights of a convolution or a fully connected layer.
    pub(crate) const fn has_weights(self) -> bool {
        matches!(self, Self::Conv | Self::GroupedConv | Self::DepthwiseConv | Self::Linear)
    }
}

impl fmt::Display for KernelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl KernelShape {
    /// Describes a kernel of a network.
    #[must_use]
    pub fn new(architecture: &Architecture, kernel: &Kernel, batch: u64) -> Self {
        let head = architecture.layer(kernel.head());
        let of = |id: LayerId| architecture.layer(id).output;
        let input = head.inputs.first().map_or(head.output, |id| of(*id));
        let Precision { weights, activations } = head.precision;
        let mut shape = Self {
            kind: KernelKind::Add,
            batch,
            input,
            output: head.output,
            kernel: [1; 2],
            stride: [1; 2],
            padding: [0; 2],
            groups: 1,
            tensors: 1,
            adds: false,
            weights,
            activations,
            nonlinear: Activations::default(),
        };
        match &head.op {
            Op::Conv2d { kernel, stride, padding, groups, .. } => {
                shape.kind = match *groups {
                    1 => KernelKind::Conv,
                    groups if groups == input.channels => KernelKind::DepthwiseConv,
                    _ => KernelKind::GroupedConv,
                };
                (shape.kernel, shape.stride, shape.padding) = (*kernel, *stride, *padding);
                shape.groups = *groups;
            }
            Op::Linear { .. } => {
                shape.kind = KernelKind::Linear;
                shape.input = Shape::vector(input.elements());
            }
            Op::Pool { kind, kernel, stride, padding } => {
                shape.kind = match kind {
                    kiln_space::PoolKind::Max => KernelKind::MaxPool,
                    kiln_space::PoolKind::Average => KernelKind::AveragePool,
                };
                (shape.kernel, shape.stride, shape.padding) = (*kernel, *stride, *padding);
            }
            Op::GlobalPool => shape.kind = KernelKind::GlobalPool,
            Op::Mul => (shape.kind, shape.tensors) = (KernelKind::Mul, 2),
            Op::BatchNorm => shape.kind = KernelKind::BatchNorm,
            Op::Activation { kind } => {
                shape.kind = KernelKind::Activation;
                shape.nonlinear.push(*kind);
            }
            Op::Concat => {
                (shape.kind, shape.tensors) = (KernelKind::Concat, kernel.inputs.len().max(1));
                shape.input = head.output;
            }
            // A sum that is its own kernel. Inputs, constants and views have none.
            Op::Add | Op::Input | Op::Zero { .. } | Op::Flatten => {
                (shape.kind, shape.tensors) = (KernelKind::Add, kernel.inputs.len().max(1));
                shape.input = head.output;
            }
        }
        if !shape.kind.has_weights() {
            shape.weights = activations;
        }
        for &id in &kernel.layers[1..] {
            match architecture.layer(id).op {
                Op::Activation { kind } => shape.nonlinear.push(kind),
                Op::Add => shape.adds = true,
                _ => {}
            }
        }
        shape
    }

    /// Number of multiply-accumulates, or of operations of like cost, of the whole batch.
    #[must_use]
    pub fn operations(&self) -> f64 {
        let outputs = self.output.elements() as f64 * self.batch as f64;
        let window = (self.kernel[0] * self.kernel[1]) as f64;
        let each = match self.kind {
            KernelKind::Linear => self.input.elements() as f64,
            KernelKind::Conv | KernelKind::GroupedConv | KernelKind::DepthwiseConv => {
                window * self.input.channels as f64 / self.groups as f64
            }
            KernelKind::MaxPool | KernelKind::AveragePool => window,
            KernelKind::GlobalPool => self.input.positions() as f64,
            KernelKind::Add | KernelKind::Mul | KernelKind::Concat => self.tensors as f64,
            KernelKind::BatchNorm | KernelKind::Activation => 1.0,
        };
        outputs * each
    }

    /// Bytes of what is read of the batch, of what is written, and of the weights.
    #[must_use]
    pub fn bytes(&self) -> [f64; 3] {
        let values = |count: usize| self.activations.bits() as f64 / 8.0 * count as f64 * self.batch as f64;
        let added = usize::from(self.adds) * self.output.elements();
        let input = match self.kind {
            KernelKind::Add | KernelKind::Mul => self.tensors * self.input.elements(),
            _ => self.input.elements(),
        };
        let weights = match self.kind {
            KernelKind::Linear => self.input.elements() * self.output.elements(),
            kind if kind.has_weights() => {
                self.kernel[0] * self.kernel[1] * (self.input.channels / self.groups) * self.output.channels
            }
            _ => 0,
        };
        let weights = self.weights.bits() as f64 / 8.0 * weights as f64;
        [values(input + added), values(self.output.elements()), weights]
    }

    /// The format in which the kernel computes, the wider one of weights and activations. `None` if no kernel
    /// supports both together.
    #[must_use]
    pub fn format(&self) -> Option<NumberFormat> {
        let (weights, activations) = (self.weights, self.activations);
        match weights.bits().cmp(&activations.bits()) {
            std::cmp::Ordering::Less => Some(activations),
            std::cmp::Ordering::Equal => (weights == activations).then_some(weights),
            std::cmp::Ordering::Greater => Some(weights),
        }
    }

    /// Returns a network that consists of this kernel alone, so that it can be measured. Kernels of several
    /// tensors read one tensor several times. A fused sum is left out where the kernel's input cannot be the
    /// other summand, because its shape is not that of the output.
    ///
    /// # Errors
    /// [`SpaceError`] for a kernel that no network has alone, such as a concatenation of unequal tensors.
    pub fn network(&self) -> Result<Architecture, SpaceError> {
        let part = if self.kind == KernelKind::Concat { self.tensors.max(1) } else { 1 };
        let input = Shape { channels: self.input.channels / part, ..self.input };
        let mut b = ArchitectureBuilder::new(input);
        b.set_input_format(self.activations);
        let precision = Precision { weights: self.weights, activations: self.activations };
        b.set_compression(precision, Sparsity::Dense);
        let x = b.input();
        let (kernel, stride, padding, groups) = (self.kernel, self.stride, self.padding, self.groups);
        let same = vec![x; self.tensors.max(1)];
        let channels = self.output.channels;
        let mut x = match self.kind {
            KernelKind::Conv | KernelKind::GroupedConv | KernelKind::DepthwiseConv => {
                let weights = WeightRef::leading("kernel", channels, input.channels / groups.max(1));
                let bias = false;
                let op = Op::Conv2d { out_channels: channels, kernel, stride, padding, groups, bias };
                b.add("kernel", op, &[x], Some(weights))?
            }
            KernelKind::Linear => b.linear("kernel", x, channels)?,
            KernelKind::MaxPool | KernelKind::AveragePool => {
                let kind = match self.kind {
                    KernelKind::MaxPool => kiln_space::PoolKind::Max,
                    _ => kiln_space::PoolKind::Average,
                };
                b.add("kernel", Op::Pool { kind, kernel, stride, padding }, &[x], None)?
            }
            KernelKind::GlobalPool => b.global_pool("kernel", x)?,
            KernelKind::Add => b.add("kernel", Op::Add, &same, None)?,
            KernelKind::Mul => b.add("kernel", Op::Mul, &[x, x], None)?,
            KernelKind::Concat => b.add("kernel", Op::Concat, &same, None)?,
            KernelKind::BatchNorm => b.batch_norm("kernel", x)?,
            KernelKind::Activation => x,
        };
        if self.adds && input == self.output {
            x = b.add("sum", Op::Add, &[x, LayerId(0)], None)?;
        }
        for (place, kind) in self.nonlinear.kinds().enumerate() {
            x = b.activation(format!("activation{place}"), x, kind)?;
        }
        let network = b.finish()?;
        if network.output() != self.output || x.0 == 0 {
            return Err(SpaceError::Notation {
                found: self.to_string(),
                expected: "a kernel that a network may consist of",
            });
        }
        Ok(network)
    }
}

impl fmt::Display for KernelShape {
    /// Writes kind, batch, input, output, window, stride, padding, groups and formats, and then what is
    /// fused.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, batch, kernel, stride, padding, groups, tensors, weights, activations, .. } = self;
        let shape = |shape: Shape| format!("{}x{}x{}", shape.channels, shape.height, shape.width);
        write!(f, "{kind} b{batch} {} {}", shape(self.input), shape(self.output))?;
        for (letter, [a, b]) in [('k', kernel), ('s', stride), ('p', padding)] {
            write!(f, " {letter}{a}x{b}")?;
        }
        write!(f, " g{groups} {weights} {activations}")?;
        if *tensors > 1 {
            write!(f, " of{tensors}")?;
        }
        if self.adds {
            f.write_str(" add")?;
        }
        self.nonlinear.kinds().try_for_each(|kind| write!(f, " {kind}"))
    }
}

/// A text that describes no kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a kernel such as `conv b1 16x28x28 32x14x14 k3x3 s2x2 p1x1 g1 f32 f32 relu`")]
pub struct NoKernel;

impl FromStr for KernelShape {
    type Err = NoKernel;

    fn from_str(text: &str) -> Result<Self, NoKernel> {
        read(text).filter(|kernel| kernel.is_plausible() && kernel.to_string() == text).ok_or(NoKernel)
    }
}

impl KernelShape {
    /// Whether all numbers are in the range that networks have.
    fn is_plausible(&self) -> bool {
        let size = |value: usize| (1..=1 << 24).contains(&value);
        let shape = |shape: Shape| {
            [shape.channels, shape.height, shape.width].into_iter().all(size)
                && (shape.channels as f64 * shape.height as f64 * shape.width as f64) < 4.3e9
        };
        let windows = [self.kernel, self.stride].concat();
        let groups = size(self.groups)
            && self.input.channels.is_multiple_of(self.groups)
            && self.output.channels.is_multiple_of(self.groups);
        shape(self.input)
            && shape(self.output)
            && windows.into_iter().all(|value| (1..=4096).contains(&value))
            && self.padding.iter().all(|value| *value <= 4096)
            && groups
            && (1..=256).contains(&self.tensors)
            && (1..=65_536).contains(&self.batch)
    }
}

fn read(text: &str) -> Option<KernelShape> {
    let mut words = text.split(' ');
    let kind = words.next()?;
    let kind = KernelKind::ALL.into_iter().find(|known| known.name() == kind)?;
    let batch = words.next()?.strip_prefix('b')?.parse().ok()?;
    let mut shape = || -> Option<Shape> {
        let sizes: Vec<usize> =
            words.next()?.split('x').map(|size| size.parse().ok()).collect::<Option<_>>()?;
        let [channels, height, width] = sizes[..] else { return None };
        Some(Shape::new(channels, height, width))
    };
    let (input, output) = (shape()?, shape()?);
    let mut pair = |letter: char| -> Option<[usize; 2]> {
        let (a, b) = words.next()?.strip_prefix(letter)?.split_once('x')?;
        Some([a.parse().ok()?, b.parse().ok()?])
    };
    let (kernel, stride, padding) = (pair('k')?, pair('s')?, pair('p')?);
    let groups = words.next()?.strip_prefix('g')?.parse().ok()?;
    let mut format = || {
        use NumberFormat::{Bf16, F16, F32, Int4, Int8};
        let name = words.next()?;
        [F32, F16, Bf16, Int8, Int4].into_iter().find(|format| format.name() == name)
    };
    let (weights, activations) = (format()?, format()?);
    let (mut tensors, mut adds, mut nonlinear) = (1, false, Activations::default());
    for word in words {
        if let Some(count) = word.strip_prefix("of") {
            tensors = count.parse().ok()?;
        } else if word == "add" {
            adds = true;
        } else {
            nonlinear.push(ActivationKind::ALL.into_iter().find(|kind| kind.name() == word)?);
        }
    }
    Some(KernelShape {
        kind,
        batch,
        input,
        output,
        kernel,
        stride,
        padding,
        groups,
        tensors,
        adds,
        weights,
        activations,
        nonlinear,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Schedule;
    use crate::testing::mobile_net;

    #[test]
    fn every_kernel_of_a_network_is_read_back_from_its_text() {
        let network = mobile_net(2, Precision::default(), Sparsity::Dense).unwrap();
        for kernel in Schedule::new(&network).kernels {
            let shape = KernelShape::new(&network, &kernel, 4);
            assert_eq!(shape.to_string().parse(), Ok(shape), "{shape}");
        }
        for text in ["", "conv", "conv b0 1x1x1 1x1x1 k1x1 s1x1 p0x0 g1 f32 f32"] {
            assert_eq!(text.parse::<KernelShape>(), Err(NoKernel), "{text}");
        }
    }

    #[test]
    fn network_of_one_kernel_has_that_kernel() {
        let network = mobile_net(2, Precision::default(), Sparsity::Unstructured { permille: 500 }).unwrap();
        let kernels = Schedule::new(&network).kernels;
        let shapes: Vec<KernelShape> =
            kernels.iter().map(|kernel| KernelShape::new(&network, kernel, 1)).collect();
        assert!(shapes.iter().any(|shape| shape.kind == KernelKind::DepthwiseConv));
        for shape in shapes {
            let alone = shape.network().unwrap();
            alone.validate().unwrap();
            let schedule = Schedule::new(&alone);
            assert_eq!(schedule.kernels.len(), 1, "{shape}");
            let found = KernelShape::new(&alone, &schedule.kernels[0], 1);
            // A sum of a tensor with itself reads one tensor, and the shortcut of another shape is left out.
            assert_eq!(found.adds, shape.adds && shape.input == shape.output);
            assert_eq!(KernelShape { tensors: shape.tensors, adds: shape.adds, ..found }, shape);
        }
    }

    #[test]
    fn work_of_a_convolution_by_hand() {
        let text = "conv b2 16x28x28 32x14x14 k3x3 s2x2 p1x1 g1 int8 int8";
        let kernel: KernelShape = text.parse().unwrap();
        let macs = 2.0 * 32.0 * 14.0 * 14.0 * 9.0 * 16.0;
        assert!((kernel.operations() - macs).abs() < 1e-6);
        let bytes = [2.0 * 16.0 * 784.0, 2.0 * 32.0 * 196.0, 9.0 * 16.0 * 32.0];
        assert!(kernel.bytes().iter().zip(bytes).all(|(found, expected)| (found - expected).abs() < 1e-6));
    }
}

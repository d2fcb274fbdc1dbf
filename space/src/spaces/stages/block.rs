//! Appends blocks to a network as layers. A layer's name is also its weight key. So the name contains the
//! stage, the block, the block's kind and the layer's role.

use super::compression::Compression;
use super::settings::BlockKind;
use crate::{
    ActivationKind, ArchitectureBuilder, LayerId, Op, Precision, Shape, SpaceError, Sparsity, WeightRef,
};

/// Reduction ratio of squeeze-and-excitation. The number of hidden channels is the block's number of channels
/// divided by this ratio, rounded up.
const SQUEEZE: usize = 4;

/// A block whose properties are all decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) kind: BlockKind,
    pub(super) width: usize,
    pub(super) stride: usize,
    pub(super) kernel: usize,
    pub(super) expansion: usize,
    pub(super) activation: ActivationKind,
    pub(super) squeeze_excitation: bool,
}

impl Block {
    /// Appends the block to the network. Its layers are named `{name}.{kind}...`.
    pub(super) fn append(&self, net: &mut Net, name: &str, x: LayerId) -> Result<LayerId, SpaceError> {
        let name = format!("{name}.{}", self.kind);
        match self.kind {
            BlockKind::Conv => {
                let x = net.conv_bn(&name, "", x, Window::dense(self.width, self.kernel, self.stride))?;
                net.activation(&name, "", x, self.activation)
            }
            BlockKind::Separable => self.separable(net, &name, x),
            BlockKind::Mbconv => self.mbconv(net, &name, x),
            BlockKind::Residual => self.residual(net, &name, x),
            BlockKind::Identity => Ok(x),
        }
    }

    /// Source: A. Howard et al., "`MobileNets`", arXiv:1704.04861, 2017, figure 3.
    fn separable(&self, net: &mut Net, name: &str, x: LayerId) -> Result<LayerId, SpaceError> {
        let channels = net.channels(x);
        let x = net.conv_bn(name, "depthwise.", x, Window::depthwise(channels, self.kernel, self.stride))?;
        let x = net.activation(name, "depthwise.", x, self.activation)?;
        let x = net.conv_bn(name, "pointwise.", x, Window::dense(self.width, 1, 1))?;
        net.activation(name, "pointwise.", x, self.activation)
    }

    /// Source: M. Sandler et al., "`MobileNetV2`", CVPR 2018, figure 4. Squeeze-and-excitation follows
    /// `MobileNetV3` (A. Howard et al., ICCV 2019, figure 4). With expansion 1 the first (expanding)
    /// convolution is omitted.
    fn mbconv(&self, net: &mut Net, name: &str, input: LayerId) -> Result<LayerId, SpaceError> {
        let inputs = net.channels(input);
        let expanded = inputs * self.expansion;
        let mut x = input;
        if self.expansion > 1 {
            x = net.conv_bn(name, "expand.", x, Window::dense(expanded, 1, 1))?;
            x = net.activation(name, "expand.", x, self.activation)?;
        }
        x = net.conv_bn(name, "depthwise.", x, Window::depthwise(expanded, self.kernel, self.stride))?;
        x = net.activation(name, "depthwise.", x, self.activation)?;
        if self.squeeze_excitation {
            x = net.squeeze_excitation(name, x)?;
        }
        x = net.conv_bn(name, "project.", x, Window::dense(self.width, 1, 1))?;
        if self.stride == 1 && inputs == self.width {
            x = net.builder.add(format!("{name}.add"), Op::Add, &[input, x], None)?;
        }
        Ok(x)
    }

    /// Source: K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figure 2, shortcut B.
    fn residual(&self, net: &mut Net, name: &str, input: LayerId) -> Result<LayerId, SpaceError> {
        let x = net.conv_bn(name, "a.", input, Window::dense(self.width, self.kernel, self.stride))?;
        let x = net.activation(name, "a.", x, self.activation)?;
        let x = net.conv_bn(name, "b.", x, Window::dense(self.width, self.kernel, 1))?;
        let shortcut = if self.stride == 1 && net.channels(input) == self.width {
            input
        } else {
            net.conv_bn(name, "shortcut.", input, Window::dense(self.width, 1, self.stride))?
        };
        let x = net.builder.add(format!("{name}.add"), Op::Add, &[shortcut, x], None)?;
        net.activation(name, "", x, self.activation)
    }
}

/// Channels, kernel size, stride and groups of a convolution.
#[derive(Clone, Copy)]
pub(super) struct Window {
    channels: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
}

impl Window {
    /// Creates a convolution in which every output channel reads all input channels.
    pub(super) const fn dense(channels: usize, kernel: usize, stride: usize) -> Self {
        Self { channels, kernel, stride, groups: 1 }
    }

    /// Creates a convolution that convolves every channel separately.
    const fn depthwise(channels: usize, kernel: usize, stride: usize) -> Self {
        Self { channels, kernel, stride, groups: channels }
    }
}

/// A network under construction. For sequences (inputs with one row), convolution windows also have one row.
pub(super) struct Net {
    pub(super) builder: ArchitectureBuilder,
    is_sequence: bool,
    compression: Compression,
}

impl Net {
    pub(super) fn new(input: Shape) -> Self {
        let builder = ArchitectureBuilder::new(input);
        Self { builder, is_sequence: input.height == 1, compression: Compression::default() }
    }

    /// Sets the compression of all layers that are added after this call.
    pub(super) const fn compress(&mut self, compression: Compression) {
        self.compression = compression;
        self.builder.set_compression(Precision::with_weights(compression.format), Sparsity::Dense);
    }

    /// Adds a layer with the sparsity of the current compression. Other methods add dense layers.
    fn add_sparse(
        &mut self,
        name: &str,
        op: Op,
        x: LayerId,
        weights: WeightRef,
        inputs: usize,
    ) -> Result<LayerId, SpaceError> {
        let precision = Precision::with_weights(self.compression.format);
        self.builder.set_compression(precision, self.compression.zeros(inputs));
        let x = self.builder.add(name, op, &[x], Some(weights));
        self.builder.set_compression(precision, Sparsity::Dense);
        x
    }

    /// Appends a fully connected layer with bias.
    pub(super) fn linear(
        &mut self,
        name: &str,
        x: LayerId,
        out_features: usize,
    ) -> Result<LayerId, SpaceError> {
        let inputs = self.channels(x);
        let weights = WeightRef::leading(name, out_features, inputs);
        self.add_sparse(name, Op::Linear { out_features, bias: true }, x, weights, inputs)
    }

    pub(super) fn channels(&self, x: LayerId) -> usize {
        self.builder.shape(x).channels
    }

    /// Appends a convolution and a batch normalization, named `{block}.{role}conv` and `{block}.{role}bn`.
    /// The sparsity applies only to convolutions that sum over channels (`groups` = 1).
    pub(super) fn conv_bn(
        &mut self,
        block: &str,
        role: &str,
        x: LayerId,
        Window { channels, kernel, stride, groups }: Window,
    ) -> Result<LayerId, SpaceError> {
        let rows = |columns: usize, one: usize| if self.is_sequence { one } else { columns };
        let op = Op::Conv2d {
            out_channels: channels,
            kernel: [rows(kernel, 1), kernel],
            stride: [rows(stride, 1), stride],
            padding: [rows(kernel / 2, 0), kernel / 2],
            groups,
            bias: false,
        };
        let name = format!("{block}.{role}conv");
        let inputs = self.channels(x) / groups;
        let weights = WeightRef::leading(name.clone(), channels, inputs);
        let x = if groups == 1 {
            self.add_sparse(&name, op, x, weights, inputs)?
        } else {
            self.builder.add(name, op, &[x], Some(weights))?
        };
        self.builder.batch_norm(format!("{block}.{role}bn"), x)
    }

    /// Appends an activation, named `{block}.{role}act`.
    pub(super) fn activation(
        &mut self,
        block: &str,
        role: &str,
        x: LayerId,
        kind: ActivationKind,
    ) -> Result<LayerId, SpaceError> {
        self.builder.activation(format!("{block}.{role}act"), x, kind)
    }

    /// Scales every channel by a factor. A small network computes the factors from the means of all channels.
    ///
    /// Source: J. Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, section 3. The last activation is
    /// the hard sigmoid, as in `MobileNetV3`.
    fn squeeze_excitation(&mut self, block: &str, x: LayerId) -> Result<LayerId, SpaceError> {
        let channels = self.channels(x);
        let gate = self.builder.global_pool(format!("{block}.se.pool"), x)?;
        let gate = self.biased(format!("{block}.se.reduce"), gate, channels.div_ceil(SQUEEZE))?;
        let gate = self.activation(block, "se.", gate, ActivationKind::Relu)?;
        let gate = self.biased(format!("{block}.se.expand"), gate, channels)?;
        let gate = self.activation(block, "se.gate_", gate, ActivationKind::HardSigmoid)?;
        self.builder.add(format!("{block}.se.mul"), Op::Mul, &[x, gate], None)
    }

    /// Appends a 1x1 convolution with bias.
    fn biased(&mut self, name: String, x: LayerId, out_channels: usize) -> Result<LayerId, SpaceError> {
        let weights = WeightRef::leading(name.clone(), out_channels, self.channels(x));
        let op = Op::Conv2d {
            out_channels,
            kernel: [1; 2],
            stride: [1; 2],
            padding: [0; 2],
            groups: 1,
            bias: true,
        };
        self.builder.add(name, op, &[x], Some(weights))
    }
}

//! Builds an [`Architecture`] layer by layer and infers shapes.

use crate::{
    ActivationKind, Architecture, Layer, LayerId, NumberFormat, Op, Precision, Shape, SpaceError, Sparsity,
    WeightRef,
};

/// Appends layers in topological order and infers their shapes.
///
/// # Example
/// ```
/// use kiln_space::{ArchitectureBuilder, Shape};
/// let mut b = ArchitectureBuilder::new(Shape::new(1, 8, 8));
/// let x = b.conv("conv", b.input(), 16, 3, 1, 1)?;
/// let x = b.batch_norm("bn", x)?;
/// let x = b.global_pool("pool", x)?;
/// b.linear("head", x, 10)?;
/// assert_eq!(b.finish()?.output(), Shape::vector(10));
/// # Ok::<(), kiln_space::SpaceError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ArchitectureBuilder {
    input: Shape,
    layers: Vec<Layer>,
    precision: Precision,
    sparsity: Sparsity,
}

impl ArchitectureBuilder {
    /// Creates a builder that contains only the input layer.
    #[must_use]
    pub fn new(input: Shape) -> Self {
        let layer = Layer {
            name: "input".to_owned(),
            op: Op::Input,
            inputs: Vec::new(),
            output: input,
            weights: None,
            precision: Precision::default(),
            sparsity: Sparsity::default(),
        };
        Self { input, layers: vec![layer], precision: Precision::default(), sparsity: Sparsity::default() }
    }

    /// Returns the input layer.
    #[must_use]
    #[allow(clippy::unused_self)]
    pub const fn input(&self) -> LayerId {
        LayerId(0)
    }

    /// Returns the output shape of a layer that was added earlier.
    #[must_use]
    pub fn shape(&self, id: LayerId) -> Shape {
        self.layers[id.0].output
    }

    /// Sets the number format of the input.
    pub fn set_input_format(&mut self, format: NumberFormat) {
        self.layers[0].precision.activations = format;
    }

    /// Sets the number formats and the sparsity of all layers added after this call. The sparsity applies
    /// only to convolutions and fully connected layers.
    pub const fn set_compression(&mut self, precision: Precision, sparsity: Sparsity) {
        self.precision = precision;
        self.sparsity = sparsity;
    }

    /// Appends a layer.
    ///
    /// # Errors
    /// [`SpaceError::Shape`] when the operation does not accept its inputs.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        op: Op,
        inputs: &[LayerId],
        weights: Option<WeightRef>,
    ) -> Result<LayerId, SpaceError> {
        let shapes: Vec<Shape> = inputs.iter().map(|id| self.shape(*id)).collect();
        let output = op.output_shape(&shapes)?;
        let sparse = matches!(op, Op::Conv2d { .. } | Op::Linear { .. });
        self.layers.push(Layer {
            name: name.into(),
            op,
            inputs: inputs.to_vec(),
            output,
            weights,
            precision: self.precision,
            sparsity: if sparse { self.sparsity } else { Sparsity::Dense },
        });
        Ok(LayerId(self.layers.len() - 1))
    }

    /// Appends a convolution with a square kernel and without bias. `groups` is 1, or the number of input
    /// channels for a depthwise convolution.
    ///
    /// With an odd kernel, the output has height and width `size / stride`, rounded up. The layer's name is
    /// also the key of its shared weights. If the shared weights have more channels, the layer reads the
    /// first channels.
    ///
    /// # Errors
    /// The errors of [`ArchitectureBuilder::add`].
    pub fn conv(
        &mut self,
        name: impl Into<String>,
        input: LayerId,
        out_channels: usize,
        kernel: usize,
        stride: usize,
        groups: usize,
    ) -> Result<LayerId, SpaceError> {
        let name = name.into();
        let inputs = self.shape(input).channels / groups.max(1);
        let op = Op::Conv2d {
            out_channels,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [kernel / 2; 2],
            groups,
            bias: false,
        };
        let weights = WeightRef::leading(name.clone(), out_channels, inputs);
        self.add(name, op, &[input], Some(weights))
    }

    /// Appends a batch normalization. The layer's name is also the key of its shared weights.
    ///
    /// # Errors
    /// The errors of [`ArchitectureBuilder::add`].
    pub fn batch_norm(&mut self, name: impl Into<String>, input: LayerId) -> Result<LayerId, SpaceError> {
        let name = name.into();
        let weights = WeightRef::leading(name.clone(), self.shape(input).channels, 0);
        self.add(name, Op::BatchNorm, &[input], Some(weights))
    }

    /// Appends an activation.
    ///
    /// # Errors
    /// The errors of [`ArchitectureBuilder::add`].
    pub fn activation(
        &mut self,
        name: impl Into<String>,
        input: LayerId,
        kind: ActivationKind,
    ) -> Result<LayerId, SpaceError> {
        self.add(name, Op::Activation { kind }, &[input], None)
    }

    /// Appends a global average pooling.
    ///
    /// # Errors
    /// The errors of [`ArchitectureBuilder::add`].
    pub fn global_pool(&mut self, name: impl Into<String>, input: LayerId) -> Result<LayerId, SpaceError> {
        self.add(name, Op::GlobalPool, &[input], None)
    }

    /// Appends a fully connected layer with bias. The layer's name is also the key of its shared weights. If
    /// the shared weights have more features, the layer reads the first features.
    ///
    /// # Errors
    /// The errors of [`ArchitectureBuilder::add`].
    pub fn linear(
        &mut self,
        name: impl Into<String>,
        input: LayerId,
        out_features: usize,
    ) -> Result<LayerId, SpaceError> {
        let name = name.into();
        let weights = WeightRef::leading(name.clone(), out_features, self.shape(input).channels);
        self.add(name, Op::Linear { out_features, bias: true }, &[input], Some(weights))
    }

    /// Checks and returns the architecture.
    ///
    /// # Errors
    /// The errors of [`Architecture::validate`].
    pub fn finish(self) -> Result<Architecture, SpaceError> {
        let architecture = Architecture { input: self.input, layers: self.layers };
        architecture.validate()?;
        Ok(architecture)
    }
}

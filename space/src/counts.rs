//! Counts parameters, multiply-accumulates and bytes. The counts follow from the architecture alone.

use serde::{Deserialize, Serialize};

use crate::{Architecture, LayerId, Op};

/// Size of a layer or a network, and its number of operations for one example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Number of trained values: weights, biases, and the scales and shifts of batch normalizations.
    pub parameters: u64,
    /// Multiply-accumulates of convolutions and fully connected layers.
    pub macs: u64,
    /// Bytes of the stored weights at each layer's precision, including zeros. Integer weights add a
    /// four-byte scale per output channel.
    pub weight_bytes: u64,
    /// Bytes of all layer outputs at each layer's precision.
    pub activation_bytes: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.parameters += other.parameters;
        self.macs += other.macs;
        self.weight_bytes += other.weight_bytes;
        self.activation_bytes += other.activation_bytes;
    }
}

impl Architecture {
    /// Computes the counts of one layer for one example.
    #[must_use]
    pub fn layer_counts(&self, id: LayerId) -> Counts {
        let layer = self.layer(id);
        let out = layer.output.channels as u64;
        let input = layer.inputs.first().map_or(0, |input| self.layer(*input).output.channels as u64);
        // Biases, scales and shifts stay in single precision in every deployment format.
        let (kernel, vectors, uses) = match &layer.op {
            Op::Conv2d { kernel, groups, bias, .. } => {
                let window = (kernel[0] * kernel[1]) as u64;
                (
                    out * (input / *groups as u64) * window,
                    u64::from(*bias) * out,
                    layer.output.positions() as u64,
                )
            }
            Op::Linear { bias, .. } => (out * input, u64::from(*bias) * out, 1),
            Op::BatchNorm => (0, 2 * out, 0),
            _ => (0, 0, 0),
        };
        let scales = if kernel > 0 && layer.precision.weights.is_integer() { out } else { 0 };
        Counts {
            parameters: kernel + vectors,
            macs: kernel * uses,
            weight_bytes: layer.precision.weights.bytes(kernel) + (vectors + scales) * 4,
            activation_bytes: layer.precision.activations.bytes(layer.output.elements() as u64),
        }
    }

    /// Computes the counts of the whole network for one example.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for id in self.ids() {
            counts += self.layer_counts(id);
        }
        counts
    }
}

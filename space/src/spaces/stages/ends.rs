//! The first and the last layers of the network.

use super::block::{Net, Window};
use super::compression::Compression;
use crate::{ActivationKind, LayerId, Precision, SpaceError};

/// The first layers, whose properties are all decided.
pub(super) struct Stem {
    pub(super) width: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) activation: ActivationKind,
    pub(super) compression: Compression,
}

/// The last layers, whose properties are all decided.
pub(super) struct Head {
    pub(super) width: usize,
    pub(super) activation: ActivationKind,
    pub(super) compression: Compression,
}

impl Stem {
    pub(super) fn append(&self, net: &mut Net) -> Result<LayerId, SpaceError> {
        net.compress(self.compression);
        net.builder.set_input_format(Precision::with_weights(self.compression.format).activations);
        let x = net.conv_bn(
            "stem",
            "",
            net.builder.input(),
            Window::dense(self.width, self.kernel, self.stride),
        )?;
        net.activation("stem", "", x, self.activation)
    }
}

impl Head {
    /// Appends the last layers. A classifier directly after the last stage has its own weights. It does not
    /// share them with a classifier after the head's convolution.
    pub(super) fn append(
        &self,
        net: &mut Net,
        input: LayerId,
        outputs: usize,
    ) -> Result<LayerId, SpaceError> {
        net.compress(self.compression);
        if self.width == 0 {
            let x = net.builder.global_pool("head.pool", input)?;
            return net.linear("head.direct", x, outputs);
        }
        let x = net.conv_bn("head", "", input, Window::dense(self.width, 1, 1))?;
        let x = net.activation("head", "", x, self.activation)?;
        let x = net.builder.global_pool("head.pool", x)?;
        net.linear("head.linear", x, outputs)
    }
}

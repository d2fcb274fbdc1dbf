//! Who looks at what passes through a network while it runs.

use burn::tensor::Tensor;
use kiln_space::LayerId;

/// Sees the values of a network. `()` looks at nothing.
pub(crate) trait Observer {
    /// The output of a layer before it is rounded. Where an earlier step computes a layer, it is the output
    /// of that step.
    fn output(&mut self, _layer: LayerId, _value: &Tensor<4>) {}

    /// Mean and variance of what a layer normalizes by the batch, `[channels]` each.
    fn statistics(&mut self, _layer: LayerId, _mean: Tensor<1>, _variance: Tensor<1>) {}
}

impl Observer for () {}

/// Sees the output of each layer.
pub(crate) struct Outputs<F>(pub(crate) F);

impl<F: FnMut(LayerId, &Tensor<4>)> Observer for Outputs<F> {
    fn output(&mut self, layer: LayerId, value: &Tensor<4>) {
        self.0(layer, value);
    }
}

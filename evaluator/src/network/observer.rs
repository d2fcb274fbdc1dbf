//! Observes the outputs and statistics of layers while a network runs.

use burn::tensor::Tensor;
use kiln_space::LayerId;

/// Receives values of a network while it runs. The unit type `()` ignores them.
pub(crate) trait Observer {
    /// Receives the output of a layer before the output is rounded. If an earlier step computes this layer
    /// together with its own layer, `value` is the output of that step.
    fn output(&mut self, _layer: LayerId, _value: &Tensor<4>) {}

    /// Receives mean and variance of the inputs that a layer normalizes, over the batch: `[channels]` each.
    fn statistics(&mut self, _layer: LayerId, _mean: Tensor<1>, _variance: Tensor<1>) {}
}

impl Observer for () {}

/// Passes the output of each layer to a function.
pub(crate) struct Outputs<F>(pub(crate) F);

impl<F: FnMut(LayerId, &Tensor<4>)> Observer for Outputs<F> {
    fn output(&mut self, layer: LayerId, value: &Tensor<4>) {
        self.0(layer, value);
    }
}

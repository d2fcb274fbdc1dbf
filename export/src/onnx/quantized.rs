//! Exports layers that compute in integers as single-precision operators between `QuantizeLinear` and
//! `DequantizeLinear` nodes. Integer runtimes fuse each such group into one integer operator.

use std::collections::BTreeSet;

use kiln_space::{LayerId, NumberFormat, Op};

use super::graph::{GraphValue, int};
use super::layers::Layers;

impl Layers<'_> {
    /// Names of the single-precision arrays that the file omits because it contains their integers instead.
    pub(super) fn integer_arrays(&self) -> BTreeSet<String> {
        let layer = |id: LayerId| self.model.architecture.layer(id).name.as_str();
        let kernels = self.integers.plan.kernels();
        let names = kernels.flat_map(|(id, norm)| std::iter::once(layer(id)).chain(norm.map(layer)));
        let parts = ["weight", "bias", "scale", "shift", "mean", "variance"];
        let replaced = names.flat_map(|name| parts.map(|part| format!("{name}.{part}")));
        replaced.chain(self.stored.keys().map(|id| format!("{}.weight", layer(*id)))).collect()
    }

    /// Returns the value that the graph stores for a layer. If the plan stores the layer's output in 8 bits,
    /// this is the rounded value.
    pub(super) fn store(&mut self, id: LayerId, value: GraphValue) -> GraphValue {
        if !self.integers.plan.is_stored(id) {
            return value;
        }
        let layer = self.model.architecture.layer(id).name.clone();
        self.rounded(id, &layer, &value)
    }

    /// Returns a layer's single-precision value, rounded to its grid for layers that take 8-bit inputs.
    pub(super) fn on_grid(&mut self, id: LayerId) -> GraphValue {
        if let Some(value) = self.on_grid.get(&id) {
            return value.clone();
        }
        let layer = self.model.architecture.layer(id).name.clone();
        let value = self.values[&id].clone();
        let value = self.rounded(id, &layer, &value);
        self.on_grid.insert(id, value.clone());
        value
    }

    /// Rounds a value to the quantization grid of layer `id`. The new nodes are named `{layer}.quantize` and
    /// `{layer}.dequantize`.
    pub(super) fn rounded(&mut self, id: LayerId, layer: &str, value: &GraphValue) -> GraphValue {
        let [scale, zero_point] = self.grid(id);
        let integers = self.graph.unique(&format!("{layer}.quantize"));
        let inputs = [value.name.as_str(), &scale, &zero_point];
        self.graph.node("QuantizeLinear", &integers, &inputs, &integers, Vec::new());
        let inputs = [integers.as_str(), &scale, &zero_point];
        let name = self.step("DequantizeLinear", layer, "dequantize", &inputs, Vec::new(), value);
        GraphValue { name, ..value.clone() }
    }

    /// Returns the names of the scale and the zero point of the grid for layer `id`'s value.
    fn grid(&mut self, id: LayerId) -> [String; 2] {
        let owner = self.integers.plan.owner(id).expect("what is rounded has a grid");
        if let Some(names) = self.grids.get(&owner) {
            return names.clone();
        }
        let (layer, grid) = (&self.model.architecture.layer(owner).name, self.integers.grids[&owner]);
        let names = ["step", "zero_point"].map(|part| self.graph.unique(&format!("{layer}.{part}")));
        self.graph.array(&names[0], &[], &[grid.scale]);
        if self.is_symmetric() {
            self.graph.bytes(&names[1], &[], &[grid.zero_point]);
        } else {
            self.graph.unsigned(&names[1], &[], &[unsigned(grid.zero_point)]);
        }
        self.grids.insert(owner, names.clone());
        names
    }

    /// Whether every activation has the zero point 0. The file then contains signed activations, because the
    /// runtimes that demand this zero point, such as `TensorRT`, demand it of signed integers.
    fn is_symmetric(&self) -> bool {
        self.integers.grids.values().all(|grid| grid.zero_point == 0)
    }

    /// Adds the integer weights and bias of a layer. Returns the names of the dequantized values. Returns
    /// `None` for a single-precision layer.
    pub(super) fn kernel(&mut self, id: LayerId) -> Option<Vec<String>> {
        let kernel = self.integers.kernels.get(&id)?.clone();
        let layer = self.model.architecture.layer(id).name.clone();
        let weight = format!("weight_{}", kernel.format);
        let [weight, weight_step, bias, bias_step] = [&weight, "weight_step", "bias_int32", "bias_step"]
            .map(|part| self.graph.unique(&format!("{layer}.{part}")));
        let channels = kernel.scales.len();
        self.weight_integers(kernel.format, &weight, &kernel.shape, &kernel.weights);
        self.graph.array(&weight_step, &[channels], &kernel.scales);
        // Earlier builds of ONNX Runtime, such as 1.18 and 1.25, need the zero points of a matrix to have the
        // shape of its steps, and do not fill them in.
        let is_matrix = matches!(self.model.architecture.layer(id).op, Op::Linear { .. });
        let needs_zero_point = is_matrix && kernel.format == NumberFormat::Int8;
        let zero_point = self.graph.unique(&format!("{layer}.weight_zero_point"));
        if needs_zero_point {
            self.graph.bytes(&zero_point, &[channels], &vec![0; channels]);
        }
        self.graph.words(&bias, &kernel.bias);
        self.graph.array(&bias_step, &[channels], &kernel.bias_scales);
        let [weights, biases] =
            ["weight_value", "bias_value"].map(|part| self.graph.unique(&format!("{layer}.{part}")));
        let axis = || vec![int("axis", 0)];
        let mut inputs = vec![weight.as_str(), &weight_step];
        if needs_zero_point {
            inputs.push(&zero_point);
        }
        self.graph.node("DequantizeLinear", &weights, &inputs, &weights, axis());
        self.graph.node("DequantizeLinear", &biases, &[&bias, &bias_step], &biases, axis());
        Some(vec![weights, biases])
    }
}

/// Returns the unsigned form of an activation's integer, which is 128 higher. ONNX files contain unsigned
/// activations because ONNX Runtime needs them on x86. ONNX Runtime can convert signed activations itself.
/// But this conversion fails if several operators use the activation. The layer then stays in single
/// precision.
pub(super) const fn unsigned(integer: i8) -> u8 {
    integer.cast_unsigned() ^ 0x80
}

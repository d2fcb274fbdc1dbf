//! Converts layers to ONNX nodes. In the architecture, a vector always has the shape `[features, 1, 1]`. In
//! ONNX, the shape depends on the operator. Operators with windows need `[batch, channels, height, width]`,
//! and matrix products need `[batch, features]`. This module tracks the arrangement (`Rank`) of each value
//! in the graph. If a layer needs the other arrangement, the module inserts a `Flatten` or `Unsqueeze`
//! operator.

use std::collections::{BTreeMap, BTreeSet};

use kiln_space::{ActivationKind, BATCH_NORM_EPSILON, Layer, LayerId, Op, PoolKind, Shape};

use super::INPUT;
use super::graph::{GraphBuilder, GraphValue, Rank, float, int, ints, zero_tensor};
use super::proto::{AttributeProto, GraphProto};
use crate::{QuantizedNetwork, StoredWeights, TrainedModel, expected_arrays, stored_weights};

/// Builds the graph of a checked model.
pub(super) fn graph(model: &TrainedModel) -> GraphProto {
    let architecture = &model.architecture;
    let live = architecture.live();
    let arrays = expected_arrays(architecture);
    let fixed =
        [INPUT, model.card.predicts.outputs()].map(str::to_owned).into_iter().chain(arrays.keys().cloned());
    let fixed: BTreeSet<String> = fixed.collect();
    let mut reserved = fixed.clone();
    reserved.extend(architecture.layers.iter().map(|layer| layer.name.clone()));
    let name = if model.card.name.is_empty() { "network" } else { &model.card.name };
    let mut layers = Layers {
        model,
        integers: QuantizedNetwork::of(model),
        stored: stored_weights(model),
        graph: GraphBuilder::new(name, reserved),
        fixed,
        values: BTreeMap::new(),
        grids: BTreeMap::new(),
        on_grid: BTreeMap::new(),
        rearranged: BTreeMap::new(),
        batch: None,
    };
    let rank = if architecture.input.positions() == 1 { Rank::Vector } else { Rank::Map };
    let input = GraphValue { name: INPUT.to_owned(), shape: architecture.input, rank };
    layers.normalize(&input);
    for id in architecture.ids().skip(1).filter(|id| live[id.0]) {
        layers.layer(id);
    }
    let integers = layers.integer_arrays();
    for (name, shape) in arrays.iter().filter(|(name, _)| !integers.contains(*name)) {
        layers.graph.array(name, shape, &model.arrays[name].data);
    }
    let output = layers.output();
    layers.graph.finish(&input, &output)
}

pub(super) struct Layers<'a> {
    pub(super) model: &'a TrainedModel,
    pub(super) integers: QuantizedNetwork,
    /// Weights in narrow formats, of layers that compute in single precision.
    pub(super) stored: BTreeMap<LayerId, StoredWeights>,
    pub(super) graph: GraphBuilder,
    /// Reserved names. If a layer has such a name, its value gets another name.
    fixed: BTreeSet<String>,
    pub(super) values: BTreeMap<LayerId, GraphValue>,
    /// Names of the scale and the zero point of each grid, by the layer that owns the grid.
    pub(super) grids: BTreeMap<LayerId, [String; 2]>,
    /// Single-precision values after rounding to their quantization grids, for layers that take 8-bit inputs.
    pub(super) on_grid: BTreeMap<LayerId, GraphValue>,
    /// Names of rearranged values, by layer and by whether the consumer takes 8-bit inputs.
    rearranged: BTreeMap<(LayerId, bool), String>,
    /// Name of the value that contains the batch size.
    batch: Option<String>,
}

impl Layers<'_> {
    /// Appends nodes that compute `(raw - mean) / deviation`, which is the value of the input layer.
    fn normalize(&mut self, input: &GraphValue) {
        let shape = match input.rank {
            Rank::Map => vec![input.shape.channels, 1, 1],
            Rank::Vector => vec![input.shape.channels],
        };
        let preprocessing = &self.model.card.preprocessing;
        let mut last = INPUT.to_owned();
        let steps = [
            ("Sub", "centered", "mean", &preprocessing.mean),
            ("Div", "normalized", "deviation", &preprocessing.deviation),
        ];
        for (op_type, step, part, data) in steps {
            let constant = self.graph.unique(&format!("{INPUT}.{part}"));
            self.graph.array(&constant, &shape, data);
            last = self.step(op_type, INPUT, step, &[&last, &constant], Vec::new(), input);
        }
        let value = self.store(LayerId(0), GraphValue { name: last, ..input.clone() });
        self.values.insert(LayerId(0), value);
    }

    /// Appends an intermediate node. Its value has the same arrangement as `like`. Returns the name of the
    /// value.
    pub(super) fn step(
        &mut self,
        op_type: &str,
        layer: &str,
        step: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
        like: &GraphValue,
    ) -> String {
        let name = self.graph.unique(&format!("{layer}.{step}"));
        self.graph.node(op_type, &name, inputs, &name, attributes);
        self.graph.declare(&GraphValue { name: name.clone(), ..like.clone() });
        name
    }

    /// Returns the name of a layer's value for the consuming layer `reader`, in the requested arrangement.
    /// Only vectors have two arrangements.
    fn read(&mut self, reader: LayerId, id: LayerId, rank: Rank) -> String {
        let in_8_bits = self.integers.read_grid(reader, id).is_some();
        let value = if in_8_bits { self.on_grid(id) } else { self.values[&id].clone() };
        if value.rank == rank {
            return value.name;
        }
        if let Some(name) = self.rearranged.get(&(id, in_8_bits)) {
            return name.clone();
        }
        let layer = self.model.architecture.layer(id).name.clone();
        let like = GraphValue { rank, ..value.clone() };
        let name = match rank {
            Rank::Vector => {
                self.step("Flatten", &layer, "vector", &[&value.name], vec![int("axis", 1)], &like)
            }
            Rank::Map => {
                let axes = self.graph.unique(&format!("{layer}.axes"));
                self.graph.integers(&axes, &[2, 3]);
                self.step("Unsqueeze", &layer, "map", &[&value.name, &axes], Vec::new(), &like)
            }
        };
        // Integer runtimes compute an operator in integers only if `QuantizeLinear` and `DequantizeLinear`
        // nodes enclose the operator. So also round the output of the inserted `Flatten` or `Unsqueeze`.
        let is_on_grid = in_8_bits || self.integers.plan.is_stored(id);
        let name =
            if is_on_grid { self.rounded(id, &layer, &GraphValue { name, ..like }).name } else { name };
        self.rearranged.insert((id, in_8_bits), name.clone());
        name
    }

    fn layer(&mut self, id: LayerId) {
        let layer = self.model.architecture.layer(id);
        if self.integers.plan.is_folded(id) {
            let value = self.values[&layer.inputs[0]].clone();
            let value = self.store(id, value);
            self.values.insert(id, value);
            return;
        }
        let ranks = layer.inputs.iter().filter_map(|input| self.values.get(input)).map(|value| value.rank);
        let widest = if ranks.into_iter().any(|rank| rank == Rank::Map) { Rank::Map } else { Rank::Vector };
        let rank = match layer.op {
            Op::Conv2d { .. } | Op::Pool { .. } | Op::GlobalPool | Op::Zero { .. } => Rank::Map,
            Op::Linear { .. } | Op::Flatten => Rank::Vector,
            Op::Input | Op::BatchNorm | Op::Activation { .. } | Op::Add | Op::Concat | Op::Mul => widest,
        };
        let is_output = id.0 + 1 == self.model.architecture.layers.len() && rank == Rank::Vector;
        let name = if is_output {
            self.model.card.predicts.outputs().to_owned()
        } else if self.fixed.contains(&layer.name) {
            self.graph.unique(&layer.name)
        } else {
            layer.name.clone()
        };
        let value = GraphValue { name, shape: layer.output, rank };
        self.nodes(id, &value);
        if !is_output {
            self.graph.declare(&value);
        }
        let value = self.store(id, value);
        self.values.insert(id, value);
    }

    /// Appends the nodes of a layer. The last node has the layer's name and outputs `value`.
    fn nodes(&mut self, id: LayerId, value: &GraphValue) {
        let layer = self.model.architecture.layer(id);
        let part = |part: &str| format!("{}.{part}", layer.name);
        let read_as = match layer.op {
            // Flatten accepts both arrangements.
            Op::Flatten => self.values[&layer.inputs[0]].rank,
            _ => value.rank,
        };
        let mut inputs = Vec::new();
        if !matches!(layer.op, Op::Zero { .. }) {
            inputs.extend(layer.inputs.iter().map(|input| self.read(id, *input, read_as)));
        }
        let (op_type, attributes) = match &layer.op {
            Op::Input => unreachable!("the input is layer 0 alone"),
            Op::Zero { .. } => {
                inputs.push(self.zero_shape(layer));
                ("ConstantOfShape", vec![zero_tensor("value")])
            }
            Op::Conv2d { kernel, stride, padding, groups, bias, .. } => {
                inputs.extend(self.weights(id, *bias));
                let mut attributes = window(*kernel, *stride, *padding);
                attributes.push(int("group", *groups as i64));
                ("Conv", attributes)
            }
            Op::Linear { bias, .. } => {
                inputs.extend(self.weights(id, *bias));
                ("Gemm", vec![int("transB", 1)])
            }
            Op::BatchNorm => {
                inputs.extend(["scale", "shift", "mean", "variance"].map(part));
                ("BatchNormalization", vec![float("epsilon", BATCH_NORM_EPSILON)])
            }
            Op::Activation { kind } => self.activation(*kind, layer, &mut inputs, value),
            Op::Pool { kind: PoolKind::Max, kernel, stride, padding } => {
                ("MaxPool", window(*kernel, *stride, *padding))
            }
            Op::Pool { kind: PoolKind::Average, kernel, stride, padding } => {
                let mut attributes = window(*kernel, *stride, *padding);
                attributes.push(int("count_include_pad", 0));
                ("AveragePool", attributes)
            }
            Op::GlobalPool => ("GlobalAveragePool", Vec::new()),
            Op::Flatten => ("Flatten", vec![int("axis", 1)]),
            Op::Add if inputs.len() == 2 => ("Add", Vec::new()),
            Op::Add => ("Sum", Vec::new()),
            Op::Concat => ("Concat", vec![int("axis", 1)]),
            Op::Mul => ("Mul", Vec::new()),
        };
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.graph.node(op_type, &layer.name, &inputs, &value.name, attributes);
    }

    /// Returns the names of the weights and, if the layer has one, of the bias.
    fn weights(&mut self, id: LayerId, bias: bool) -> Vec<String> {
        if let Some(names) = self.kernel(id) {
            return names;
        }
        let name = &self.model.architecture.layer(id).name;
        let (weight, bias) = (format!("{name}.weight"), bias.then(|| format!("{name}.bias")));
        std::iter::once(self.narrow(id).unwrap_or(weight)).chain(bias).collect()
    }

    /// Appends the nodes before the last node of an activation. Afterwards, `inputs` contains the inputs of
    /// the last node.
    fn activation(
        &mut self,
        kind: ActivationKind,
        layer: &Layer,
        inputs: &mut Vec<String>,
        like: &GraphValue,
    ) -> (&'static str, Vec<AttributeProto>) {
        let x = inputs[0].clone();
        match kind {
            ActivationKind::Relu => ("Relu", Vec::new()),
            ActivationKind::Relu6 => {
                inputs.push(self.graph.scalar("zero", 0.0));
                inputs.push(self.graph.scalar("six", 6.0));
                ("Clip", Vec::new())
            }
            ActivationKind::HardSwish => ("HardSwish", Vec::new()),
            ActivationKind::HardSigmoid => {
                ("HardSigmoid", vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)])
            }
            ActivationKind::Sigmoid => ("Sigmoid", Vec::new()),
            ActivationKind::Silu => {
                inputs.push(self.step("Sigmoid", &layer.name, "sigmoid", &[&x], Vec::new(), like));
                ("Mul", Vec::new())
            }
            ActivationKind::Tanh => ("Tanh", Vec::new()),
            // The `Gelu` operator exists only from opset 20 on. The nodes below run on every runtime with
            // opset 17.
            ActivationKind::Gelu => {
                let constants = [
                    self.graph.scalar("sqrt_half", std::f32::consts::FRAC_1_SQRT_2),
                    self.graph.scalar("one", 1.0),
                    self.graph.scalar("half", 0.5),
                ];
                let [sqrt_half, one, half] = &constants;
                let name = &layer.name;
                let scaled = self.step("Mul", name, "scaled", &[&x, sqrt_half], Vec::new(), like);
                let erf = self.step("Erf", name, "erf", &[&scaled], Vec::new(), like);
                let gate = self.step("Add", name, "gate", &[&erf, one], Vec::new(), like);
                let halved = self.step("Mul", name, "halved", &[&x, half], Vec::new(), like);
                *inputs = vec![halved, gate];
                ("Mul", Vec::new())
            }
        }
    }

    /// Returns the name of the value that contains the shape of a constant of zeros. The batch size comes
    /// from the input.
    fn zero_shape(&mut self, layer: &Layer) -> String {
        let batch = self.batch.clone().unwrap_or_else(|| {
            let name = self.graph.unique(&format!("{INPUT}.batch"));
            self.graph.node("Shape", &name, &[INPUT], &name, vec![int("start", 0), int("end", 1)]);
            name
        });
        self.batch = Some(batch.clone());
        let sizes = self.graph.unique(&format!("{}.sizes", layer.name));
        let Shape { channels, height, width } = layer.output;
        self.graph.integers(&sizes, &[channels, height, width].map(|size| size as i64));
        let shape = self.graph.unique(&format!("{}.shape", layer.name));
        self.graph.node("Concat", &shape, &[&batch, &sizes], &shape, vec![int("axis", 0)]);
        shape
    }

    /// Returns the graph's output, which is the last layer's value as a vector. The output has a fixed name.
    fn output(&mut self) -> GraphValue {
        let (_, last) = self.values.last_key_value().expect("the input layer has a value");
        let name = self.model.card.predicts.outputs();
        let value = GraphValue { name: name.to_owned(), rank: Rank::Vector, ..last.clone() };
        if last.name != name {
            let step = self.graph.unique(&format!("{name}.vector"));
            let last = last.name.clone();
            self.graph.node("Flatten", &step, &[&last], name, vec![int("axis", 1)]);
        }
        value
    }
}

/// Returns the attributes of a sliding window. Padding is equal on opposite sides.
fn window(kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Vec<AttributeProto> {
    let [vertical, horizontal] = padding;
    vec![
        ints("kernel_shape", &kernel),
        ints("strides", &stride),
        ints("pads", &[vertical, horizontal, vertical, horizontal]),
    ]
}

//! The operations of nodes.

use kiln_space::{ActivationKind, BATCH_NORM_EPSILON, Layer, LayerId, Op, PoolKind};

use super::error::OnnxError;
use super::graph::{is_standard, shape};
use super::layers::{Held, Reading, Value, undefined};
use super::message::{Node, Tensor};
use crate::onnx::graph::Rank;
use crate::{Array, Grid};

/// Operations that can be read.
const OPERATIONS: [&str; 25] = [
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Clip",
    "Concat",
    "ConstantOfShape",
    "Conv",
    "DequantizeLinear",
    "Div",
    "Erf",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "HardSigmoid",
    "HardSwish",
    "MaxPool",
    "Mul",
    "QuantizeLinear",
    "Relu",
    "Shape",
    "Sigmoid",
    "Sub",
    "Sum",
    "Tanh",
    "Unsqueeze",
];

impl<'a> Reading<'a> {
    /// Returns what the output of a node stands for.
    pub(super) fn node(&mut self, node: &'a Node<'a>) -> Result<Value, OnnxError> {
        let operation = if is_standard(node.domain) { node.operation } else { "" };
        node.check_attributes(attributes(operation))?;
        match operation {
            "Sub" | "Div" => self.normalization(node),
            "QuantizeLinear" => self.quantize(node),
            "DequantizeLinear" => self.dequantize(node),
            "Shape" => self.batch(node),
            "ConstantOfShape" => self.zeros(node),
            "Conv" => self.convolution(node),
            "Gemm" => self.linear(node),
            "BatchNormalization" => self.batch_norm(node),
            "MaxPool" | "AveragePool" => self.pool(node),
            "GlobalAveragePool" => {
                let [x] = self.all_held(node)?;
                check_rank(node, &[x], Rank::Map)?;
                self.add(node, Op::GlobalPool, &[x], Rank::Map, None).map(Value::Layer)
            }
            "Flatten" => self.flatten(node),
            "Unsqueeze" => self.unsqueeze(node),
            "Add" | "Sum" => self.sum(node),
            "Concat" => self.concat(node),
            "Mul" => self.product(node),
            "Erf" => match self.value(node, 0)? {
                Value::Scaled(x) if node.inputs.len() == 1 => Ok(Value::Erf(*x)),
                _ => Err(node.inputs_error("a part of a GELU, as Kiln writes it")),
            },
            "Sigmoid" => {
                let [x] = self.all_held(node)?;
                if self.is_silu_gate(node) {
                    return Ok(Value::SiluGate(x));
                }
                self.activation(node, ActivationKind::Sigmoid, x)
            }
            "Relu" => self.simple_activation(node, ActivationKind::Relu),
            "HardSwish" => self.simple_activation(node, ActivationKind::HardSwish),
            "Tanh" => self.simple_activation(node, ActivationKind::Tanh),
            "HardSigmoid" => {
                node.check_float("alpha", 1.0 / 6.0, "1/6 in single precision")?;
                node.check_float("beta", 0.5, "0.5")?;
                self.simple_activation(node, ActivationKind::HardSigmoid)
            }
            "Clip" => self.clip(node),
            _ => Err(OnnxError::Operation {
                node: node.name.to_owned(),
                operation: match node.domain {
                    "" => node.operation.to_owned(),
                    domain => format!("{domain}.{}", node.operation),
                },
                known: &OPERATIONS,
            }),
        }
    }

    fn value<'b>(&'b self, node: &Node<'_>, input: usize) -> Result<&'b Value, OnnxError> {
        let name = *node.inputs.get(input).ok_or_else(|| node.inputs_error("more inputs"))?;
        if self.graph.tensors.contains_key(name) {
            return Err(node.inputs_error("the value of a node as its first input"));
        }
        self.values.get(name).ok_or_else(|| undefined(node, name))
    }

    fn tensor(&self, node: &Node<'_>, input: usize) -> Result<&'a Tensor<'a>, OnnxError> {
        let name = *node.inputs.get(input).ok_or_else(|| node.inputs_error("more inputs"))?;
        if self.values.contains_key(name) {
            return Err(node.inputs_error("an initializer where it reads the value of a node"));
        }
        self.graph.tensors.get(name).copied().ok_or_else(|| undefined(node, name))
    }

    /// The values of layers that are a node's only inputs.
    fn all_held<const N: usize>(&mut self, node: &Node<'_>) -> Result<[Held; N], OnnxError> {
        let names = <[&str; N]>::try_from(node.inputs.as_slice());
        let names = names.map_err(|_| node.inputs_error("as many inputs as Kiln writes"))?;
        let held: Vec<Held> =
            names.into_iter().map(|name| self.held(node, name)).collect::<Result<_, _>>()?;
        Ok(held.try_into().expect("there is one value for each name"))
    }

    /// Single-precision numbers that no other node uses.
    fn own_array(&mut self, node: &Node<'_>, input: usize) -> Result<Array, OnnxError> {
        let tensor = self.tensor(node, input)?;
        self.use_once(node, tensor)?;
        tensor.array()
    }

    fn use_once(&mut self, node: &Node<'_>, tensor: &Tensor<'a>) -> Result<(), OnnxError> {
        if self.used.insert(tensor.name) {
            return Ok(());
        }
        Err(node.inputs_error("weights that no other node reads"))
    }

    fn normalization(&mut self, node: &'a Node<'a>) -> Result<Value, OnnxError> {
        let is_mean = node.operation == "Sub";
        let value = self.value(node, 0)?;
        let fits = match value {
            Value::Raw => is_mean && !self.is_raw && self.mean.is_none(),
            Value::Centered => !is_mean && self.deviation.is_none(),
            _ => false,
        };
        if !fits || node.inputs.len() != 2 {
            return Err(node.inputs_error("the raw input and its mean, then the result and the deviation"));
        }
        let array = self.own_array(node, 1)?;
        let (_, shape, rank) = self.graph.input;
        let expected: &[usize] = match rank {
            Rank::Map => &[shape.channels, 1, 1],
            Rank::Vector => &[shape.channels],
        };
        if array.shape != expected {
            return Err(node.inputs_error("one number for each channel of the input"));
        }
        if is_mean {
            self.mean = Some(array.data);
            return Ok(Value::Centered);
        }
        self.deviation = Some(array.data);
        Ok(Value::Layer(Held { layer: LayerId(0), rank, grid: None }))
    }

    /// Reads the grid of an 8-bit value.
    fn grid(&self, node: &Node<'_>) -> Result<Grid, OnnxError> {
        if node.inputs.len() != 3 {
            return Err(node.inputs_error("a value, a step and a zero point"));
        }
        let scale = self.tensor(node, 1)?.scalar();
        let scale = scale.filter(|scale| scale.is_finite() && *scale > 0.0);
        let scale = scale.ok_or_else(|| node.inputs_error("a positive scalar as step"))?;
        // Integers of activations are 128 higher in the file than on their grid.
        let zero_point = (self.tensor(node, 2)?.byte()? ^ 0x80).cast_signed();
        Ok(Grid { scale, zero_point })
    }

    fn quantize(&mut self, node: &'a Node<'a>) -> Result<Value, OnnxError> {
        let grid = self.grid(node)?;
        let held = self.held(node, node.inputs[0])?;
        let known = self.grids.entry(held.layer).or_insert(grid);
        if !is_same(*known, grid) {
            return Err(node.inputs_error("the grid to which the value was rounded elsewhere"));
        }
        Ok(Value::Integers(Held { grid: Some(grid), ..held }))
    }

    fn dequantize(&mut self, node: &'a Node<'a>) -> Result<Value, OnnxError> {
        if let Some(Value::Integers(held)) = node.inputs.first().and_then(|name| self.values.get(name)) {
            let held = *held;
            let grid = self.grid(node)?;
            if held.grid.is_none_or(|known| !is_same(known, grid)) || !node.attributes.is_empty() {
                return Err(node.inputs_error("the step and the zero point of its `QuantizeLinear`"));
            }
            return Ok(Value::Layer(held));
        }
        node.check_int("axis", 0, "0, the axis of the output channels")?;
        let tensor = self.tensor(node, 0)?;
        self.use_once(node, tensor)?;
        let steps = self.own_array(node, 1)?;
        let shape = tensor.shape();
        let values: Vec<f32> = if tensor.is_words() && node.inputs.len() == 2 {
            tensor.words()?.into_iter().map(|value| value as f32).collect()
        } else if tensor.is_signed_bytes() && node.inputs.len() == 3 {
            let zero_point = self.tensor(node, 2)?;
            if zero_point.signed_bytes()?.iter().any(|zero| *zero != 0) || zero_point.shape() != steps.shape {
                return Err(node.inputs_error("a zero point of 0 for each output channel"));
            }
            tensor.signed_bytes()?.into_iter().map(f32::from).collect()
        } else {
            return Err(
                node.inputs_error("8-bit weights with step and zero point, or 32-bit biases with step")
            );
        };
        if shape.first().map(std::slice::from_ref) != Some(steps.shape.as_slice()) {
            return Err(node.inputs_error("one step for each output channel"));
        }
        let row = (values.len() / steps.data.len().max(1)).max(1);
        let data = values.chunks(row).zip(&steps.data);
        let data = data.flat_map(|(row, step)| row.iter().map(move |value| value * step)).collect();
        Ok(Value::Integral(Array { shape, data }))
    }

    fn batch(&self, node: &Node<'_>) -> Result<Value, OnnxError> {
        node.check_int("start", 0, "0")?;
        node.check_int("end", 1, "1")?;
        match self.value(node, 0)? {
            Value::Raw if node.inputs.len() == 1 => Ok(Value::Batch),
            _ => Err(node.inputs_error("the raw input of the graph")),
        }
    }

    fn zeros(&mut self, node: &'a Node<'a>) -> Result<Value, OnnxError> {
        node.check_zero_tensor("value")?;
        let output = match self.value(node, 0)? {
            Value::ShapeOfZeros(shape) if node.inputs.len() == 1 => *shape,
            _ => return Err(node.inputs_error("a shape that begins with the batch size")),
        };
        let fits = |layer: &Layer| {
            let [least, most] = strides([layer.output.height, output.height]);
            let [least_too, most_too] = strides([layer.output.width, output.width]);
            let least = least.max(least_too);
            (least > 0 && least <= most.min(most_too)).then_some(least)
        };
        // A second reader keeps a layer from running as one with its first reader. So the zeros read a layer
        // that runs alone, if there is one.
        let runs_alone =
            |op: &Op| !matches!(op, Op::Conv2d { .. } | Op::Linear { .. } | Op::BatchNorm | Op::Add);
        let latest = |alone: bool| {
            let layers = self.layers.iter().enumerate().rev();
            let mut layers = layers.filter(|(_, layer)| !alone || runs_alone(&layer.op));
            layers.find_map(|(index, layer)| Some((index, fits(layer)?)))
        };
        let source = latest(true).or_else(|| latest(false));
        let (index, stride) =
            source.ok_or_else(|| node.inputs_error("zeros of the size of an earlier layer, divided"))?;
        let held = Held { layer: LayerId(index), rank: Rank::Map, grid: None };
        let op = Op::Zero { channels: output.channels, stride };
        self.add(node, op, &[held], Rank::Map, None).map(Value::Layer)
    }

    /// Reads the weights and the bias of a node, and adds its layer.
    fn with_kernel(
        &mut self,
        node: &'a Node<'a>,
        rank: Rank,
        op: impl FnOnce(&[usize], bool) -> Result<Op, OnnxError>,
    ) -> Result<Value, OnnxError> {
        let (Some(&first), 2..=3) = (node.inputs.first(), node.inputs.len()) else {
            return Err(node.inputs_error("a value, weights, and maybe a bias"));
        };
        let x = self.held(node, first)?;
        check_rank(node, &[x], rank)?;
        let mut arrays = Vec::new();
        let mut integers = Vec::new();
        for input in 1..node.inputs.len() {
            let name = node.inputs[input];
            let integral = matches!(self.values.get(name), Some(Value::Integral(_)));
            integers.push(integral);
            arrays.push(match (integral, self.values.get_mut(name)) {
                (true, Some(value)) => match std::mem::replace(value, Value::Batch) {
                    Value::Integral(array) => array,
                    _ => return Err(node.inputs_error("weights of integers")),
                },
                _ => self.own_array(node, input)?,
            });
        }
        let mut arrays = arrays.into_iter();
        let weight = arrays.next().expect("there are two inputs or more");
        let bias = arrays.next();
        let has_integers = integers[0];
        if has_integers != (integers == [true, true]) {
            return Err(node.inputs_error("weights and bias of integers, or of single precision"));
        }
        let op = op(&weight.shape, bias.is_some())?;
        let [outputs, inputs] = [weight.shape[0], weight.shape[1]];
        let held = self.add(node, op, &[x], rank, Some([outputs, inputs]))?;
        self.has_integers[held.layer.0] = has_integers;
        self.arrays.insert(format!("{}.weight", node.name), weight);
        if let Some(bias) = bias {
            self.arrays.insert(format!("{}.bias", node.name), bias);
        }
        Ok(Value::Layer(held))
    }

    fn convolution(&mut self, node: &'a Node<'a>) -> Result<Value, OnnxError> {
        let [kernel, stride, padding] = node.window()?;
        let groups = node.size("group")?;
        self.with_kernel(node, Rank::Map, |shape, bias| match shape {
            [out_channels, _, height, width] if [*height, *width] == kernel => {
                Ok(Op::Conv2d { out_channels: *out_channels, kernel, stride, padding, groups, bias })
            }
            _ => Err(node.inputs_error("weights of shape [outputs, inputs, height, width] of the window")),
        })
    }

    fn linear(&mut self, node: &'a Node<'a>) -> Result<Value, OnnxError> {
        node.check_int("transB", 1, "1")?;
        self.with_kernel(node, Rank::Vector, |shape, bias| match shape {
            [out_features, _] => Ok(Op::Linear { out_features: *out_features, bias }),
            _ => Err(node.inputs_error("weights of shape [outputs, inputs]")),
        })
    }

    fn batch_norm(&mut self, node: &'a Node<'a>) -> Result<Value, OnnxError> {
        node.check_float("epsilon", BATCH_NORM_EPSILON, "0.00001 in single precision")?;
        let (Some(&first), 5) = (node.inputs.first(), node.inputs.len()) else {
            return Err(node.inputs_error("a value, scale, shift, mean and variance"));
        };
        let x = self.held(node, first)?;
        let channels = self.shape(x).channels;
        let held = self.add(node, Op::BatchNorm, &[x], x.rank, Some([channels, 0]))?;
        for (input, part) in ["scale", "shift", "mean", "variance"].into_iter().enumerate() {
            let array = self.own_array(node, input + 1)?;
            self.arrays.insert(format!("{}.{part}", node.name), array);
        }
        Ok(Value::Layer(held))
    }

    fn pool(&mut self, node: &'a Node<'a>) -> Result<Value, OnnxError> {
        let [kernel, stride, padding] = node.window()?;
        let kind = if node.operation == "MaxPool" { PoolKind::Max } else { PoolKind::Average };
        if kind == PoolKind::Average {
            node.check_int("count_include_pad", 0, "0")?;
        }
        let [x] = self.all_held(node)?;
        check_rank(node, &[x], Rank::Map)?;
        self.add(node, Op::Pool { kind, kernel, stride, padding }, &[x], Rank::Map, None).map(Value::Layer)
    }

    fn flatten(&mut self, node: &'a Node<'a>) -> Result<Value, OnnxError> {
        node.check_int("axis", 1, "1")?;
        let [x] = self.all_held(node)?;
        let layer = &self.layers[x.layer.0];
        let is_last = node.outputs.first() == Some(&self.graph.output);
        let is_vector = layer.output.positions() == 1;
        let is_step = is_numbered(node.name, &layer.name, "vector")
            || (is_last && is_numbered(node.name, self.graph.output, "vector"));
        if is_vector && is_step {
            return Ok(Value::Layer(Held { rank: Rank::Vector, ..x }));
        }
        self.add(node, Op::Flatten, &[x], Rank::Vector, None).map(Value::Layer)
    }

    fn unsqueeze(&mut self, node: &'a Node<'a>) -> Result<Value, OnnxError> {
        let (Some(&first), 2) = (node.inputs.first(), node.inputs.len()) else {
            return Err(node.inputs_error("a vector and the axes 2 and 3"));
        };
        let x = self.held(node, first)?;
        check_rank(node, &[x], Rank::Vector)?;
        if self.tensor(node, 1)?.integers()? != [2, 3] {
            return Err(node.inputs_error("a vector and the axes 2 and 3"));
        }
        Ok(Value::Layer(Held { rank: Rank::Map, ..x }))
    }

    /// Reads a sum, or the part of a GELU that adds one.
    fn sum(&mut self, node: &'a Node<'a>) -> Result<Value, OnnxError> {
        if let Some(Value::Erf(x)) = node.inputs.first().and_then(|name| self.values.get(name)) {
            let x = *x;
            if node.operation == "Add" && self.constant(node) == Some(1.0) {
                return Ok(Value::GeluGate(x));
            }
            return Err(node.inputs_error("a part of a GELU, as Kiln writes it"));
        }
        let inputs = self.list(node)?;
        if node.operation == "Add" && inputs.len() != 2 {
            return Err(node.inputs_error("two inputs"));
        }
        self.add(node, Op::Add, &inputs, inputs[0].rank, None).map(Value::Layer)
    }

    /// One or more values of layers of one arrangement.
    fn list(&mut self, node: &Node<'_>) -> Result<Vec<Held>, OnnxError> {
        let inputs: Vec<Held> =
            node.inputs.iter().map(|name| self.held(node, name)).collect::<Result<_, _>>()?;
        let first = inputs.first().ok_or_else(|| node.inputs_error("one or more inputs"))?;
        check_rank(node, &inputs, first.rank)?;
        Ok(inputs)
    }

    /// Reads a concatenation of channels, or of the batch size and other sizes.
    fn concat(&mut self, node: &'a Node<'a>) -> Result<Value, OnnxError> {
        if let Some(Value::Batch) = node.inputs.first().and_then(|name| self.values.get(name)) {
            node.check_int("axis", 0, "0")?;
            let sizes: [i64; 3] = self.tensor(node, 1)?.integers()?;
            if node.inputs.len() != 2 || sizes.iter().any(|size| *size < 1) {
                return Err(node.inputs_error("the batch size and three positive sizes"));
            }
            return shape(sizes.map(i64::cast_unsigned)).map(Value::ShapeOfZeros);
        }
        node.check_int("axis", 1, "1")?;
        let inputs = self.list(node)?;
        self.add(node, Op::Concat, &inputs, inputs[0].rank, None).map(Value::Layer)
    }

    /// The scalar that is a node's second and last input.
    fn constant(&self, node: &Node<'_>) -> Option<f32> {
        match node.inputs.as_slice() {
            [_, name] => self.graph.tensors.get(name)?.scalar(),
            _ => None,
        }
    }

    /// Reads a product of layers, or a part of a GELU or `silu`.
    fn product(&mut self, node: &'a Node<'a>) -> Result<Value, OnnxError> {
        let [first, second] = node.inputs.as_slice() else { return Err(node.inputs_error("two inputs")) };
        if let Some(constant) = self.constant(node) {
            let x = self.held(node, first)?;
            return if constant.to_bits() == std::f32::consts::FRAC_1_SQRT_2.to_bits() {
                Ok(Value::Scaled(x))
            } else if constant.to_bits() == 0.5_f32.to_bits() {
                Ok(Value::Halved(x))
            } else {
                Err(node.inputs_error("a part of a GELU, as Kiln writes it"))
            };
        }
        match (self.values.get(first), self.values.get(second)) {
            (Some(Value::Halved(x)), Some(Value::GeluGate(gate))) if x == gate => {
                let x = *x;
                self.activation(node, ActivationKind::Gelu, x)
            }
            (_, Some(Value::SiluGate(gate))) => {
                let gate = *gate;
                if self.held(node, first)? != gate {
                    return Err(node.inputs_error("a value and its sigmoid"));
                }
                self.activation(node, ActivationKind::Silu, gate)
            }
            _ => {
                let inputs: [Held; 2] = self.all_held(node)?;
                check_rank(node, &inputs, inputs[0].rank)?;
                self.add(node, Op::Mul, &inputs, inputs[0].rank, None).map(Value::Layer)
            }
        }
    }

    /// Whether a sigmoid is the second factor of a `silu`: its only reader multiplies it with the sigmoid's
    /// own input, and its name is that of a step of the reader.
    fn is_silu_gate(&self, node: &Node<'_>) -> bool {
        let Some(output) = node.outputs.first() else { return false };
        self.graph.only_reader(output).is_some_and(|reader| {
            reader.operation == "Mul"
                && reader.inputs.as_slice() == [node.inputs[0], *output]
                && is_numbered(node.name, reader.name, "sigmoid")
        })
    }

    fn clip(&mut self, node: &'a Node<'a>) -> Result<Value, OnnxError> {
        let bounds = [1, 2].map(|input| self.tensor(node, input).ok().and_then(Tensor::scalar));
        if bounds.map(|bound| bound.map(f32::to_bits)) != [0.0, 6.0_f32].map(|bound| Some(bound.to_bits()))
            || node.inputs.len() != 3
        {
            return Err(node.inputs_error("a value and the bounds 0 and 6"));
        }
        let x = self.held(node, node.inputs[0])?;
        self.activation(node, ActivationKind::Relu6, x)
    }

    fn simple_activation(&mut self, node: &'a Node<'a>, kind: ActivationKind) -> Result<Value, OnnxError> {
        let [x] = self.all_held(node)?;
        self.activation(node, kind, x)
    }

    fn activation(&mut self, node: &Node<'_>, kind: ActivationKind, x: Held) -> Result<Value, OnnxError> {
        self.add(node, Op::Activation { kind }, &[x], x.rank, None).map(Value::Layer)
    }
}

/// Checks the arrangement of a node's inputs.
fn check_rank(node: &Node<'_>, inputs: &[Held], rank: Rank) -> Result<(), OnnxError> {
    if inputs.iter().all(|input| input.rank == rank) {
        return Ok(());
    }
    Err(node.inputs_error(match rank {
        Rank::Map => "inputs of shape [batch, channels, height, width]",
        Rank::Vector => "inputs of shape [batch, features]",
    }))
}

/// The smallest and largest stride that divides the first size into the second.
fn strides([from, to]: [usize; 2]) -> [usize; 2] {
    let most = if to <= 1 { usize::MAX } else { from.saturating_sub(1) / (to - 1) };
    [from.div_ceil(to.max(1)), most]
}

/// Attributes that an operation may have.
fn attributes(operation: &str) -> &'static [&'static str] {
    match operation {
        "Conv" => &["kernel_shape", "strides", "pads", "group"],
        "Gemm" => &["transB"],
        "BatchNormalization" => &["epsilon"],
        "MaxPool" => &["kernel_shape", "strides", "pads"],
        "AveragePool" => &["kernel_shape", "strides", "pads", "count_include_pad"],
        "Flatten" | "Concat" | "DequantizeLinear" => &["axis"],
        "HardSigmoid" => &["alpha", "beta"],
        "ConstantOfShape" => &["value"],
        "Shape" => &["start", "end"],
        _ => &[],
    }
}

fn is_same(a: Grid, b: Grid) -> bool {
    a.scale.to_bits() == b.scale.to_bits() && a.zero_point == b.zero_point
}

/// Whether `name` is `<layer>.<step>`, maybe with an appended number.
fn is_numbered(name: &str, layer: &str, step: &str) -> bool {
    let rest = name.strip_prefix(layer).and_then(|rest| rest.strip_prefix('.')?.strip_prefix(step));
    rest.is_some_and(|rest| {
        rest.is_empty()
            || rest.strip_prefix('_').is_some_and(|number| {
                !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
            })
    })
}

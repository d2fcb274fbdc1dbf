//! Turns the nodes of a graph into layers.

use std::collections::{BTreeMap, BTreeSet};

use kiln_space::{Architecture, Layer, LayerId, Op, Precision, Shape, Sparsity, WeightRef};

use super::error::OnnxError;
use super::graph::{FileGraph, shape};
use super::message::Node;
use super::rounding::{self, Names, Rounding};
use super::weights::{Biases, FileWeights, Weights};
use crate::onnx::graph::Rank;
use crate::{Array, ExportError, Grid, Prediction, WeightCode};

/// The value of a layer, as nodes read it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Held {
    pub(super) layer: LayerId,
    pub(super) rank: Rank,
    /// The grid to which the value is rounded.
    pub(super) grid: Option<Grid>,
    /// Whether the value is the output of a `DequantizeLinear` itself, without a rearrangement after it.
    pub(super) is_direct: bool,
}

impl Held {
    /// The value of a layer, not rounded.
    pub(super) const fn of(layer: LayerId, rank: Rank) -> Self {
        Self { layer, rank, grid: None, is_direct: false }
    }
}

/// What a name of the graph stands for.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// The raw input.
    Raw,
    /// The raw input without its mean.
    Centered,
    Layer(Held),
    /// A layer's value as integers of its grid.
    Integers(Held),
    /// Weights in a narrow format.
    Weights(Weights),
    /// Biases as integers.
    Biases(Biases),
    /// Weights or biases that a layer has used. Kiln uses each only once.
    Used,
    /// Bytes, shifted so that their lower bits are positions in a codebook. There is one row for each plane.
    Shifted {
        bytes: &'a [u8],
        bits: usize,
    },
    /// The lower bits of such bytes.
    Planes {
        bytes: &'a [u8],
        bits: usize,
    },
    /// Positions in a codebook, as 32-bit integers.
    Positions(Positions),
    /// The batch size.
    Batch,
    /// The shape of a constant of zeros.
    ShapeOfZeros(Shape),
    /// The second factor of a `silu` of this value.
    SiluGate(Held),
    /// The value times the square root of one half.
    Scaled(Held),
    /// The error function of the scaled value.
    Erf(Held),
    /// One plus the error function.
    GeluGate(Held),
    /// Half of the value.
    Halved(Held),
}

/// Positions of weights in a codebook.
#[derive(Clone, Debug)]
pub(super) struct Positions {
    pub(super) shape: Vec<usize>,
    pub(super) indices: Vec<u8>,
    /// Number of bits of an index.
    pub(super) bits: usize,
}

/// What a file contains.
pub(super) struct Parts {
    pub(super) architecture: Architecture,
    pub(super) arrays: BTreeMap<String, Array>,
    /// Weights that are not in single precision, by layer.
    pub(super) weights: BTreeMap<String, FileWeights>,
    /// Codebooks, by layer.
    pub(super) codes: BTreeMap<String, WeightCode>,
    pub(super) quantization: BTreeMap<String, Grid>,
    pub(super) mean: Vec<f32>,
    pub(super) deviation: Vec<f32>,
}

/// Layers read so far.
pub(super) struct Reading<'a> {
    pub(super) graph: &'a FileGraph<'a>,
    pub(super) values: BTreeMap<&'a str, Value<'a>>,
    /// Initializers that a node has used as weights.
    pub(super) used: BTreeSet<&'a str>,
    /// Number of bytes of weights that nodes have read again.
    pub(super) repeated_bytes: u64,
    /// Values that a node has rounded to 8 bits.
    pub(super) rounded: BTreeSet<&'a str>,
    pub(super) layers: Vec<Layer>,
    /// Names of layers and of nodes.
    names: Names,
    /// What is known about the rounding of layers and of the values that they read.
    pub(super) rounding: Rounding,
    pub(super) arrays: BTreeMap<String, Array>,
    /// Weights that are not in single precision, by layer.
    pub(super) weights: BTreeMap<String, FileWeights>,
    /// Codebooks, by layer.
    pub(super) codes: BTreeMap<String, WeightCode>,
    /// Whether a node has read the raw input, or the input without its mean, as the value of the input layer.
    pub(super) is_input_read: bool,
    pub(super) mean: Option<Vec<f32>>,
    pub(super) deviation: Option<Vec<f32>>,
}

impl<'a> Reading<'a> {
    /// Reads the nodes in their order.
    pub(super) fn of(graph: &'a FileGraph<'a>) -> Result<Self, OnnxError> {
        let (name, shape, _) = graph.input;
        let mut reading = Self {
            graph,
            values: BTreeMap::from([(name, Value::Raw)]),
            used: BTreeSet::new(),
            repeated_bytes: 0,
            rounded: BTreeSet::new(),
            layers: vec![layer("input", Op::Input, Vec::new(), shape, None)],
            names: Names::new(graph.nodes.iter().map(|node| node.name).chain(["input"])),
            rounding: Rounding::new(graph.input.2),
            arrays: BTreeMap::new(),
            weights: BTreeMap::new(),
            codes: BTreeMap::new(),
            is_input_read: false,
            mean: None,
            deviation: None,
        };
        for node in graph.nodes {
            let value = reading.node(node)?;
            let [output] = node.outputs.as_slice() else {
                return Err(node.inputs_error("exactly one output"));
            };
            if let Value::Layer(held) = value {
                graph.check_shape(output, reading.shape(held), held.rank)?;
            }
            let is_new = !graph.tensors.contains_key(output);
            if !is_new || output.is_empty() || reading.values.insert(output, value).is_some() {
                let expected = "a value that exactly one node or initializer defines";
                return Err(OnnxError::Value { name: (*output).to_owned(), expected });
            }
        }
        Ok(reading)
    }

    /// What the outputs mean.
    pub(super) const fn predicts(&self) -> Prediction {
        self.graph.predicts
    }

    /// The shape of a layer's value.
    pub(super) fn shape(&self, held: Held) -> Shape {
        self.layers[held.layer.0].output
    }

    /// Returns the value of a layer that a node reads.
    pub(super) fn held(&mut self, node: &Node<'_>, name: &str) -> Result<Held, OnnxError> {
        if let Some(held) = self.value_of_layer(name) {
            return Ok(held);
        }
        match self.values.get(name) {
            Some(_) => Err(node.inputs_error("the values of layers as inputs")),
            None if self.graph.tensors.contains_key(name) => {
                Err(node.inputs_error("the values of layers as inputs, not initializers"))
            }
            None => Err(undefined(node, name)),
        }
    }

    /// The value of a layer with this name, or `None` if the name stands for something else. If the mean is 0
    /// or the deviation is 1, the file omits the node that would subtract or divide.
    fn value_of_layer(&mut self, name: &str) -> Option<Held> {
        let is_input = match self.values.get(name)? {
            Value::Layer(held) => return Some(*held),
            Value::Raw => self.mean.is_none() && self.deviation.is_none(),
            Value::Centered => self.deviation.is_none(),
            _ => false,
        };
        self.is_input_read |= is_input;
        is_input.then_some(Held::of(LayerId(0), self.graph.input.2))
    }

    /// Appends a layer of this node.
    pub(super) fn add(
        &mut self,
        node: &Node<'_>,
        op: Op,
        inputs: &[Held],
        rank: Rank,
        weights: Option<[usize; 2]>,
    ) -> Result<Held, OnnxError> {
        if node.name.is_empty() {
            return Err(node.inputs_error("a name, which is that of its layer"));
        }
        let weights = weights.map(|[outputs, inputs]| WeightRef::leading(node.name, outputs, inputs));
        self.append(node, node.name, op, inputs, rank, weights)
    }

    /// Appends a layer that passes a value on. The optimization of an exported graph removes the node of such
    /// a layer, but rounding its value to a grid of its own remains.
    pub(super) fn add_identity(&mut self, node: &Node<'_>, op: Op, input: Held) -> Result<Held, OnnxError> {
        let name = self.names.unique();
        self.append(node, &name, op, &[input], input.rank, None)
    }

    fn append(
        &mut self,
        node: &Node<'_>,
        name: &str,
        op: Op,
        inputs: &[Held],
        rank: Rank,
        weights: Option<WeightRef>,
    ) -> Result<Held, OnnxError> {
        let shapes: Vec<Shape> = inputs.iter().map(|input| self.shape(*input)).collect();
        let output = op.output_shape(&shapes).map_err(|source| OnnxError::Shapes {
            node: node.label(),
            operation: node.operation.to_owned(),
            source,
        })?;
        let output = shape(<[usize; 3]>::from(output).map(|size| size as u64))?;
        let ids = inputs.iter().map(|input| input.layer).collect();
        self.layers.push(layer(name, op, ids, output, weights));
        self.rounding.add(inputs.iter().map(|input| input.grid).collect(), rank);
        Ok(Held::of(LayerId(self.layers.len() - 1), rank))
    }

    /// Returns the parts of the file, when all nodes are read.
    pub(super) fn finish(mut self) -> Result<Parts, ExportError> {
        let refuse = |expected| OnnxError::Value { name: self.graph.output.to_owned(), expected };
        let is_known = self.values.contains_key(self.graph.output);
        let Some(held) = self.value_of_layer(self.graph.output) else {
            let expected = if is_known { "the value of a layer" } else { "the value of a node" };
            return Err(refuse(expected).into());
        };
        if held.layer.0 + 1 != self.layers.len() {
            return Err(refuse("the value of the last layer").into());
        }
        if held.rank != Rank::Vector {
            return Err(refuse("a vector").into());
        }
        if held.grid.is_some() {
            // The last layer passes its input on, and reads it in 8 bits.
            self.add_identity(&Node::default(), Op::Flatten, held)?;
        }
        let channels = self.graph.input.1.channels;
        let mut architecture = Architecture { input: self.graph.input.1, layers: self.layers };
        architecture.validate()?;
        let quantization = rounding::formats(&mut architecture, &self.rounding)?;
        Ok(Parts {
            architecture,
            arrays: self.arrays,
            weights: self.weights,
            codes: self.codes,
            quantization,
            mean: self.mean.unwrap_or_else(|| vec![0.0; channels]),
            deviation: self.deviation.unwrap_or_else(|| vec![1.0; channels]),
        })
    }
}

/// The error that a node reads a value that nothing before it defines.
pub(super) fn undefined(node: &Node<'_>, value: &str) -> OnnxError {
    OnnxError::Undefined { node: node.label(), operation: node.operation.to_owned(), value: value.to_owned() }
}

fn layer(name: &str, op: Op, inputs: Vec<LayerId>, output: Shape, weights: Option<WeightRef>) -> Layer {
    Layer {
        name: name.to_owned(),
        op,
        inputs,
        output,
        weights,
        precision: Precision::default(),
        sparsity: Sparsity::Dense,
    }
}

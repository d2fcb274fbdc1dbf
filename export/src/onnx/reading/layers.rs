//! Turns the nodes of a graph into layers.

use std::collections::{BTreeMap, BTreeSet};

use kiln_space::{Architecture, Layer, LayerId, Op, Precision, Shape, Sparsity, WeightRef};

use super::error::OnnxError;
use super::graph::{FileGraph, shape};
use super::message::Node;
use super::rounding;
use crate::onnx::graph::Rank;
use crate::{Array, ExportError, Grid, Prediction};

/// The value of a layer, as nodes read it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Held {
    pub(super) layer: LayerId,
    pub(super) rank: Rank,
    /// The grid to which the value is rounded.
    pub(super) grid: Option<Grid>,
}

/// What a name of the graph stands for.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// The raw input.
    Raw,
    /// The raw input without its mean.
    Centered,
    Layer(Held),
    /// A layer's value as integers of its grid.
    Integers(Held),
    /// Weights or biases, computed from integers.
    Integral(Array),
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

/// What a file contains.
pub(super) struct Parts {
    pub(super) architecture: Architecture,
    pub(super) arrays: BTreeMap<String, Array>,
    pub(super) quantization: BTreeMap<String, Grid>,
    pub(super) mean: Vec<f32>,
    pub(super) deviation: Vec<f32>,
}

/// Layers read so far.
pub(super) struct Reading<'a> {
    pub(super) graph: &'a FileGraph<'a>,
    pub(super) values: BTreeMap<&'a str, Value>,
    /// Weights that a node has used. Kiln uses each only once.
    pub(super) used: BTreeSet<&'a str>,
    pub(super) layers: Vec<Layer>,
    /// For each layer, the grids of the values that it reads.
    pub(super) reads: Vec<Vec<Option<Grid>>>,
    /// For each layer, whether its weights are integers.
    pub(super) has_integers: Vec<bool>,
    /// The grids to which the values of layers are rounded.
    pub(super) grids: BTreeMap<LayerId, Grid>,
    pub(super) arrays: BTreeMap<String, Array>,
    /// Whether a node has read the raw input as the value of the input layer.
    pub(super) is_raw: bool,
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
            layers: vec![layer("input", Op::Input, Vec::new(), shape, None)],
            reads: vec![Vec::new()],
            has_integers: vec![false],
            grids: BTreeMap::new(),
            arrays: BTreeMap::new(),
            is_raw: false,
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
        match self.values.get(name) {
            Some(Value::Layer(held)) => Ok(*held),
            Some(Value::Raw) if self.mean.is_none() => {
                self.is_raw = true;
                Ok(Held { layer: LayerId(0), rank: self.graph.input.2, grid: None })
            }
            Some(_) => Err(node.inputs_error("the values of layers as inputs")),
            None if self.graph.tensors.contains_key(name) => {
                Err(node.inputs_error("the values of layers as inputs, not initializers"))
            }
            None => Err(undefined(node, name)),
        }
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
        let shapes: Vec<Shape> = inputs.iter().map(|input| self.shape(*input)).collect();
        let output = op.output_shape(&shapes).map_err(|source| OnnxError::Shapes {
            node: node.name.to_owned(),
            operation: node.operation.to_owned(),
            source,
        })?;
        let output = shape(<[usize; 3]>::from(output).map(|size| size as u64))?;
        let weights = weights.map(|[outputs, inputs]| WeightRef::leading(node.name, outputs, inputs));
        let ids = inputs.iter().map(|input| input.layer).collect();
        self.layers.push(layer(node.name, op, ids, output, weights));
        self.reads.push(inputs.iter().map(|input| input.grid).collect());
        self.has_integers.push(false);
        Ok(Held { layer: LayerId(self.layers.len() - 1), rank, grid: None })
    }

    /// Returns the parts of the file, when all nodes are read.
    pub(super) fn finish(self) -> Result<Parts, ExportError> {
        let refuse = |expected| OnnxError::Value { name: self.graph.output.to_owned(), expected };
        let held = match self.values.get(self.graph.output) {
            Some(Value::Layer(held)) => *held,
            Some(_) => return Err(refuse("the value of a layer").into()),
            None => return Err(refuse("the value of a node").into()),
        };
        if held.layer.0 + 1 != self.layers.len() {
            return Err(refuse("the value of the last layer").into());
        }
        if held.rank != Rank::Vector || held.grid.is_some() {
            return Err(refuse("a vector that is not rounded to 8 bits").into());
        }
        let channels = self.graph.input.1.channels;
        let mut architecture = Architecture { input: self.graph.input.1, layers: self.layers };
        architecture.validate()?;
        let quantization =
            rounding::formats(&mut architecture, &self.reads, &self.has_integers, &self.grids)?;
        Ok(Parts {
            architecture,
            arrays: self.arrays,
            quantization,
            mean: self.mean.unwrap_or_else(|| vec![0.0; channels]),
            deviation: self.deviation.unwrap_or_else(|| vec![1.0; channels]),
        })
    }
}

/// The error that a node reads a value that nothing before it defines.
pub(super) fn undefined(node: &Node<'_>, value: &str) -> OnnxError {
    OnnxError::Undefined {
        node: node.name.to_owned(),
        operation: node.operation.to_owned(),
        value: value.to_owned(),
    }
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

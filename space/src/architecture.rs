//! Describes a network as a list of layers. Counts, cost, weights and exported graphs are all derived from
//! this description.

use serde::{Deserialize, Serialize};

use crate::{Op, Precision, Shape, SpaceError, Sparsity, WeightRef};

/// Position of a layer in [`Architecture::layers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LayerId(pub usize);

/// One layer of a network: its operation, inputs and output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Unique name; exported files use it.
    pub name: String,
    /// What the layer computes.
    #[serde(flatten)]
    pub op: Op,
    /// Layers whose outputs this layer reads. They all precede this layer.
    pub inputs: Vec<LayerId>,
    /// Shape of this layer's output for one example.
    pub output: Shape,
    /// The shared parameter that the layer reads. Operations with weights have `Some`, and other operations
    /// `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightRef>,
    /// Number formats of weights and output.
    #[serde(default)]
    pub precision: Precision,
    /// Which weights are zero.
    #[serde(default)]
    pub sparsity: Sparsity,
}

/// A network without weights. Its layers are in topological order. The first layer is the input, and the last
/// layer is the output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Architecture {
    /// Shape of one input example.
    pub input: Shape,
    /// Layers in topological order.
    pub layers: Vec<Layer>,
}

impl Architecture {
    /// Shape of the network's output for one example.
    #[must_use]
    pub fn output(&self) -> Shape {
        self.layers.last().map_or(self.input, |layer| layer.output)
    }

    /// Returns the layer with this id.
    ///
    /// # Panics
    /// When the id belongs to another architecture.
    #[must_use]
    pub fn layer(&self, id: LayerId) -> &Layer {
        &self.layers[id.0]
    }

    /// Ids of all layers, in topological order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = LayerId> + use<> {
        (0..self.layers.len()).map(LayerId)
    }

    /// Shapes of a layer's inputs, in order.
    #[must_use]
    pub fn input_shapes(&self, id: LayerId) -> Vec<Shape> {
        self.layer(id).inputs.iter().map(|input| self.layer(*input).output).collect()
    }

    /// Returns, for each layer, whether it is live, that is, whether the network's output depends on it. Dead
    /// layers need not run, but the counts include them.
    #[must_use]
    pub fn live(&self) -> Vec<bool> {
        let mut live = vec![false; self.layers.len()];
        if let Some(last) = live.last_mut() {
            *last = true;
        }
        for id in self.ids().rev() {
            if live[id.0] && !matches!(self.layer(id).op, Op::Zero { .. }) {
                for input in &self.layer(id).inputs {
                    live[input.0] = true;
                }
            }
        }
        if let Some(input) = live.first_mut() {
            *input = true;
        }
        live
    }

    /// Returns, for each layer, the layers that read its output.
    #[must_use]
    pub fn readers(&self) -> Vec<Vec<LayerId>> {
        let mut readers = vec![Vec::new(); self.layers.len()];
        for id in self.ids() {
            for input in &self.layer(id).inputs {
                readers[input.0].push(id);
            }
        }
        readers
    }

    /// Checks order, names, shapes and weight references of every layer.
    ///
    /// # Errors
    /// [`SpaceError::Layer`] for the first inconsistent layer.
    pub fn validate(&self) -> Result<(), SpaceError> {
        let mut names = std::collections::BTreeSet::new();
        if !matches!(self.layers.first().map(|layer| &layer.op), Some(Op::Input)) {
            return Err(SpaceError::Layer {
                layer: "0".to_owned(),
                problem: "the first layer must be the input",
            });
        }
        for id in self.ids() {
            let layer = self.layer(id);
            let refuse =
                |problem: &'static str| Err(SpaceError::Layer { layer: layer.name.clone(), problem });
            if !names.insert(layer.name.as_str()) {
                return refuse("the name is used twice");
            }
            if layer.inputs.iter().any(|input| input.0 >= id.0) {
                return refuse("an input is not an earlier layer");
            }
            if !layer.output.is_countable() {
                return refuse("the output is too large to be counted");
            }
            if id.0 == 0 {
                if layer.output != self.input || !layer.inputs.is_empty() {
                    return refuse("the input layer must have the architecture's input shape and no inputs");
                }
                continue;
            }
            if layer.op.output_shape(&self.input_shapes(id))? != layer.output {
                return refuse("the stated output shape is not what the operation gives");
            }
            self.validate_weights(id)?;
        }
        Ok(())
    }

    fn validate_weights(&self, id: LayerId) -> Result<(), SpaceError> {
        let layer = self.layer(id);
        let refuse = |problem: &'static str| Err(SpaceError::Layer { layer: layer.name.clone(), problem });
        let Some(weights) = &layer.weights else {
            return if layer.op.has_weights() {
                refuse("the operation needs a weight reference")
            } else {
                Ok(())
            };
        };
        let channels = self.layer(layer.inputs[0]).output.channels;
        let inputs = match layer.op {
            Op::Conv2d { groups, .. } => channels / groups,
            Op::Linear { .. } => channels,
            Op::BatchNorm => 0,
            _ => return refuse("the operation reads no weights"),
        };
        let total = |segments: &[crate::Segment]| segments.iter().map(crate::Segment::len).sum::<usize>();
        if weights.outputs.iter().chain(&weights.inputs).any(|segment| segment.start > segment.end) {
            return refuse("a weight segment ends before it starts");
        }
        if total(&weights.outputs) != layer.output.channels || total(&weights.inputs) != inputs {
            return refuse("the weight segments do not add up to the layer's channels");
        }
        Ok(())
    }
}

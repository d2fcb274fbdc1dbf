//! Prepares a network for the code generator: names of layers and grids, fields, and the code that loads the
//! fields.

use std::collections::BTreeMap;
use std::fmt::Write;

use kiln_space::{ActivationKind, BATCH_NORM_EPSILON, Layer, LayerId, Op};

use super::names::Identifiers;
use super::source::plain;
use crate::{QuantizedNetwork, TrainedModel};

/// Maximum number of characters in a generated line.
pub(super) const LINE: usize = 100;

/// A model with an identifier for each live layer.
pub(super) struct Network<'a> {
    pub(super) model: &'a TrainedModel,
    pub(super) integers: QuantizedNetwork,
    /// Identifier of each layer. A folded normalization has the identifier of the layer into which it is
    /// folded.
    pub(super) names: BTreeMap<LayerId, String>,
    /// Field of each quantization grid, by the layer that owns the grid.
    pub(super) grids: BTreeMap<LayerId, String>,
    /// For each layer, how often other layers and the network's output read its value.
    pub(super) reads: BTreeMap<LayerId, usize>,
}

impl<'a> Network<'a> {
    pub(super) fn new(model: &'a TrainedModel) -> Self {
        let architecture = &model.architecture;
        let integers = QuantizedNetwork::of(model);
        let live = architecture.live();
        let mut identifiers = Identifiers::default();
        let mut names: BTreeMap<LayerId, String> = BTreeMap::new();
        for id in architecture.ids().filter(|id| live[id.0]) {
            let layer = architecture.layer(id);
            let folded = integers.plan.is_folded(id).then(|| names[&layer.inputs[0]].clone());
            names.insert(id, folded.unwrap_or_else(|| identifiers.of(&layer.name)));
        }
        let mut grid = |id| identifiers.of(&format!("{} grid", architecture.layer(id).name));
        let grids = integers.plan.owners().map(|owner| (owner, grid(owner))).collect();
        let mut network = Self { model, integers, names, grids, reads: BTreeMap::new() };
        let layers = network.live().flat_map(|(_, layer)| inputs(layer));
        let output = LayerId(architecture.layers.len() - 1);
        let read: Vec<LayerId> = layers.copied().chain([output]).map(|id| network.source(id)).collect();
        for id in read {
            *network.reads.entry(id).or_default() += 1;
        }
        network
    }

    /// Returns the layers that the generated code computes, in topological order and without the input.
    pub(super) fn live(&self) -> impl Iterator<Item = (LayerId, &'a Layer)> {
        let is_computed = |id: &&LayerId| id.0 > 0 && !self.integers.plan.is_folded(**id);
        self.names.keys().filter(is_computed).map(|id| (*id, self.model.architecture.layer(*id)))
    }

    /// Returns the layer whose identifier is bound to this layer's value.
    pub(super) fn source(&self, id: LayerId) -> LayerId {
        if self.integers.plan.is_folded(id) { self.model.architecture.layer(id).inputs[0] } else { id }
    }

    /// Whether a layer computes in single precision.
    pub(super) fn is_float(&self, id: LayerId) -> bool {
        !self.integers.kernels.contains_key(&id)
    }

    /// Whether the generated code reads anything from the weights file.
    pub(super) fn reads_weights(&self) -> bool {
        !self.grids.is_empty() || self.live().any(|(_, layer)| layer.op.has_weights())
    }

    /// Returns the types of `integers.rs` that occur as fields of the network, in a fixed order.
    pub(super) fn integer_types(&self) -> Vec<&'static str> {
        let has = |name| self.integers.kernels.keys().any(|id| self.kind(*id) == Some(name));
        let mut types = Vec::new();
        if !self.grids.is_empty() {
            types.push("Grid");
        }
        types.extend(["IntegerConv", "IntegerLinear"].into_iter().filter(|name| has(name)));
        types
    }

    /// Returns the type of a layer's field, or `None` if the layer has no field.
    fn kind(&self, id: LayerId) -> Option<&'static str> {
        match (&self.model.architecture.layer(id).op, self.is_float(id)) {
            (Op::Conv2d { .. }, true) => Some("Conv2d"),
            (Op::Conv2d { .. }, false) => Some("IntegerConv"),
            (Op::Linear { .. }, true) => Some("Linear"),
            (Op::Linear { .. }, false) => Some("IntegerLinear"),
            (Op::BatchNorm, _) => Some("BatchNorm"),
            _ => None,
        }
    }

    /// Generates the module's fields: normalization, quantization grids, and layers with weights.
    pub(super) fn structure(&self) -> String {
        let mut text =
            "/// The network with its weights.\n#[derive(Module, Debug)]\npub struct Network {\n".to_owned();
        text += "    /// Mean of each input channel, in raw units.\n    pub mean: Tensor<4>,\n";
        text += "    /// Standard deviation of each input channel, in raw units.\n";
        text += "    pub deviation: Tensor<4>,\n";
        for (owner, field) in &self.grids {
            let name = plain(&self.model.architecture.layer(*owner).name);
            let _ = writeln!(
                text,
                "    /// The values that `{name}` takes in 8 bits.\n    #[module(skip)]\n\
                 \x20   pub {field}: Grid,"
            );
        }
        for (id, layer) in self.live() {
            let Some(kind) = self.kind(id) else { continue };
            let (name, output) = (plain(&layer.name), layer.output);
            let norm =
                self.integers.plan.kernels().find(|(kernel, _)| *kernel == id).and_then(|(_, norm)| norm);
            let folded = norm.map(|norm| plain(&self.model.architecture.layer(norm).name));
            let folded = folded.map_or_else(String::new, |norm| format!(", `{norm}` folded in"));
            let _ = writeln!(
                text,
                "    /// `{name}`: to {output}{folded}.\n    pub {}: {kind},",
                self.names[&id]
            );
        }
        text + "}\n"
    }

    pub(super) fn loading(&self) -> String {
        let mut text = "    /// Reads the weights from the bytes of a safetensors file.\n".to_owned();
        let bytes = if self.reads_weights() { "bytes" } else { "_bytes" };
        let _ = writeln!(
            text,
            "    pub fn from_bytes({bytes}: &[u8], device: &Device) -> Result<Self, WeightsError> {{"
        );
        if self.reads_weights() {
            text += "        let weights = Weights::read(bytes, device)?;\n";
        }
        text += "        Ok(Self {\n";
        let preprocessing = &self.model.card.preprocessing;
        for (name, values) in [("mean", &preprocessing.mean), ("deviation", &preprocessing.deviation)] {
            let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
            let _ =
                writeln!(text, "            {name}: layers::per_channel([{}], device),", values.join(", "));
        }
        for (owner, field) in &self.grids {
            let name = &self.model.architecture.layer(*owner).name;
            let _ = writeln!(text, "            {field}: weights.grid({name:?})?,");
        }
        for (id, layer) in self.live() {
            if let Some((kind, config)) = self.config(id, layer) {
                text += &field(&self.names[&id], kind, &layer.name, &config);
            }
        }
        text + "        })\n    }\n"
    }

    /// Returns the name of the function that loads a layer, and the calls that build burn's configuration of
    /// the layer. Calls that would set a default are omitted.
    fn config(&self, id: LayerId, layer: &Layer) -> Option<(&'static str, Vec<String>)> {
        let inputs = layer.inputs.first().map_or(0, |id| self.model.architecture.layer(*id).output.channels);
        Some(match &layer.op {
            Op::Conv2d { out_channels, kernel, stride, padding, groups, bias } => {
                let mut config = vec![format!("Conv2dConfig::new([{inputs}, {out_channels}], {kernel:?})")];
                if *stride != [1, 1] {
                    config.push(format!(".with_stride({stride:?})"));
                }
                if *padding != [0, 0] {
                    let [y, x] = padding;
                    config.push(format!(".with_padding(PaddingConfig2d::Explicit({y}, {x}, {y}, {x}))"));
                }
                if *groups != 1 {
                    config.push(format!(".with_groups({groups})"));
                }
                if self.is_float(id) {
                    config.extend(without_bias(*bias));
                    ("conv", config)
                } else {
                    ("integer_conv", config)
                }
            }
            Op::Linear { out_features, bias } => {
                let mut config = vec![format!("LinearConfig::new({inputs}, {out_features})")];
                if self.is_float(id) {
                    config.extend(without_bias(*bias));
                    ("linear", config)
                } else {
                    ("integer_linear", config)
                }
            }
            Op::BatchNorm => {
                let channels = layer.output.channels;
                let epsilon = format!(".with_epsilon({BATCH_NORM_EPSILON:?})");
                ("norm", vec![format!("BatchNormConfig::new({channels})"), epsilon])
            }
            _ => return None,
        })
    }
}

/// Generates the code that loads a field, on one line or on several.
fn field(field: &str, kind: &str, name: &str, config: &[String]) -> String {
    let line = format!("            {field}: weights.{kind}({name:?}, &{})?,\n", config.join(""));
    if line.len() <= LINE {
        return line;
    }
    let config = config.join(&format!("\n{}", " ".repeat(20)));
    format!(
        "            {field}: weights.{kind}(\n                {name:?},\n                &{config},\n\
         \x20           )?,\n"
    )
}

/// Returns the name of the activation's function in `burn::tensor::activation`, or `None` if burn has none.
pub(super) const fn burn_activation(op: &Op) -> Option<&'static str> {
    match op {
        Op::Activation { kind } => match kind {
            ActivationKind::Relu => Some("relu"),
            ActivationKind::Sigmoid => Some("sigmoid"),
            ActivationKind::Silu => Some("silu"),
            ActivationKind::Tanh => Some("tanh"),
            ActivationKind::Gelu => Some("gelu"),
            ActivationKind::Relu6 | ActivationKind::HardSwish | ActivationKind::HardSigmoid => None,
        },
        _ => None,
    }
}

/// Returns the layers that a layer reads.
pub(super) fn inputs(layer: &Layer) -> &[LayerId] {
    if matches!(layer.op, Op::Zero { .. }) { &[] } else { &layer.inputs }
}

fn without_bias(bias: bool) -> Option<String> {
    (!bias).then(|| ".with_bias(false)".to_owned())
}

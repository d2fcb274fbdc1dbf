//! The source code of a network: a burn module, how it is loaded, and its forward pass.

use std::collections::BTreeMap;
use std::fmt::Write;

use kiln_space::{ActivationKind, BATCH_NORM_EPSILON, Layer, LayerId, Op, PoolKind};

use super::names::{Identifiers, package};
use crate::{Prediction, TrainedModel};

/// `src/lib.rs` of a checked model.
pub(super) fn library(model: &TrainedModel) -> String {
    let network = Network::new(model);
    let (library, input) = (package(&model.card.name).replace('-', "_"), model.architecture.input);
    let shape = format!("{}, {}, {}", input.channels, input.height, input.width);
    let words = Words::of(model.card.predicts);
    let mut text = String::new();
    let mut put = |part: &str| text.push_str(part);
    put(&documentation(model, &library, &shape));
    put(&imports(&network));
    let classes: Vec<String> = model.card.classes.iter().map(|class| format!("{class:?}")).collect();
    put(&format!(
        "/// `[channels, height, width]` of one example.\npub const INPUT: [usize; 3] = [{shape}];\n\n\
         /// {}\npub const {}: [&str; {}] = [{}];\n\n",
        words.names,
        words.list,
        classes.len(),
        classes.join(", ")
    ));
    put(&network.structure());
    put("\nimpl Network {\n");
    put(LOAD);
    put(&network.loading());
    put("\n");
    put(&network.forward());
    put("}\n");
    text
}

/// How the code speaks of what the network gives.
struct Words {
    outputs: &'static str,
    /// Name of the list of their names, and what is said about it.
    list: &'static str,
    names: &'static str,
    /// What is said about their units.
    unit: &'static str,
    forward: &'static str,
}

impl Words {
    const fn of(predicts: Prediction) -> Self {
        match predicts {
            Prediction::Classes => Self {
                outputs: "logits",
                list: "CLASSES",
                names: "Names of the classes, in the order of the logits.",
                unit: "",
                forward: "Logits of a batch of raw values.",
            },
            Prediction::Values => Self {
                outputs: "values",
                list: "VALUES",
                names: "Names of the predicted values, in the order of the outputs.",
                unit: ", each in its own unit",
                forward: "Predicted values of a batch of raw inputs, each in its own unit.",
            },
        }
    }
}

/// Characters of a line that is not broken.
const LINE: usize = 100;
const LOAD: &str = r"    /// Reads the weights from a safetensors file.
    pub fn load(path: &Path, device: &Device) -> Result<Self, WeightsError> {
        Self::from_bytes(&std::fs::read(path).map_err(WeightsError::File)?, device)
    }

";

fn documentation(model: &TrainedModel, library: &str, shape: &str) -> String {
    let card = &model.card;
    let words = Words::of(card.predicts);
    let mut lines = vec![
        format!("The network `{}`, as a burn module.", plain(&card.name)),
        String::new(),
        format!(
            "It takes raw values `[batch, {shape}]` ({}), normalizes them, and gives",
            plain(&card.preprocessing.input)
        ),
        format!(
            "{} `[batch, {}]` in the order of [`{}`]{}.",
            words.outputs,
            card.classes.len(),
            words.list,
            words.unit
        ),
        String::new(),
        "```no_run".to_owned(),
        "use std::path::Path;".to_owned(),
        String::new(),
        "use burn::tensor::{Device, Tensor};".to_owned(),
        format!("use {library}::Network;"),
        String::new(),
        "let device = Device::flex();".to_owned(),
        "let network = Network::load(Path::new(\"weights.safetensors\"), &device)?;".to_owned(),
        format!("let {} = network.forward(Tensor::<4>::zeros([1, {shape}], &device));", words.outputs),
        format!("# Ok::<(), {library}::layers::WeightsError>(())"),
        "```".to_owned(),
        String::new(),
        format!("- Parameters: {}; multiply-accumulates for one example: {}", card.parameters, card.macs),
        format!("- Data: {}", plain(&card.data)),
        format!("- Training: {}", plain(&card.training)),
    ];
    let metrics = card.metrics.iter();
    lines.extend(
        metrics
            .map(|metric| format!("- `{}`: {} ({})", plain(&metric.name), metric.value, plain(&metric.how))),
    );
    lines.push(String::new());
    lines.push(format!("Written by Kiln {}.", env!("CARGO_PKG_VERSION")));
    let comment = |line: String| if line.is_empty() { "//!\n".to_owned() } else { format!("//! {line}\n") };
    lines.into_iter().map(comment).collect::<String>() + "\n"
}

/// Text on one line that a documentation comment shows as it stands.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ").replace('[', "\\[").replace('<', "\\<")
}

fn imports(network: &Network<'_>) -> String {
    let uses = |matches: fn(&Op) -> bool| network.live().any(|(_, layer)| matches(&layer.op));
    let mut layers = Vec::new();
    let mut lines = vec!["use burn::module::Module;".to_owned()];
    if uses(|op| matches!(op, Op::Conv2d { padding, .. } if *padding != [0, 0])) {
        layers.push("PaddingConfig2d");
    }
    if uses(|op| matches!(op, Op::Conv2d { .. })) {
        lines.push("use burn::nn::conv::{Conv2d, Conv2dConfig};".to_owned());
    }
    if uses(|op| matches!(op, Op::Linear { .. })) {
        layers.extend(["Linear", "LinearConfig"]);
    }
    if uses(|op| matches!(op, Op::BatchNorm)) {
        layers.extend(["BatchNorm", "BatchNormConfig"]);
    }
    layers.sort_unstable();
    if layers.len() == 1 {
        lines.push(format!("use burn::nn::{};", layers[0]));
    } else if !layers.is_empty() {
        lines.push(format!("use burn::nn::{{{}}};", layers.join(", ")));
    }
    if uses(|op| burn_activation(op).is_some()) {
        lines.push("use burn::tensor::activation;".to_owned());
    }
    lines.push("use burn::tensor::{Device, Tensor};".to_owned());
    let reads = if uses(Op::has_weights) { "{Weights, WeightsError}" } else { "WeightsError" };
    let modules = format!("pub mod layers;\n\nuse std::path::Path;\n\n{}\n", lines.join("\n"));
    format!("{modules}\nuse layers::{reads};\n\n")
}

/// The function of burn that an activation is, by its name in `burn::tensor::activation`.
const fn burn_activation(op: &Op) -> Option<&'static str> {
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

/// A model with an identifier for each layer that the output depends on.
struct Network<'a> {
    model: &'a TrainedModel,
    names: BTreeMap<LayerId, String>,
    /// How often each layer's value is read.
    reads: BTreeMap<LayerId, usize>,
}

impl<'a> Network<'a> {
    fn new(model: &'a TrainedModel) -> Self {
        let architecture = &model.architecture;
        let live = architecture.live();
        let mut identifiers = Identifiers::default();
        let mut names = BTreeMap::new();
        let mut reads = BTreeMap::new();
        for id in architecture.ids().filter(|id| live[id.0]) {
            names.insert(id, identifiers.of(&architecture.layer(id).name));
            for input in inputs(architecture.layer(id)) {
                *reads.entry(*input).or_default() += 1;
            }
        }
        let output = LayerId(architecture.layers.len() - 1);
        *reads.entry(output).or_default() += 1;
        Self { model, names, reads }
    }

    /// Layers in topological order, without the input.
    fn live(&self) -> impl Iterator<Item = (LayerId, &'a Layer)> {
        let architecture = &self.model.architecture;
        self.names.keys().filter(|id| id.0 > 0).map(|id| (*id, architecture.layer(*id)))
    }

    /// The module's fields: what has weights, and the normalization.
    fn structure(&self) -> String {
        let mut text =
            "/// The network with its weights.\n#[derive(Module, Debug)]\npub struct Network {\n".to_owned();
        text += "    /// Mean of each input channel, in raw units.\n    pub mean: Tensor<4>,\n";
        text += "    /// Standard deviation of each input channel, in raw units.\n    pub deviation: Tensor<4>,\n";
        for (id, layer) in self.live() {
            let kind = match layer.op {
                Op::Conv2d { .. } => "Conv2d",
                Op::Linear { .. } => "Linear",
                Op::BatchNorm => "BatchNorm",
                _ => continue,
            };
            let (name, output) = (plain(&layer.name), layer.output);
            let _ = writeln!(text, "    /// `{name}`: to {output}.\n    pub {}: {kind},", self.names[&id]);
        }
        text + "}\n"
    }

    fn loading(&self) -> String {
        let mut text = "    /// Reads the weights from the bytes of a safetensors file.\n".to_owned();
        let has_weights = self.live().any(|(_, layer)| layer.op.has_weights());
        let bytes = if has_weights { "bytes" } else { "_bytes" };
        let _ = writeln!(
            text,
            "    pub fn from_bytes({bytes}: &[u8], device: &Device) -> Result<Self, WeightsError> {{"
        );
        if has_weights {
            text += "        let weights = Weights::read(bytes, device)?;\n";
        }
        text += "        Ok(Self {\n";
        let preprocessing = &self.model.card.preprocessing;
        for (name, values) in [("mean", &preprocessing.mean), ("deviation", &preprocessing.deviation)] {
            let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
            let _ =
                writeln!(text, "            {name}: layers::per_channel([{}], device),", values.join(", "));
        }
        for (id, layer) in self.live() {
            if let Some((kind, config)) = self.config(layer) {
                let (field, name) = (&self.names[&id], &layer.name);
                let line = format!("            {field}: weights.{kind}({name:?}, &{})?,", config.join(""));
                if line.len() <= LINE {
                    let _ = writeln!(text, "{line}");
                } else {
                    let indented = format!("\n{}", " ".repeat(20));
                    let config = config.join(&indented);
                    let _ = writeln!(
                        text,
                        "            {field}: weights.{kind}(\n                {name:?},\n                &{config},\n            )?,"
                    );
                }
            }
        }
        text + "        })\n    }\n"
    }

    /// The function that reads a layer, and burn's description of it: a call and the calls on it, defaults left out.
    fn config(&self, layer: &Layer) -> Option<(&'static str, Vec<String>)> {
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
                config.extend(without_bias(*bias));
                ("conv", config)
            }
            Op::Linear { out_features, bias } => {
                let config = format!("LinearConfig::new({inputs}, {out_features})");
                ("linear", std::iter::once(config).chain(without_bias(*bias)).collect())
            }
            Op::BatchNorm => {
                let channels = layer.output.channels;
                let epsilon = format!(".with_epsilon({BATCH_NORM_EPSILON:?})");
                ("norm", vec![format!("BatchNormConfig::new({channels})"), epsilon])
            }
            _ => return None,
        })
    }

    fn forward(&self) -> String {
        let words = Words::of(self.model.card.predicts);
        let mut text = format!("    /// {}\n    ///\n    /// # Shapes\n", words.forward);
        let (input, output) = (self.model.architecture.input, self.model.card.classes.len());
        let shape = format!("{}, {}, {}", input.channels, input.height, input.width);
        let _ = writeln!(text, "    /// - `raw`: `[batch, {shape}]`\n    /// - output: `[batch, {output}]`");
        text += "    pub fn forward(&self, raw: Tensor<4>) -> Tensor<2> {\n";
        if self.live().any(|(_, layer)| matches!(layer.op, Op::Zero { .. })) {
            text += "        let (batch, device) = (raw.dims()[0], raw.device());\n";
        }
        let mut left = self.reads.clone();
        if self.reads.contains_key(&LayerId(0)) {
            let name = &self.names[&LayerId(0)];
            let _ =
                writeln!(text, "        let {name} = (raw - self.mean.clone()) / self.deviation.clone();");
        }
        for (id, layer) in self.live() {
            let values: Vec<String> =
                inputs(layer).iter().map(|input| self.read(*input, &mut left)).collect();
            let _ =
                writeln!(text, "        let {} = {};", self.names[&id], self.expression(id, layer, &values));
        }
        let output = LayerId(self.model.architecture.layers.len() - 1);
        let _ = writeln!(text, "        {}.flatten(1, 3)\n    }}", self.names[&output]);
        text
    }

    /// A layer's value, moved by its last reader.
    fn read(&self, id: LayerId, left: &mut BTreeMap<LayerId, usize>) -> String {
        let name = &self.names[&id];
        let left = left.get_mut(&id).expect("every input is counted");
        *left -= 1;
        if *left == 0 { name.clone() } else { format!("{name}.clone()") }
    }

    fn expression(&self, id: LayerId, layer: &Layer, values: &[String]) -> String {
        let field = &self.names[&id];
        let first = values.first().map_or("", String::as_str);
        match &layer.op {
            Op::Input => unreachable!("the input is layer 0 alone"),
            Op::Zero { .. } => {
                let [channels, height, width]: [usize; 3] = layer.output.into();
                format!("Tensor::<4>::zeros([batch, {channels}, {height}, {width}], &device)")
            }
            Op::Conv2d { .. } | Op::BatchNorm => format!("self.{field}.forward({first})"),
            Op::Linear { .. } => format!("layers::fully_connected(&self.{field}, {first})"),
            Op::Activation { kind } => match burn_activation(&layer.op) {
                Some(function) => format!("activation::{function}({first})"),
                None => format!("layers::{}({first})", kind.name()),
            },
            Op::Pool { kind, kernel, stride, padding } => {
                let function = match kind {
                    PoolKind::Max => "max_pool",
                    PoolKind::Average => "average_pool",
                };
                format!("layers::{function}({first}, {kernel:?}, {stride:?}, {padding:?})")
            }
            Op::GlobalPool => format!("layers::global_average({first})"),
            Op::Flatten => format!("layers::flattened({first})"),
            Op::Add => values.join(" + "),
            Op::Concat => format!("Tensor::cat(vec![{}], 1)", values.join(", ")),
            Op::Mul => values.join(" * "),
        }
    }
}

/// The layers whose values a layer reads.
fn inputs(layer: &Layer) -> &[LayerId] {
    if matches!(layer.op, Op::Zero { .. }) { &[] } else { &layer.inputs }
}

fn without_bias(bias: bool) -> Option<String> {
    (!bias).then(|| ".with_bias(false)".to_owned())
}

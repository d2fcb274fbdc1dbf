//! Generates the file `src/lib.rs` of a package: documentation, imports and the network.

use kiln_space::Op;

use super::names::package;
use super::network::{Network, burn_activation};
use crate::{Prediction, TrainedModel, plain_text};

/// Generates the file `src/lib.rs` for a valid model.
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
    put(&network.forward(words.forward));
    put("}\n");
    text
}

/// The words that the generated code uses for this kind of prediction.
struct Words {
    outputs: &'static str,
    /// Name of the constant that lists the outputs' names.
    list: &'static str,
    names: &'static str,
    /// A remark about the units of the outputs.
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

/// Escapes text for one line of a documentation comment.
pub(super) fn plain(text: &str) -> String {
    plain_text(text).replace('[', "\\[").replace('<', "\\<")
}

fn imports(network: &Network<'_>) -> String {
    let uses = |matches: fn(&Op) -> bool| network.live().any(|(_, layer)| matches(&layer.op));
    // Count only single-precision layers, because 8-bit layers have their own types.
    let keeps = |matches: fn(&Op) -> bool| {
        network.live().any(|(id, layer)| matches(&layer.op) && network.is_float(id))
    };
    let conv: fn(&Op) -> bool = |op| matches!(op, Op::Conv2d { .. });
    let linear: fn(&Op) -> bool = |op| matches!(op, Op::Linear { .. });
    let mut layers = Vec::new();
    let mut lines = vec!["use burn::module::Module;".to_owned()];
    if uses(|op| matches!(op, Op::Conv2d { padding, .. } if *padding != [0, 0])) {
        layers.push("PaddingConfig2d");
    }
    if keeps(conv) {
        lines.push("use burn::nn::conv::{Conv2d, Conv2dConfig};".to_owned());
    } else if uses(conv) {
        lines.push("use burn::nn::conv::Conv2dConfig;".to_owned());
    }
    if keeps(linear) {
        layers.push("Linear");
    }
    if uses(linear) {
        layers.push("LinearConfig");
    }
    if keeps(|op| matches!(op, Op::BatchNorm)) {
        layers.extend(["BatchNorm", "BatchNormConfig"]);
    }
    layers.sort_unstable();
    lines.extend(import("burn::nn", &layers));
    if uses(|op| burn_activation(op).is_some()) {
        lines.push("use burn::tensor::activation;".to_owned());
    }
    lines.push("use burn::tensor::{Device, Tensor};".to_owned());
    let integers = network.integer_types();
    let mut modules = vec!["pub mod layers;"];
    if !integers.is_empty() {
        modules.insert(0, "pub mod integers;");
    }
    let reads: &[_] = if network.reads_weights() { &["Weights", "WeightsError"] } else { &["WeightsError"] };
    let own =
        [import("integers", &integers), import("layers", reads)].into_iter().flatten().collect::<Vec<_>>();
    let (modules, lines, own) = (modules.join("\n"), lines.join("\n"), own.join("\n"));
    format!("{modules}\n\nuse std::path::Path;\n\n{lines}\n\n{own}\n\n")
}

/// Generates the line that imports `names` from a module. Returns `None` if there are no names.
fn import(module: &str, names: &[&str]) -> Option<String> {
    match names {
        [] => None,
        [name] => Some(format!("use {module}::{name};")),
        names => Some(format!("use {module}::{{{}}};", names.join(", "))),
    }
}

//! Fully connected networks. The number of hidden layers, their widths and the activation vary.

use std::sync::Arc;

use serde::Deserialize;

use crate::{
    ActivationKind, Activity, Architecture, ArchitectureBuilder, Decision, Genotype, Op, Options,
    ParameterSpec, Samples, SearchSpace, Settings, SettingsError, Shape, SpaceError, SpacePart, TASK_KEYS,
    Task, Variable, variation,
};

/// Maximum number of hidden layers.
const LAYERS_MAX: usize = 64;
/// Maximum number of neurons in a layer.
const WIDTH_MAX: usize = 1 << 16;

/// The settings of an MLP space.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MlpSettings {
    input: Option<Shape>,
    outputs: Option<usize>,
    layers: Options<usize>,
    width: Options<usize>,
    #[serde(default = "relu")]
    activation: Options<ActivationKind>,
    #[serde(default = "off")]
    batch_norm: Options<bool>,
}

fn relu() -> Options<ActivationKind> {
    ActivationKind::Relu.into()
}

fn off() -> Options<bool> {
    false.into()
}

/// The space of fully connected networks. A hidden layer consists of a linear layer, an optional batch
/// normalization and an activation. The last layer of the network is linear. Layers at the same position
/// share weights. A narrower layer reads the weights of the first neurons.
///
/// Each setting takes one value or a list:
/// - `layers`: number of hidden layers.
/// - `width`: neurons of a hidden layer; each layer has its own decision.
/// - `activation` (`relu` by default): one decision for the whole network.
/// - `batch_norm` (`false` by default): one decision for the whole network.
#[derive(Clone, Debug)]
pub struct Mlp {
    task: Task,
    decisions: Vec<Decision>,
    layers: Variable<usize>,
    widths: Vec<Variable<usize>>,
    activation: Variable<ActivationKind>,
    batch_norm: Variable<bool>,
}

/// The registry entry of this space.
pub(crate) const PART: SpacePart =
    SpacePart::new("fully connected layers", build).with_keys(&[TASK_KEYS, KEYS]).tested_with(SAMPLES);

/// Descriptions of the settings that only this space has.
const KEYS: &str = r##"
layers = { "$ref" = "#/$defs/count_or_list", description = "Number of hidden layers." }
width = { "$ref" = "#/$defs/count_or_list", description = "Units, chosen for each layer." }
activation = { "$ref" = "#/$defs/activation_or_list", description = "Nonlinearity.", default = "relu" }

[batch_norm]
"$ref" = "#/$defs/flag_or_list"
description = "Whether layers are normalized."
default = false
"##;

/// Sample settings with which tests check the laws.
const SAMPLES: Samples = &[
    r#"{ "layers": 1, "width": 4 }"#,
    r#"{
        "layers": [0, 1, 3], "width": [4, 16], "activation": ["relu", "tanh"], "batch_norm": [false, true]
    }"#,
];

/// Builds the space from its settings.
fn build(settings: &Settings, data: Option<Task>) -> Result<Arc<dyn SearchSpace>, SettingsError> {
    Ok(Arc::new(Mlp::from_settings(settings, data)?))
}

impl Mlp {
    /// Builds the space from its settings. `data` is the task of the study's data.
    ///
    /// # Errors
    /// [`SettingsError`] that names the key.
    pub fn from_settings(settings: &Settings, data: Option<Task>) -> Result<Self, SettingsError> {
        let own: MlpSettings = settings.read()?;
        let task = Task::resolve(data, settings, own.input, own.outputs)?;
        own.layers.check(settings, "layers", "0 to 64", |layers| *layers <= LAYERS_MAX)?;
        own.width.check(settings, "width", "1 to 65536", |width| (1..=WIDTH_MAX).contains(width))?;
        own.activation.check(settings, "activation", "an activation", |_| true)?;
        own.batch_norm.check(settings, "batch_norm", "`true` or `false`", |_| true)?;

        let mut decisions = Vec::new();
        let layers = Variable::add(&mut decisions, "layers", &own.layers, Activity::Always);
        let reaches = |count| layers.activity(Activity::Always, |layers| layers >= count);
        let activation = Variable::add(&mut decisions, "activation", &own.activation, reaches(1));
        let batch_norm = Variable::add(&mut decisions, "batch_norm", &own.batch_norm, reaches(1));
        let most = layers.values().iter().copied().max().unwrap_or(0);
        let widths = (0..most)
            .map(|i| Variable::add(&mut decisions, format!("layer{i}.width"), &own.width, reaches(i + 1)))
            .collect();
        Ok(Self { task, decisions, layers, widths, activation, batch_norm })
    }

    fn network(
        &self,
        widths: &[usize],
        activation: ActivationKind,
        batch_norm: bool,
    ) -> Result<Architecture, SpaceError> {
        let mut net = ArchitectureBuilder::new(self.task.input);
        let mut x = net.input();
        if self.task.input.positions() != 1 {
            x = net.add("flatten", Op::Flatten, &[x], None)?;
        }
        for (i, width) in widths.iter().enumerate() {
            x = net.linear(format!("layer{i}.linear"), x, *width)?;
            if batch_norm {
                x = net.batch_norm(format!("layer{i}.bn"), x)?;
            }
            x = net.activation(format!("layer{i}.act"), x, activation)?;
        }
        // A linear classifier of raw inputs must not share weights with a classifier of hidden neurons.
        net.linear(if widths.is_empty() { "direct" } else { "head" }, x, self.task.outputs)?;
        net.finish()
    }
}

impl SearchSpace for Mlp {
    fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    fn decode(&self, genotype: &Genotype) -> Result<Architecture, SpaceError> {
        variation::check(&self.decisions, genotype)?;
        let genes = genotype.genes();
        let widths: Vec<usize> =
            self.widths[..self.layers.value(genes)].iter().map(|width| width.value(genes)).collect();
        self.network(&widths, self.activation.value(genes), self.batch_norm.value(genes))
    }

    fn canonical(&self, genotype: &Genotype) -> Genotype {
        if variation::check(&self.decisions, genotype).is_err() {
            return genotype.clone();
        }
        variation::normalize(&self.decisions, genotype.genes())
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        let widest: Vec<usize> =
            self.widths.iter().map(|width| width.values().iter().copied().max().unwrap_or(1)).collect();
        let largest: Vec<Architecture> = self
            .layers
            .values()
            .iter()
            .flat_map(|layers| self.batch_norm.values().iter().map(move |norm| (*layers, *norm)))
            .map(|(layers, norm)| self.network(&widest[..layers], ActivationKind::Relu, norm))
            .map(|network| network.expect("sizes were checked with the settings"))
            .collect();
        ParameterSpec::covering(&largest)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const DIGITS: Task = Task { input: Shape::new(1, 8, 8), outputs: 10 };

    fn mlp(table: Value) -> Result<Mlp, SettingsError> {
        let Value::Object(table) = table else { panic!("a table") };
        Mlp::from_settings(&Settings::new("space", table), Some(DIGITS))
    }

    #[test]
    fn counts_of_two_layers_match_hand_computation() {
        let space = mlp(json!({ "layers": [0, 2], "width": [16, 32], "batch_norm": [false, true] })).unwrap();
        let names: Vec<&str> = space.decisions().iter().map(|decision| decision.name.as_str()).collect();
        assert_eq!(names, ["layers", "batch_norm", "layer0.width", "layer1.width"]);
        // Parameters: 64 x 16 + 16, batch normalization 2 x 16, 16 x 32 + 32, batch normalization 2 x 32, 32
        // x 10 + 10.
        let counts = space.decode(&Genotype::new([1, 1, 0, 1])).unwrap().counts();
        assert_eq!(counts.macs, 64 * 16 + 16 * 32 + 32 * 10);
        assert_eq!(counts.parameters, 1_040 + 32 + 544 + 64 + 330);
        let linear = space.decode(&Genotype::new([0, 0, 0, 0])).unwrap().counts();
        assert_eq!((linear.macs, linear.parameters), (640, 650));
        assert_eq!(crate::size::count(&space), (1_u32 + 2 * 2 * 2).into());
    }

    #[test]
    fn parameters_have_the_largest_shapes() {
        let space = mlp(json!({ "layers": [1, 2], "width": [16, 32] })).unwrap();
        let specs = space.parameters();
        let found = specs.iter().map(|spec| (spec.key.as_str(), spec.kind.clone())).collect::<Vec<_>>();
        let linear = |outputs, inputs| crate::ParameterKind::Linear { outputs, inputs, bias: true };
        assert_eq!(
            found,
            [("layer0.linear", linear(32, 64)), ("head", linear(10, 32)), ("layer1.linear", linear(32, 32))]
        );
    }

    #[test]
    fn impossible_settings_name_their_key() {
        let message = |table| mlp(table).unwrap_err().to_string();
        assert_eq!(
            message(json!({ "layers": 1, "width": [16, 0] })),
            "`space.width`: found `0`, expected 1 to 65536"
        );
        assert_eq!(
            message(json!({ "layers": [1, 1], "width": 16 })),
            "`space.layers`: found `1` twice, expected each value once"
        );
        assert_eq!(
            message(json!({ "layers": 1, "width": 16, "activation": "relo" })),
            "`space.activation`: unknown variant `relo`, expected one of `relu`, `relu6`, `hard_swish`, \
             `hard_sigmoid`, `sigmoid`, `silu`, `tanh`, `gelu`"
        );
        assert_eq!(
            message(json!({ "layers": 1, "width": 16, "outputs": 3 })),
            "`space.outputs`: found `3`, expected `10` as in the data, or no such key"
        );
        let Value::Object(table) = json!({ "layers": 1, "width": 16 }) else { panic!("a table") };
        assert_eq!(
            Mlp::from_settings(&Settings::new("space", table), None).unwrap_err().to_string(),
            "`space.input`: found nothing, expected `[channels, height, width]`, or data to take it from"
        );
    }
}

//! A custom search space: fully connected networks in which each layer has half the width of the previous
//! layer. The space is registered under a name and then searched like any other.
//!
//! ```console
//! $ cargo run --release --example own_space
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to its reader")]

mod run;

use std::sync::Arc;

use anyhow::Result;
use kiln::assembly::Registries;
use kiln_space::{
    ActivationKind, Architecture, ArchitectureBuilder, Decision, Genotype, Op, ParameterSpec, SearchSpace,
    Settings, SettingsError, Shape, SpaceError, Task, variation,
};
use serde::Deserialize;

const CONFIG: &str = r#"
    study = { name = "funnel", seed = 1 }
    data = { kind = "digits" }
    space = { kind = "funnel", width = [32, 64, 128] }
    hardware = [{ device = "cortex-m7", latency_max_us = 2000 }]
    evaluator = { kind = "supernet", epochs = 5, batch = 64 }

    [search]
    strategy = "random"
    trials = 12
    objectives = ["error_percent", "latency_us"]
"#;

/// Settings of the space.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FunnelSettings {
    /// Options for the width of the first layer.
    width: Vec<usize>,
}

/// The space of fully connected networks in which each hidden layer has half as many units as the previous
/// one.
struct Funnel {
    task: Task,
    widths: Vec<usize>,
    decisions: Vec<Decision>,
}

/// Options for the number of hidden layers.
const LAYERS: [usize; 3] = [1, 2, 3];

/// Reads the settings. `main` registers this function.
fn build(settings: &Settings, data: Option<Task>) -> Result<Arc<dyn SearchSpace>, SettingsError> {
    let FunnelSettings { width: widths } = settings.read()?;
    // The task follows from the data of the study. Without data, `Task::resolve` returns an error.
    let task = Task::resolve(data, settings, None, None)?;
    if widths.is_empty() || widths.iter().any(|width| !(8..=4096).contains(width)) {
        return Err(SettingsError::value(
            settings.key("width"),
            format!("{widths:?}"),
            "widths from 8 to 4096",
        ));
    }
    let decision = |name: &str, options: &[usize]| Decision {
        name: name.to_owned(),
        options: options.iter().map(|size| (*size).into()).collect(),
        active_if: None,
    };
    let decisions = vec![decision("width", &widths), decision("layers", &LAYERS)];
    Ok(Arc::new(Funnel { task, widths, decisions }))
}

impl Funnel {
    fn network(&self, width: usize, layers: usize) -> Result<Architecture, SpaceError> {
        let mut net = ArchitectureBuilder::new(self.task.input);
        let mut x = net.input();
        if self.task.input != Shape::vector(self.task.input.channels) {
            x = net.add("flatten", Op::Flatten, &[x], None)?;
        }
        for layer in 0..layers {
            // Layers with the same name share weights. A narrower layer reads the first neurons.
            x = net.linear(format!("layer{layer}"), x, width >> layer)?;
            x = net.activation(format!("layer{layer}.act"), x, ActivationKind::Relu)?;
        }
        // The name contains the number of layers, so that heads after different layers share no weights.
        net.linear(format!("head{layers}"), x, self.task.outputs)?;
        net.finish()
    }
}

impl SearchSpace for Funnel {
    fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    fn decode(&self, genotype: &Genotype) -> Result<Architecture, SpaceError> {
        variation::check(&self.decisions, genotype)?;
        let genes = genotype.genes();
        self.network(self.widths[usize::from(genes[0])], LAYERS[usize::from(genes[1])])
    }

    /// In this space, different genotypes always mean different networks, so every genotype is canonical.
    fn canonical(&self, genotype: &Genotype) -> Genotype {
        genotype.clone()
    }

    /// The largest networks contain all weights of the space.
    fn parameters(&self) -> Vec<ParameterSpec> {
        let widest = self.widths.iter().copied().max().unwrap_or(8);
        let largest = LAYERS.map(|layers| self.network(widest, layers).expect("sizes were checked"));
        ParameterSpec::covering(&largest)
    }
}

fn main() -> Result<()> {
    let mut registries = Registries::builtin();
    registries.spaces.register("funnel", "layers that narrow by half", build);
    run::study(&registries, CONFIG)
}

//! A search space of one's own: fully connected networks whose layers narrow by a constant factor. It is registered under a name
//! and then searched like any other.
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

/// What the config says of the space.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FunnelSettings {
    /// Widths that the first layer may have.
    width: Vec<usize>,
}

/// `layers` hidden layers, the first `width` wide and each next one half as wide.
struct Funnel {
    task: Task,
    widths: Vec<usize>,
    decisions: Vec<Decision>,
}

/// Hidden layers that a network may have.
const LAYERS: [usize; 3] = [1, 2, 3];

/// Reads the settings; this function is what is registered.
fn build(settings: &Settings, data: Option<Task>) -> Result<Arc<dyn SearchSpace>, SettingsError> {
    let FunnelSettings { width: widths } = settings.read()?;
    // A network for the data of the study. `Task::resolve` complains where there are none.
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
            // Layers of one name share weights; narrower ones read the first neurons.
            x = net.linear(format!("layer{layer}"), x, width >> layer)?;
            x = net.activation(format!("layer{layer}.act"), x, ActivationKind::Relu)?;
        }
        // What follows another layer shares no weights with it.
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

    /// No two genotypes mean the same network here.
    fn canonical(&self, genotype: &Genotype) -> Genotype {
        genotype.clone()
    }

    /// The largest networks hold every weight.
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

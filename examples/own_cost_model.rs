//! A custom cost model: an accelerator that computes 256 multiplications per cycle and otherwise waits for
//! memory. Studies enforce limits on the model's predictions, and screens and tables show the predictions.
//!
//! ```console
//! $ cargo run --release --example own_cost_model
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to its reader")]

mod run;

use std::sync::Arc;

use anyhow::Result;
use kiln::assembly::Registries;
use kiln_hw_models::{
    Cost, CostModel, Device, Estimate, HwError, Interval, Schedule, model_bytes, peak_memory_bytes,
};
use kiln_space::{Architecture, LayerId, Settings};
use serde::Deserialize;

const CONFIG: &str = r#"
    study = { name = "accelerator", seed = 1 }
    data = { kind = "digits" }
    space = { kind = "mlp", layers = [1, 2], width = [16, 32, 64] }
    hardware = [{ device = "cortex-m7", model = "accelerator", clock_mhz = 100, latency_max_us = 1 }]
    evaluator = { kind = "supernet", epochs = 5, batch = 64 }

    [search]
    strategy = "random"
    trials = 10
    objectives = ["error_percent", "latency_us"]
"#;

/// Number of multiplications per cycle.
const MACS_PER_CYCLE: f64 = 256.0;
/// Number of bytes read per cycle.
const BYTES_PER_CYCLE: f64 = 64.0;
/// Relative error of the predictions. Determine the error of your own model from measurements: see `kiln hw
/// fit`.
const RELATIVE_ERROR: f64 = 0.2;

/// The keys of `[[hardware]]` that this model reads.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceleratorSettings {
    clock_mhz: f64,
}

struct Accelerator {
    name: String,
    clock_mhz: f64,
}

/// Reads the settings. `main` registers this function. `device` is the device that the table `[[hardware]]`
/// names.
#[allow(clippy::needless_pass_by_value, reason = "what the registry calls has this signature")]
fn build(device: Device, settings: &Settings) -> Result<Arc<dyn CostModel>, HwError> {
    let AcceleratorSettings { clock_mhz } = settings.read()?;
    Ok(Arc::new(Accelerator { name: format!("{}/accelerator/made-up", device.name), clock_mhz }))
}

impl CostModel for Accelerator {
    fn name(&self) -> &str {
        &self.name
    }

    fn layer(&self, architecture: &Architecture, layer: LayerId) -> Result<Cost, HwError> {
        let counts = architecture.layer_counts(layer);
        let compute = counts.macs as f64 / MACS_PER_CYCLE;
        let memory = counts.weight_bytes as f64 / BYTES_PER_CYCLE;
        let latency_us = compute.max(memory) / self.clock_mhz;
        // The accelerator consumes 20 mW while it works.
        Ok(Cost { latency_us, energy_uj: 0.02 * latency_us })
    }

    fn network(&self, architecture: &Architecture) -> Result<Estimate, HwError> {
        let mut sum = Cost::default();
        for id in architecture.ids() {
            let cost = self.layer(architecture, id)?;
            sum.latency_us += cost.latency_us;
            sum.energy_uj += cost.energy_uj;
        }
        let schedule = Schedule::new(architecture);
        Ok(Estimate {
            latency_us: Interval::relative(sum.latency_us, RELATIVE_ERROR),
            energy_uj: Interval::relative(sum.energy_uj, RELATIVE_ERROR),
            peak_memory_bytes: peak_memory_bytes(architecture, &schedule, 1),
            model_bytes: model_bytes(architecture, &schedule),
        })
    }
}

fn main() -> Result<()> {
    let mut registries = Registries::builtin();
    registries.hardware.register("accelerator", "256 multiplications a cycle", build);
    run::study(&registries, CONFIG)
}

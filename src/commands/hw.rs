//! `kiln hw`: lists devices, predicts the cost of networks, measures them, fits device files, and judges
//! fits.

mod evaluate;
mod fit;
mod kernels;
mod list;
mod measure;
mod predict;

use std::path::Path;
use std::sync::Arc;

use kiln::assembly::Registries;
use kiln::config::{RESOLVED, RunConfig};
use kiln_evaluator::data::Opening;
use kiln_hw_models::Device;
use kiln_space::SearchSpace;
use kiln_space::spaces::NasBench201;

use crate::cli::{Common, HwCommand};
use crate::exit::{Exit, Failure};

/// Name of the space that needs no config.
const NASBENCH201: &str = "nasbench201";

pub(crate) fn run(command: HwCommand, common: &Common) -> Result<Exit, Failure> {
    match command {
        HwCommand::List { device, file } => list::run(device.as_deref(), file.as_deref(), common),
        HwCommand::Predict(arguments) => predict::run(&arguments, common),
        HwCommand::Measure(arguments) => measure::run(&arguments, common),
        HwCommand::Fit(arguments) => fit::run(&arguments, common),
        HwCommand::Evaluate(arguments) => evaluate::run(&arguments, common),
    }
}

/// Returns a config's search space. Without a config, returns the space of NAS-Bench-201.
fn space(config: Option<&Path>, common: &Common) -> Result<Arc<dyn SearchSpace>, Failure> {
    let Some(path) = config else { return Ok(Arc::new(NasBench201::default())) };
    let (config, registries) = (RunConfig::read(path, None)?, Registries::builtin());
    // A run folder's config records the shapes of its data. For any other config, the data must be opened.
    let resolved = config.document.root().contains_key(RESOLVED);
    let data = config.data.as_ref().filter(|_| !resolved);
    let data = data
        .map(|data| registries.data.open(&data.kind, &Opening::new(&data.settings, common.data.as_deref())));
    let task = data.transpose().map_err(Failure::wrong)?.map(|data| data.task());
    Ok(registries.space(&config, task)?)
}

/// The space with a built-in name, or that of a config.
fn named_space(name: &Path, common: &Common) -> Result<Arc<dyn SearchSpace>, Failure> {
    space((name.as_os_str() != NASBENCH201).then_some(name), common)
}

/// Returns the built-in device with this name, or the device that a file describes.
fn device(name: Option<&str>, file: Option<&Path>) -> Result<Option<Device>, Failure> {
    let device = match (name, file) {
        (Some(name), _) => Some(Device::builtin(name)),
        (None, Some(file)) => Some(Device::open(file)),
        (None, None) => None,
    };
    device.transpose().map_err(Failure::wrong)
}

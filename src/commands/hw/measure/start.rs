//! The device that a fit to measurements starts from.

use std::thread;

use kiln_hw_models::{Device, Number};

use crate::cli::{MeasureArguments, RuntimeName};
use crate::exit::Failure;

/// How much more than the assumed device this one may compute. A fit raises an efficiency to 1 at most, so
/// the assumed peak is raised and the efficiency lowered by this factor: predictions stay the same.
const HEADROOM: f64 = 8.0;

/// The device that the command line names, or an assumed one, under the name of the file to write.
pub(super) fn device(arguments: &MeasureArguments) -> Result<Device, Failure> {
    let named = super::super::device(arguments.device.as_deref(), arguments.file.as_deref())?;
    let is_local = arguments.runtime != RuntimeName::Command;
    let mut device = match named {
        Some(device) => device,
        None => assumed(is_local)?,
    };
    device.calibration = None;
    device.measured = None;
    device.fitted = None;
    device.kernels = None;
    device.name = arguments.name.clone().unwrap_or_else(|| name(arguments));
    if let Some(title) = &arguments.title {
        device.title.clone_from(title);
    }
    if arguments.device.is_none() && arguments.file.is_none() {
        let cores = thread::available_parallelism().map_or(1, usize::from) as u64;
        let (cores, source) = if is_local && cores >= arguments.threads {
            (cores, "the cores of the machine that measured")
        } else {
            (arguments.threads, "assumption: as many as the threads of the measurements")
        };
        device.cores = Number { value: cores as f64, source: source.to_owned() };
    }
    // Parses the device again, so that an invalid name is refused before anything is measured.
    Device::parse("--name", &device.to_toml()).map_err(Failure::wrong)
}

/// A device with plenty of computing power, for a device that nobody described.
fn assumed(is_local: bool) -> Result<Device, Failure> {
    let model = if is_local { "xeon-4210r" } else { "cortex-a72" };
    let mut device = Device::builtin(model).map_err(Failure::wrong)?;
    let source =
        format!("assumption: that of `{model}`, with headroom of a factor of {HEADROOM} for the fit");
    for rate in device.macs_per_s_per_core.values_mut() {
        *rate = Number { value: rate.value * HEADROOM, source: source.clone() };
    }
    let efficiency = &mut device.efficiency;
    for share in [
        &mut efficiency.dense_conv,
        &mut efficiency.depthwise_conv,
        &mut efficiency.linear,
        &mut efficiency.element_wise,
    ] {
        *share = Number { value: share.value / HEADROOM, source: source.clone() };
    }
    Ok(device)
}

/// The name of the file to write, as the name of a device.
fn name(arguments: &MeasureArguments) -> String {
    let stem = arguments.out.file_stem().map(|stem| stem.to_string_lossy().to_lowercase());
    let letter =
        |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c) { c } else { '-' };
    stem.unwrap_or_default().chars().map(letter).collect()
}

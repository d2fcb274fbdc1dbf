//! Decides what runs the finished networks on each device of a config.

use std::path::PathBuf;

use kiln_evaluator::this_machine;
use kiln_hw_models::{CostModel, Device, HwError};
use kiln_search::{EvalError, Measurer};
use kiln_space::Settings;
use serde::Deserialize;
use thiserror::Error;

use super::{DeviceMeasurer, RunsOn};
use crate::config::{FinishMeasure, HardwareMeasure, HardwareTable, LocalRuntime};

/// Why networks cannot be measured on a device.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NotMeasurable {
    /// Neither the config nor the device file says that the device is this machine.
    #[error(
        "`{device}`: nothing says how networks run on it; add `measure = \"this machine\"` to its \
         `[[hardware]]`, or `measure = [\"PROGRAM\", \"{{model}}\"]`"
    )]
    Elsewhere {
        /// Name of the device.
        device: String,
    },
    /// The device was measured on another machine.
    #[error(
        "`{device}`: its file was measured on `{measured}`, and this machine is `{here}`; add `measure = \
         \"this machine\"` to its `[[hardware]]` to measure here anyway"
    )]
    OtherMachine {
        /// Name of the device.
        device: String,
        /// Machine that the device file names.
        measured: String,
        /// This machine.
        here: String,
    },
    /// The device file was measured with another runtime than the config asks for.
    #[error("`{device}`: its file was measured with `{measured}`, and `finish.measure.runtime` is `{asked}`")]
    OtherRuntime {
        /// Name of the device.
        device: String,
        /// Runtime that the device file names.
        measured: String,
        /// Runtime that the config names.
        asked: &'static str,
    },
    /// The runtime cannot be used.
    #[error(transparent)]
    Runtime(#[from] EvalError),
    /// The device file cannot be read.
    #[error(transparent)]
    Hardware(#[from] HwError),
}

/// Keys of `[[hardware]]` that name a device.
#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    device: Option<String>,
    #[serde(default)]
    file: Option<PathBuf>,
}

/// Opens the device that a table `[[hardware]]` names.
///
/// # Errors
/// The errors of [`Device::open`] and [`Device::builtin`].
pub(crate) fn device_of(settings: &Settings) -> Result<Device, HwError> {
    let Named { device, file } = Settings::new(settings.path(), settings.table().clone())
        .read()
        .unwrap_or(Named { device: None, file: None });
    match (device, file) {
        (Some(name), _) => Device::builtin(&name),
        (None, Some(file)) => Device::open(&file),
        (None, None) => Device::builtin(""),
    }
}

impl DeviceMeasurer {
    /// Decides how networks run on the device of a table `[[hardware]]`:
    /// - A command, if `measure` of the table is one.
    /// - A runtime on this machine, if `measure` of the table is `this machine`.
    /// - Without that key, the runtime that the device file was measured with, if that was on this machine.
    ///
    /// # Errors
    /// [`NotMeasurable`], with what to add to the config.
    pub(crate) fn of(
        finish: &FinishMeasure,
        table: &HardwareTable,
        model: &dyn CostModel,
    ) -> Result<Self, NotMeasurable> {
        let device = model.device().to_owned();
        let runs_on = match &table.measure {
            Some(HardwareMeasure::Command(command)) => RunsOn::Command(command.clone()),
            Some(HardwareMeasure::Here) => {
                let runtime = finish.runtime.unwrap_or(LocalRuntime::Kiln);
                RunsOn::Here(runtime, finish.library.clone())
            }
            None => RunsOn::Here(measured_here(finish, &device, &table.settings)?, finish.library.clone()),
        };
        let conditions = model.conditions();
        let [batch, threads] = conditions.map_or([1, 1], |known| [known.batch, known.threads]);
        let measurer = Self { device, runs_on, batch, threads, minutes: finish.minutes };
        // A missing library or a command without `{model}` shows now, not after the search.
        measurer.conditions()?;
        Ok(measurer)
    }
}

/// The runtime of a device file that was measured on this machine.
fn measured_here(
    finish: &FinishMeasure,
    device: &str,
    settings: &Settings,
) -> Result<LocalRuntime, NotMeasurable> {
    let elsewhere = || NotMeasurable::Elsewhere { device: device.to_owned() };
    let report = device_of(settings)?.measured.ok_or_else(elsewhere)?;
    let runtime = LocalRuntime::named(&report.runtime).ok_or_else(elsewhere)?;
    let (measured, here) = (report.machine.ok_or_else(elsewhere)?, this_machine());
    if measured != here {
        return Err(NotMeasurable::OtherMachine { device: device.to_owned(), measured, here });
    }
    match finish.runtime.filter(|asked| *asked != runtime) {
        None => Ok(runtime),
        Some(asked) => Err(NotMeasurable::OtherRuntime {
            device: device.to_owned(),
            measured: report.runtime,
            asked: asked.name(),
        }),
    }
}

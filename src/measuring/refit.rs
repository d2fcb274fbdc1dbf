//! Fits a device to the measured latencies of finished networks.

use kiln_hw_models::{Calibration, Device, HwError, Measured, NETWORKS_MIN};
use kiln_search::MeasuredLatency;
use kiln_space::{Architecture, Settings};
use thiserror::Error;

use super::choice::device_of;

/// Why a device cannot be fitted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RefitError {
    /// No network ran on the device.
    #[error("no network was measured on `{device}`")]
    NothingMeasured {
        /// Name of the device.
        device: String,
    },
    /// The device cannot be read or fitted.
    #[error(transparent)]
    Hardware(#[from] HwError),
}

/// Fits the device of a table `[[hardware]]` to the measured latencies of these networks, all on this device.
/// `run` names the run. With ten networks or more, a device without measured networks of its own is
/// calibrated. Otherwise, all its times are multiplied by the geometric mean of measured / predicted: so few
/// networks cannot tell its numbers apart.
///
/// # Errors
/// [`RefitError`].
pub fn refit(
    settings: &Settings,
    measured: &[(Architecture, &MeasuredLatency)],
    run: &str,
) -> Result<Device, RefitError> {
    let device = device_of(settings)?;
    let Some((_, first)) = measured.first() else {
        return Err(RefitError::NothingMeasured { device: device.name });
    };
    let (batch, threads) = (first.conditions.batch, first.conditions.threads);
    let ran: Vec<Measured> = measured
        .iter()
        .filter_map(|(architecture, latency)| {
            let latency_us = latency.latency_us()?;
            Some(Measured { architecture: architecture.clone(), latency_us, standard_error: 0.0 })
        })
        .collect();
    if ran.len() >= NETWORKS_MIN && device.fitted.is_none() {
        let calibration = Calibration { batch, threads, ..Calibration::new(run, "latency_us") };
        return Ok(calibration.fit(&device, &ran)?.device);
    }
    let logs: Vec<f64> = measured.iter().filter_map(|(_, latency)| latency.ratio()).map(f64::ln).collect();
    if logs.is_empty() {
        return Err(RefitError::NothingMeasured { device: device.name });
    }
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    let largest = logs.iter().map(|log| (log - mean).abs()).fold(0.0, f64::max);
    let source =
        format!("fitted to {} finished networks of {run} (batch {batch}, threads {threads})", logs.len());
    let name = format!("finished-{run}-{}", logs.len());
    Ok(device.rescaled(mean.exp(), largest.exp_m1(), &source, &name)?)
}

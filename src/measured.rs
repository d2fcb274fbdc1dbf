//! Measured latencies beside their predictions: for the screen, the report and programs. Says what follows
//! when they disagree, and fits device files to them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use kiln::assembly::Assembly;
use kiln::config::{HardwareTable, RunConfig};
use kiln::measuring::refit;
use kiln_export::plain_text;
use kiln_files::{FileError, Overwrite, write_output};
use kiln_hw_models::Interval;
use kiln_search::{LatencyOutcome, MeasuredLatency, RunPaths, Trial, TrialId};
use kiln_space::{Architecture, Genotype, SearchSpace};
use serde::Serialize;

use crate::exit::Failure;
use crate::report::Network;
use crate::{output, output_file, units};

/// Name of the cost that is measured.
const LATENCY: &str = "latency_us";
/// Maximum number of refit files of a device.
const REFITS_MAX: usize = 100;

/// A measured latency beside its prediction.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MeasuredNetwork {
    pub(crate) trial: TrialId,
    device: String,
    runtime: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    runtime_version: String,
    batch: u64,
    threads: u64,
    predicted_us: Interval,
    /// Median and bounds. Absent if the network failed on the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    measured_us: Option<Interval>,
    /// Measured latency, divided by the predicted latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    /// Whether the measurement lies in the predicted interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    within_interval: Option<bool>,
    /// Why the network did not run on the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

impl From<&MeasuredLatency> for MeasuredNetwork {
    fn from(measured: &MeasuredLatency) -> Self {
        let (measured_us, failed) = match &measured.outcome {
            LatencyOutcome::Measured { latency_us, low_us, high_us, .. } => {
                (Some(Interval { value: *latency_us, low: *low_us, high: *high_us }), None)
            }
            LatencyOutcome::Failed { reason } => (None, Some(reason.clone())),
        };
        Self {
            trial: measured.trial,
            device: measured.device.clone(),
            runtime: measured.conditions.runtime.clone(),
            runtime_version: measured.conditions.runtime_version.clone(),
            batch: measured.conditions.batch,
            threads: measured.conditions.threads,
            predicted_us: measured.predicted_us,
            measured_us,
            ratio: measured.ratio(),
            within_interval: measured.is_as_predicted(),
            failed,
        }
    }
}

impl fmt::Display for MeasuredNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |Interval { value, low, high }: Interval| {
            let [value, low, high] = [value, low, high].map(units::significant);
            format!("{value} µs ({low} - {high})")
        };
        write!(f, "Latency on {}: predicted {}, ", plain_text(&self.device), shown(self.predicted_us))?;
        if let Some(reason) = &self.failed {
            return write!(f, "not measured: {}", plain_text(reason));
        }
        if let Some(measured) = self.measured_us {
            write!(f, "measured {}", shown(measured))?;
        }
        if let Some(ratio) = self.ratio {
            write!(f, ", ratio {ratio:.2}")?;
        }
        match self.within_interval {
            Some(false) => f.write_str(", outside the predicted interval"),
            _ => Ok(()),
        }
    }
}

/// The line about a measurement, while a study runs.
pub(crate) fn said(measured: &MeasuredLatency) -> String {
    format!("measured trial {}: {}", measured.trial, MeasuredNetwork::from(measured))
}

/// A measurement outside its predicted interval, and what follows from it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Disagreement {
    trial: TrialId,
    device: String,
    ratio: f64,
    /// Geometric mean of measured / predicted over all measured networks of the device.
    scale: f64,
    /// Networks of the front that would now be better, if their latencies are off by the same factor.
    better: Vec<TrialId>,
    /// The limit on the latency, if the measurement exceeds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    exceeded_limit_us: Option<f64>,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trial, device, ratio, scale, better, exceeded_limit_us } = self;
        let device = plain_text(device);
        write!(f, "Trial {trial} takes {ratio:.2} times as long on {device} as predicted")?;
        if let Some(limit) = exceeded_limit_us {
            write!(f, " and exceeds the limit of {} µs", units::significant(*limit))?;
        }
        let trials: Vec<String> = better.iter().map(TrialId::to_string).collect();
        let others = match trials.as_slice() {
            [] => "no other network of the front would now be better".to_owned(),
            [one] => format!("trial {one} would now be better"),
            several => format!("trials {} would now be better", several.join(", ")),
        };
        write!(f, ": {others}, if predictions of the networks that were not measured are off by {scale:.2}")
    }
}

/// Lists the measurements outside their predicted intervals. Another network of the front would now be better
/// in two cases: it dominates the measured network after latencies are replaced, or it keeps the limit on
/// latency that the measured network exceeds. The replaced latency is the measured one, or else the predicted
/// one times the geometric mean of measured / predicted.
pub(crate) fn disagreements(
    measured: &[MeasuredLatency],
    front: &[Network],
    objectives: &[String],
    limits: &BTreeMap<String, f64>,
) -> Vec<Disagreement> {
    let mut found = Vec::new();
    for one in measured.iter().filter(|one| one.is_as_predicted() == Some(false)) {
        let (Some(ratio), Some(latency)) = (one.ratio(), one.latency_us()) else { continue };
        let device = one.device.as_str();
        let same = || measured.iter().filter(|other| other.device == device);
        let logs: Vec<f64> = same().filter_map(|other| Some(other.ratio()?.ln())).collect();
        let scale = (logs.iter().sum::<f64>() / logs.len().max(1) as f64).exp();
        let latency_of = |network: &Network| {
            let own = same().find(|other| other.trial == network.trial).and_then(MeasuredLatency::latency_us);
            own.or_else(|| Some(scale * network.costs.get(&cost_name(network, device))?))
        };
        let exceeded_limit_us = limits.get(device).copied().filter(|limit| latency > *limit);
        let values = |network: &Network| -> Option<Vec<f64>> {
            let name = cost_name(network, device);
            let value = |objective: &String| {
                if *objective == name {
                    latency_of(network)
                } else {
                    network.objectives.get(objective).copied()
                }
            };
            objectives.iter().map(value).collect()
        };
        let Some(mine) = front.iter().find(|network| network.trial == one.trial) else { continue };
        let is_better = |other: &&Network| {
            if other.trial == one.trial {
                return false;
            }
            let keeps = exceeded_limit_us
                .is_some_and(|limit| latency_of(other).is_some_and(|latency| latency <= limit));
            let (Some(own), Some(others)) = (values(mine), values(other)) else { return keeps };
            let mut pairs = own.iter().zip(&others);
            keeps || (pairs.all(|(own, other)| other <= own) && own.iter().zip(&others).any(|(a, b)| b < a))
        };
        let better = front.iter().filter(is_better).map(|network| network.trial).collect();
        found.push(Disagreement {
            trial: one.trial,
            device: device.to_owned(),
            ratio,
            scale,
            better,
            exceeded_limit_us,
        });
    }
    found
}

/// The name of the latency on a device among a network's costs.
fn cost_name(network: &Network, device: &str) -> String {
    let qualified = format!("{LATENCY}@{device}");
    if network.costs.contains_key(&qualified) { qualified } else { LATENCY.to_owned() }
}

/// The limits on latency, by device. `devices` are the names of the config's devices, in their order.
pub(crate) fn limits<'a>(
    config: &RunConfig,
    devices: impl Iterator<Item = &'a str>,
) -> BTreeMap<String, f64> {
    let limit = |(table, device): (&HardwareTable, &str)| {
        let (_, limit) = table.limits.iter().find(|(cost, _)| *cost == LATENCY)?;
        Some((device.to_owned(), *limit))
    };
    config.hardware.iter().zip(devices).filter_map(limit).collect()
}

/// What a command needs to present measured networks after the study has taken the rest.
pub(crate) struct MeasuredDevices {
    /// The limits on latency, by device.
    pub(crate) limits: BTreeMap<String, f64>,
    hardware: Vec<(String, HardwareTable)>,
    space: Arc<dyn SearchSpace>,
    study: String,
}

impl MeasuredDevices {
    pub(crate) fn of(assembly: &Assembly) -> Self {
        let names: Vec<&str> = assembly.costs.devices().iter().map(|(name, _)| name.as_str()).collect();
        let tables = names.iter().zip(&assembly.config.hardware);
        Self {
            limits: limits(&assembly.config, names.iter().copied()),
            hardware: tables.map(|(name, table)| ((*name).to_owned(), table.clone())).collect(),
            space: Arc::clone(&assembly.space),
            study: assembly.config.study.name.clone(),
        }
    }

    /// Writes a device file into the run folder for each device with a measurement outside its predicted
    /// interval. Never changes a file that is there: a fit to other measurements gets a number. Returns the
    /// paths. A device that cannot be fitted is a warning.
    pub(crate) fn refit(
        &self,
        paths: &RunPaths,
        measured: &[MeasuredLatency],
        genotypes: &BTreeMap<TrialId, Genotype>,
    ) -> Result<Vec<PathBuf>, Failure> {
        let mut written = Vec::new();
        for (device, table) in &self.hardware {
            let mine: Vec<&MeasuredLatency> = measured.iter().filter(|one| one.device == *device).collect();
            if mine.iter().all(|one| one.is_as_predicted() != Some(false)) {
                continue;
            }
            let decoded = |one: &&MeasuredLatency| -> Option<Architecture> {
                self.space.decode(genotypes.get(&one.trial)?).ok()
            };
            let pairs: Vec<(Architecture, &MeasuredLatency)> =
                mine.into_iter().filter_map(|one| Some((decoded(&one)?, one))).collect();
            match refit(&table.settings, &pairs, &self.study) {
                Ok(fitted) => written.push(write(paths, device, fitted.to_toml().as_bytes())?),
                Err(error) => output::say(&format!("warning: no device file was fitted: {error}")),
            }
        }
        Ok(written)
    }
}

/// The genotypes of trials.
pub(crate) fn genotypes<'a>(trials: impl IntoIterator<Item = &'a Trial>) -> BTreeMap<TrialId, Genotype> {
    trials.into_iter().map(|trial| (trial.id, trial.proposal.genotype.clone())).collect()
}

/// Writes a fitted device file under the first name that is free or has this content.
fn write(paths: &RunPaths, device: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
    let first = paths.refit(device);
    let numbered =
        (2..=REFITS_MAX).map(|number| first.with_file_name(format!("{device}.refit-{number}.toml")));
    let mut last = None;
    for path in std::iter::once(first.clone()).chain(numbered) {
        match write_output(&path, bytes, Overwrite::Never) {
            Ok(_) => return Ok(path),
            Err(error @ FileError::Exists { .. }) => last = Some(error),
            Err(error) => return Err(output_file::refused(error)),
        }
    }
    Err(output_file::refused(last.expect("one path was tried")))
}

#[cfg(test)]
mod tests;

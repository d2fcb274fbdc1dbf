//! Measures the finished networks on devices, after all networks are finished. Only the journal receives the
//! results: no trial, front or cost depends on them.

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use kiln_files::{ContentHash, make_folder, write_document};
use kiln_hw_models::CostModel;
use kiln_space::SearchSpace;
use serde::Serialize;

use super::log::Log;
use crate::contracts::{
    EvalError, Event, Finished, LatencyOutcome, MeasuredLatency, MeasuredUnder, Measurer, NetworkToMeasure,
};
use crate::domain::CostSet;
use crate::error::StudyError;
use crate::persistence::{RunPaths, StudyRecord, check_held};
use crate::trials::{Seconds, Trial, TrialId};

/// The parts of a study that the measuring needs.
pub(super) struct Parts<'a> {
    pub(super) measurers: &'a [Arc<dyn Measurer>],
    pub(super) space: &'a dyn SearchSpace,
    pub(super) costs: &'a CostSet,
    pub(super) paths: &'a RunPaths,
    pub(super) record: &'a StudyRecord,
    pub(super) log: &'a Log,
}

/// Measures these finished networks on every device, unless the journal contains their latency under the
/// same conditions. Returns all their latencies, or `None` if the user stopped the work.
///
/// # Errors
/// [`StudyError`] if the run folder or the journal cannot be written. A device that does not answer is a
/// warning.
pub(super) fn measure(
    parts: &Parts<'_>,
    finished: &[Finished],
    trials: &[&Trial],
) -> Result<Option<Vec<MeasuredLatency>>, StudyError> {
    let mut all = Vec::new();
    for measurer in parts.measurers {
        match measure_on(parts, measurer.as_ref(), finished, trials) {
            Ok(found) => all.extend(found),
            Err(StudyError::Eval(EvalError::Interrupted)) => return Ok(None),
            Err(StudyError::Eval(error @ EvalError::Device { .. })) => parts.log.warn(error.to_string())?,
            Err(error) => return Err(error),
        }
    }
    Ok(Some(all))
}

fn measure_on(
    parts: &Parts<'_>,
    measurer: &dyn Measurer,
    finished: &[Finished],
    trials: &[&Trial],
) -> Result<Vec<MeasuredLatency>, StudyError> {
    let Parts { costs, paths, record, log, .. } = parts;
    let device = measurer.device();
    let Some((_, model)) = costs.devices().iter().find(|(name, _)| name == device) else {
        return Ok(Vec::new());
    };
    let conditions = measurer.conditions()?;
    let (mut known, mut open) = (Vec::new(), Vec::new());
    for network in finished {
        let file = content(network);
        let before = record.measured.get(&(network.trial, device.to_owned()));
        match before.filter(|before| before.conditions == conditions && before.file == file) {
            Some(before) => known.push(before.clone()),
            None => open.push((network, file)),
        }
    }
    for before in &known {
        log.show(&Event::Measured { measured: before.clone(), seconds: Seconds::ZERO });
    }
    if open.is_empty() {
        return Ok(known);
    }
    let state = paths.measuring(device);
    let is_held = || check_held(&state).map_err(StudyError::file(&state, "measure networks"));
    is_held()?;
    make_folder(&state)?;
    let began = Instant::now();
    let networks: Vec<NetworkToMeasure> =
        open.iter().map(|(network, _)| to_measure(network, paths)).collect();
    let outcomes = measurer.measure(&networks, &state, *log)?;
    let mut seconds = Some(began.elapsed());
    for (network, file) in open {
        let Some(outcome) = outcomes.get(&network.trial) else { continue };
        let Some(trial) = trials.iter().find(|trial| trial.id == network.trial) else { continue };
        let Some(measured) =
            observation(parts, (device, model.as_ref()), &conditions, (trial, file), outcome)
        else {
            continue;
        };
        // The networks were measured together, so the first line carries the time of all.
        let seconds = seconds.take().unwrap_or_default().into();
        log.record(&Event::Measured { measured: measured.clone(), seconds })?;
        known.push(measured);
        write_beside_card(parts, network.trial, &known)?;
    }
    // Networks that are still open keep their measurements for the next run.
    if networks.iter().all(|network| outcomes.contains_key(&network.trial)) {
        is_held()?;
        let _ = fs::remove_dir_all(&state);
        let _ = fs::remove_dir(paths.measurings());
    }
    Ok(known)
}

/// Writes the latencies of a network beside its card, for people who copy its folder. The journal is the
/// authority, so nothing reads the file.
fn write_beside_card(parts: &Parts<'_>, trial: TrialId, known: &[MeasuredLatency]) -> Result<(), StudyError> {
    let new = |one: &&MeasuredLatency| one.trial == trial;
    let devices: Vec<&str> = known.iter().filter(new).map(|one| one.device.as_str()).collect();
    let before = parts.record.measured.values();
    let before = before.filter(|one| one.trial == trial && !devices.contains(&one.device.as_str()));
    let latencies: Vec<&MeasuredLatency> = known.iter().filter(new).chain(before).collect();
    Ok(write_document(&parts.paths.model(trial).join(LATENCIES), &Latencies { latencies })?)
}

/// Name of the file with the latencies of a finished network.
const LATENCIES: &str = "latency.json";

/// The content of that file.
#[derive(Serialize)]
struct Latencies<'a> {
    latencies: Vec<&'a MeasuredLatency>,
}

/// A result beside its prediction. `None` if the cost model cannot predict the network.
fn observation(
    parts: &Parts<'_>,
    (device, model): (&str, &dyn CostModel),
    conditions: &MeasuredUnder,
    (trial, file): (&Trial, String),
    outcome: &LatencyOutcome,
) -> Option<MeasuredLatency> {
    let architecture = parts.space.decode(&trial.proposal.genotype).ok()?;
    let predicted_us = model.network(&architecture).ok()?.latency_us;
    Some(MeasuredLatency {
        trial: trial.id,
        device: device.to_owned(),
        conditions: conditions.clone(),
        file,
        predicted_us,
        outcome: outcome.clone(),
    })
}

/// The hash of a network's files.
fn content(network: &Finished) -> String {
    let files: Vec<String> =
        network.files.iter().map(|file| format!("{} {:?}", file.name, file.content)).collect();
    ContentHash::of(files.join("\n").as_bytes()).to_string()
}

fn to_measure(network: &Finished, paths: &RunPaths) -> NetworkToMeasure {
    let trial: TrialId = network.trial;
    let files = network.files.iter().map(|file| file.name.clone()).collect();
    NetworkToMeasure { trial, folder: paths.model(trial), files }
}

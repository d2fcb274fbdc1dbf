//! Measures the latency of finished networks, as `[finish] measure` of a config asks: decides what runs them
//! on each device, and measures. Commands come from the config, never from a device file.

mod choice;
mod kept;
mod refit;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use kiln_evaluator::KilnRuntime;
use kiln_export::{Exporter, Onnx, TrainedModel};
use kiln_files::ContentHash;
use kiln_hw_models::measuring::{
    CommandLine, CommandRuntime, Ending, MeasuringPlan, OutputRule, Runtime, Session, Surroundings,
    SystemClock, TimeUnit, Visit, VisitOutcome, summarize,
};
use kiln_search::{EvalError, LatencyOutcome, MeasuredUnder, Measurer, NetworkToMeasure, Progress, TrialId};

use self::kept::Kept;
use crate::config::{LocalRuntime, MeasureCommand};
use crate::runtimes::OnnxRuntime;

pub use choice::NotMeasurable;
pub use refit::{RefitError, refit};

/// Name of the file from which every format can be written.
const MODEL: &str = "model.kiln";
/// Name of the stage in progress reports.
const STAGE: &str = "measure";
/// Interval between two looks at whether the user stopped the study.
const POLL: Duration = Duration::from_millis(20);

/// What runs networks on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunsOn {
    /// A runtime on this machine. The path is that of ONNX Runtime's library.
    Here(LocalRuntime, Option<PathBuf>),
    /// A command of the config.
    Command(MeasureCommand),
}

/// Measures finished networks on one device of a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceMeasurer {
    device: String,
    runs_on: RunsOn,
    batch: u64,
    threads: u64,
    minutes: u64,
}

impl DeviceMeasurer {
    /// Whether it runs a command of the config.
    #[must_use]
    pub const fn runs_command(&self) -> bool {
        matches!(self.runs_on, RunsOn::Command(_))
    }

    fn problem(&self, problem: &(impl ToString + ?Sized)) -> EvalError {
        EvalError::Device { device: self.device.clone(), problem: problem.to_string() }
    }

    fn runtime(&self, stop: &Arc<AtomicBool>) -> Result<Box<dyn Runtime>, EvalError> {
        let sizes = [self.batch, self.threads].map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        Ok(match &self.runs_on {
            RunsOn::Here(LocalRuntime::Kiln, _) => {
                Box::new(KilnRuntime::new(sizes[0], sizes[1]).map_err(|error| self.problem(&error))?)
            }
            RunsOn::Here(LocalRuntime::OnnxRuntime, library) => {
                let stated = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from);
                let library = library.as_ref().or(stated.as_ref()).map(PathBuf::as_path);
                let runtime = OnnxRuntime::open(library, sizes[0], sizes[1]);
                Box::new(runtime.map_err(|error| self.problem(&error))?)
            }
            RunsOn::Command(MeasureCommand { command, copy, unit, time_out_s }) => {
                let line = |arguments: &[String]| {
                    CommandLine::new(arguments.to_vec()).map_err(|error| self.problem(&error))
                };
                let copy = if copy.is_empty() { None } else { Some(line(copy)?) };
                let runtime = CommandRuntime::new(
                    line(command)?,
                    copy,
                    unit.map_or(OutputRule::Json, OutputRule::LastNumber),
                    [self.batch, self.threads],
                    Duration::from_secs(*time_out_s),
                    Arc::clone(stop),
                );
                Box::new(runtime.map_err(|error| self.problem(&error))?)
            }
        })
    }

    fn under(&self, runtime: &dyn Runtime) -> MeasuredUnder {
        let command = match &self.runs_on {
            RunsOn::Here(..) => None,
            // A hash: a command may hold names of machines and users, which are nobody's business.
            RunsOn::Command(MeasureCommand { command, copy, unit, .. }) => {
                let text = format!("{command:?} {copy:?} {:?}", unit.map(unit_name));
                Some(ContentHash::of(text.as_bytes()).to_string())
            }
        };
        MeasuredUnder {
            runtime: runtime.name().to_owned(),
            runtime_version: runtime.version().to_owned(),
            command,
            batch: self.batch,
            threads: self.threads,
        }
    }

    /// Measures until everything is done, the time is up or `stop` is set.
    fn measure_until(
        &self,
        networks: &[NetworkToMeasure],
        state: &Path,
        progress: &dyn Progress,
        stop: &Arc<AtomicBool>,
    ) -> Result<BTreeMap<TrialId, LatencyOutcome>, EvalError> {
        let runtime = self.runtime(stop)?;
        let mut kept = Kept::open(state, &self.under(runtime.as_ref()), networks)?;
        let models: Vec<PathBuf> = kept
            .order(networks)
            .into_iter()
            .map(|network| model_file(network, runtime.format(), state))
            .collect::<Result<_, _>>()?;
        let clock = SystemClock::start();
        let total = Duration::from_mins(self.minutes);
        let plan = if runtime.is_local() {
            MeasuringPlan::on_this_machine(total, models.len(), 0)
        } else {
            MeasuringPlan::sharing(total, models.len(), 0)
        };
        let total = u64::from(plan.rounds) * (models.len() as u64 + 1);
        let session = Session {
            runtime: runtime.as_ref(),
            clock: &clock,
            plan,
            models: &models,
            is_stopped: &|| stop.load(Ordering::SeqCst) || progress.stop_requested(),
        };
        if runtime.is_local() {
            for warning in Surroundings::read(Path::new("/")).warnings(self.threads, false) {
                progress.warn(&format!("measuring on `{}`: {warning}", self.device));
            }
        }
        progress.report(STAGE, 0, total, &self.device);
        let mut visits = kept.visits.clone();
        let ending = session.run(&mut visits, |visits| {
            kept.visits = visits.to_vec();
            kept.write(state)?;
            progress.report(STAGE, (visits.len() as u64).min(total - 1), total, &self.device);
            Ok::<(), EvalError>(())
        })?;
        if visits.iter().all(Visit::is_failed) && matches!(ending, Ending::Complete | Ending::TimeUp) {
            // The device failed, not the networks: nothing is kept, so that the next run tries again.
            kept.visits.clear();
            kept.write(state)?;
        }
        let outcomes = self.outcomes(&ending, &visits, kept.trials(), progress)?;
        progress.report(STAGE, total, total, &self.device);
        Ok(outcomes)
    }

    /// The results of a session. Empty, with a warning, if the device does not work.
    fn outcomes(
        &self,
        ending: &Ending,
        visits: &[Visit],
        trials: Vec<TrialId>,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<TrialId, LatencyOutcome>, EvalError> {
        let again = "run the same command again to go on";
        let nothing = BTreeMap::new();
        match ending {
            Ending::Stopped => return Err(EvalError::Interrupted),
            Ending::Unusable(error) => return Err(self.problem(error)),
            Ending::DeviceGone { failures, reason } => {
                let problem = self.problem(&format!(
                    "does not answer: {failures} runs failed in a row, the last one because: {reason}; {} \
                     measurements are kept; {again}",
                    visits.len()
                ));
                progress.warn(&problem.to_string());
                return Ok(nothing);
            }
            _ => {}
        }
        let (latencies, summary, disturbed) = summarize(trials.len(), visits);
        if let (0, Some(reason)) = (summary.measured, visits.iter().rev().find_map(reason)) {
            // If no network runs, the device is more likely to be at fault than all networks.
            let problem = self.problem(&format!("no network ran, the last one because: {reason}; {again}"));
            progress.warn(&problem.to_string());
            return Ok(nothing);
        }
        if summary.not_reached > 0 {
            let problem = self.problem(&format!(
                "{} networks were not measured, because the time was up; give `minutes` of `[finish] \
                 measure` a larger number",
                summary.not_reached
            ));
            progress.warn(&problem.to_string());
        }
        let outcome = |(network, trial): (usize, TrialId)| {
            let mine = visits.iter().enumerate().filter(|(_, visit)| visit.network == network);
            let outcome = match latencies[network] {
                Some(latency_us) => {
                    let counted = mine.filter(|(index, _)| !disturbed.contains(index));
                    joined(latency_us, counted.map(|(_, visit)| &visit.outcome))
                }
                None => LatencyOutcome::Failed { reason: mine.rev().find_map(|(_, visit)| reason(visit))? },
            };
            Some((trial, outcome))
        };
        Ok(trials.into_iter().enumerate().filter_map(outcome).collect())
    }
}

impl Measurer for DeviceMeasurer {
    fn device(&self) -> &str {
        &self.device
    }

    fn conditions(&self) -> Result<MeasuredUnder, EvalError> {
        Ok(self.under(self.runtime(&Arc::default())?.as_ref()))
    }

    fn measure(
        &self,
        networks: &[NetworkToMeasure],
        state: &Path,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<TrialId, LatencyOutcome>, EvalError> {
        let (stop, is_done) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
        thread::scope(|scope| {
            // A command that runs must hear of a stop, too.
            scope.spawn(|| {
                while !is_done.load(Ordering::SeqCst) {
                    if progress.stop_requested() {
                        stop.store(true, Ordering::SeqCst);
                    }
                    thread::sleep(POLL);
                }
            });
            let _end = Ended(&is_done);
            self.measure_until(networks, state, progress, &stop)
        })
    }
}

/// Sets a flag when it is dropped, even by a panic.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn reason(visit: &Visit) -> Option<String> {
    match &visit.outcome {
        VisitOutcome::Failed { reason } => Some(reason.clone()),
        VisitOutcome::Measured { .. } => None,
    }
}

/// The visits of one network as one result.
fn joined<'a>(latency_us: f64, visits: impl Iterator<Item = &'a VisitOutcome>) -> LatencyOutcome {
    let (mut lowest, mut highest, mut count) = (latency_us, latency_us, 0);
    for visit in visits {
        if let VisitOutcome::Measured { low_us, high_us, runs, .. } = visit {
            (lowest, highest) = (lowest.min(*low_us), highest.max(*high_us));
            count += *runs as u64;
        }
    }
    LatencyOutcome::Measured { latency_us, low_us: lowest, high_us: highest, runs: count }
}

const fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Us => "us",
        TimeUnit::Ms => "ms",
        TimeUnit::S => "s",
    }
}

/// The file of a network that a runtime loads: the finished one, or one that is written into `state` from the
/// model file. Its path does not depend on the current folder.
fn model_file(network: &NetworkToMeasure, format: &str, state: &Path) -> Result<PathBuf, EvalError> {
    let refuse =
        |source: Box<dyn std::error::Error + Send + Sync>| EvalError::Export { trial: network.trial, source };
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let model = network.folder.join(MODEL);
    if format != Onnx.extension() {
        return Ok(absolute(model));
    }
    let exported = format!("model.{format}");
    if network.files.contains(&exported) {
        return Ok(absolute(network.folder.join(exported)));
    }
    let path = state.join(format!("{}.{format}", network.trial));
    let model = TrainedModel::load(&model).map_err(|error| refuse(error.into()))?;
    let mut bytes = Vec::new();
    Onnx.export(&model, &mut bytes).map_err(|error| refuse(error.into()))?;
    kiln_files::write(&path, &bytes)?;
    Ok(absolute(path))
}

#[cfg(test)]
mod tests;

//! Runs the program for one training, and turns what it reports into an outcome.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use kiln_files::{optional, read_text};
use kiln_processes::{
    Arguments, Ending, Identity, Program, Ran, Verdict, Watcher, last_lines, shortened, without_secrets,
};
use kiln_search::{EvalError, FailureKind, Outcome, Progress, REASON_PARTS};
use serde_json::{Map, Value};

use super::course::Course;
use super::message::{self, MetricProblem, Metrics};
use super::settings::CommandSettings;
use super::work::Work;

/// Name of the file with the result.
const RESULT: &str = "result.json";
/// Name of the stage in reports of progress.
const STAGE: &str = "command";
/// Maximum size of the result in bytes.
const RESULT_MAX: u64 = 1 << 20;
/// Number of the program's last lines in the reason of a failure.
const LAST_LINES: usize = 5;

/// How the program is run, for all trainings of a study.
pub(super) struct Command {
    pub(super) settings: CommandSettings,
    pub(super) arguments: Arguments,
}

/// What one training needs.
pub(super) struct Asked<'a> {
    /// Receives the epochs that the program reports.
    pub(super) progress: &'a dyn Progress,
    pub(super) epochs: u32,
    pub(super) seed: u64,
    /// Files that the program reads, by the place that names them: name and content.
    pub(super) files: BTreeMap<&'static str, (&'static str, Vec<u8>)>,
}

/// What one run of the program gave.
pub(super) struct Reported {
    /// The metrics, or why there are none.
    pub(super) result: Result<Metrics, String>,
    /// Metrics after epochs, including those of earlier runs.
    pub(super) course: Course,
    /// Whether the program may go on if it has more time.
    pub(super) is_late: bool,
    /// Whether the program succeeded, but `patience` lacks lines of epochs.
    pub(super) lacks_epochs: bool,
    pub(super) took: Duration,
}

impl Reported {
    /// The outcome of the trial.
    pub(super) fn outcome(&self) -> Outcome {
        match &self.result {
            Ok(metrics) => Outcome::from_metrics(metrics.clone()),
            Err(reason) => failed(reason.clone()),
        }
    }
}

/// The outcome of a trial whose program failed.
pub(super) fn failed(reason: String) -> Outcome {
    Outcome::Failed { kind: FailureKind::Program, reason }
}

impl Command {
    /// Runs the program in a folder, with the epochs that are known. Setting `stop` kills it.
    ///
    /// # Errors
    /// [`EvalError::Program`] when the program cannot be started, [`EvalError::Interrupted`] when it was
    /// stopped, other variants when files cannot be written.
    pub(super) fn run(
        &self,
        work: &Work,
        asked: &Asked<'_>,
        course: Course,
        stop: &AtomicBool,
    ) -> Result<Reported, EvalError> {
        for (name, bytes) in asked.files.values() {
            work.write(name, bytes)?;
        }
        work.forget(RESULT)?;
        let program = Program {
            arguments: self.filled(work, asked),
            folder: self.settings.folder.clone(),
            environment: self.environment(),
            time_max: self.settings.time_out(),
            memory_max: self.settings.memory_max_bytes,
        };
        let mut watch = Watch {
            command: self,
            work,
            epochs: asked.epochs,
            progress: asked.progress,
            course,
            last: None,
            problem: None,
            error: None,
        };
        let begin = Instant::now();
        let ran = program
            .run(stop, &mut watch)
            .map_err(|source| EvalError::Program { source: Box::new(source) })?;
        let took = begin.elapsed();
        if let Some(error) = watch.error.take() {
            return Err(error);
        }
        if ran.ending == Ending::Stopped {
            return Err(EvalError::Interrupted);
        }
        let is_late = ran.ending == Ending::TimeOut;
        let succeeded = match ran.ending {
            Ending::Exited(status) => status.success(),
            ending => ending == Ending::Ended,
        };
        let lacks_epochs = succeeded && self.settings.patience.is_some() && watch.answer().is_none();
        let result = self.result(&ran, work, &mut watch);
        let result = result.map_err(|problem| self.reason(&problem, &ran));
        Ok(Reported { result, course: watch.course, is_late, lacks_epochs, took })
    }

    fn filled(&self, work: &Work, asked: &Asked<'_>) -> Vec<OsString> {
        let numbers = [
            ("epochs", asked.epochs.to_string()),
            ("full_epochs", self.settings.epochs.to_string()),
            ("seed", asked.seed.to_string()),
        ];
        let mut paths: Vec<(&str, PathBuf)> =
            asked.files.iter().map(|(place, (name, _))| (*place, work.path(name))).collect();
        paths.extend([
            ("result", work.path(RESULT)),
            ("checkpoint", work.checkpoint()),
            ("weights", work.weights()),
        ]);
        let values: Vec<(&str, &OsStr)> = numbers
            .iter()
            .map(|(name, number)| (*name, OsStr::new(number)))
            .chain(paths.iter().map(|(name, path)| (*name, path.as_os_str())))
            .collect();
        self.arguments.filled(&values)
    }

    /// The variables of `[evaluator] environment`. Python writes its output late unless it is told otherwise,
    /// and then no intermediate result arrives in time.
    fn environment(&self) -> BTreeMap<String, OsString> {
        let unbuffered = ("PYTHONUNBUFFERED".to_owned(), OsString::from("1"));
        let stated = self.settings.environment.iter().map(|(name, value)| (name.clone(), value.into()));
        std::iter::once(unbuffered).chain(stated).collect()
    }

    /// The metrics that count, or why there are none.
    fn result(&self, ran: &Ran, work: &Work, watch: &mut Watch<'_>) -> Result<Metrics, String> {
        if let Some(problem) = watch.problem.take() {
            return Err(problem);
        }
        match ran.ending {
            Ending::TimeOut => {
                Err(format!("did not end within {} s and was killed", self.settings.time_out().as_secs()))
            }
            Ending::Memory { bytes } => {
                let most = self.settings.memory_max_bytes.unwrap_or_default();
                Err(format!(
                    "used {bytes} bytes of memory, more than the {most} that it may use, and was killed"
                ))
            }
            Ending::Exited(status) if !status.success() => Err(format!("failed ({status})")),
            Ending::Exited(_) | Ending::Ended | Ending::Stopped if self.settings.patience.is_some() => {
                // With patience, the epochs are the result.
                let missing = || {
                    let all = watch.epochs;
                    format!("ended without a line for each of the {all} epochs, which `patience` needs")
                };
                watch.answer().map(|(metrics, _)| metrics).ok_or_else(missing)
            }
            Ending::Exited(_) | Ending::Ended | Ending::Stopped => {
                let metrics = self.reported(work, watch)?;
                // Shorter trainings of this network are answered from the course, and so is this one.
                watch.course.add(watch.epochs, metrics.clone());
                Ok(metrics)
            }
        }
    }

    /// The metrics in the file of the result, or in the last object that the program printed.
    fn reported(&self, work: &Work, watch: &Watch<'_>) -> Result<Metrics, String> {
        let object = if self.arguments.mentions("result") {
            let text = optional(read_text(&work.path(RESULT), RESULT_MAX));
            let text =
                text.map_err(|error| format!("wrote a result that cannot be read: {}", error.problem()))?;
            let text = text.ok_or("ended without a result: it wrote no file `{result}`")?;
            let shown = || {
                let shown = shortened(&without_secrets(text.trim()));
                format!("wrote `{shown}` as its result, expected an object of JSON")
            };
            message::object(&text).ok_or_else(shown)?
        } else {
            watch.last.clone().ok_or("ended without a result: it printed no object of JSON")?
        };
        message::metrics(&object, &self.settings.metrics).map_err(|problem| said(&problem))
    }

    /// The reason of a failure: what happened, and the program's last lines.
    fn reason(&self, problem: &str, ran: &Ran) -> String {
        let program = &self.settings.command()[0];
        // The journal keeps the reason, so a token must not be part of it.
        let last =
            |bytes: &Vec<u8>| last_lines(&without_secrets(&String::from_utf8_lossy(bytes)), LAST_LINES);
        let lines = [last(&ran.err), last(&ran.out)];
        let lines = lines.into_iter().find(|lines| !lines.is_empty()).unwrap_or_default();
        let parts = std::iter::once(format!("`{program}` {problem}")).chain(lines);
        parts.collect::<Vec<_>>().join(REASON_PARTS)
    }
}

fn said(problem: &MetricProblem) -> String {
    format!("gave no usable result: {problem}")
}

/// Watches a running program.
struct Watch<'a> {
    command: &'a Command,
    work: &'a Work,
    epochs: u32,
    progress: &'a dyn Progress,
    course: Course,
    /// The last object that the program printed.
    last: Option<Map<String, Value>>,
    /// Why the trial failed, if the program's own words say so.
    problem: Option<String>,
    /// An error of the environment.
    error: Option<EvalError>,
}

impl Watch<'_> {
    /// The metrics that count so far, and whether the training may end early.
    fn answer(&self) -> Option<(Metrics, bool)> {
        let CommandSettings { metrics, patience, .. } = &self.command.settings;
        let answer = self.course.answer(self.epochs, &metrics[0], *patience)?;
        Some((answer.metrics, answer.is_early))
    }

    fn epoch(&mut self, epoch: u32, object: &Map<String, Value>) -> Verdict {
        match message::metrics(object, &self.command.settings.metrics) {
            Ok(metrics) if epoch <= self.epochs => {
                let first = &self.command.settings.metrics[0];
                let value = metrics.get(first).copied().unwrap_or_default();
                let note = format!("{first} {value}");
                self.progress.report(STAGE, u64::from(epoch), u64::from(self.epochs), &note);
                self.course.add(epoch, metrics);
            }
            Ok(_) => tracing::warn!("a program reported epoch {epoch} of {}; passing over it", self.epochs),
            // A program may report other things after an epoch.
            Err(MetricProblem::Missing { .. }) => return Verdict::Continue,
            Err(problem) => {
                self.problem = Some(format!("reported epoch {epoch} and {}", said(&problem)));
                return Verdict::End;
            }
        }
        if let Err(error) = self.work.save(&self.course) {
            self.error = Some(error);
            return Verdict::End;
        }
        let is_early =
            self.command.settings.patience.is_some() && self.answer().is_some_and(|(_, early)| early);
        if is_early { Verdict::End } else { Verdict::Continue }
    }
}

impl Watcher for Watch<'_> {
    fn started(&mut self, process: Identity) {
        self.work.save_process(process);
    }

    fn line(&mut self, line: &str) -> Verdict {
        let Some(object) = message::object(line) else { return Verdict::Continue };
        let verdict = match message::epoch(&object) {
            Some(epoch) => self.epoch(epoch, &object),
            None => Verdict::Continue,
        };
        self.last = Some(object);
        verdict
    }
}

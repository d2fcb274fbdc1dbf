//! The engine `slurm`: each job is a batch job of a Slurm cluster.
//!
//! The files of a job decide what it did. Slurm is asked only whether it still runs, and why it ended if it
//! wrote no result. One list of all jobs serves all questions of about two seconds.

mod scheduler;
mod script;
mod settings;
mod states;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kiln_space::{Settings, SettingsError};

use crate::engine::{Engine, EngineError, EnginePart, Handle, JobEnd, JobState, Launch};
use crate::plan::{KEYS, Plan};
use crate::slurm::scheduler::{Answer, Scheduler};
use crate::slurm::script::{HANDLE, Script, output};
use crate::slurm::settings::SlurmSettings;
use crate::slurm::states::Listed;

/// Interval between two questions to the scheduler.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// Interval between two requests to cancel a job.
const CANCEL_EVERY: Duration = Duration::from_secs(10);
/// Time for which a job is submitted again while the controller does not answer.
const SUBMIT_FOR: Duration = Duration::from_mins(10);
/// Longest pause between two attempts to submit a job.
const SUBMIT_PAUSE_MAX: Duration = Duration::from_secs(30);

/// The registry entry of the engine.
pub(crate) const PART: EnginePart = EnginePart::new("runs each job as a batch job of a Slurm cluster", build)
    .with_keys(&[KEYS, settings::KEYS])
    .tested_with(&["{}", r#"{ "jobs": 8, "partition": "gpu", "gpus": 1, "setup": ["module load cuda"] }"#]);

fn build(settings: &Settings, _: &Plan) -> Result<Box<dyn Engine>, SettingsError> {
    Ok(Box::new(Slurm::new(SlurmSettings::read(settings)?, Scheduler::default())))
}

/// Runs jobs as batch jobs.
struct Slurm {
    settings: SlurmSettings,
    scheduler: Scheduler,
    ask_every: Duration,
    known: Mutex<Known>,
}

/// A list of jobs by tag.
type List = Result<BTreeMap<String, Listed>, EngineError>;

/// What is known of the jobs.
#[derive(Default)]
struct Known {
    /// The last list of jobs that have not ended, by tag, or why there is none. When it was asked for.
    list: Option<(Instant, List)>,
    /// Jobs that this process has asked about or submitted, by tag.
    jobs: BTreeMap<String, Job>,
}

/// A job that this process has asked about.
#[derive(Default)]
struct Job {
    /// When it was submitted, if this process did it.
    submitted: Option<Instant>,
    /// When the scheduler was asked about this job alone, and its answer.
    asked: Option<(Instant, JobState)>,
    /// When its end was noticed.
    ended: Option<Instant>,
    /// When it was cancelled.
    cancelled: Option<Instant>,
}

/// Returns the number and the tag of a job. A number alone could belong to another job, since Slurm begins
/// again with 1 when its state is lost.
fn parts(handle: &Handle) -> Result<(u64, &str), EngineError> {
    let parts = handle.0.split_once(':').and_then(|(id, tag)| Some((id.parse().ok()?, tag)));
    let is_tag = |tag: &str| !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_alphanumeric());
    parts.filter(|(_, tag)| is_tag(tag)).ok_or_else(|| EngineError::Unknown(handle.0.clone()))
}

/// Returns the text by which a job is recognized. It depends on the path of its folder.
fn tag(log: &Path) -> String {
    let hash = blake3::hash(log.as_os_str().as_encoded_bytes());
    format!("kiln{}", &hash.to_hex()[..32])
}

/// Reads the number of a submitted job from `NUMBER` or `NUMBER;CLUSTER`.
fn number(text: &str) -> Option<u64> {
    text.lines().next_back()?.split(';').next()?.trim().parse().ok()
}

impl Slurm {
    fn new(settings: SlurmSettings, scheduler: Scheduler) -> Self {
        Self { settings, scheduler, ask_every: ASK_EVERY, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what a job does, as far as the scheduler knows. Jobs that are not in the list are asked for
    /// one by one.
    fn look(&self, known: &mut Known, id: u64, tag: &str) -> Result<JobState, EngineError> {
        if known.list.as_ref().is_none_or(|(asked, _)| asked.elapsed() >= self.ask_every) {
            known.list = Some((Instant::now(), self.scheduler.jobs()));
        }
        let Some((listed_at, list)) = &known.list else { return Ok(JobState::Running) };
        let job = known.jobs.entry(tag.to_owned()).or_default();
        let found = list.as_ref().map_err(Clone::clone)?.get(tag).filter(|listed| listed.id == id);
        if let Some(state) = found.and_then(|listed| listed.state.clone()) {
            return Ok(state);
        }
        if found.is_none() && job.submitted.is_some_and(|submitted| submitted > *listed_at) {
            // The list is older than the job.
            return Ok(JobState::Waiting);
        }
        if let Some((_, state)) = job.asked.as_ref().filter(|(asked, _)| asked.elapsed() < self.ask_every) {
            return Ok(state.clone());
        }
        let described = self.scheduler.job(id, tag, self.settings.accounting)?;
        let state = described.map_or(JobState::Ended(JobEnd::Gone), |described| described.job_state());
        job.asked = Some((Instant::now(), state.clone()));
        Ok(state)
    }

    /// Writes the script of a job, and creates its log: a node that cannot append to it does not see the
    /// folder. Returns the path of the script.
    fn prepare(&self, launch: &Launch<'_>, tag: &str) -> Result<OsString, EngineError> {
        let (path, sign) = (launch.log.with_file_name("script.sh"), launch.log.with_file_name("job.json"));
        let script = Script { sign: &sign, tag, setup: &self.settings.setup, arguments: launch.arguments };
        let write = || {
            OpenOptions::new().create(true).append(true).open(launch.log)?;
            Ok(())
        };
        let problem = |error: std::io::Error| {
            EngineError::Answer(format!("{}: the job's log cannot be made ({error})", path.display()))
        };
        write().map_err(problem)?;
        kiln_files::write(&path, &script.bytes()).map_err(|error| EngineError::Answer(error.to_string()))?;
        Ok(path.into_os_string())
    }

    /// Submits a job, again and again while the controller is away. An answer may be lost after the job was
    /// accepted, so a job with this tag is looked for before it is submitted again.
    fn insist(&self, arguments: &[OsString], tag: &str) -> Result<u64, EngineError> {
        let began = Instant::now();
        let mut pause = Duration::from_secs(1);
        loop {
            let problem = match self.scheduler.run("sbatch", arguments)? {
                Answer::Text(text) => {
                    let unread = || EngineError::Answer(format!("`sbatch` printed no number: {text:?}"));
                    return number(&text).ok_or_else(unread);
                }
                Answer::Refused(problem) => return Err(EngineError::Answer(problem)),
                Answer::Away(problem) => problem,
            };
            tracing::warn!("a job is submitted again: {problem}");
            loop {
                if began.elapsed() >= SUBMIT_FOR {
                    return Err(EngineError::Answer(problem));
                }
                thread::sleep(pause);
                pause = (pause * 2).min(SUBMIT_PAUSE_MAX);
                match self.scheduler.jobs() {
                    Ok(jobs) => match jobs.get(tag) {
                        Some(found) => return Ok(found.id),
                        None => break,
                    },
                    Err(error) => tracing::warn!("{error}"),
                }
            }
        }
    }
}

impl Engine for Slurm {
    fn submit(&self, launch: &Launch<'_>) -> Result<Handle, EngineError> {
        let tag = tag(launch.log);
        let script = self.prepare(launch, &tag)?;
        let mut log = OsString::from("--output=");
        log.push(output(launch.log));
        // The last option of a name counts.
        let mut arguments = self.settings.options(launch.attempt, launch.avoid);
        arguments.extend(
            ["--parsable", "--no-requeue", "--nodes=1", "--ntasks=1", "--open-mode=append"]
                .map(OsString::from),
        );
        arguments.push(format!("--job-name={}", launch.name).into());
        arguments.push(format!("--comment={tag}").into());
        arguments.extend([log, script]);
        let id = self.insist(&arguments, &tag)?;
        let job = Job { submitted: Some(Instant::now()), ..Job::default() };
        let handle = Handle(format!("{id}:{tag}"));
        self.known().jobs.insert(tag, job);
        Ok(handle)
    }

    fn status(&self, handle: &Handle) -> Result<JobState, EngineError> {
        let (id, tag) = parts(handle)?;
        let mut known = self.known();
        let known = &mut *known;
        if let Some(Job { asked: Some((_, state)), ended: Some(ended), .. }) = known.jobs.get(tag) {
            // The files that the job wrote last may not be visible yet.
            let is_settled = ended.elapsed() >= Duration::from_secs(self.settings.settle_s.into());
            return Ok(if is_settled { state.clone() } else { JobState::Running });
        }
        let state = self.look(known, id, tag)?;
        if matches!(state, JobState::Ended(_)) && self.settings.settle_s > 0 {
            known.jobs.entry(tag.to_owned()).or_default().ended = Some(Instant::now());
            return Ok(JobState::Running);
        }
        Ok(state)
    }

    fn cancel(&self, handle: &Handle) -> Result<(), EngineError> {
        let (id, tag) = parts(handle)?;
        let mut known = self.known();
        let job = known.jobs.entry(tag.to_owned()).or_default();
        if job.ended.is_some() || job.cancelled.is_some_and(|at| at.elapsed() < CANCEL_EVERY) {
            return Ok(());
        }
        job.cancelled = Some(Instant::now());
        drop(known);
        // Slurm may have given the number to another job since.
        match self.scheduler.job(id, tag, false)? {
            Some(described) if !matches!(described.job_state(), JobState::Ended(_)) => {
                self.scheduler.cancel(id)
            }
            _ => Ok(()),
        }
    }

    fn own_handle(&self) -> Option<Handle> {
        let handle = Handle(std::env::var(HANDLE).ok()?);
        parts(&handle).is_ok().then_some(handle)
    }
}

#[cfg(all(test, unix))]
mod tests;

//! What a job does: it takes requests one after another, does the work, and stores the results.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kiln_files::{FileError, WholeFolder, make_folder};
use kiln_search::{EvalError, FailureKind, Finished, Outcome, Progress, catch_panic};
use thiserror::Error;

use crate::engine::{Handle, JobEnd};
use crate::folder::{
    JobFolder, JobsFolder, Numbers, ProgressRecord, Request, ResultRecord, StartRecord, now, pause,
};
use crate::work::{Done, Key, Work};

/// Time after which a job without requests ends.
const IDLE: Duration = Duration::from_secs(5);
/// Interval between two writes of the progress.
const SHOWN_EVERY: Duration = Duration::from_millis(500);
/// Interval between two looks whether the study asks for a stop.
const STOP_EVERY: Duration = Duration::from_millis(200);

/// Does pieces of work in the process of a job.
pub trait Worker {
    /// Returns what results of this kind of work depend on, as the process itself reads it. The first call
    /// may take long.
    ///
    /// # Errors
    /// [`EvalError`] if the study cannot be read.
    fn study(&mut self, work: &Work, progress: &dyn Progress) -> Result<String, EvalError>;

    /// Returns the beginning of [`Worker::study`], which is known at once. It names the kind of device.
    fn study_start(&self, work: &Work) -> String {
        let _ = work;
        String::new()
    }

    /// Trains the supernet of the study, and leaves the result in the run folder.
    ///
    /// # Errors
    /// [`EvalError`] if the environment is broken or the study was stopped.
    fn train_supernet(&mut self, conditions: &str, progress: &dyn Progress) -> Result<(), EvalError>;

    /// Evaluates a network, or trains one on its own.
    ///
    /// # Errors
    /// [`EvalError`] if the environment is broken.
    fn evaluate(&mut self, work: &Work, progress: &dyn Progress) -> Result<Outcome, EvalError>;

    /// Finishes a network, and writes its files into a folder.
    ///
    /// # Errors
    /// [`EvalError`] if the environment is broken or the study was stopped.
    fn finish(&mut self, work: &Work, into: &Path, progress: &dyn Progress) -> Result<Finished, EvalError>;
}

/// An error of a job. The job records it for the study.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JobError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Files(#[from] FileError),
    /// The work cannot be done.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// The study cannot be opened.
    #[error(transparent)]
    Prepare(Box<dyn Error + Send + Sync>),
    /// The job reads another study than the one that started it.
    #[error(
        "the job on `{machine}` reads another study: {read}, expected {expected}; did its config, data or \
         program change?"
    )]
    Study {
        /// The machine of the job.
        machine: String,
        /// What the job reads.
        read: String,
        /// What the study that started it read.
        expected: String,
    },
    /// The machine of the job gives other results than that of the study.
    #[error(
        "the job on `{machine}` has device class `{found}`, and the study `{expected}`; their results differ, \
         so let jobs run only on machines with `{expected}`, or change the name of the study and start it on \
         `{machine}`"
    )]
    Device {
        /// The machine of the job.
        machine: String,
        /// Its device class.
        found: String,
        /// The device class of the study.
        expected: String,
    },
}

/// Does the requests of a job until there are no more. `handle` is the engine's name for the job, if this
/// process knows it. Returns at once if the study has withdrawn the job. `prepare` makes the worker.
///
/// # Errors
/// [`JobError`], which is also recorded in the job's folder.
pub fn work<W: Worker>(
    folder: &JobFolder,
    handle: Option<Handle>,
    prepare: impl FnOnce() -> Result<W, Box<dyn Error + Send + Sync>>,
) -> Result<(), JobError> {
    let claimed = folder.claim(&StartRecord { handle, unix_s: now(), is_withdrawn: false })?;
    if !claimed {
        return Ok(());
    }
    let ended = prepare().map_err(JobError::Prepare).and_then(|mut worker| serve(folder, &mut worker));
    match &ended {
        // After an interrupt, the state of the work is saved.
        Ok(()) | Err(JobError::Eval(EvalError::Interrupted)) => folder.end(JobEnd::Done, String::new())?,
        Err(error) => folder.end(JobEnd::Failed { problem: chain(error) }, String::new())?,
    }
    ended
}

/// Returns an error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // A transparent error says what its cause says.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn serve(folder: &JobFolder, worker: &mut dyn Worker) -> Result<(), JobError> {
    let results = folder.results();
    for number in 1.. {
        match next(folder, number)? {
            Request::Closed { .. } => break,
            Request::Work { key, study, work, .. } => {
                do_one(folder, &results, number, (&key, &study, &work), worker)?;
            }
        }
    }
    Ok(())
}

/// Waits for a request. After a while without one, closes the job.
fn next(folder: &JobFolder, number: u32) -> Result<Request, JobError> {
    let began = Instant::now();
    loop {
        if let Some(request) = folder.request(number)? {
            return Ok(request);
        }
        if began.elapsed() >= IDLE {
            // If the study asks at the same moment, its request stands and is done.
            folder.ask(number, &Request::Closed { by: "the job, which had nothing to do".to_owned() })?;
            continue;
        }
        thread::sleep(pause(began.elapsed()));
    }
}

fn do_one(
    folder: &JobFolder,
    results: &JobsFolder,
    number: u32,
    (key, study, work): (&Key, &str, &Work),
    worker: &mut dyn Worker,
) -> Result<(), JobError> {
    folder.begin(number)?;
    if results.result(key)?.is_some() {
        return Ok(());
    }
    let progress = Shown::new(folder, number);
    let start = worker.study_start(work);
    if !study.starts_with(&start) {
        return Err(other_study(start, study));
    }
    let read = worker.study(work, &progress)?;
    if read != study {
        return Err(other_study(read, study));
    }
    let began = Instant::now();
    let done = match work {
        Work::Supernet { conditions } => {
            worker.train_supernet(conditions, &progress)?;
            Done::Supernet
        }
        Work::Finish { .. } => Done::Finished(finish(results, key, work, worker, &progress)?),
        _ => Done::Outcome(evaluate(work, worker, &progress)?),
    };
    let seconds = began.elapsed().into();
    results.keep(&ResultRecord { key: key.clone(), job: folder.name(), seconds, done })?;
    Ok(())
}

/// Returns why a job that reads another study is refused.
fn other_study(read: String, expected: &str) -> JobError {
    let machine = machine();
    match (device_class(&read), device_class(expected)) {
        (Some(found), Some(expected)) if found != expected => {
            JobError::Device { machine, found: found.to_owned(), expected: expected.to_owned() }
        }
        _ => JobError::Study { machine, read, expected: expected.to_owned() },
    }
}

/// Returns the device class in a fingerprint, such as `cpu/x86-64-avx2` in `scratch/cpu/x86-64-avx2/v1/aa`.
/// `None` for results that depend on no device.
fn device_class(fingerprint: &str) -> Option<&str> {
    let (_, rest) = fingerprint.lines().next()?.split_once('/')?;
    let mut parts = rest.rsplitn(3, '/').skip(2);
    parts.next()
}

/// Returns the name of this machine.
pub(crate) fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "this machine".to_owned() } else { name.trim().to_owned() }
}

/// Evaluates a network. A panic is an outcome, as it is without jobs.
fn evaluate(work: &Work, worker: &mut dyn Worker, progress: &Shown<'_>) -> Result<Outcome, EvalError> {
    let worker = Mutex::new(worker);
    let evaluated = catch_panic(|| {
        let mut worker = worker.lock().unwrap_or_else(PoisonError::into_inner);
        worker.evaluate(work, progress)
    });
    evaluated
        .unwrap_or_else(|panic| Ok(Outcome::Failed { kind: FailureKind::Panicked, reason: panic.message }))
}

/// Finishes a network in a folder that appears as a whole. If another job was faster, its files stay.
fn finish(
    results: &JobsFolder,
    key: &Key,
    work: &Work,
    worker: &mut dyn Worker,
    progress: &dyn Progress,
) -> Result<Finished, JobError> {
    let place = results.files(key);
    make_folder(place.parent().unwrap_or_else(|| results.path()))?;
    let into = WholeFolder::create(&place)?;
    let finished = worker.finish(work, into.path(), progress)?;
    // A job that was killed between the files and the result leaves files without a result.
    into.finish_over()?;
    Ok(finished)
}

/// Shows the progress of a piece of work to the study.
struct Shown<'a> {
    folder: &'a JobFolder,
    request: u32,
    written: Mutex<Instant>,
    looked: Mutex<Instant>,
    numbers: Mutex<Numbers>,
    is_stopped: AtomicBool,
}

impl<'a> Shown<'a> {
    fn new(folder: &'a JobFolder, request: u32) -> Self {
        let (written, looked) = (Mutex::new(Instant::now()), Mutex::new(Instant::now()));
        let numbers = Mutex::default();
        Self { folder, request, written, looked, numbers, is_stopped: AtomicBool::new(false) }
    }
}

impl Progress for Shown<'_> {
    fn report(&self, stage: &str, done: u64, total: u64, note: &str) {
        let mut shown = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.elapsed() < SHOWN_EVERY && done < total {
            return;
        }
        *shown = Instant::now();
        let (stage, note) = (stage.to_owned(), note.to_owned());
        let numbers = std::mem::take(&mut *self.numbers.lock().unwrap_or_else(PoisonError::into_inner));
        let record = ProgressRecord { request: self.request, stage, done, total, note, numbers };
        if let Err(error) = self.folder.show_progress(&record) {
            tracing::warn!("{error}");
        }
    }

    fn number(&self, stage: &str, step: u64, name: &str, value: f64) {
        // JSON has no other numbers.
        if value.is_finite() {
            let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
            numbers.entry(stage.to_owned()).or_default().insert(name.to_owned(), (step, value));
        }
    }

    fn stop_requested(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.elapsed() >= STOP_EVERY {
            *looked = Instant::now();
            self.is_stopped.fetch_or(self.folder.is_stopped(), Ordering::Relaxed);
        }
        self.is_stopped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_on_another_kind_of_machine_names_both_classes() {
        let said = |read: &str, expected: &str| other_study(read.to_owned(), expected).to_string();
        let (avx2, avx512) = ("scratch/cpu/x86-64-avx2/v9/", "scratch/cpu/x86-64-avx512/v9/");
        for read in [avx2.to_owned(), format!("{avx2}aa"), format!("{avx2}aa\n{{}}")] {
            let message = said(&read, &format!("{avx512}bb"));
            assert!(message.starts_with("the job on `"), "{message}");
            let expected = "has device class `cpu/x86-64-avx2`, and the study `cpu/x86-64-avx512`";
            assert!(message.contains(expected) && message.contains(machine().as_str()), "{message}");
        }
        let message = said("scratch/cpu/x86-64-avx2/v9/aa", "scratch/cpu/x86-64-avx2/v9/bb");
        assert!(message.contains("reads another study: scratch/cpu/x86-64-avx2/v9/aa"), "{message}");
        assert_eq!(device_class("supernet/cuda/NVIDIA-H200/nccl-2/v1/aa"), Some("cuda/NVIDIA-H200/nccl-2"));
        assert_eq!((device_class("command/v1/aa"), device_class("waiting")), (None, None));
        assert!(said("aa", "bb").contains("reads another study: aa, expected bb"));
    }
}

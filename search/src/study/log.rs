//! The log writes every event to the journal, then passes it to the observers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::summary::{Status, Summary};
use crate::contracts::{EvalError, Event, Observer, Progress};
use crate::error::StudyError;
use crate::persistence::{Journal, Places, RunFolder};
use crate::trials::Seconds;

/// Minimum time between progress events of a stage in the journal.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Log {
    state: Mutex<State>,
    stop: Arc<AtomicBool>,
    /// Whether `failed` contains an error. Workers check this flag often, so it can be read without the lock.
    is_broken: AtomicBool,
}

struct State {
    journal: Journal,
    /// This process stops writing if one of these paths no longer leads to the file or folder that was
    /// opened.
    held: Places,
    observers: Vec<Box<dyn Observer>>,
    /// The stage of the last progress event in the journal, and the time of that event.
    progress: Option<(String, Instant)>,
    /// The first error that could not be returned where it occurred.
    failed: Option<StudyError>,
}

impl Log {
    /// # Errors
    /// [`StudyError::File`] if the journal cannot be inspected.
    pub(super) fn new(
        journal: Journal,
        folder: &RunFolder,
        observers: Vec<Box<dyn Observer>>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, StudyError> {
        let mut held = folder.held().clone();
        held.push(journal.place()?);
        let state = State { journal, held, observers, progress: None, failed: None };
        Ok(Self { state: Mutex::new(state), stop, is_broken: AtomicBool::new(false) })
    }

    /// Passes an event to the observers only.
    pub(super) fn show(&self, event: &Event) {
        self.state().show(event);
    }

    /// Writes events to the journal only, and syncs the journal so that the events survive a crash.
    ///
    /// # Errors
    /// [`EvalError::Interrupted`] after any write has failed. The original error is kept for
    /// [`Log::settled`], so it is never lost.
    pub(super) fn write(&self, events: &[Event]) -> Result<(), StudyError> {
        let mut state = self.state();
        let written = if state.failed.is_some() { Ok(()) } else { state.write(events) };
        if let Err(error) = written {
            self.fail(&mut state, error);
        }
        if state.failed.is_some() { Err(EvalError::Interrupted.into()) } else { Ok(()) }
    }

    /// Returns the error to report for a study that ended with `error`. This is the first error that
    /// occurred.
    fn first(&self, error: StudyError) -> StudyError {
        let Some(first) = self.failed() else { return error };
        if !matches!(error, StudyError::Eval(EvalError::Interrupted)) {
            tracing::warn!("after the error that is told: {error}");
        }
        first
    }

    /// Returns the result of a run. If an error was kept, it stopped the study, so the error is returned
    /// instead of the result.
    pub(super) fn settled(&self, ended: Result<Summary, StudyError>) -> Result<Summary, StudyError> {
        match ended {
            Err(error) => Err(self.first(error)),
            Ok(summary) if summary.status == Status::Interrupted => self.failed().map_or(Ok(summary), Err),
            Ok(summary) => Ok(summary),
        }
    }

    /// Returns the kept error, if there is one. If the run folder was displaced, the error about that is
    /// returned, since it explains all other errors.
    fn failed(&self) -> Option<StudyError> {
        let mut state = self.state();
        state.held.check().err().or_else(|| state.failed.take())
    }

    /// Keeps an error that cannot be returned, and makes the study stop. Only the first error is kept,
    /// because it causes the later ones.
    fn fail(&self, state: &mut State, error: StudyError) {
        state.failed.get_or_insert(error);
        self.is_broken.store(true, Ordering::Relaxed);
    }

    /// Writes an event to the journal, then passes it to the observers.
    pub(super) fn record(&self, event: &Event) -> Result<(), StudyError> {
        self.write(std::slice::from_ref(event))?;
        self.show(event);
        Ok(())
    }

    /// Records a warning to the user.
    pub(super) fn warn(&self, message: String) -> Result<(), StudyError> {
        tracing::warn!("{message}");
        self.record(&Event::Warning { message })
    }

    /// Total time for which this process and earlier processes have run the study.
    pub(super) fn elapsed(&self) -> Seconds {
        self.state().journal.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(&mut self, events: &[Event]) -> Result<(), StudyError> {
        self.held.check()?;
        for event in events {
            self.journal.append(event)?;
        }
        self.journal.sync()?;
        // Check the places again, because the folder may have been moved since the last check. Lines in a
        // moved folder do not count.
        self.held.check()
    }

    fn show(&mut self, event: &Event) {
        for observer in &mut self.observers {
            observer.on_event(event);
        }
    }
}

impl Progress for Log {
    fn report(&self, stage: &str, done: u64, total: u64, note: &str) {
        let event = Event::Progress { stage: stage.to_owned(), done, total, note: note.to_owned() };
        let mut state = self.state();
        state.show(&event);
        let recent =
            state.progress.as_ref().is_some_and(|(last, at)| last == stage && at.elapsed() < PROGRESS_EVERY);
        if !recent || done == total {
            state.progress = Some((stage.to_owned(), Instant::now()));
            let written = state.held.check().and_then(|()| state.journal.append(&event));
            if let Err(error) = written {
                self.fail(&mut state, error);
            }
        }
    }

    fn number(&self, stage: &str, step: u64, name: &str, value: f64) {
        for observer in &mut self.state().observers {
            observer.on_number(stage, step, name, value);
        }
    }

    fn warn(&self, message: &str) {
        // If the warning cannot be written, the study stops at the next event.
        if let Err(error) = Self::warn(self, message.to_owned()) {
            self.fail(&mut self.state(), error);
        }
    }

    fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.is_broken.load(Ordering::Relaxed)
    }
}

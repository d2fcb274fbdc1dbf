//! The one place through which everything that happens goes: into the journal, and to the observers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::summary::{Status, Summary};
use crate::contracts::{EvalError, Event, Observer, Progress};
use crate::error::StudyError;
use crate::persistence::{Journal, Places, RunFolder};
use crate::trials::Seconds;

/// Progress goes into the journal at most this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Log {
    state: Mutex<State>,
    stop: Arc<AtomicBool>,
    /// Whether an error is kept that could not be returned where it happened.
    is_broken: AtomicBool,
}

struct State {
    journal: Journal,
    /// What this process must still hold to write on.
    held: Places,
    observers: Vec<Box<dyn Observer>>,
    /// When progress of this stage went into the journal last.
    progress: Option<(String, Instant)>,
    /// An error that could not be returned where it happened.
    failed: Option<StudyError>,
}

impl Log {
    /// # Errors
    /// [`StudyError::File`] when the journal cannot be looked at.
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

    /// Shows an event to the observers only.
    pub(super) fn show(&self, event: &Event) {
        self.state().show(event);
    }

    /// Writes events into the journal only, and returns when they will survive a crash.
    ///
    /// # Errors
    /// [`EvalError::Interrupted`] once anything could not be written: that error is kept for
    /// [`Log::settled`], so that nobody on the way can lose it.
    pub(super) fn write(&self, events: &[Event]) -> Result<(), StudyError> {
        let mut state = self.state();
        let written = if state.failed.is_some() { Ok(()) } else { state.write(events) };
        if let Err(error) = written {
            self.fail(&mut state, error);
        }
        if state.failed.is_some() { Err(EvalError::Interrupted.into()) } else { Ok(()) }
    }

    /// The error to be told of a study that was stopped by this one: the first that happened, or what led to all of them.
    fn first(&self, error: StudyError) -> StudyError {
        let Some(first) = self.failed() else { return error };
        if !matches!(error, StudyError::Eval(EvalError::Interrupted)) {
            tracing::warn!("after the error that is told: {error}");
        }
        first
    }

    /// What a run came to: what failed where no error could be returned asks for a stop too, and comes first.
    pub(super) fn settled(&self, ended: Result<Summary, StudyError>) -> Result<Summary, StudyError> {
        match ended {
            Err(error) => Err(self.first(error)),
            Ok(summary) if summary.status == Status::Interrupted => self.failed().map_or(Ok(summary), Err),
            Ok(summary) => Ok(summary),
        }
    }

    /// What went wrong where no error could be returned, if anything did.
    fn failed(&self) -> Option<StudyError> {
        let mut state = self.state();
        state.held.check().err().or_else(|| state.failed.take())
    }

    /// Keeps an error that cannot be returned, and has the study stop; a later one says nothing new.
    fn fail(&self, state: &mut State, error: StudyError) {
        state.failed.get_or_insert(error);
        self.is_broken.store(true, Ordering::Relaxed);
    }

    /// Writes an event into the journal, then shows it.
    pub(super) fn record(&self, event: &Event) -> Result<(), StudyError> {
        self.write(std::slice::from_ref(event))?;
        self.show(event);
        Ok(())
    }

    /// Records something that a person should know.
    pub(super) fn warn(&self, message: String) -> Result<(), StudyError> {
        tracing::warn!("{message}");
        self.record(&Event::Warning { message })
    }

    /// Time for which this and earlier processes have worked on the study.
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
        // Once more: what was written meanwhile into a folder that is gone is not kept.
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

    fn warn(&self, message: &str) {
        // Where it cannot be written, the next event stops the study.
        if let Err(error) = Self::warn(self, message.to_owned()) {
            self.fail(&mut self.state(), error);
        }
    }

    fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.is_broken.load(Ordering::Relaxed)
    }
}

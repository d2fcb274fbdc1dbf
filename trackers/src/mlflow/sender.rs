//! The thread that sends points to the server.
//!
//! After any failure, the thread asks the server again which points it has: a request that got no answer may
//! have arrived. So no point is sent twice.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kiln_files::ContentHash;
use kiln_search::JournalReader;

use super::api::{Api, METRICS_MAX, NewRun, PARAMETERS_MAX, Run};
use super::connection::Refusal;
use super::names::{accepted, parameters};
use super::queue::Queue;
use crate::point::Point;
use crate::tracker::{Ending, TrackedStudy, Warn};

/// Time between two batches, and the longest time between two attempts.
const BATCH_EVERY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_mins(1);

pub(super) struct Sender {
    api: Api,
    study: TrackedStudy,
    queue: Arc<Queue>,
    /// Beginning of messages, and what takes them.
    warn: (String, Warn),
    /// The run on the server, if the last request succeeded.
    run: Option<Run>,
    /// Whether the user was warned.
    is_warned: bool,
}

impl Sender {
    pub(super) const fn new(api: Api, study: TrackedStudy, queue: Arc<Queue>, warn: (String, Warn)) -> Self {
        Self { api, study, queue, warn, run: None, is_warned: false }
    }

    /// Sends until the study ends.
    pub(super) fn run(mut self) {
        let mut pause = BATCH_EVERY;
        loop {
            let ending = self.queue.wait(pause);
            let is_sent = self.attempt(ending);
            pause = if is_sent { BATCH_EVERY } else { (pause * 2).min(RETRY_MAX) };
            if ending.is_some() && !is_sent {
                // There is no later attempt, and a single request may have failed by chance.
                self.attempt(ending);
            }
            if ending.is_some() {
                self.queue.finish();
                return;
            }
        }
    }

    /// Sends everything that waits. Returns whether that succeeded.
    fn attempt(&mut self, ending: Option<Ending>) -> bool {
        let sent = self.send(ending);
        if let Err(refusal) = &sent {
            self.run = None;
            self.say(refusal);
        }
        sent.is_ok()
    }

    /// Sends everything that waits.
    fn send(&mut self, ending: Option<Ending>) -> Result<(), Refusal> {
        if self.run.is_none() {
            // Before the journal's first line, the study has nothing to track.
            let Some(run) = self.open()? else { return Ok(()) };
            self.run = Some(run);
        }
        loop {
            let batch = self.queue.take(METRICS_MAX);
            let Some(run) = self.run.as_mut().filter(|_| !batch.is_empty()) else { break };
            let is_new = |point: &&Point| run.steps.is_new(&accepted(&point.series), point.step);
            let new: Vec<&Point> = batch.iter().filter(is_new).collect();
            let sent = if new.is_empty() { Ok(()) } else { self.api.log(&run.id, &new) };
            match sent {
                Ok(()) => {
                    for point in new {
                        run.steps.add(&accepted(&point.series), point.step);
                    }
                    self.queue.sent(0);
                }
                // The same points would be refused again.
                Err(refusal @ Refusal::Status(400 | 413 | 422, _)) => {
                    self.queue.sent(new.len() as u64);
                    self.say(&refusal);
                }
                Err(refusal) => {
                    self.queue.put_back(batch);
                    return Err(refusal);
                }
            }
        }
        if let (Some(run), Some(ending)) = (&self.run, ending) {
            let status = match ending {
                Ending::Finished => "FINISHED",
                Ending::Stopped => "KILLED",
            };
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.api.end(&run.id, status, now.as_secs_f64())?;
        }
        Ok(())
    }

    /// Finds or creates the study's run. Returns `None` if the journal has no line yet.
    fn open(&self) -> Result<Option<Run>, Refusal> {
        // The first line names the study and the time at which it began. It never changes.
        let first = JournalReader::of_run(&self.study.paths).and_then(|mut journal| journal.next_entry());
        let Ok(Some(first)) = first else { return Ok(None) };
        let unix_s = first.unix_s.get();
        let key = ContentHash::of(format!("{}\n{unix_s}", self.study.name).as_bytes()).to_string();
        let key = key.get(..32).unwrap_or(&key);
        let new = NewRun { key, name: &self.study.name, version: self.study.version, unix_s };
        let run = self.api.open(&new)?;
        let mut missing = parameters(&self.study.config);
        missing.retain(|(key, _)| !run.parameters.contains(key));
        for some in missing.chunks(PARAMETERS_MAX) {
            match self.api.set(&run.id, some) {
                // Points matter more than parameters that the server refuses.
                Err(Refusal::Status(400 | 413 | 422, _)) => tracing::warn!("mlflow: parameters were refused"),
                other => other?,
            }
        }
        Ok(Some(run))
    }

    /// Warns of the first failure. Later ones are only logged.
    fn say(&mut self, refusal: &Refusal) {
        let (name, warn) = &self.warn;
        if std::mem::replace(&mut self.is_warned, true) {
            tracing::info!("{name}: {refusal}");
        } else {
            warn(&format!("{name}: {refusal}; the study goes on, and its points wait to be sent"));
        }
    }
}

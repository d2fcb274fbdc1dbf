//! A study's state, computed from the study's events. This module is pure: it uses no clock, no file and no
//! terminal.

mod front;
mod lines;
mod workers;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use kiln_search::{Event, Finished, Outcome, Seconds, Trial, TrialId};

pub(crate) use self::front::Front;
pub(crate) use self::lines::{Level, Line, Lines};
pub(crate) use self::workers::Worker;
use super::jobs::Running;
use super::setup::{Setup, heading, text};
use crate::measured;
use crate::progress::{self, stage::Stage};
use crate::units::{self, Numbers};
use crate::volume::{self, Volume};

/// Name of the stage that evaluates trials.
const SEARCH: &str = "search";

/// A trial, with data from the event that reported the trial.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) trial: Trial,
    /// Whether the store already contained the trial's outcome.
    pub(crate) known: bool,
    /// Duration of the trial's evaluation.
    pub(crate) seconds: Seconds,
    pub(crate) worker: usize,
}

/// A stage of the study. If the stage has ended, the time of its end is known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Passed {
    pub(crate) stage: Stage,
    pub(crate) ended: Option<Duration>,
}

/// A study's state after the events so far.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    /// Names of the objectives.
    objectives: Vec<String>,
    /// Whether the metrics of trials are measured or estimated.
    numbers: Numbers,
    /// The study's budget in trials.
    pub(crate) target: u64,
    /// Number of epochs of a full training. The number is 0 if it is unknown or if nothing is trained.
    pub(crate) full_epochs: u32,
    /// The stages so far, in the order in which they started.
    pub(crate) stages: Vec<Passed>,
    /// Trials by number.
    pub(crate) trials: BTreeMap<TrialId, Told>,
    pub(crate) front: Front,
    pub(crate) volume: Volume,
    pub(crate) workers: BTreeMap<usize, Worker>,
    /// The jobs that run. No event contains them: they are read from the run folder.
    pub(crate) jobs: Vec<Running>,
    /// Number of failed trials.
    pub(crate) failed: u64,
    /// Number of candidate genotypes, and number of infeasible ones among them.
    pub(crate) rejections: Option<(u64, u64)>,
    /// Finished networks by trial number, each with the duration of finishing the network.
    pub(crate) finished: BTreeMap<TrialId, (Finished, Seconds)>,
    /// Whether the health check found that shared weights may mislead the search.
    pub(crate) is_unhealthy: bool,
    /// Lowest value of the first objective among the trials of the highest fidelity, with the trial's number.
    pub(crate) best: Option<(f64, TrialId)>,
    pub(crate) lines: Lines,
    /// Time of the last event.
    pub(crate) last_event: Duration,
    /// Whether all stages have ended.
    pub(crate) ended: bool,
}

impl State {
    /// Creates the state before the first event.
    pub(crate) fn new(setup: &Setup) -> Self {
        let limits = volume::limits(&setup.objectives, &setup.constraints);
        Self {
            objectives: setup.objectives.clone(),
            numbers: setup.numbers(),
            target: 0,
            full_epochs: 0,
            stages: Vec::new(),
            trials: BTreeMap::new(),
            front: Front::default(),
            volume: Volume::new(limits),
            workers: BTreeMap::new(),
            jobs: Vec::new(),
            failed: 0,
            rejections: None,
            finished: BTreeMap::new(),
            is_unhealthy: false,
            best: None,
            lines: Lines::default(),
            last_event: Duration::ZERO,
            ended: false,
        }
    }

    /// Applies an event. `at` is the time of the event, measured from a fixed moment.
    pub(crate) fn apply(&mut self, event: &Event, at: Duration) {
        self.last_event = self.last_event.max(at);
        match event {
            Event::Started { study, resumed, trials } => self.start(study, *resumed, *trials, at),
            Event::Progress { stage, done, total, note } => {
                // The number of trials comes from the trials themselves, because progress events may have
                // been dropped.
                if stage == SEARCH {
                    self.target = *total;
                }
                let done = if stage == SEARCH { self.trials.len() as u64 } else { *done };
                self.advance(stage, done, *total, note, at);
            }
            Event::Prepared { full_epochs, .. } => {
                self.full_epochs = *full_epochs;
                self.close(at);
            }
            Event::Trial { trial, known, seconds, worker } => {
                self.tell(
                    Told { trial: trial.clone(), known: *known, seconds: *seconds, worker: *worker },
                    at,
                );
            }
            Event::Retried { trials } => {
                self.forget_trials();
                let message = format!("{} trials that panicked are tried again", trials.len());
                self.lines.push(at, Level::Info, message);
            }
            Event::Rejections { candidates, rejected } => self.rejections = Some((*candidates, *rejected)),
            Event::SearchEnd { end } => {
                self.lines.push(at, Level::Warning, format!("the search ended early: {end}"));
            }
            Event::Searched { trials, front } => {
                self.volume.settle();
                self.close(at);
                let judged = self.qualifier().map(|said| format!(", judged {said}")).unwrap_or_default();
                let message = format!("front: {} networks out of {trials} trials{judged}", front.len());
                self.lines.push(at, Level::Good, message);
            }
            Event::Finished { finished, seconds } => self.finish(finished, *seconds, at),
            Event::Measured { measured, .. } => {
                self.close(at);
                let level = match measured.is_as_predicted() {
                    Some(true) => Level::Good,
                    Some(false) => Level::Warning,
                    None => Level::Failure,
                };
                self.lines.push(at, level, measured::said(measured));
            }
            Event::Ended => {
                self.volume.settle();
                self.close(at);
                self.ended = true;
                self.lines.push(at, Level::Good, "the study is done".to_owned());
            }
            Event::Health { health } => {
                self.close(at);
                self.is_unhealthy = !health.healthy;
                let level = if health.healthy { Level::Good } else { Level::Warning };
                self.lines.push(at, level, health.message());
            }
            Event::Warning { message } => self.lines.push(at, Level::Warning, message.clone()),
        }
    }

    /// Returns the qualifier for values on the front. Returns `None` if they were measured with full effort.
    pub(crate) fn qualifier(&self) -> Option<String> {
        self.front.fidelity().and_then(|fidelity| fidelity.qualifier(self.full_epochs))
    }

    /// Returns the current stage.
    pub(crate) fn stage(&self) -> Option<&Stage> {
        self.stages.last().filter(|passed| passed.ended.is_none()).map(|passed| &passed.stage)
    }

    fn start(&mut self, study: &str, resumed: u64, trials: Option<u64>, at: Duration) {
        self.target = trials.unwrap_or(0);
        self.ended = false;
        self.stages.clear();
        self.lines.push(at, Level::Info, progress::started(study, resumed, trials));
    }

    fn advance(&mut self, name: &str, done: u64, total: u64, note: &str, at: Duration) {
        if !self.stage().is_some_and(|stage| stage.covers(name)) {
            self.close(at);
            self.stages.push(Passed { stage: Stage::new(name, at), ended: None });
        }
        if let Some(current) = self.stages.last_mut() {
            current.stage.update(name, done, total, note, at);
        }
    }

    /// Ends the current stage.
    fn close(&mut self, at: Duration) {
        let Some(current) = self.stages.last_mut().filter(|passed| passed.ended.is_none()) else { return };
        current.ended = Some(at);
        let (stage, took) = (&current.stage, units::duration(current.stage.elapsed(at)));
        let end = if stage.is_done() { "done".to_owned() } else { stage.progress() };
        let message = format!("{}: {end} in {took}", stage.name());
        self.lines.push(at, Level::Info, message);
    }

    fn tell(&mut self, told: Told, at: Duration) {
        let trial = &told.trial;
        let id = trial.id;
        match &trial.outcome {
            Outcome::Measured(_) => self.judge(trial, at),
            Outcome::Failed { reason, .. } => {
                self.failed += 1;
                self.lines.push(at, Level::Failure, format!("trial {id} failed: {reason}"));
            }
        }
        let current = self.stages.last_mut().filter(|passed| passed.ended.is_none());
        if let Some(current) = current.filter(|passed| told.known && passed.stage.covers(SEARCH)) {
            current.stage.discount(at);
        }
        if !told.known {
            self.workers.entry(told.worker).or_default().add(id, told.seconds, at);
        }
        self.trials.insert(id, told);
        self.advance(SEARCH, self.trials.len() as u64, self.target, "", at);
    }

    /// Adds a measured trial to the front, the hypervolume and the best value.
    fn judge(&mut self, trial: &Trial, at: Duration) {
        let before = self.front.fidelity();
        self.front.insert(trial);
        self.volume.add(self.trials.len() + 1, trial);
        // Values of different fidelities are not compared.
        if self.front.fidelity() > before {
            self.best = None;
        }
        let counts = trial.violation <= 0.0 && Some(trial.proposal.fidelity) >= self.front.fidelity();
        let Some(&value) = trial.objectives.0.first().filter(|_| counts) else { return };
        let Some((best, before)) = self.best else {
            self.best = Some((value, trial.id));
            return;
        };
        // If several trials have the same value, a trial on the front is preferred.
        let takes_over = self.front.contains(trial.id) && !self.front.contains(before);
        match value.total_cmp(&best) {
            Ordering::Less => {
                if let Some(name) = self.objectives.first() {
                    let message = format!(
                        "trial {}: best {} so far, {}",
                        trial.id,
                        self.numbers.heading(name),
                        text(name, value)
                    );
                    self.lines.push(at, Level::Good, message);
                }
                self.best = Some((value, trial.id));
            }
            Ordering::Equal if takes_over => self.best = Some((value, trial.id)),
            Ordering::Equal | Ordering::Greater => {}
        }
    }

    fn finish(&mut self, finished: &Finished, seconds: Seconds, at: Duration) {
        let metrics: Vec<String> = finished
            .metrics
            .iter()
            .map(|(name, value)| format!("{} {}", heading(name), text(name, *value)))
            .collect();
        let took = units::duration(seconds.duration());
        let message = format!("finished trial {}: {} ({took})", finished.trial, metrics.join(", "));
        self.lines.push(at, Level::Good, message);
        self.finished.insert(finished.trial, (finished.clone(), seconds));
    }

    /// Removes all trials, because the journal is read again from its beginning.
    fn forget_trials(&mut self) {
        self.trials.clear();
        self.front = Front::default();
        self.volume.clear();
        self.workers.clear();
        self.failed = 0;
        self.finished.clear();
        self.best = None;
        self.ended = false;
    }
}

//! A study from its parts to its result: prepare, search, finish.

mod effort;
mod finish;
mod front;
mod health;
mod log;
mod memo;
mod panics;
mod search;
mod settings;
mod trainings;
mod workers;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use kiln_space::SearchSpace;
use serde::{Deserialize, Serialize};

pub use self::effort::{Rung, Spent};
pub use self::front::{FrontEntry, study_front};
use self::log::Log;
pub use self::panics::{catch as catch_panic, overhear as overhear_panics};
pub(crate) use self::settings::MAX_IN_FLIGHT;
pub use self::settings::{MAX_HOURS, StudySettings};
use crate::{
    Constraint, CostSet, Domain, EvalError, Evaluator, Event, Finished, Finisher, Journal, JournalReader,
    Observer, Opened, RunFolder, Seconds, Store, Strategy, StudyError, StudyRecord, SupernetHealth, Trial,
};

/// All parts of a study.
///
/// The trajectory is a function of the parts and the settings' seed: it is the same for any number of workers, and after any
/// interruption. Going on is running again: what the journal knows is not evaluated anew.
pub struct Study {
    /// Seed, budgets and the like.
    pub settings: StudySettings,
    /// Where to search.
    pub space: Arc<dyn SearchSpace>,
    /// What proposes.
    pub strategy: Box<dyn Strategy>,
    /// What judges.
    pub evaluator: Arc<dyn Evaluator>,
    /// What finishes the best of the front, if anything should.
    pub finisher: Option<Arc<dyn Finisher>>,
    /// What computes costs.
    pub costs: CostSet,
    /// Limits on costs.
    pub constraints: Vec<Constraint>,
    /// Names of metrics or costs to minimize.
    pub objectives: Vec<String>,
    /// The memo table; `None` for the one in the run folder.
    pub store: Option<Box<dyn Store>>,
    /// Who watches.
    pub observers: Vec<Box<dyn Observer>>,
    /// Set from outside to stop: running evaluations are finished and kept.
    pub stop: Arc<AtomicBool>,
}

/// How a study ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All stages are done.
    Completed,
    /// The user stopped it; running it again goes on.
    Interrupted,
}

/// Time that this process spent in each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageSeconds {
    /// Data, supernet.
    pub prepare: Seconds,
    /// Trials.
    pub search: Seconds,
    /// Networks.
    pub finish: Seconds,
}

/// What came of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How it ended.
    pub status: Status,
    /// Trials told; of an interrupted study, all that are finished.
    pub trials: u64,
    /// The Pareto front, by ascending trial.
    pub front: Vec<FrontEntry>,
    /// Networks finished, the lowest in the first objective first.
    pub finished: Vec<Finished>,
    /// What the trials cost, and how many networks reached which fidelity.
    #[serde(default)]
    pub spent: Spent,
    /// What a check of shared weights found; `None` where there are none, and for a study that ended before
    /// there was a check.
    pub health: Option<SupernetHealth>,
    /// Seconds by stage.
    pub seconds: StageSeconds,
}

impl Study {
    /// Checks settings, constraints, objectives, and the fidelities of strategy and evaluator against each
    /// other. [`Study::run`] does so too; calling it before [`RunFolder::open`] keeps a study that cannot run
    /// from leaving a folder.
    ///
    /// # Errors
    /// [`StudyError::Setting`], [`StudyError::UnknownCost`], [`StudyError::Fidelity`],
    /// [`StudyError::NeverFull`] or [`StudyError::Budget`].
    pub fn check(&self) -> Result<(), StudyError> {
        self.settings.check()?;
        effort::check(&self.settings, self.strategy.as_ref(), self.evaluator.fidelities())?;
        settings::check_objectives(&self.objectives)?;
        settings::check_constraints(&self.constraints, &self.costs)
    }

    /// Runs all stages, or what is left of them.
    ///
    /// # Errors
    /// [`StudyError`]; every finished trial is kept, and running again goes on.
    ///
    /// # Panics
    /// When a strategy, an observer or a stage of the evaluator other than `evaluate` panics.
    pub fn run(mut self, folder: &RunFolder) -> Result<Summary, StudyError> {
        self.check()?;
        let expect = |reader: JournalReader| {
            reader.with_objectives(&self.objectives).with_constraints(&self.constraints)
        };
        let Opened { journal, record, cut } = Journal::open_with(&folder.paths().journal(), expect)?;
        check_start(&record, &self.evaluator.fingerprint_start())?;
        let observers = std::mem::take(&mut self.observers);
        let log = Log::new(journal, folder, observers, Arc::clone(&self.stop))?;
        match self.stages(folder, record, cut, &log) {
            Err(error) => Err(log.first(error)),
            // What failed where no error could be returned asks for a stop too.
            Ok(summary) if summary.status == Status::Interrupted => log.failed().map_or(Ok(summary), Err),
            Ok(summary) => Ok(summary),
        }
    }

    fn stages(
        self,
        folder: &RunFolder,
        mut record: StudyRecord,
        cut: Option<usize>,
        log: &Log,
    ) -> Result<Summary, StudyError> {
        let Self { settings, mut strategy, evaluator, store, .. } = self;
        open_run(&settings, &mut record, cut, log)?;
        let mut summary = Summary {
            status: Status::Interrupted,
            trials: record.trials.len() as u64,
            front: Vec::new(),
            finished: Vec::new(),
            spent: Spent::default(),
            health: None,
            seconds: StageSeconds::default(),
        };

        let began = Instant::now();
        let prepared = evaluator.prepare(log);
        summary.seconds.prepare = began.elapsed().into();
        match prepared {
            Err(EvalError::Interrupted) => return Ok(summary),
            prepared => prepared?,
        }
        let (fingerprint, answered) = (evaluator.fingerprint(), evaluator.fidelities());
        check_fingerprint(&record, &fingerprint, answered.full_epochs, log)?;
        strategy.hear_fidelities(answered);
        let checked = health::check(evaluator.as_ref(), &fingerprint, &record, settings.strict, log);
        summary.seconds.prepare = began.elapsed().into();
        match checked {
            Err(StudyError::Eval(EvalError::Interrupted)) => return Ok(summary),
            checked => summary.health = checked?,
        }

        let began = Instant::now();
        let store = memo::open(store, &folder.paths().store(), &fingerprint, &record, log)?;
        let domain = Domain::new(self.space.as_ref(), &self.costs, &self.constraints, &self.objectives);
        let parts = search::Parts {
            settings: &settings,
            domain: &domain,
            answered,
            evaluator: evaluator.as_ref(),
            store: store.as_ref(),
            record: &record,
            fingerprint: &fingerprint,
            log,
        };
        let searched = search::search(parts, strategy.as_mut())?;
        summary.seconds.search = began.elapsed().into();
        summary.front = study_front(&searched.trials);
        summary.spent = Spent::of(&searched.trials, answered.full_epochs);
        if searched.interrupted {
            summary.trials = searched.journaled;
            return Ok(summary);
        }
        summary.trials = searched.trials.len() as u64;
        report_front(&summary, &record, log)?;
        trainings::clear(folder.paths())?;

        let began = Instant::now();
        if let Some(finisher) = &self.finisher {
            let best = front::chosen(&summary.front, settings.networks);
            let best: Vec<&Trial> = finish::by_id(&searched.trials, best.iter().map(|entry| entry.trial));
            let networks = finish::finish(&best, finisher.as_ref(), folder.paths(), &record, log)?;
            summary.finished = networks.finished;
            if networks.interrupted {
                summary.seconds.finish = began.elapsed().into();
                return Ok(summary);
            }
        }
        summary.seconds.finish = began.elapsed().into();
        summary.status = Status::Completed;
        log.record(&Event::Ended)?;
        Ok(summary)
    }
}

/// Says that a run begins, what had to be repaired, and what is to be tried again.
fn open_run(
    settings: &StudySettings,
    record: &mut StudyRecord,
    cut: Option<usize>,
    log: &Log,
) -> Result<(), StudyError> {
    let resumed = record.trials.len() as u64;
    log.record(&Event::Started { study: settings.name.clone(), resumed, trials: settings.trials })?;
    if let Some(bytes) = cut {
        log.warn(format!("the journal ended in an unfinished line; {bytes} bytes were cut off"))?;
    }
    for doubt in record.doubts.sentences() {
        log.warn(format!("the journal: {doubt}"))?;
    }
    if settings.retry_failed {
        let panicked = record.trials.values().filter(|known| known.trial.outcome.is_panic());
        let trials: Vec<_> = panicked.map(|known| known.trial.id).collect();
        if !trials.is_empty() {
            let event = Event::Retried { trials };
            log.record(&event)?;
            record.apply(event);
        }
    }
    Ok(())
}

/// Refuses what `prepare` would work for in vain.
fn check_start(record: &StudyRecord, start: &str) -> Result<(), StudyError> {
    match &record.fingerprint {
        Some(before) if !record.answers.is_empty() && !before.starts_with(start) => {
            Err(StudyError::Fingerprint { before: before.clone(), after: format!("{start}...") })
        }
        _ => Ok(()),
    }
}

/// Holds the evaluator against the one that the journal knows.
fn check_fingerprint(
    record: &StudyRecord,
    fingerprint: &str,
    full_epochs: u32,
    log: &Log,
) -> Result<(), StudyError> {
    let event = Event::Prepared { fingerprint: fingerprint.to_owned(), full_epochs };
    match &record.fingerprint {
        Some(before) if before == fingerprint && record.full_epochs == full_epochs => {
            log.show(&event);
            Ok(())
        }
        Some(before) if before != fingerprint && record.answers().next().is_some() => {
            Err(StudyError::Fingerprint { before: before.clone(), after: fingerprint.to_owned() })
        }
        _ => log.record(&event),
    }
}

fn report_front(summary: &Summary, record: &StudyRecord, log: &Log) -> Result<(), StudyError> {
    let front: Vec<_> = summary.front.iter().map(|entry| entry.trial).collect();
    let event = Event::Searched { trials: summary.trials, front: front.clone() };
    if record.searched == Some((summary.trials, front)) {
        log.show(&event);
        Ok(())
    } else {
        log.record(&event)
    }
}

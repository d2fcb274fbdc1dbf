//! Runs a study in three stages: prepare, search, finish.

mod effort;
mod finish;
mod front;
mod health;
mod log;
mod measuring;
mod memo;
mod panics;
mod question;
mod search;
mod settings;
mod settled;
mod summary;
mod trainings;
mod workers;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use kiln_space::SearchSpace;

pub use self::effort::{Rung, Spent};
pub use self::front::{FrontEntry, study_front};
use self::log::Log;
pub use self::panics::{Panicked, catch as catch_panic, overhear as overhear_panics};
pub use self::settings::{MAX_HOURS, StudySettings};
pub use self::summary::{Status, Summary};
use crate::contracts::{
    EvalError, Evaluator, Event, Finisher, MeasuredLatency, Measurer, Observer, SearchEnd, Strategy,
};
use crate::domain::{Constraint, CostSet, Domain};
use crate::error::StudyError;
use crate::persistence::{Journal, JournalReader, Opened, RunFolder, Store, StudyRecord};
use crate::trials::{FailureGroup, Trial, TrialId};

/// All parts of a study.
///
/// The trials and their order depend only on the parts and the seed. They are the same for any number of
/// workers and after any interruption. Running a study again resumes it; trials in the journal are not
/// evaluated again.
pub struct Study {
    /// Name, seed and budgets of the study.
    pub settings: StudySettings,
    /// The search space.
    pub space: Arc<dyn SearchSpace>,
    /// The strategy, which proposes the networks to evaluate.
    pub strategy: Box<dyn Strategy>,
    /// The evaluator.
    pub evaluator: Arc<dyn Evaluator>,
    /// Trains and exports the best networks of the front. `None` to finish no network.
    pub finisher: Option<Arc<dyn Finisher>>,
    /// What measures the latency of finished networks. Empty to measure nothing.
    pub measurers: Vec<Arc<dyn Measurer>>,
    /// The cost models.
    pub costs: CostSet,
    /// Limits on costs.
    pub constraints: Vec<Constraint>,
    /// Names of the objectives, which are metrics or costs. All objectives are minimized.
    pub objectives: Vec<String>,
    /// The store. `None` to use the store in the run folder.
    pub store: Option<Box<dyn Store>>,
    /// The observers.
    pub observers: Vec<Box<dyn Observer>>,
    /// Set this flag to stop the study. Running evaluations are completed and kept.
    pub stop: Arc<AtomicBool>,
}

impl Study {
    /// Checks settings, constraints and objectives, and that the evaluator supports the strategy's
    /// fidelities. [`Study::run`] checks this too. Call this method before [`RunFolder::open`], so that no
    /// folder is created for a study that cannot run.
    ///
    /// # Errors
    /// [`StudyError::Setting`], [`StudyError::UnknownCost`], [`StudyError::Fidelity`],
    /// [`StudyError::NeverFull`] or [`StudyError::Budget`].
    pub fn check(&self) -> Result<(), StudyError> {
        self.settings.check()?;
        effort::check(&self.settings, self.strategy.as_ref(), self.evaluator.fidelities())?;
        settings::check_objectives(&self.objectives)?;
        settings::check_constraints(&self.constraints, &self.costs)?;
        let domain = Domain::new(self.space.as_ref(), &self.costs, &self.constraints, &self.objectives);
        self.strategy.fits(&domain).map_err(StudyError::Strategy)
    }

    /// Runs all stages. For a resumed study, runs the remaining stages.
    ///
    /// # Errors
    /// Any [`StudyError`]. Every finished trial is kept, and running again resumes the study.
    ///
    /// # Panics
    /// If a strategy or an observer panics, or if the evaluator panics outside `evaluate`.
    pub fn run(mut self, folder: &RunFolder) -> Result<Summary, StudyError> {
        let Begun { record, cut, log } = self.open(folder, false)?;
        log.settled(self.stages(folder, record, cut, &log))
    }

    fn stages(
        mut self,
        folder: &RunFolder,
        mut record: StudyRecord,
        cut: Option<usize>,
        log: &Log,
    ) -> Result<Summary, StudyError> {
        let mut summary = match self.begin(&mut record, cut, log)? {
            Prepared::Ready(summary) => summary,
            Prepared::Interrupted(summary) => return Ok(summary),
        };
        let Self { settings, mut strategy, evaluator, store, .. } = self;
        let (fingerprint, answered) = (evaluator.fingerprint(), evaluator.fidelities());
        strategy.hear_fidelities(answered);
        let began = Instant::now();
        let checked = health::check(evaluator.as_ref(), &fingerprint, &record, settings.strict, log);
        summary.seconds.prepare = summary.seconds.prepare.saturating_add(began.elapsed().into());
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
            is_settled: settled::is_settled(&record, &settings, &domain, folder.is_unchanged()),
            log,
        };
        let searched = search::search(parts, strategy.as_mut())?;
        summary.seconds.search = summary.seconds.search.saturating_add(began.elapsed().into());
        summary.front = study_front(&searched.trials);
        summary.failed = FailureGroup::of(&searched.trials);
        summary.spent = Spent::of(&searched.trials, answered.full_epochs);
        let Some(end) = searched.end else {
            summary.trials = searched.journaled;
            return Ok(summary);
        };
        report_end(&end, &record, log)?;
        summary.end = Some(end);
        summary.trials = searched.trials.len() as u64;
        report_front(&summary, &record, log)?;
        trainings::clear(folder.paths())?;

        if let Some(finisher) = &self.finisher {
            let best = front::chosen(&summary.front, settings.networks);
            let best: Vec<&Trial> = finish::by_id(&searched.trials, best.iter().map(|entry| entry.trial));
            let parts = measuring::Parts {
                measurers: &self.measurers,
                space: self.space.as_ref(),
                costs: &self.costs,
                paths: folder.paths(),
                record: &record,
                log,
            };
            summary = finish_all(&best, finisher.as_ref(), &parts, summary)?;
        } else {
            summary = end_run(log, summary)?;
        }
        let own: Vec<TrialId> = summary.finished.iter().map(|finished| finished.trial).collect();
        let others = finish::kept(&record, folder.paths()).filter(|finished| !own.contains(&finished.trial));
        summary.finished.extend(others.cloned());
        Ok(summary)
    }

    /// Finishes networks of a study whose search has ended, like the finish stage of [`Study::run`]. Networks
    /// that are already finished stay unchanged. Calling this method again resumes the work. The search is
    /// not continued.
    ///
    /// # Errors
    /// Any [`StudyError`]. Finished networks are kept.
    ///
    /// # Panics
    /// If an observer or the evaluator panics.
    pub fn finish(mut self, folder: &RunFolder, wanted: &Wanted) -> Result<Summary, StudyError> {
        let Begun { record, cut, log } = self.open(folder, true)?;
        log.settled(self.finish_wanted(folder, wanted, (record, cut), &log))
    }

    fn finish_wanted(
        mut self,
        folder: &RunFolder,
        wanted: &Wanted,
        (mut record, cut): (StudyRecord, Option<usize>),
        log: &Log,
    ) -> Result<Summary, StudyError> {
        let finisher = self.finisher.clone().ok_or(StudyError::NoFinisher)?;
        let mut summary = match self.begin(&mut record, cut, log)? {
            Prepared::Ready(summary) => summary,
            Prepared::Interrupted(summary) => return Ok(summary),
        };
        let trials: Vec<Trial> = record.trials.values().map(|known| known.trial.clone()).collect();
        summary.front = study_front(&trials);
        summary.spent = Spent::of(&trials, self.evaluator.fidelities().full_epochs);
        let chosen = match wanted {
            Wanted::Trials(ids) => finish::named(&trials, ids)?,
            Wanted::Best(count) => {
                let best = front::chosen(&summary.front, usize::MAX);
                let open = best.iter().map(|entry| entry.trial);
                let done: Vec<TrialId> =
                    finish::kept(&record, folder.paths()).map(|finished| finished.trial).collect();
                finish::by_id(&trials, open.filter(|trial| !done.contains(trial)).take(*count))
            }
        };
        let parts = measuring::Parts {
            measurers: &self.measurers,
            space: self.space.as_ref(),
            costs: &self.costs,
            paths: folder.paths(),
            record: &record,
            log,
        };
        finish_all(&chosen, finisher.as_ref(), &parts, summary)
    }

    /// Opens the journal for a run.
    fn open(&mut self, folder: &RunFolder, after_search: bool) -> Result<Begun, StudyError> {
        self.check()?;
        let expect = |reader: JournalReader| {
            reader.with_objectives(&self.objectives).with_constraints(&self.constraints)
        };
        let Opened { journal, record, cut } = Journal::open_with(&folder.paths().journal(), expect)?;
        if after_search && record.searched.is_none() {
            return Err(StudyError::NotEnded { path: folder.paths().root().to_owned() });
        }
        check_start(&record, &self.evaluator.fingerprint_start())?;
        let observers = std::mem::take(&mut self.observers);
        let log = Log::new(journal, folder, observers, Arc::clone(&self.stop))?;
        Ok(Begun { record, cut, log })
    }

    /// Records the start of a run in the journal, then prepares the evaluator.
    fn begin(
        &mut self,
        record: &mut StudyRecord,
        cut: Option<usize>,
        log: &Log,
    ) -> Result<Prepared, StudyError> {
        open_run(&self.settings, record, cut, log)?;
        let mut summary = Summary {
            status: Status::Interrupted,
            trials: record.trials.len() as u64,
            end: None,
            failed: Vec::new(),
            front: Vec::new(),
            finished: Vec::new(),
            measured: record.measured.values().cloned().collect(),
            spent: Spent::default(),
            health: record.health.clone(),
            seconds: record.stages,
        };
        let began = Instant::now();
        let prepared = self.evaluator.prepare(log);
        summary.seconds.prepare = summary.seconds.prepare.saturating_add(began.elapsed().into());
        match prepared {
            Err(EvalError::Interrupted) => return Ok(Prepared::Interrupted(summary)),
            prepared => prepared?,
        }
        let answered = self.evaluator.fidelities();
        check_fingerprint(record, &self.evaluator.fingerprint(), answered.full_epochs, log)?;
        Ok(Prepared::Ready(summary))
    }
}

/// Selects the networks of an ended study to finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The networks of these trials, in this order.
    Trials(Vec<TrialId>),
    /// The best networks of the front that are not finished yet. The value is their number.
    Best(usize),
}

/// A run whose journal is open.
struct Begun {
    /// The state of the study according to the journal.
    record: StudyRecord,
    /// Number of bytes that were cut from the end of the journal.
    cut: Option<usize>,
    log: Log,
}

/// The result of preparing the evaluator: either it is ready, or the user stopped the run before.
enum Prepared {
    Ready(Summary),
    Interrupted(Summary),
}

/// Finishes these trials, measures their networks, and ends the run.
fn finish_all(
    trials: &[&Trial],
    finisher: &dyn Finisher,
    parts: &measuring::Parts<'_>,
    mut summary: Summary,
) -> Result<Summary, StudyError> {
    let began = Instant::now();
    let networks = finish::finish(trials, finisher, parts.paths, parts.record, parts.log)?;
    summary.finished = networks.finished;
    let measured =
        if networks.interrupted { None } else { measuring::measure(parts, &summary.finished, trials)? };
    summary.seconds.finish = summary.seconds.finish.saturating_add(began.elapsed().into());
    let Some(measured) = measured else { return Ok(summary) };
    for new in measured {
        let is_same = |old: &&mut MeasuredLatency| old.trial == new.trial && old.device == new.device;
        match summary.measured.iter_mut().find(is_same) {
            Some(old) => *old = new,
            None => summary.measured.push(new),
        }
    }
    summary.measured.sort_by(|a, b| (a.trial, &a.device).cmp(&(b.trial, &b.device)));
    end_run(parts.log, summary)
}

/// Records in the journal that all stages are done.
fn end_run(log: &Log, summary: Summary) -> Result<Summary, StudyError> {
    log.record(&Event::Ended)?;
    Ok(Summary { status: Status::Completed, ..summary })
}

/// Records in the journal that a run begins, what was repaired, and what will be retried.
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
        let panicked = record.trials.values().filter(|known| known.trial.outcome.is_breakdown());
        let trials: Vec<_> = panicked.map(|known| known.trial.id).collect();
        if !trials.is_empty() {
            let event = Event::Retried { trials };
            log.record(&event)?;
            record.apply(event);
        }
    }
    Ok(())
}

/// Refuses a different fingerprint early, before `prepare` spends time on work that would be useless.
fn check_start(record: &StudyRecord, start: &str) -> Result<(), StudyError> {
    match &record.fingerprint {
        Some(before) if record.answers().next().is_some() && !before.starts_with(start) => {
            Err(StudyError::Fingerprint { before: before.clone(), after: format!("{start}...") })
        }
        _ => Ok(()),
    }
}

/// Compares the evaluator's fingerprint with the fingerprint in the journal.
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

/// Records in the journal why the search ended. Records nothing if the budget of trials was used up, or if
/// the journal already contains this reason.
fn report_end(end: &SearchEnd, record: &StudyRecord, log: &Log) -> Result<(), StudyError> {
    let event = Event::SearchEnd { end: end.clone() };
    if *end == SearchEnd::Trials {
        Ok(())
    } else if record.search_end.as_ref() == Some(end) {
        log.show(&event);
        Ok(())
    } else {
        tracing::info!("the search ended: {end}");
        log.record(&event)
    }
}

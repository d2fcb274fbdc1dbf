//! The search stage: ask the strategy, evaluate the proposals, record the outcomes, and report the trials.
//!
//! [`Search`] contains only the loop. Its steps are in modules: `budget` decides whether the strategy may be
//! asked again. `admission` checks proposals against the strategy's contract and the journal. `evaluations`
//! manages running evaluations. `ledger` turns outcomes into trials and writes them to disk. `told` contains
//! the trials that were reported to the strategy and the observers.

mod admission;
mod budget;
mod evaluations;
mod ledger;
mod leftover;
mod pace;
mod target;
mod told;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use self::admission::Admission;
use self::budget::Budget;
use self::evaluations::Evaluations;
use self::ledger::{Ledger, Settled};
use self::pace::Pace;
use self::told::Told;
use super::log::Log;
use super::question::Question;
use super::settings::StudySettings;
use super::settled::ASKED_AGAIN;
use super::workers::work;
use crate::contracts::{Ask, Evaluator, Event, Progress, Schedule, SearchEnd, Strategy};
use crate::domain::Domain;
use crate::error::StudyError;
use crate::persistence::{Store, StudyRecord};
use crate::trials::seed::ask_generator;
use crate::trials::{FailureKind, Fidelities, Outcome, Proposal, Seconds, Trial, TrialId};

/// Number of trials between two reports of the rejections.
const REJECTIONS_EVERY: usize = 50;

/// The inputs of the search stage.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) settings: &'a StudySettings,
    pub(super) domain: &'a Domain<'a>,
    pub(super) answered: Fidelities,
    pub(super) evaluator: &'a dyn Evaluator,
    pub(super) store: &'a dyn Store,
    pub(super) record: &'a StudyRecord,
    pub(super) fingerprint: &'a str,
    /// Whether the search ended in an earlier run. In that case only its first trials are replayed.
    pub(super) is_settled: bool,
    pub(super) log: &'a Log,
}

/// The result of the search stage.
pub(super) struct Searched {
    /// Trials in the order in which they were reported to the strategy.
    pub(super) trials: Vec<Trial>,
    /// Number of trials in the journal, including those that were not reported to the strategy yet.
    pub(super) journaled: u64,
    /// The reason why the search ended. `None` if the user stopped it.
    pub(super) end: Option<SearchEnd>,
}

/// Runs the search stage. Even after an error, running evaluations are completed and recorded in the journal.
pub(super) fn search(parts: Parts<'_>, strategy: &mut dyn Strategy) -> Result<Searched, StudyError> {
    let (settings, evaluator, log) = (parts.settings, parts.evaluator, parts.log);
    let (jobs, queue) = channel();
    let (results, answers) = channel();
    let queue = Mutex::new(queue);
    let ending = AtomicBool::new(false);
    let stopping = || ending.load(Ordering::Relaxed) || log.stop_requested();
    let panics = parts.record.panics();
    let panicked = panics.map(|(proposal, outcome)| (proposal.into(), outcome.clone())).collect();
    let evaluations = Evaluations::new(settings.seed, jobs, answers, panicked);
    thread::scope(|scope| {
        // The search owns the sender of jobs, which is dropped at the end of this closure, even if the
        // closure panics. The workers end when the sender is dropped. Otherwise the scope would wait for them
        // forever.
        let mut search = Search::new(parts, strategy, evaluations);
        for worker in 0..settings.workers {
            let (results, queue, stopping) = (results.clone(), &queue, &stopping);
            scope.spawn(move || work(worker, evaluator, (queue, &Warnings(log)), &results, stopping));
        }
        let ended = search.run();
        ending.store(true, Ordering::Relaxed);
        search.finish_running();
        ended.map(|()| search.into_searched())
    })
}

/// Passes warnings of evaluations to the user. Their progress is not shown, because several run at a time.
struct Warnings<'a>(&'a Log);

impl Progress for Warnings<'_> {
    fn report(&self, _stage: &str, _done: u64, _total: u64, _note: &str) {}

    fn stop_requested(&self) -> bool {
        false
    }

    fn warn(&self, message: &str) {
        Progress::warn(self.0, message);
    }
}

struct Search<'a> {
    parts: Parts<'a>,
    strategy: &'a mut dyn Strategy,
    schedule: Schedule,
    budget: Budget<'a>,
    admission: Admission<'a>,
    evaluations: Evaluations,
    ledger: Ledger<'a>,
    told: Told<'a>,
    /// Index of the next ask.
    ask: u64,
    /// Whether the strategy must not be asked any more.
    is_exhausted: bool,
    is_interrupted: bool,
    /// The reason why the search ended. `None` while it runs.
    end: Option<SearchEnd>,
}

impl<'a> Search<'a> {
    fn new(parts: Parts<'a>, strategy: &'a mut dyn Strategy, evaluations: Evaluations) -> Self {
        let Parts { settings, domain, answered, store, record, fingerprint, is_settled, log, .. } = parts;
        let trials = settings.trials.unwrap_or(u64::MAX);
        let trials = if is_settled { trials.min(ASKED_AGAIN) } else { trials };
        let last = record.trials.last_key_value().map(|(last, _)| *last);
        Self {
            parts,
            strategy,
            schedule: Schedule::new(answered),
            budget: Budget::new(settings, answered.full_epochs, trials, last),
            admission: Admission { domain, answered, record },
            evaluations,
            ledger: Ledger::new(domain, store, fingerprint, log, record.trials.len() as u64),
            told: Told::new(settings, log, Pace::new(domain.space())),
            ask: 0,
            is_exhausted: false,
            is_interrupted: false,
            end: None,
        }
    }

    /// Reports trials in virtual completion order. The schedule determines the next trial, and the loop waits
    /// for the outcome of this trial even if other outcomes arrived earlier. So the order of trials is the
    /// same for any number of workers.
    fn run(&mut self) -> Result<(), StudyError> {
        loop {
            self.fill()?;
            if self.is_interrupted {
                return Ok(());
            }
            let Some(next) = self.schedule.next() else { break };
            while !self.ledger.has(next) {
                self.receive()?;
                if self.is_interrupted {
                    return Ok(());
                }
            }
            self.tell(next)?;
        }
        if self.parts.is_settled {
            self.told.take_over(self.parts.record, self.budget.next());
            self.end = Some(SearchEnd::Trials);
            return Ok(());
        }
        self.report_rejections()?;
        self.end = Some(self.why_ended()?);
        Ok(())
    }

    /// Asks the strategy until all virtual workers are busy, or the strategy has no proposal at the moment.
    fn fill(&mut self) -> Result<(), StudyError> {
        let log = self.parts.log;
        while !self.is_exhausted && self.schedule.running() < self.parts.settings.in_flight {
            if log.stop_requested() {
                self.is_interrupted = true;
                return Ok(());
            }
            if !self.budget.allows_another(|| log.elapsed()) {
                self.is_exhausted = true;
                break;
            }
            let mut rng = ask_generator(self.parts.settings.seed, self.ask);
            self.ask += 1;
            match self.strategy.ask(self.parts.domain, &mut rng) {
                Ask::Propose(proposal) => self.accept(proposal)?,
                Ask::Wait if self.schedule.running() == 0 => {
                    return Err(StudyError::Stuck { trials: self.told.len() as u64 });
                }
                Ask::Wait => break,
                Ask::Done => self.is_exhausted = true,
                Ask::Misfit(error) => return Err(StudyError::Strategy(error)),
            }
        }
        Ok(())
    }

    /// Accepts a proposal. The outcome is taken from the journal or the store. If neither contains it, the
    /// proposal is evaluated.
    fn accept(&mut self, proposal: Proposal) -> Result<(), StudyError> {
        let id = self.budget.count();
        self.admission.check(id, &proposal)?;
        self.schedule.start(id, proposal.fidelity);
        if let Some(journaled) = self.admission.journaled(id, &proposal)? {
            if !matches!(journaled.trial.outcome, Outcome::Failed { kind: FailureKind::Invalid, .. }) {
                self.budget.pay(&proposal);
            }
            return self.ledger.take_over(proposal, journaled);
        }
        let settled = |proposal, outcome, known| Settled {
            id,
            proposal,
            outcome,
            known,
            seconds: Seconds::ZERO,
            worker: 0,
        };
        let architecture = match self.admission.architecture(&proposal.genotype) {
            Ok(architecture) => architecture,
            Err(error) => {
                let outcome = Outcome::Failed { kind: FailureKind::Invalid, reason: error.to_string() };
                return self.ledger.settle(vec![settled(proposal, outcome, false)]);
            }
        };
        self.budget.pay(&proposal);
        let known = match self.evaluations.panic_of(&Question::from(&proposal)) {
            Some(outcome) => Some(outcome.clone()),
            None => self.ledger.remembered(&proposal)?,
        };
        if let Some(outcome) = known {
            return self.ledger.settle(vec![settled(proposal, outcome, true)]);
        }
        self.evaluations.start(id, proposal, architecture);
        Ok(())
    }

    /// Waits for an outcome, and records it together with all other outcomes that have arrived.
    fn receive(&mut self) -> Result<(), StudyError> {
        let received = self.evaluations.receive();
        self.is_interrupted |= received.interrupted;
        let settled = self.ledger.settle(received.settled);
        let Some(first) = received.failed else { return settled };
        if let Err(later) = settled {
            tracing::warn!("after the error that is told: {later}");
        }
        Err(first.into())
    }

    /// Waits for the evaluations that are still running after the last ask, and records them.
    fn finish_running(&mut self) {
        while self.evaluations.are_running() {
            if let Err(error) = self.receive() {
                tracing::warn!("while the search stops: {error}");
            }
        }
    }

    /// Reports a trial to the strategy and the observers.
    fn tell(&mut self, id: TrialId) -> Result<(), StudyError> {
        let answered = self.ledger.take(id);
        self.strategy.tell(&answered.trial);
        self.budget.tell(&answered.trial);
        let panicked = self.told.push(answered, self.budget.epochs());
        if self.told.len().is_multiple_of(REJECTIONS_EVERY) {
            self.report_rejections()?;
        }
        panicked
    }

    fn report_rejections(&self) -> Result<(), StudyError> {
        let rejections = self.parts.domain.rejections();
        let (candidates, rejected) = (rejections.candidates, rejections.rejected);
        let event = Event::Rejections { candidates, rejected };
        // When a search is replayed, the journal already contains this event. Writing the event again would
        // be slow, because each line is synced to disk.
        let record = self.parts.record;
        if self.ledger.journaled() == record.trials.len() as u64 && record.searched.is_some() {
            self.parts.log.show(&event);
            return Ok(());
        }
        self.parts.log.record(&event)
    }

    /// Warns if no network was evaluated with full fidelity.
    fn warn_of_low_fidelity(&self) -> Result<(), StudyError> {
        let measured = self.told.trials().iter().filter(|trial| trial.outcome.measurement().is_some());
        let highest = measured.map(|trial| trial.proposal.fidelity).max();
        let full_epochs = self.parts.answered.full_epochs;
        let Some(after) = highest.and_then(|highest| highest.qualifier(full_epochs)) else { return Ok(()) };
        self.parts.log.warn(format!(
            "no network was judged with full effort: the front is what networks measure {after}"
        ))
    }

    /// Returns the reason why the strategy is not asked any more.
    fn why_ended(&self) -> Result<SearchEnd, StudyError> {
        let told = self.told.len() as u64;
        let domain = self.parts.domain;
        if told == 0 && !self.budget.is_late() {
            let rejections = domain.rejections();
            if rejections.candidates == 0 || rejections.rejected < rejections.candidates {
                return Err(StudyError::NothingProposed);
            }
            let limits = domain.constraints().iter().map(|limit| (limit.cost.clone(), limit.max)).collect();
            return Err(StudyError::NothingFeasible { rejections: Box::new(rejections), limits });
        }
        self.warn_of_low_fidelity()?;
        if let Some(end) = self.budget.end(told) {
            return Ok(end);
        }
        let tried = self.told.trials().iter().map(|trial| &trial.proposal.genotype).collect();
        Ok(leftover::end_of_strategy(self.strategy, domain, &tried))
    }

    fn into_searched(self) -> Searched {
        let journaled = self.ledger.journaled();
        Searched { trials: self.told.into_trials(), journaled, end: self.end }
    }
}

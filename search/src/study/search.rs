//! The search stage: ask, evaluate, remember, tell.

mod judge;
mod leftover;
mod pace;
mod settle;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use kiln_space::Genotype;

use self::pace::Pace;
use super::effort::epochs_of;
use super::log::Log;
use super::settings::StudySettings;
use super::settled::ASKED_AGAIN;
use super::workers::{Answer, Job, work};
use crate::contracts::{Ask, Evaluator, Event, Progress, Schedule, SearchEnd, Strategy};
use crate::domain::Domain;
use crate::error::StudyError;
use crate::persistence::{Store, StudyRecord};
use crate::trials::seed::ask_generator;
use crate::trials::{Fidelities, Fidelity, Outcome, Proposal, Seconds, Trial, TrialId};

/// Rejections are reported every so many trials.
const REJECTIONS_EVERY: usize = 50;

/// What the search stage works with.
pub(super) struct Parts<'a> {
    pub(super) settings: &'a StudySettings,
    pub(super) domain: &'a Domain<'a>,
    pub(super) answered: Fidelities,
    pub(super) evaluator: &'a dyn Evaluator,
    pub(super) store: &'a dyn Store,
    pub(super) record: &'a StudyRecord,
    pub(super) fingerprint: &'a str,
    /// The search is over: only its beginning is gone through again.
    pub(super) is_settled: bool,
    pub(super) log: &'a Log,
}

/// What the search stage gave.
pub(super) struct Searched {
    /// Trials in the order of telling.
    pub(super) trials: Vec<Trial>,
    /// Trials in the journal, told or not.
    pub(super) journaled: u64,
    /// Why it ended; `None` when the user stopped it.
    pub(super) end: Option<SearchEnd>,
}

/// An answered proposal.
struct Answered {
    trial: Trial,
    known: bool,
    seconds: Seconds,
    worker: usize,
}

struct Search<'a> {
    parts: Parts<'a>,
    strategy: &'a mut dyn Strategy,
    schedule: Schedule,
    /// Number of the next ask.
    ask: u64,
    /// Number of the next trial.
    next: TrialId,
    /// What was paid for, and its epochs: what is asked for again costs nothing.
    paid: BTreeSet<(Genotype, Fidelity)>,
    epochs: u64,
    /// Nothing more is to be asked.
    exhausted: bool,
    /// The hours were used up before the budget was.
    late: bool,
    /// The trial that reached the target.
    reached: Option<TrialId>,
    interrupted: bool,
    /// Why it ended, when it has.
    end: Option<SearchEnd>,
    pace: Pace,
    /// Proposals that are being evaluated, with all trials that wait for the answer.
    evaluating: BTreeMap<(Genotype, Fidelity), Vec<TrialId>>,
    /// Proposals without an answer.
    open: BTreeMap<TrialId, Proposal>,
    /// Trials that are in the journal but not told.
    answered: BTreeMap<TrialId, Answered>,
    told: Vec<Trial>,
    /// Trials in the journal.
    journaled: u64,
    /// Evaluations that panicked and are not to be repeated.
    panicked: BTreeMap<(Genotype, Fidelity), Outcome>,
    panics_in_a_row: u32,
}

/// Runs the search stage. On an error, too, running evaluations are finished and journaled.
pub(super) fn search(parts: Parts<'_>, strategy: &mut dyn Strategy) -> Result<Searched, StudyError> {
    let (settings, evaluator, log) = (parts.settings, parts.evaluator, parts.log);
    let (jobs, queue) = channel();
    let (results, answers) = channel();
    let queue = Mutex::new(queue);
    let ending = AtomicBool::new(false);
    let stopping = || ending.load(Ordering::Relaxed) || log.stop_requested();
    let mut search = Search::new(parts, strategy);
    let ended = thread::scope(|scope| {
        // Owned here, so that workers end with this closure, also when it panics.
        let jobs = jobs;
        for worker in 0..settings.workers {
            let (results, queue, stopping) = (results.clone(), &queue, &stopping);
            scope.spawn(move || work(worker, evaluator, queue, &results, stopping));
        }
        let ended = search.run(&jobs, &answers);
        ending.store(true, Ordering::Relaxed);
        while !search.evaluating.is_empty() {
            if let Err(error) = search.receive(&answers) {
                tracing::warn!("while the search stops: {error}");
            }
        }
        ended
    });
    let Search { told: trials, journaled, end, .. } = search;
    ended.map(|()| Searched { trials, journaled, end })
}

impl<'a> Search<'a> {
    fn new(parts: Parts<'a>, strategy: &'a mut dyn Strategy) -> Self {
        let panics = parts.record.panics();
        let panicked = panics
            .map(|(proposal, outcome)| ((proposal.genotype.clone(), proposal.fidelity), outcome.clone()))
            .collect();
        let pace = Pace::new(parts.domain.space());
        Self {
            schedule: Schedule::new(parts.answered),
            journaled: parts.record.trials.len() as u64,
            parts,
            strategy,
            ask: 0,
            next: 0,
            paid: BTreeSet::new(),
            epochs: 0,
            exhausted: false,
            late: false,
            reached: None,
            interrupted: false,
            end: None,
            pace,
            evaluating: BTreeMap::new(),
            open: BTreeMap::new(),
            answered: BTreeMap::new(),
            told: Vec::new(),
            panicked,
            panics_in_a_row: 0,
        }
    }

    fn run(&mut self, jobs: &Sender<Job>, answers: &Receiver<Answer>) -> Result<(), StudyError> {
        loop {
            self.fill(jobs)?;
            if self.interrupted {
                return Ok(());
            }
            let Some(next) = self.schedule.next() else { break };
            while !self.answered.contains_key(&next) {
                self.receive(answers)?;
                if self.interrupted {
                    return Ok(());
                }
            }
            self.tell(next)?;
        }
        if self.parts.is_settled {
            self.take_over();
            return Ok(());
        }
        self.report_rejections()?;
        self.end = Some(self.why_ended()?);
        Ok(())
    }

    /// Tells the observers of the trials behind those that were asked for again. The strategy is not asked any more.
    fn take_over(&mut self) {
        for (_, journaled) in self.parts.record.trials.range(self.next..) {
            let (trial, seconds, worker) = (journaled.trial.clone(), journaled.seconds, journaled.worker);
            self.told.push(trial.clone());
            self.parts.log.show(&Event::Trial { trial, known: true, seconds, worker });
        }
        let told = self.told.len() as u64;
        self.parts.log.report("search", told, told, "");
        self.end = Some(SearchEnd::Trials);
    }

    /// Asks until all virtual workers are busy, or there is nothing to ask for now.
    fn fill(&mut self, jobs: &Sender<Job>) -> Result<(), StudyError> {
        while !self.exhausted && self.schedule.running() < self.parts.settings.in_flight {
            if self.parts.log.stop_requested() {
                self.interrupted = true;
                return Ok(());
            }
            self.late = self.out_of_time();
            if self.late || self.reached.is_some() || self.is_spent() {
                self.exhausted = true;
                break;
            }
            let mut rng = ask_generator(self.parts.settings.seed, self.ask);
            self.ask += 1;
            match self.strategy.ask(self.parts.domain, &mut rng) {
                Ask::Propose(proposal) => self.accept(proposal, jobs)?,
                Ask::Wait if self.schedule.running() == 0 => {
                    return Err(StudyError::Stuck { trials: self.told.len() as u64 });
                }
                Ask::Wait => break,
                Ask::Done => self.exhausted = true,
                Ask::Misfit(error) => return Err(StudyError::Strategy(error)),
            }
        }
        Ok(())
    }

    /// Counts an evaluation as it is asked for, so that a budget in epochs ends at the same trial however
    /// many workers there are.
    fn pay(&mut self, proposal: &Proposal) {
        let (genotype, fidelity) = (proposal.genotype.clone(), proposal.fidelity);
        if self.paid.insert((genotype, fidelity)) {
            self.epochs = self.epochs.saturating_add(epochs_of(fidelity, self.parts.answered.full_epochs));
        }
    }

    fn has_spent_epochs(&self) -> bool {
        self.parts.settings.epochs.is_some_and(|budget| self.epochs >= budget)
    }

    /// Whether all trials or epochs of the budget were asked for.
    fn is_spent(&self) -> bool {
        let trials = self.parts.settings.trials.unwrap_or(u64::MAX);
        let trials = if self.parts.is_settled { trials.min(ASKED_AGAIN) } else { trials };
        self.next >= trials || self.has_spent_epochs()
    }

    /// Whether the hours are used up. What an earlier process began is still gone through.
    fn out_of_time(&self) -> bool {
        let Some(hours) = self.parts.settings.hours else { return false };
        let journaled = self.parts.record.trials.last_key_value().is_some_and(|(last, _)| self.next <= *last);
        !journaled && self.parts.log.elapsed() >= Seconds::saturating(hours * 3600.0)
    }

    /// Tells a trial to the strategy and the observers.
    fn tell(&mut self, id: TrialId) -> Result<(), StudyError> {
        let answered = self.answered.remove(&id).expect("only answered trials are told");
        let Answered { trial, known, seconds, worker } = answered;
        self.strategy.tell(&trial);
        self.told.push(trial.clone());
        self.pace.count(trial.proposal.fidelity, known);
        let settings = self.parts.settings;
        if self.reached.is_none() && target::is_reached(&settings.target, &trial) {
            self.reached = Some(id);
        }
        let panicked = self.count_panic(&trial);
        self.parts.log.show(&Event::Trial { trial, known, seconds, worker });
        let told = self.told.len() as u64;
        let total = self.pace.total(told, self.epochs, settings, self.parts.log.elapsed().duration());
        self.parts.log.report("search", told, total, "");
        if self.told.len().is_multiple_of(REJECTIONS_EVERY) {
            self.report_rejections()?;
        }
        panicked
    }

    fn count_panic(&mut self, trial: &Trial) -> Result<(), StudyError> {
        let limit = self.parts.settings.panics_in_a_row;
        match &trial.outcome {
            Outcome::Failed { reason, .. } if trial.outcome.is_panic() => {
                self.panics_in_a_row += 1;
                if self.panics_in_a_row >= limit {
                    let reason = reason.clone();
                    return Err(StudyError::Panics { count: self.panics_in_a_row, trial: trial.id, reason });
                }
            }
            _ => self.panics_in_a_row = 0,
        }
        Ok(())
    }

    fn report_rejections(&self) -> Result<(), StudyError> {
        let rejections = self.parts.domain.rejections();
        let (candidates, rejected) = (rejections.candidates, rejections.rejected);
        let event = Event::Rejections { candidates, rejected };
        // A search that is gone through again has said so before, and waits for the disk each time it writes.
        let record = self.parts.record;
        if self.journaled == record.trials.len() as u64 && record.searched.is_some() {
            self.parts.log.show(&event);
            return Ok(());
        }
        self.parts.log.record(&event)
    }

    /// Says that all there is was judged with less than full effort.
    fn warn_of_low_fidelity(&self) -> Result<(), StudyError> {
        let measured = self.told.iter().filter(|trial| trial.outcome.measurement().is_some());
        let highest = measured.map(|trial| trial.proposal.fidelity).max();
        let full_epochs = self.parts.answered.full_epochs;
        let Some(after) = highest.and_then(|highest| highest.qualifier(full_epochs)) else { return Ok(()) };
        self.parts.log.warn(format!(
            "no network was judged with full effort: the front is what networks measure {after}"
        ))
    }

    /// Why nothing more is asked.
    fn why_ended(&self) -> Result<SearchEnd, StudyError> {
        let (told, settings) = (self.told.len() as u64, self.parts.settings);
        if told == 0 && !self.late {
            let rejections = self.parts.domain.rejections();
            if rejections.candidates == 0 || rejections.rejected < rejections.candidates {
                return Err(StudyError::NothingProposed);
            }
            let constraints = self.parts.domain.constraints();
            let limits =
                constraints.iter().map(|constraint| (constraint.cost.clone(), constraint.max)).collect();
            return Err(StudyError::NothingFeasible { rejections: Box::new(rejections), limits });
        }
        self.warn_of_low_fidelity()?;
        if settings.trials.is_some_and(|trials| told >= trials) {
            return Ok(SearchEnd::Trials);
        }
        if let Some(trial) = self.reached {
            return Ok(SearchEnd::Target { trial });
        }
        if self.late {
            return Ok(SearchEnd::Hours);
        }
        if self.has_spent_epochs() {
            return Ok(SearchEnd::Epochs { epochs: self.epochs });
        }
        let tried = self.told.iter().map(|trial| &trial.proposal.genotype).collect();
        Ok(leftover::end_of_strategy(self.strategy, self.parts.domain, &tried))
    }
}

//! Runs one strategy on one problem with one seed.

use std::sync::Arc;
use std::time::Instant;

use super::error::BenchError;
use super::flight::{Evaluated, Flight};
use super::problem::{Answer, Goal, Problem};
use super::track::Track;
use crate::contracts::{Ask, Strategy};
use crate::domain::Domain;
use crate::learning::denoised;
use crate::trials::{Costs, FailureKind, Fidelity, Objectives, Outcome, Proposal, Trial, TrialId, seed};

/// Settings of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunSettings {
    /// Whether the run ends when the optimum is found.
    pub until_found: bool,
    /// Whether to also report the architecture with the best denoised objective; see [`denoised`].
    pub denoise: bool,
    /// Number of proposals that are evaluated at the same time, in simulated time. At least 1.
    pub in_flight: usize,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self { until_found: false, denoise: false, in_flight: 1 }
    }
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Distance of the best architecture's result from the optimum; see [`Goal`].
    pub regret: f64,
    /// Reported value of the best architecture.
    pub report: Option<f64>,
    /// Reported value of the architecture with the best [`denoised`] objective, if `denoise` is set.
    pub denoised_report: Option<f64>,
    /// Number of evaluations.
    pub evaluations: u64,
    /// Budget spent when the optimum was found. `None` if the run did not find the optimum.
    pub found_at: Option<f64>,
    /// The improvements: for each one, the budget spent so far and the new regret.
    pub improvements: Vec<(f64, f64)>,
    /// For each improvement, the number of evaluations that had ended by then.
    pub improved_after: Vec<u64>,
    /// Seconds that the strategy took for all calls of ask and tell.
    pub strategy_seconds: f64,
    /// Number of calls of ask, including the call that ended the run.
    pub asks: u64,
    /// Seconds that the strategy took for ask and tell in the last tenth of the asks.
    pub last_seconds: f64,
}

/// Runs a strategy until the budget is used up or the strategy has no more proposals. If `until_found` is
/// set, the run also ends when the optimum is found. Only evaluations use up the budget, and repeating an
/// evaluation is free. With several proposals in flight, each result is reported to the strategy when its
/// simulated evaluation ends, as in a study.
///
/// # Errors
/// [`BenchError`] if the problem lacks a result, or the strategy breaks its contract.
pub fn run(
    problem: &Problem,
    label: &str,
    mut strategy: Box<dyn Strategy>,
    seed: u64,
    settings: RunSettings,
) -> Result<Run, BenchError> {
    let domain =
        Domain::new(problem.space.as_ref(), &problem.costs, &problem.constraints, &problem.objectives)
            .with_descriptions(Arc::clone(&problem.descriptions));
    strategy.fits(&domain)?;
    let mut flight = Flight::new(problem);
    let mut track = Track::new(&problem.goal);
    let (mut spent, mut ended) = (0.0, false);
    let (mut evaluated, mut improved_after) = (0, Vec::new());
    let mut improvements = Vec::new();
    let mut clock: Vec<f64> = Vec::new();
    let mut trials = Vec::new();
    loop {
        while !ended && flight.running() < settings.in_flight {
            let id = clock.len() as TrialId;
            let began = Instant::now();
            let ask = strategy.ask(&domain, &mut seed::ask_generator(seed, id));
            clock.push(began.elapsed().as_secs_f64());
            match ask {
                Ask::Propose(proposal) => ended = !flight.start(id, proposal, label)?,
                Ask::Done => ended = true,
                Ask::Misfit(error) => return Err(error.into()),
                Ask::Wait if flight.running() == 0 => {
                    return Err(BenchError::Waits { strategy: label.to_owned() });
                }
                Ask::Wait => break,
            }
        }
        let Some(Evaluated { id, proposal, answer }) = flight.next() else { break };
        spent += answer.cost;
        // Repeated evaluations and proxies cost nothing.
        evaluated += u64::from(answer.cost > 0.0);
        if proposal.fidelity == Fidelity::Full && track.add(&answer.objectives, answer.report) {
            improvements.push((spent, track.regret()));
            improved_after.push(evaluated);
        }
        let trial = trial(problem, &domain, id, proposal, &answer);
        let began = Instant::now();
        strategy.tell(&trial);
        clock[id as usize] += began.elapsed().as_secs_f64();
        if settings.denoise {
            trials.push(trial);
        }
        if settings.until_found && track.regret() <= 0.0 {
            break;
        }
    }
    if improvements.is_empty() && matches!(problem.goal, Goal::Lowest { .. }) {
        let (budget, unit) = (problem.budget, problem.unit);
        return Err(BenchError::NothingFound { strategy: label.to_owned(), budget, unit });
    }
    let last = clock.len() - clock.len().div_ceil(10);
    Ok(Run {
        regret: track.regret(),
        report: track.report(),
        denoised_report: denoised_report(&domain, &trials, &flight),
        evaluations: flight.evaluations(),
        found_at: improvements.last().filter(|(_, regret)| *regret <= 0.0).map(|(spent, _)| *spent),
        improvements,
        improved_after,
        strategy_seconds: clock.iter().sum(),
        asks: clock.len() as u64,
        last_seconds: clock[last..].iter().sum(),
    })
}

/// Returns the reported value of the trial with the best denoised objective.
fn denoised_report(domain: &Domain<'_>, trials: &[Trial], flight: &Flight<'_>) -> Option<f64> {
    let best = denoised(domain, trials, 0).first()?.trial;
    let Proposal { genotype, fidelity, .. } = &trials.iter().find(|trial| trial.id == best)?.proposal;
    flight.answer(genotype, *fidelity)?.report
}

fn trial(problem: &Problem, domain: &Domain<'_>, id: TrialId, proposal: Proposal, answer: &Answer) -> Trial {
    let costs = if domain.objectives().len() > 1 {
        domain.costs(&proposal.genotype).unwrap_or_default()
    } else {
        Costs::default()
    };
    let outcome = if answer.objectives.is_empty() {
        Outcome::Failed { kind: FailureKind::Invalid, reason: "the table has no result".to_owned() }
    } else {
        let is_proxy = proposal.fidelity == Fidelity::Proxy;
        let names = if is_proxy { &problem.proxies } else { &problem.objectives };
        let named = names.iter().cloned().zip(answer.objectives.iter().copied());
        Outcome::from_metrics(named.collect())
    };
    Trial { id, proposal, outcome, costs, objectives: Objectives(answer.objectives.clone()), violation: 0.0 }
}

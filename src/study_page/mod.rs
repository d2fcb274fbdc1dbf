//! The page of `kiln report`, which shows a study's journal as plots and tables. This module is pure: it
//! reads no clock and no file.

mod audit;
mod compressed;
mod front;
mod health;
mod history;
mod names;
mod progress;
mod results;
mod supernet;
#[cfg(test)]
mod tests;
mod trials;
mod winners;

use std::collections::BTreeMap;
use std::path::PathBuf;

use kiln::audit::Audit;
use kiln_export::ModelCard;
use kiln_export::page::{Figure, Page, Part, Section};
use kiln_search::{
    Constraint, Fidelity, FrontEntry, JournaledTrial, Seconds, StudyRecord, Trial, TrialId, study_front,
};

pub(crate) use self::history::History;
use self::names::{Axes, with_unit};
use crate::finished_files::CardError;
use crate::headline;
use crate::inspection::Inspection;
use crate::report::PredictedFor;
use crate::units::{self, Numbers};

/// Maximum number of networks whose layers are shown. Finished networks take precedence over other networks
/// on the front.
const WINNERS: usize = 5;

/// All data of a study that the page shows.
pub(crate) struct StudyPage {
    name: String,
    run: PathBuf,
    objectives: Vec<String>,
    constraints: Vec<Constraint>,
    config: String,
    history: History,
    /// The journal's content, except the trials.
    record: StudyRecord,
    /// For each worker, the durations of its evaluations.
    workers: BTreeMap<usize, Vec<Seconds>>,
    /// Trials in ascending order of their numbers.
    trials: Vec<Trial>,
    front: Vec<FrontEntry>,
    audit: Option<Audit>,
    /// Cards of finished networks, or the reason why a card cannot be read.
    cards: BTreeMap<TrialId, Result<ModelCard, CardError>>,
    problems: Vec<String>,
    /// The cost models.
    devices: Vec<PredictedFor>,
    /// Whether the metrics of trials are measured or estimated.
    numbers: Numbers,
}

impl StudyPage {
    /// Creates a page from the content of a journal.
    pub(crate) fn new(
        name: String,
        run: PathBuf,
        config: String,
        objectives: Vec<String>,
        constraints: Vec<Constraint>,
        mut record: StudyRecord,
        history: History,
    ) -> Self {
        let mut workers: BTreeMap<usize, Vec<Seconds>> = BTreeMap::new();
        let trial = |journaled: Box<JournaledTrial>| {
            workers.entry(journaled.worker).or_default().push(journaled.seconds);
            journaled.trial
        };
        let trials: Vec<Trial> = std::mem::take(&mut record.trials).into_values().map(trial).collect();
        let front = study_front(&trials);
        let (audit, cards, problems, devices) = (None, BTreeMap::new(), Vec::new(), Vec::new());
        Self {
            name,
            run,
            objectives,
            constraints,
            config,
            history,
            record,
            workers,
            trials,
            front,
            audit,
            cards,
            problems,
            devices,
            numbers: Numbers::Measured,
        }
    }

    /// Adds the cost models.
    pub(crate) fn with_devices(self, devices: Vec<PredictedFor>) -> Self {
        Self { devices, ..self }
    }

    /// Adds the result of an audit of the supernet.
    pub(crate) fn with_audit(self, audit: Option<Audit>) -> Self {
        Self { audit, ..self }
    }

    /// Adds the cards of finished networks.
    pub(crate) fn with_cards(self, cards: BTreeMap<TrialId, Result<ModelCard, CardError>>) -> Self {
        Self { cards, ..self }
    }

    /// Adds the problems with files of finished networks.
    pub(crate) fn with_problems(self, problems: Vec<String>) -> Self {
        Self { problems, ..self }
    }

    /// Returns the [`StudyRecord`]: everything that the journal records except the trials.
    pub(crate) const fn record(&self) -> &StudyRecord {
        &self.record
    }

    /// Sets whether the metrics are measured or estimated.
    pub(crate) fn with_numbers(self, numbers: Numbers) -> Self {
        Self { numbers, ..self }
    }

    /// Returns the trials whose layers are shown: the finished networks, or the best networks of the front if
    /// no network is finished.
    pub(crate) fn winners(&self) -> Vec<&Trial> {
        let finished: Vec<TrialId> = self.record.finished.keys().copied().collect();
        let mut front: Vec<&FrontEntry> = self.front.iter().collect();
        front.sort_by(|a, b| {
            let first = |entry: &FrontEntry| entry.objectives.0.first().copied().unwrap_or(f64::INFINITY);
            first(a).total_cmp(&first(b)).then(a.trial.cmp(&b.trial))
        });
        let best = front.first().map(|entry| entry.trial);
        let chosen: Vec<TrialId> = if finished.is_empty() { best.into_iter().collect() } else { finished };
        let trial = |id: &TrialId| self.trials.iter().find(|trial| trial.id == *id);
        chosen.iter().filter_map(trial).take(WINNERS).collect()
    }

    /// Builds the page. `inspections` contains the winners' architectures, or the reason why one cannot be
    /// shown.
    pub(crate) fn page(&self, inspections: &BTreeMap<TrialId, anyhow::Result<Inspection>>) -> Page {
        let axes = Axes::choose(&self.objectives, &self.constraints, &self.trials).with_numbers(self.numbers);
        let problems = self.problems.iter().cloned().map(Part::Text).collect();
        let sections = [
            (!self.problems.is_empty())
                .then(|| Section { title: "Files of finished networks".to_owned(), parts: problems }),
            Some(self.front_section(&axes)),
            results::section(&self.cards),
            compressed::section(&self.cards),
            self.winners_section(inspections),
            Some(self.trials_section(&axes)),
            self.supernet_section(),
            self.audit.as_ref().map(audit::section),
            Some(self.health_section()),
            Some(Section {
                title: "Settings".to_owned(),
                parts: vec![
                    Part::Text(format!(
                        "The config as it was run, from {}. Fingerprint of the evaluator: {}.",
                        self.run.join("config.toml").display(),
                        self.record.fingerprint.as_deref().unwrap_or("not known yet")
                    )),
                    Part::Code(self.config.clone()),
                ],
            }),
        ];
        Page {
            title: self.name.clone(),
            subtitle: self.subtitle(),
            figures: self.figures(),
            sections: sections.into_iter().flatten().collect(),
            footer: format!("Written by Kiln {} from {}.", env!("CARGO_PKG_VERSION"), self.run.display()),
        }
    }

    fn subtitle(&self) -> String {
        let objectives: Vec<String> = self.objectives.iter().map(|name| names::subject(name)).collect();
        let limits: Vec<String> = self
            .constraints
            .iter()
            .map(|limit| {
                format!("{} at most {}", names::subject(&limit.cost), with_unit(&limit.cost, limit.max))
            })
            .collect();
        let state = if self.record.ended { "The study has ended" } else { "The study has not ended" };
        let limits = if limits.is_empty() { String::new() } else { format!(", with {}", limits.join(", ")) };
        let state = match &self.record.search_end {
            Some(end) => format!("{state}; the search ended early: {end}"),
            None => state.to_owned(),
        };
        let devices: Vec<String> =
            self.devices.iter().map(|device| format!(" Costs are predicted by {device}.")).collect();
        format!("{state}. It looks for the best {}{limits}.{}", objectives.join(" and "), devices.concat())
    }

    fn figures(&self) -> Vec<Figure> {
        let figure =
            |label: &str, value: String, note: String| Figure { label: label.to_owned(), value, note };
        let failed = self.trials.iter().filter(|trial| trial.outcome.measurement().is_none()).count();
        let failed = if failed == 0 { "none failed".to_owned() } else { format!("{failed} failed") };
        let mut figures = vec![
            figure("Trials", self.trials.len().to_string(), failed),
            figure("Pareto front", self.front.len().to_string(), self.judged("networks")),
        ];
        if let (Some(name), Some(best)) = (self.objectives.first(), self.best()) {
            let value = with_unit(name, best.objectives.0[0]);
            figures.push(figure(
                &format!("Best {}", names::subject_of(name, self.numbers)),
                value,
                self.judged(&format!("in the search, trial {}", best.trial)),
            ));
        }
        // The test result matters most, so it comes first.
        let finished = self.record.finished.values().map(|(finished, _)| (finished.trial, &finished.metrics));
        if let Some(best) = headline::best(finished, &self.objectives) {
            let (label, note) = (names::subject(best.metric), format!("finished, trial {}", best.trial));
            figures.insert(0, figure(&names::capitalized(&label), with_unit(best.metric, best.value), note));
        }
        let elapsed = units::duration(self.record.elapsed_s.duration());
        figures.push(figure("Time", elapsed, "of work on the study".to_owned()));
        figures
    }

    /// Returns the label of a value on the front. The label includes the fidelity if the fidelity is not full
    /// effort.
    fn judged(&self, what: &str) -> String {
        let qualifier = self.front.first().and_then(|entry| self.qualifier(entry.fidelity));
        qualifier.map_or_else(|| what.to_owned(), |qualifier| format!("{what}, {qualifier}"))
    }

    fn qualifier(&self, fidelity: Fidelity) -> Option<String> {
        fidelity.qualifier(self.record.full_epochs)
    }

    /// Returns the highest fidelity of any measured trial. Only values with that fidelity are compared.
    fn highest(&self) -> Option<Fidelity> {
        let measured = self.trials.iter().filter(|trial| trial.outcome.measurement().is_some());
        measured.map(|trial| trial.proposal.fidelity).max()
    }

    /// Returns the network on the front with the best value of the first objective.
    fn best(&self) -> Option<&FrontEntry> {
        let measured = self.front.iter().filter(|entry| !entry.objectives.0.is_empty());
        measured.min_by(|a, b| a.objectives.0[0].total_cmp(&b.objectives.0[0]).then(a.trial.cmp(&b.trial)))
    }
}

//! What is known before a study begins: genotypes to try first, given or taken from an earlier study's journal.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kiln_space::{Genotype, Settings, SettingsError, variation};
use rand::Rng;
use serde::Deserialize;

use crate::pareto::{self, Point};
use crate::{Ask, Domain, Event, Fidelity, JournalReader, Origin, Proposal, Strategy, Trial};

/// Keys that every strategy takes.
pub(crate) const KEYS: [&str; 2] = ["start", "transfer"];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PriorSettings {
    /// Genotypes to try first.
    start: Vec<Genotype>,
    /// An earlier study to take more from.
    transfer: Option<Transfer>,
}

/// Which trials of an earlier study are tried again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    /// Its `journal.jsonl`.
    journal: PathBuf,
    /// The best so many.
    #[serde(default = "ten")]
    count: usize,
}

const fn ten() -> usize {
    10
}

/// Puts a prior in front of a strategy, if the settings (of [`KEYS`] alone) say so.
///
/// # Errors
/// [`SettingsError`] when they cannot be read, or the journal cannot.
pub(crate) fn before(
    settings: &Settings,
    then: Box<dyn Strategy>,
) -> Result<Box<dyn Strategy>, SettingsError> {
    let PriorSettings { mut start, transfer } = settings.read()?;
    if let Some(Transfer { journal, count }) = transfer {
        start.extend(
            best(&journal, count)
                .map_err(|problem| SettingsError { key: settings.key("transfer.journal"), problem })?,
        );
    }
    if start.is_empty() {
        return Ok(then);
    }
    start.reverse();
    Ok(Box::new(Prior { start, tried: BTreeSet::new(), running: BTreeSet::new(), then }))
}

/// The best genotypes of a study, by non-dominated rank, then crowding.
fn best(journal: &Path, count: usize) -> Result<Vec<Genotype>, String> {
    let said = |error: crate::StudyError| match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let entries = JournalReader::open(journal).and_then(|mut reader| reader.entries()).map_err(said)?;
    let trials: Vec<Trial> = entries
        .into_iter()
        .filter_map(|entry| match entry.event {
            Event::Trial { trial, .. } if !trial.objectives.0.is_empty() => Some(trial),
            _ => None,
        })
        .collect();
    let highest = trials.iter().map(|trial| trial.proposal.fidelity).max();
    let trials: Vec<&Trial> =
        trials.iter().filter(|trial| Some(trial.proposal.fidelity) == highest).collect();
    let points: Vec<Point<'_>> = trials.iter().map(|trial| Point::from(*trial)).collect();
    Ok(pareto::order(&points)
        .into_iter()
        .take(count)
        .map(|at| trials[at].proposal.genotype.clone())
        .collect())
}

/// Proposes what is known to be good, then what the strategy behind it does, which hears of everything.
struct Prior {
    /// Last first.
    start: Vec<Genotype>,
    tried: BTreeSet<Genotype>,
    running: BTreeSet<Genotype>,
    then: Box<dyn Strategy>,
}

impl Strategy for Prior {
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        while let Some(given) = self.start.pop() {
            let decisions = domain.space().decisions();
            if let Err(error) = variation::check(decisions, &given) {
                tracing::warn!("`{given}` is left out of the start: {error}");
                continue;
            }
            let genotype = domain.space().canonical(&variation::normalize(decisions, given.genes()));
            if !domain.is_feasible(&genotype) {
                tracing::warn!("`{given}` is left out of the start: it does not meet the constraints");
            } else if self.tried.insert(genotype.clone()) {
                self.running.insert(genotype.clone());
                let origin = Origin { operator: "prior".to_owned(), ..Origin::default() };
                return Ask::Propose(Proposal { genotype, fidelity: Fidelity::Full, origin });
            }
        }
        loop {
            match self.then.ask(domain, rng) {
                // It will hear of this one: it is running.
                Ask::Propose(proposal) if self.running.contains(&proposal.genotype) => {}
                ask => return ask,
            }
        }
    }

    fn tell(&mut self, trial: &Trial) {
        self.running.remove(&trial.proposal.genotype);
        self.then.tell(trial);
    }
}

//! What is known before a study begins: genotypes to try first, given, taken from an earlier study's journal, or chosen by
//! zero-cost proxies.

mod proxies;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kiln_space::{Genotype, Settings, SettingsError, variation};
use rand::Rng;
use serde::Deserialize;

use self::proxies::{Proxies, ProxySettings};
use crate::pareto::{self, Point};
use crate::{
    Ask, Domain, Event, Fidelities, Fidelity, JournalReader, Needs, Origin, Proposal, Strategy, Trial,
};

/// Keys that every strategy takes.
pub(crate) const KEYS: [&str; 3] = ["start", "transfer", "proxies"];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PriorSettings {
    /// Genotypes to try first.
    start: Vec<Genotype>,
    /// An earlier study to take more from.
    transfer: Option<Transfer>,
    /// What zero-cost proxies say of others.
    proxies: Option<ProxySettings>,
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
    let PriorSettings { mut start, transfer, proxies } = settings.read()?;
    if let Some(Transfer { journal, count }) = transfer {
        start.extend(
            best(&journal, count)
                .map_err(|problem| SettingsError { key: settings.key("transfer.journal"), problem })?,
        );
    }
    if start.is_empty() && proxies.is_none() {
        return Ok(then);
    }
    let proxies = proxies.map(|read| Proxies::new(read, settings)).transpose()?;
    start.reverse();
    Ok(Box::new(Prior { start, proxies, tried: BTreeSet::new(), told: BTreeMap::new(), then }))
}

/// The measured trials of a journal.
fn trials(journal: &Path) -> Result<Vec<Trial>, String> {
    let said = |error: crate::StudyError| match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let mut reader = JournalReader::open(journal).map_err(said)?;
    let mut trials = Vec::new();
    while let Some(entry) = reader.next_entry().map_err(said)? {
        if let Event::Trial { trial, .. } = entry.event
            && !trial.objectives.0.is_empty()
        {
            trials.push(trial);
        }
    }
    for doubt in reader.doubts().sentences() {
        tracing::warn!("{}: {doubt}", journal.display());
    }
    Ok(trials)
}

/// The best genotypes of a study, by non-dominated rank, then crowding.
fn best(journal: &Path, count: usize) -> Result<Vec<Genotype>, String> {
    let trials = trials(journal)?;
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
    /// Until they have spoken.
    proxies: Option<Proxies>,
    tried: BTreeSet<Genotype>,
    /// Of them what was told.
    told: BTreeMap<Genotype, Trial>,
    then: Box<dyn Strategy>,
}

impl Strategy for Prior {
    fn fidelities(&self, answered: Fidelities) -> Vec<Fidelity> {
        let proxies = self.proxies.as_ref().is_some_and(|proxies| proxies.to_draw() > 0);
        let own = proxies.then_some(Fidelity::Proxy).into_iter().chain([Fidelity::Full]);
        let all: BTreeSet<Fidelity> = own.chain(self.then.fidelities(answered)).collect();
        all.into_iter().collect()
    }

    fn hear_fidelities(&mut self, answered: Fidelities) {
        self.then.hear_fidelities(answered);
    }

    /// What is tried first is judged with full effort, what proxies choose after they have spoken.
    fn needs(&self, answered: Fidelities, _in_flight: usize) -> Option<Needs> {
        let scored = match &self.proxies {
            Some(proxies) if self.start.is_empty() => proxies.to_draw() as u64,
            _ => 0,
        };
        Some(Needs { trials: scored + 1, epochs: u64::from(answered.full_epochs) })
    }

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
                let origin = Origin::of("prior", Vec::new());
                return Ask::Propose(Proposal { genotype, fidelity: Fidelity::Full, origin });
            }
        }
        if let Some(proxies) = &mut self.proxies {
            if let Some(ask) = proxies.ask(domain, rng) {
                return ask;
            }
            let (best, places) = proxies.conclude(domain);
            self.start = best;
            self.start.reverse();
            self.then.hear_proxies(&places);
            self.proxies = None;
            return self.ask(domain, rng);
        }
        loop {
            let ask = self.then.ask(domain, rng);
            let Ask::Propose(proposal) = &ask else { return ask };
            if proposal.fidelity != Fidelity::Full || !self.tried.contains(&proposal.genotype) {
                return ask;
            }
            // Its answer is known, or will be heard of when it comes.
            if let Some(trial) = self.told.get(&proposal.genotype) {
                self.then.tell(trial);
            }
        }
    }

    fn tell(&mut self, trial: &Trial) {
        if self.proxies.as_mut().is_some_and(|proxies| proxies.tell(trial)) {
            return;
        }
        let Proposal { genotype, fidelity, .. } = &trial.proposal;
        if *fidelity == Fidelity::Full && self.tried.contains(genotype) {
            self.told.insert(genotype.clone(), trial.clone());
        }
        self.then.tell(trial);
    }
}

#[cfg(test)]
mod tests {
    use kiln_space::spaces::NasBench201;
    use serde_json::json;

    use super::*;
    use crate::seed::ask_generator;
    use crate::{
        CheckChain, CostSet, Costs, JOURNAL_VERSION, JournalEntry, Objectives, Outcome, Seconds,
        StrategyRegistry,
    };

    fn proposed(settings: &serde_json::Value, asks: u64) -> Vec<String> {
        let settings = Settings::new("search", settings.as_object().cloned().unwrap());
        let mut strategy = StrategyRegistry::builtin().build("random", &settings).unwrap();
        let (space, costs) = (NasBench201::default(), CostSet::default());
        let domain = Domain::new(&space, &costs, &[], &[]);
        let mut ask = |number| match strategy.ask(&domain, &mut ask_generator(1, number)) {
            Ask::Propose(proposal) => format!("{} {}", proposal.origin.operator, proposal.genotype),
            other => panic!("{other:?}"),
        };
        (0..asks).map(&mut ask).collect()
    }

    #[test]
    fn given_genotypes_come_first_in_order_once_and_canonical() {
        // The second has a gene too few, the third an option too many; the last is the first in another writing: nodes 1 and 2
        // change places.
        let start =
            json!([[3, 1, 0, 0, 3, 3], [3, 3], [9, 0, 0, 0, 0, 0], [3, 3, 3, 3, 3, 3], [1, 3, 0, 0, 3, 3]]);
        let proposed = proposed(&json!({ "start": start }), 3);
        assert!(proposed[0].starts_with("prior ") && proposed[1] == "prior 3-3-3-3-3-3", "{proposed:?}");
        assert!(proposed[2].starts_with("random "), "{proposed:?}");
    }

    #[test]
    fn the_best_of_an_earlier_study_come_first() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal.jsonl");
        let mut chain = CheckChain::default();
        let mut line = |id: u64, gene: u8, error: f64| {
            let genotype = Genotype::new([gene; 6]);
            let proposal = Proposal { genotype, fidelity: Fidelity::Full, origin: Origin::default() };
            let outcome = Outcome::from_metrics([("error_percent".to_owned(), error)].into());
            let (costs, objectives) = (Costs::default(), Objectives(vec![error]));
            let trial = Trial { id, proposal, outcome, costs, objectives, violation: 0.0 };
            let (unix_s, elapsed_s, seconds) = (Seconds::ZERO, Seconds::ZERO, Seconds::ZERO);
            let event = Event::Trial { trial, known: false, seconds, worker: 0 };
            chain.line(&JournalEntry { version: JOURNAL_VERSION, unix_s, elapsed_s, event })
        };
        let lines = [line(0, 1, 9.0), line(1, 2, 5.0), line(2, 3, 7.0)];
        std::fs::write(&journal, lines.concat()).unwrap();
        let proposed = proposed(&json!({ "transfer": { "journal": journal, "count": 2 } }), 3);
        assert_eq!(proposed[..2], ["prior 2-2-2-2-2-2", "prior 3-3-3-3-3-3"]);
        assert!(proposed[2].starts_with("random "));
    }
}

//! Genotypes to try first. The config lists them, or they come from the journal of an earlier study, or
//! zero-cost proxies choose them.

mod candidate;
mod fit;
mod given;
mod journals;
mod proxies;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use kiln_space::{Genotype, Settings, SettingsError};
use rand::Rng;
use serde::Deserialize;

use self::candidate::{Candidate, Source};
use self::given::Given;
use self::journals::ranked;
use self::proxies::{Proxies, ProxySettings};
use crate::contracts::{Ask, Needs, Strategy};
use crate::domain::Domain;
use crate::trials::{Fidelities, Fidelity, Origin, Proposal, Trial};

/// Keys that every strategy accepts.
pub(crate) const KEYS: [&str; 3] = ["start", "transfer", "proxies"];

/// After this many known proposals in a row, the inner strategy counts as exhausted.
const KNOWN_IN_A_ROW: usize = 1000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PriorSettings {
    /// Genotypes to try first.
    start: Vec<Given>,
    /// The earlier study from which genotypes are taken.
    transfer: Option<Transfer>,
    /// Settings for choosing genotypes by zero-cost proxies.
    proxies: Option<ProxySettings>,
}

/// Settings for taking genotypes from an earlier study.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    /// Path of the earlier study's `journal.jsonl`.
    journal: PathBuf,
    /// Number of genotypes to take. The best genotypes that meet this study's limits are taken.
    #[serde(default = "ten")]
    count: usize,
}

const fn ten() -> usize {
    10
}

/// Wraps a strategy in a prior, if the settings contain one. The settings contain only keys from [`KEYS`].
///
/// # Errors
/// [`SettingsError`] if the settings or the journal cannot be read.
pub(crate) fn before(
    settings: &Settings,
    then: Box<dyn Strategy>,
) -> Result<Box<dyn Strategy>, SettingsError> {
    let PriorSettings { start, transfer, proxies } = settings.read()?;
    if start.is_empty() && transfer.is_none() && proxies.is_none() {
        return Ok(then);
    }
    let given = start.into_iter().enumerate();
    let mut start: VecDeque<Candidate> =
        given.map(|(index, given)| Candidate { genotype: given.0, source: Source::Given(index) }).collect();
    let mut to_transfer = 0;
    if let Some(Transfer { journal, count }) = transfer {
        if !(1..=100_000).contains(&count) {
            return Err(SettingsError::value(settings.key("transfer.count"), count, "1 to 100000"));
        }
        let refuse = |problem: String| SettingsError::rule(settings.key("transfer.journal"), problem);
        let ranked = ranked(&journal).map_err(|error| refuse(error.said()))?;
        if ranked.is_empty() {
            return Err(refuse(format!("{}: no trial in it was measured", journal.display())));
        }
        to_transfer = count;
        start.extend(ranked);
    }
    let proxies = proxies.map(|read| Proxies::new(read, settings)).transpose()?;
    Ok(Box::new(Prior {
        settings: settings.clone(),
        start,
        to_transfer,
        proxies,
        tried: BTreeSet::new(),
        told: BTreeMap::new(),
        running: 0,
        repeats: false,
        then,
    }))
}

/// Proposes the genotypes to try first, then the proposals of the inner strategy. All trials except those of
/// proxies are reported to the inner strategy.
struct Prior {
    /// Settings from which the prior was built. Errors use them to name keys.
    settings: Settings,
    start: VecDeque<Candidate>,
    /// Number of genotypes of an earlier study that are still to be proposed.
    to_transfer: usize,
    /// The proxies. `None` after all scores are known.
    proxies: Option<Proxies>,
    tried: BTreeSet<Genotype>,
    /// Reported trials of the genotypes that the prior proposed.
    told: BTreeMap<Genotype, Trial>,
    /// Number of running proposals.
    running: usize,
    /// Whether the inner strategy only proposed genotypes that the prior has tried.
    repeats: bool,
    then: Box<dyn Strategy>,
}

impl Prior {
    /// Returns the next genotype to try first. The study refuses genotypes that do not fit before the first
    /// ask ([`Strategy::fits`]). So only genotypes of an earlier study can exceed the limits here. The next
    /// best genotypes replace them.
    fn next(&mut self, domain: &Domain<'_>) -> Option<Proposal> {
        while let Some(Candidate { genotype, source }) = self.start.pop_front() {
            if matches!(source, Source::Trial(_)) && self.to_transfer == 0 {
                continue;
            }
            let Some(genotype) = fit::canonical(domain, &genotype) else { continue };
            if !domain.is_feasible(&genotype) {
                continue;
            }
            if matches!(source, Source::Trial(_)) {
                self.to_transfer -= 1;
            }
            if self.tried.insert(genotype.clone()) {
                let origin = Origin::of("prior", Vec::new());
                return Some(Proposal { genotype, fidelity: Fidelity::Full, origin });
            }
        }
        None
    }

    /// Returns the next proposal of the inner strategy that the prior has not tried. If the inner strategy
    /// proposes a genotype that the prior has tried, the known trial is reported to it immediately.
    fn pass_on(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        for _ in 0..KNOWN_IN_A_ROW {
            let ask = self.then.ask(domain, rng);
            let Ask::Propose(proposal) = &ask else { return ask };
            if proposal.fidelity != Fidelity::Full || !self.tried.contains(&proposal.genotype) {
                return ask;
            }
            // The trial is known, or will be reported later.
            if let Some(trial) = self.told.get(&proposal.genotype) {
                self.then.tell(trial);
            }
        }
        // Only the trial of a running proposal can lead the strategy to new proposals.
        self.repeats = self.running == 0;
        if self.repeats { Ask::Done } else { Ask::Wait }
    }

    fn answer(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        if let Some(proposal) = self.next(domain) {
            return Ask::Propose(proposal);
        }
        if let Some(proxies) = &mut self.proxies {
            if let Some(ask) = proxies.ask(domain, rng) {
                return ask;
            }
            let (best, places) = match proxies.conclude(domain, &self.settings) {
                Ok(concluded) => concluded,
                Err(error) => return Ask::Misfit(error),
            };
            self.start
                .extend(best.into_iter().map(|genotype| Candidate { genotype, source: Source::Proxies }));
            self.then.hear_proxies(&places);
            self.proxies = None;
            return self.answer(domain, rng);
        }
        self.pass_on(domain, rng)
    }
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

    /// Genotypes from `start` and `transfer` are evaluated with full fidelity immediately. Genotypes that
    /// proxies choose are evaluated after all scores are known.
    fn needs(&self, answered: Fidelities, _in_flight: usize) -> Option<Needs> {
        let scored = match &self.proxies {
            Some(proxies) if self.start.is_empty() => proxies.to_draw() as u64,
            _ => 0,
        };
        Some(Needs { trials: scored + 1, epochs: u64::from(answered.full_epochs) })
    }

    fn fits(&self, domain: &Domain<'_>) -> Result<(), SettingsError> {
        fit::check(&self.start, domain, &self.settings)?;
        if let Some(proxies) = &self.proxies {
            proxies.fits(domain, &self.settings)?;
        }
        self.then.fits(domain)
    }

    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        let ask = self.answer(domain, rng);
        self.running += usize::from(matches!(ask, Ask::Propose(_)));
        ask
    }

    fn why_done(&self) -> Option<String> {
        let own = || format!("it proposed what was tried at the start, {KNOWN_IN_A_ROW} times in a row");
        if self.repeats { Some(own()) } else { self.then.why_done() }
    }

    fn tell(&mut self, trial: &Trial) {
        self.running = self.running.saturating_sub(1);
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
    use crate::contracts::Event;
    use crate::domain::CostSet;
    use crate::persistence::{CheckChain, JOURNAL_VERSION, JournalEntry};
    use crate::registry::StrategyRegistry;
    use crate::trials::seed::ask_generator;
    use crate::trials::{Costs, Objectives, Outcome, Seconds};

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
        // The second genotype has too few genes. The third genotype has an option index that is too large.
        // The last genotype is the same cell as the first one, with nodes 1 and 2 swapped.
        let start =
            json!([[3, 1, 0, 0, 3, 3], [3, 3], [9, 0, 0, 0, 0, 0], [3, 3, 3, 3, 3, 3], [1, 3, 0, 0, 3, 3]]);
        let proposed = proposed(&json!({ "start": start }), 3);
        assert!(proposed[0].starts_with("prior ") && proposed[1] == "prior 3-3-3-3-3-3", "{proposed:?}");
        assert!(proposed[2].starts_with("random "), "{proposed:?}");
    }

    #[test]
    fn given_genotypes_may_be_text_or_lists() {
        let proposed = proposed(&json!({ "start": ["3-3-3-3-3-3", [3, 1, 0, 0, 3, 3]] }), 2);
        assert_eq!(proposed[0], "prior 3-3-3-3-3-3");
        assert!(proposed[1].starts_with("prior "), "{proposed:?}");
        let refused = |start: serde_json::Value| {
            let settings = Settings::new("search", json!({ "start": [start] }).as_object().cloned().unwrap());
            StrategyRegistry::builtin().build("random", &settings).err().unwrap().to_string()
        };
        assert!(refused(json!("3-x")).starts_with("`search.start.0`: "), "{}", refused(json!("3-x")));
        assert!(refused(json!(7)).contains("expected a genotype: a list of option indices"));
        assert!(refused(json!([300])).starts_with("`search.start.0.0`: "));
    }

    /// Checks whether a prior fits a space of cells with a limit of `macs` multiply-accumulates.
    fn fits(settings: &serde_json::Value, macs: f64) -> Result<(), String> {
        let settings = Settings::new("search", settings.as_object().cloned().unwrap());
        let strategy =
            StrategyRegistry::builtin().build("random", &settings).map_err(|error| error.to_string())?;
        let (space, costs) = (NasBench201::default(), CostSet::default());
        let limits = [crate::domain::Constraint::new("macs", macs)];
        strategy.fits(&Domain::new(&space, &costs, &limits, &[])).map_err(|error| error.to_string())
    }

    #[test]
    fn given_genotype_that_does_not_fit_is_refused_with_key_and_limit() {
        let start = |genotype: &str| fits(&json!({ "start": ["0-0-0-0-0-0", genotype] }), 5e7);
        assert_eq!(start("1-0-0-1-0-0"), Ok(()));
        assert_eq!(
            start("3-3").unwrap_err(),
            "`search.start.1`: `3-3` cannot be tried: the genotype has 2 genes, expected 6"
        );
        let said = start("9-0-0-0-0-0").unwrap_err();
        assert!(
            said.starts_with("`search.start.1`: ") && said.contains("gene 0") && said.contains("is 9"),
            "{said}"
        );
        let said = start("3-3-3-3-3-3").unwrap_err();
        assert!(said.contains("`macs` is 220119680, the limit 50000000"), "{said}");
    }

    #[test]
    fn transfer_from_another_space_or_beyond_all_limits_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let transfer = |genotypes: &[&[u8]], macs: f64| {
            let trials: Vec<(u64, &[u8], f64)> =
                genotypes.iter().zip(0_u64..).map(|(genes, id)| (id, *genes, id as f64)).collect();
            let journal = folder.path().join("journal.jsonl");
            std::fs::write(&journal, journal_of(&trials)).unwrap();
            fits(&json!({ "transfer": { "journal": journal, "count": 1 } }), macs)
        };
        assert_eq!(transfer(&[&[3; 6], &[0; 6]], 5e7), Ok(()), "the second meets the limit");
        let said = transfer(&[&[3; 6]], 5e7).unwrap_err();
        assert!(said.starts_with("`search.transfer.journal`: no trial of it meets the limits"), "{said}");
        let said = transfer(&[&[0; 6], &[1, 0, 2]], 5e7).unwrap_err();
        assert!(said.contains("trial 1 is `1-0-2`, which is not of this space"), "{said}");
        let said = transfer(&[], 5e7).unwrap_err();
        assert!(said.ends_with("no trial in it was measured"), "{said}");
        let journals = json!({ "proxies": { "journals": [folder.path().join("journal.jsonl")] } });
        assert!(transfer(&[&[1, 0, 2]], 5e7).is_err());
        assert!(fits(&journals, 5e7).unwrap_err().contains("`1-0-2` is scored there and not of this space"));
        assert_eq!(transfer(&[&[0; 6]], 5e7), Ok(()));
        assert_eq!(fits(&journals, 5e7), Ok(()));
        let journal = folder.path().join("journal.jsonl");
        let named = json!({ "proxies": { "journals": [journal], "metrics": ["nasswot"] } });
        assert!(fits(&named, 5e7).unwrap_err().contains("has all of the scores `nasswot`"));
    }

    /// A strategy that alternates between two genotypes forever.
    struct Swing(bool);

    impl Strategy for Swing {
        fn ask(&mut self, _: &Domain<'_>, _: &mut dyn Rng) -> Ask {
            self.0 = !self.0;
            let genotype = Genotype::new([u8::from(self.0) * 3; 6]);
            Ask::Propose(Proposal { genotype, fidelity: Fidelity::Full, origin: Origin::default() })
        }
        fn tell(&mut self, _: &Trial) {}
    }

    #[test]
    fn strategy_that_repeats_the_start_only_is_done() {
        let settings = json!({ "start": ["0-0-0-0-0-0", "3-3-3-3-3-3"] });
        let settings = Settings::new("search", settings.as_object().cloned().unwrap());
        let mut strategy = before(&settings, Box::new(Swing(false))).unwrap();
        let (space, costs) = (NasBench201::default(), CostSet::default());
        let domain = Domain::new(&space, &costs, &[], &[]);
        let mut running = Vec::new();
        for id in 0..2 {
            match strategy.ask(&domain, &mut ask_generator(1, id)) {
                Ask::Propose(proposal) => running.push((id, proposal)),
                other => panic!("{other:?}"),
            }
        }
        for (id, proposal) in running {
            assert_eq!(strategy.ask(&domain, &mut ask_generator(1, 9)), Ask::Wait, "something is running");
            let (outcome, costs) = (Outcome::from_metrics(BTreeMap::new()), Costs::default());
            let trial =
                Trial { id, proposal, outcome, costs, objectives: Objectives::default(), violation: 0.0 };
            strategy.tell(&trial);
        }
        assert_eq!(strategy.ask(&domain, &mut ask_generator(1, 9)), Ask::Done);
        assert!(strategy.why_done().unwrap().contains("what was tried at the start"));
    }

    /// Creates a journal of trials from the number, genes and error of each.
    fn journal_of(trials: &[(u64, &[u8], f64)]) -> String {
        let mut chain = CheckChain::default();
        let line = |(id, genes, error): &(u64, &[u8], f64)| {
            let genotype = Genotype::new(*genes);
            let proposal = Proposal { genotype, fidelity: Fidelity::Full, origin: Origin::default() };
            let outcome = Outcome::from_metrics([("error_percent".to_owned(), *error)].into());
            let (costs, objectives) = (Costs::default(), Objectives(vec![*error]));
            let trial = Trial { id: *id, proposal, outcome, costs, objectives, violation: 0.0 };
            let (unix_s, elapsed_s, seconds) = (Seconds::ZERO, Seconds::ZERO, Seconds::ZERO);
            let event = Event::Trial { trial, known: false, seconds, worker: 0 };
            chain.line(&JournalEntry { version: JOURNAL_VERSION, unix_s, elapsed_s, event })
        };
        trials.iter().map(line).collect()
    }

    #[test]
    fn best_trials_of_an_earlier_study_come_first() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal.jsonl");
        let text = journal_of(&[(0, &[1; 6], 9.0), (1, &[2; 6], 5.0), (2, &[3; 6], 7.0)]);
        std::fs::write(&journal, text).unwrap();
        let proposed = proposed(&json!({ "transfer": { "journal": journal, "count": 2 } }), 3);
        assert_eq!(proposed[..2], ["prior 2-2-2-2-2-2", "prior 3-3-3-3-3-3"]);
        assert!(proposed[2].starts_with("random "));
    }
}

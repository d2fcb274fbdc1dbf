//! The rungs of strategies with several fidelities, and the order of trials on a rung.

use std::collections::BTreeMap;

use kiln_space::{Genotype, Settings, SettingsError};
use serde::Deserialize;

use super::member::{self, Member};
use crate::trials::{Fidelities, Fidelity, Trial, TrialId};

/// Default numbers of epochs for the lower rungs. Numbers that are not below the epochs of the whole schedule
/// are left out.
const EPOCHS: [u32; 2] = [1, 3];

/// Schema of the settings that all strategies with rungs share.
pub(super) const KEYS: &str = r##"
[epochs]
type = "array"
items = { "$ref" = "#/$defs/count" }
description = """\
Epochs of the lower rungs, ascending; 1 and 3 unless stated. The highest rung is the whole schedule."""

[reduction]
type = "integer"
minimum = 2
description = "One of this many networks goes up to the next rung."
default = 3
"##;

/// Settings that these strategies share.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RungSettings {
    /// Numbers of epochs for the lower rungs, ascending. The highest rung is the whole schedule.
    epochs: Option<Vec<u32>>,
    /// One of this many trials is promoted to the next rung.
    reduction: usize,
}

impl Default for RungSettings {
    fn default() -> Self {
        Self { epochs: None, reduction: 3 }
    }
}

/// The rungs, lowest first, and the reduction factor.
#[derive(Clone, Debug)]
pub(super) struct Rungs {
    /// Numbers of epochs for the lower rungs, if the settings list them.
    stated: Option<Vec<u32>>,
    fidelities: Vec<Fidelity>,
    pub(super) reduction: usize,
}

impl Rungs {
    /// Reads the rungs from the settings `epochs` and `reduction`.
    pub(super) fn read(settings: &Settings) -> Result<Self, SettingsError> {
        let RungSettings { epochs, reduction } = settings.read()?;
        let stated = epochs.as_deref().unwrap_or(&EPOCHS);
        let ascending = stated.is_sorted_by(|a, b| a < b) && stated.first().is_none_or(|first| *first > 0);
        if !ascending || stated.len() > 16 {
            let expected = "up to 16 numbers of epochs, ascending from at least 1";
            return Err(SettingsError::value(settings.key("epochs"), format!("{stated:?}"), expected));
        }
        if !(2..=100).contains(&reduction) {
            return Err(SettingsError::value(settings.key("reduction"), reduction, "2 to 100"));
        }
        let lower = stated.iter().copied().map(Fidelity::Epochs);
        let fidelities = lower.chain([Fidelity::Full]).collect();
        Ok(Self { stated: epochs, fidelities, reduction })
    }

    /// Returns the rungs for an evaluator that supports these fidelities. If the settings list a rung with as
    /// many epochs as the whole schedule, that rung is the highest rung. So no network is evaluated twice
    /// with the same effort.
    pub(super) fn over(&self, answered: Fidelities) -> Self {
        let epochs: Vec<u32> = match &self.stated {
            Some(stated) => stated.iter().copied().filter(|epochs| *epochs != answered.full_epochs).collect(),
            // If the evaluator supports no shorter training, the default rungs are kept. The study is then
            // refused with a clear message.
            None if !answered.answers(Fidelity::Epochs(EPOCHS[0])) => EPOCHS.to_vec(),
            None => EPOCHS.into_iter().filter(|epochs| *epochs < answered.full_epochs).collect(),
        };
        let fidelities = epochs.into_iter().map(Fidelity::Epochs).chain([Fidelity::Full]).collect();
        Self { fidelities, ..self.clone() }
    }

    /// Returns the fidelities of all rungs, lowest first.
    pub(super) fn fidelities(&self) -> &[Fidelity] {
        &self.fidelities
    }

    /// Returns the number of rungs.
    pub(super) fn count(&self) -> usize {
        self.fidelities.len()
    }

    /// Returns the fidelity of a rung.
    pub(super) fn fidelity(&self, rung: usize) -> Fidelity {
        self.fidelities[rung]
    }

    /// Returns the rung of a fidelity.
    pub(super) fn rung(&self, fidelity: Fidelity) -> Option<usize> {
        self.fidelities.iter().position(|known| *known == fidelity)
    }
}

/// Reported trials of one rung.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    members: Vec<Member>,
    places: BTreeMap<Genotype, usize>,
}

impl Told {
    pub(super) fn push(&mut self, trial: &Trial) {
        let genotype = trial.proposal.genotype.clone();
        if self.places.insert(genotype.clone(), self.members.len()).is_none() {
            self.members.push(Member::from(trial));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn contains(&self, genotype: &Genotype) -> bool {
        self.places.contains_key(genotype)
    }

    /// Returns genotypes and trials from best to worst, by non-dominated rank, then by crowding distance.
    /// Failed trials are left out.
    pub(super) fn best(&self) -> Vec<(&Genotype, TrialId)> {
        let order = member::order(&self.members).into_iter().map(|at| &self.members[at]);
        order
            .filter(|member| !member.objectives.is_empty())
            .map(|member| (&member.genotype, member.id))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use kiln_space::spaces::NasBench201;

    use super::*;
    use crate::comparison::pareto::dominates;
    use crate::contracts::Ask;
    use crate::domain::{CostSet, Domain};
    use crate::registry::StrategyRegistry;
    use crate::trials::seed::ask_generator;
    use crate::trials::{Costs, Objectives, Outcome, Proposal};

    /// Computes two objectives. A high first gene is bad for the first objective and good for the second. A
    /// high last gene is bad for the second objective.
    fn objectives(genotype: &Genotype) -> Vec<f64> {
        let sum = |genes: &[u8]| genes.iter().map(|gene| f64::from(*gene)).sum::<f64>();
        let (first, last) = genotype.genes().split_at(3);
        vec![sum(first), sum(last) - sum(first)]
    }

    /// Returns the proposals of a study with two objectives.
    fn proposed(strategy: &str, asks: u64) -> Vec<Proposal> {
        let mut strategy = StrategyRegistry::builtin().build(strategy, &Settings::empty("search")).unwrap();
        let names = ["a".to_owned(), "b".to_owned()];
        let (space, costs) = (NasBench201::default(), CostSet::default());
        let domain = Domain::new(&space, &costs, &[], &names);
        let mut found = Vec::new();
        for id in 0..asks {
            let Ask::Propose(proposal) = strategy.ask(&domain, &mut ask_generator(3, id)) else {
                panic!("it proposes something");
            };
            found.push(proposal.clone());
            let objectives = Objectives(objectives(&proposal.genotype));
            let (outcome, costs) = (Outcome::from_metrics(BTreeMap::new()), Costs::default());
            strategy.tell(&Trial { id, proposal, outcome, costs, objectives, violation: 0.0 });
        }
        found
    }

    /// Asserts that no stopped genotype dominates a promoted one.
    #[track_caller]
    fn assert_stopped(all: &[Proposal], went_on: &[Proposal]) {
        let is_among = |one: &Proposal| went_on.iter().any(|other| other.genotype == one.genotype);
        assert!(went_on.iter().all(|one| all.iter().any(|other| other.genotype == one.genotype)));
        for stopped in all.iter().filter(|one| !is_among(one)) {
            let stopped = objectives(&stopped.genotype);
            assert!(
                !went_on.iter().any(|one| dominates(&stopped, &objectives(&one.genotype))),
                "{stopped:?}"
            );
        }
        // The genotype with the lowest value of each objective was promoted, so no objective decides alone.
        for objective in 0..2 {
            let lowest = |some: &[Proposal]| {
                some.iter().map(|one| objectives(&one.genotype)[objective]).fold(f64::INFINITY, f64::min)
            };
            assert!(lowest(went_on) <= lowest(all), "objective {objective}");
        }
    }

    fn rungs(table: &str, answered: Fidelities) -> Vec<Fidelity> {
        let settings = Settings::new("search", serde_json::from_str(table).unwrap());
        Rungs::read(&settings).unwrap().over(answered).fidelities
    }

    #[test]
    fn stated_rung_of_the_whole_schedule_is_the_highest_rung() {
        let [one, three, nine, thirty] = [1, 3, 9, 30].map(Fidelity::Epochs);
        let over = |table, epochs| rungs(table, Fidelities::of_schedule(epochs));
        assert_eq!(over(r#"{ "epochs": [3, 9] }"#, 9), [three, Fidelity::Full]);
        assert_eq!(over(r#"{ "epochs": [3, 9] }"#, 20), [three, nine, Fidelity::Full]);
        assert_eq!(over(r#"{ "epochs": [9, 30] }"#, 20), [nine, thirty, Fidelity::Full], "to be refused");
        assert_eq!(over("{}", 20), [one, three, Fidelity::Full]);
        assert_eq!(over("{}", 3), [one, Fidelity::Full]);
        assert_eq!(over("{}", 1), [one, three, Fidelity::Full], "to be refused");
        assert_eq!(rungs("{}", Fidelities::full_only()), [one, three, Fidelity::Full], "to be refused");
        assert_eq!(rungs(r#"{ "epochs": [] }"#, Fidelities::full_only()), [Fidelity::Full]);
    }

    #[test]
    fn brackets_promote_by_ranks_of_several_objectives() {
        for strategy in ["successive_halving", "hyperband", "bohb"] {
            let found = proposed(strategy, 13);
            let on = |fidelity| found.iter().filter(|one| one.fidelity == fidelity).count();
            assert_eq!([on(Fidelity::Epochs(1)), on(Fidelity::Epochs(3)), on(Fidelity::Full)], [9, 3, 1]);
            assert_stopped(&found[..9], &found[9..12]);
        }
    }

    #[test]
    fn asha_promotes_genotypes_that_no_waiting_one_dominates() {
        let found = proposed("asha", 60);
        let mut promotions = 0;
        for (at, one) in found.iter().enumerate().filter(|(_, one)| one.fidelity == Fidelity::Epochs(3)) {
            promotions += 1;
            let before = |fidelity| found[..at].iter().filter(move |other| other.fidelity == fidelity);
            let went_on =
                |other: &Proposal| before(Fidelity::Epochs(3)).any(|on| on.genotype == other.genotype);
            let left = before(Fidelity::Epochs(1)).filter(|other| !went_on(other));
            let better =
                |other: &Proposal| dominates(&objectives(&other.genotype), &objectives(&one.genotype));
            assert_eq!(left.filter(|other| better(other)).count(), 0, "promotion {promotions}");
        }
        assert!(promotions >= 10, "{promotions}");
    }
}

//! Search guided by a model. The strategies `clustered`, `gaussian_process` and `ensemble` run this search
//! with different settings.
//!
//! The first trials are random, or spread over the space (`guided/design.rs`). Each later ask generates new
//! candidates (`surrogate/candidates.rs`), rates all candidates by a model (`surrogate/model.rs`), chooses a
//! cluster (`guided/groups.rs`, `guided/shares.rs`), and proposes the best candidate of that cluster.

mod design;
mod groups;
mod history;
mod shares;

use std::collections::BTreeMap;

use kiln_space::{Genotype, Settings, SettingsError};
use rand::Rng;

pub(super) use self::design::Beginning;
use self::design::Design;
pub(super) use self::groups::Groups;
use self::history::{Found, History};
use super::surrogate::{Acquisition, Candidates, Features, Model, Parents, Surrogate};
use crate::contracts::{Ask, Strategy};
use crate::domain::Domain;
use crate::trials::{Origin, Trial};

/// Schema of the settings that all three strategies share.
pub(super) const KEYS: &str = r##"
initial = { "$ref" = "#/$defs/count", description = "Trials before the model proposes.", default = 10 }

[acquisition]
enum = ["alternating", "expected_improvement", "confidence_bound", "thompson"]
description = """\
How candidates are compared. `alternating` uses the confidence bound for every third proposal and expected \
improvement for the others."""
default = "alternating"

[optimism]
type = "number"
minimum = 0
description = "Standard deviations below the mean, for the confidence bound."
default = 1.0
"##;

/// Settings that these strategies share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guide {
    /// Number of first trials, before the model is used.
    pub(super) initial: usize,
    pub(super) design: Beginning,
    pub(super) surrogate: Surrogate,
    /// Rule that rates candidates.
    pub(super) acquisition: Acquisition,
    /// Distance of the confidence bound below the mean, in standard deviations.
    pub(super) optimism: f64,
}

/// Checks the settings and builds the strategy. `groups` are its clusters.
pub(super) fn build(
    settings: &Settings,
    guide: Guide,
    groups: Groups,
) -> Result<Box<dyn Strategy>, SettingsError> {
    if !(1..=100_000).contains(&guide.initial) {
        return Err(SettingsError::value(settings.key("initial"), guide.initial, "1 to 100000"));
    }
    if !(0.0..=100.0).contains(&guide.optimism) {
        return Err(SettingsError::value(settings.key("optimism"), guide.optimism, "0 to 100"));
    }
    Ok(Box::new(Guided {
        guide,
        groups,
        design: Design::default(),
        history: History::default(),
        candidates: Candidates::default(),
        model: Model::new(guide.surrogate),
    }))
}

struct Guided {
    guide: Guide,
    groups: Groups,
    design: Design,
    history: History,
    candidates: Candidates,
    model: Model,
}

impl Guided {
    /// Returns the next designed first trial. Returns `None` if first trials are random, or if all designed
    /// trials have been proposed.
    fn designed(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<Found> {
        if self.guide.design == Beginning::Random {
            return None;
        }
        let (embedder, unseen) = self.history.embedder(domain, rng);
        let is_known = |genotype: &Genotype| unseen.is_known(genotype);
        let genotype = self.design.next(self.guide.initial, is_known, (domain, embedder), rng)?;
        let features = Features::of(&genotype, embedder, domain);
        Some(Found { genotype, features, origin: Origin::of("design", Vec::new()) })
    }

    /// Returns the model's proposal. Returns `None` if there is no candidate.
    ///
    /// The order of the steps matters. The model is updated before candidates are rated. Outdated projections
    /// of candidates are dropped before new candidates are added, so that no old projection is used with a
    /// new kernel. Clusters are updated before parents are chosen, since parents come from clusters.
    fn guided(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<Found> {
        let known = self.history.learn(domain, rng);
        let change = self.model.update(known.told, known.order, domain, rng);
        self.candidates.follow(change);
        let regrouped = self.groups.update(known.told, &self.candidates);
        let bonuses = self.groups.bonuses(&known.running);
        let bounds = self.groups.bounds(known.values, &bonuses);
        let places = (known.order, known.values);
        let parents = Parents::new(known.told, places, self.groups.labels(), &bounds);
        self.candidates.refresh(&parents, known.embedder, domain, known.unseen, rng);
        self.candidates.assign(self.groups.clusters(), regrouped);
        // The rule depends on the number of proposals, not on the number of asks, because the trials of a
        // prior also count.
        let proposals = known.told.len() + known.running.len();
        let rule = (self.guide.acquisition.rule(proposals), self.guide.optimism);
        let values = self.model.rate(known.told, self.candidates.all(), &known.running, rule, rng);
        let lowest = self.candidates.lowest(&values, bonuses.len());
        let rated: Vec<Option<f64>> = lowest.iter().map(|lowest| lowest.map(|(_, value)| value)).collect();
        let cluster = shares::turn(&rated, &bonuses)?;
        let (best, _) = lowest[cluster]?;
        let chosen = self.candidates.take(best);
        let origin = Origin { cluster: self.groups.are_several().then_some(cluster), ..chosen.origin };
        Some(Found { genotype: chosen.genotype, features: chosen.features, origin })
    }
}

impl Strategy for Guided {
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        // Trials of a prior also count as first trials.
        let (told, asked) = (self.history.told_count(), self.history.asked());
        let found = if told.max(asked) < self.guide.initial {
            self.designed(domain, rng)
        } else if told > 0 {
            self.guided(domain, rng)
        } else {
            None
        };
        self.history.propose(found, domain, rng)
    }

    fn tell(&mut self, trial: &Trial) {
        self.history.tell(trial);
    }

    fn hear_proxies(&mut self, places: &BTreeMap<Genotype, f64>) {
        self.history.hear_proxies(places);
    }
}

#[cfg(test)]
mod tests {
    use kiln_space::SearchSpace;
    use kiln_space::spaces::NasBench201;
    use serde_json::json;

    use super::*;
    use crate::domain::{Constraint, CostSet};
    use crate::registry::StrategyRegistry;
    use crate::trials::seed::ask_generator;
    use crate::trials::{Costs, Fidelity, Objectives, Outcome, Proposal};

    /// The test starts with eight small cells. Larger cells have lower errors.
    #[test]
    fn guided_search_proposes_networks_larger_than_all_trials_within_the_limit() {
        let start: Vec<[u8; 6]> =
            (0..8).map(|i: u8| [1 + (i & 1), 1 + (i >> 1 & 1), 1 + (i >> 2), 1, 1, 1]).collect();
        let (space, costs) = (NasBench201::default(), CostSet::default());
        let names = ["error_percent".to_owned(), "parameters".to_owned()];
        let limits = [Constraint::new("parameters", 2e6)];
        let domain = Domain::new(&space, &costs, &limits, &names);
        let parameters = |genotype: &Genotype| space.decode(genotype).unwrap().counts().parameters as f64;
        let largest = start.iter().map(|genes| parameters(&Genotype::new(*genes))).fold(0.0, f64::max);
        for strategy in ["clustered", "gaussian_process"] {
            let settings = json!({ "initial": start.len() });
            let settings = Settings::new("search", settings.as_object().cloned().unwrap());
            let mut strategy = StrategyRegistry::builtin().build(strategy, &settings).unwrap();
            let tell = |strategy: &mut dyn Strategy, id, genotype: Genotype| {
                let proposal = Proposal { genotype, fidelity: Fidelity::Full, origin: Origin::default() };
                let size = parameters(&proposal.genotype);
                let error = 20.0 - 5.0 * (size / 1e5).ln();
                let outcome = Outcome::from_metrics([("error_percent".to_owned(), error)].into());
                let (costs, objectives) = (Costs::default(), Objectives(vec![error, size]));
                strategy.tell(&Trial { id, proposal, outcome, costs, objectives, violation: 0.0 });
            };
            for (id, genes) in (0..).zip(&start) {
                tell(strategy.as_mut(), id, Genotype::new(*genes));
            }
            let mut larger = 0;
            for id in 8..28 {
                let Ask::Propose(proposal) = strategy.ask(&domain, &mut ask_generator(1, id)) else {
                    panic!("it proposes something");
                };
                larger += usize::from(parameters(&proposal.genotype) > largest);
                tell(strategy.as_mut(), id, proposal.genotype);
            }
            assert!(larger >= 10, "{larger} of 20");
        }
    }
}

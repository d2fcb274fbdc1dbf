//! A warm start by zero-cost proxies. Many genotypes are scored without training. The genotypes with the best
//! mean rank over all scores are trained first.
//!
//! Source: Abdelfattah, Mehrotra, Dudziak, Lane, Zero-cost proxies for lightweight NAS, ICLR 2021, section 4
//! (warm-up, and voting by several proxies). Differs: several scores are combined by the mean of their ranks.
//! With several objectives, genotypes are sorted by non-dominated rank of the mean and the costs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use kiln_space::{Genotype, Settings, SettingsError};
use rand::Rng;
use serde::Deserialize;

use super::{fit, journals};
use crate::comparison::pareto::{self, Point};
use crate::contracts::Ask;
use crate::domain::Domain;
use crate::strategies::unseen::Unseen;
use crate::trials::{Fidelity, Measurement, Origin, Proposal, Trial};

/// Default number of genotypes to score, if the settings list no journals.
const DRAW: usize = 60;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProxySettings {
    /// Number of genotypes that the study's evaluator scores first, without training.
    draw: Option<usize>,
    /// Number of the best genotypes to train first.
    keep: usize,
    /// The scores to use: names of metrics or costs. Lower values are better. If the name starts with `-`,
    /// higher values are better. If the list is empty, all metrics are used.
    metrics: Vec<String>,
    /// Journals of studies whose evaluators were proxies.
    journals: Vec<PathBuf>,
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self { draw: None, keep: 10, metrics: Vec::new(), journals: Vec::new() }
    }
}

/// The best genotypes, from best to worst, and the rank of every scored genotype.
pub(super) type Concluded = (Vec<Genotype>, BTreeMap<Genotype, f64>);

/// The scores so far.
pub(super) struct Proxies {
    keep: usize,
    metrics: Vec<String>,
    /// Number of genotypes that are still to be drawn.
    to_draw: usize,
    unseen: Unseen,
    running: BTreeSet<Genotype>,
    /// Metrics of each genotype.
    scored: BTreeMap<Genotype, BTreeMap<String, f64>>,
}

impl Proxies {
    /// Checks the settings and reads the journals. `settings` is the table that contains the settings under
    /// `proxies`.
    pub(super) fn new(read: ProxySettings, settings: &Settings) -> Result<Self, SettingsError> {
        let ProxySettings { draw, keep, metrics, journals } = read;
        let to_draw = draw.unwrap_or(if journals.is_empty() { DRAW } else { 0 });
        let least = usize::from(journals.is_empty());
        if !(least..=100_000).contains(&to_draw) {
            let expected = format!("{least} to 100000");
            return Err(SettingsError::value(settings.key("proxies.draw"), to_draw, &expected));
        }
        if !(1..=100_000).contains(&keep) {
            return Err(SettingsError::value(settings.key("proxies.keep"), keep, "1 to 100000"));
        }
        let mut scored: BTreeMap<Genotype, BTreeMap<String, f64>> = BTreeMap::new();
        for journal in &journals {
            let trials = journals::trials(journal)
                .map_err(|error| SettingsError::rule(settings.key("proxies.journals"), error.said()))?;
            for trial in &trials {
                let metrics = trial.outcome.measurement().into_iter().flat_map(Measurement::metrics);
                let metrics = metrics.map(|(name, value)| (name.clone(), *value));
                scored.entry(trial.proposal.genotype.clone()).or_default().extend(metrics);
            }
        }
        let (unseen, running) = (Unseen::default(), BTreeSet::new());
        Ok(Self { keep, metrics, to_draw, unseen, running, scored })
    }

    /// Returns the number of genotypes that are still to be scored.
    pub(super) const fn to_draw(&self) -> usize {
        self.to_draw
    }

    /// Refuses scores whose genotypes are not in the space, and journals in which no genotype has all scores.
    pub(super) fn fits(&self, domain: &Domain<'_>, settings: &Settings) -> Result<(), SettingsError> {
        let refuse = |key: &str, problem: String| Err(SettingsError::rule(settings.key(key), problem));
        for genotype in self.scored.keys() {
            if let Some(problem) = fit::stranger(domain, genotype) {
                let problem = format!(
                    "`{genotype}` is scored there and not of this space: {problem}; name studies of the same \
                     space"
                );
                return refuse("proxies.journals", problem);
            }
        }
        if self.to_draw == 0 && self.complete(domain).0.is_empty() {
            return Err(self.incomplete("proxies.journals", settings));
        }
        Ok(())
    }

    /// Proposes the next genotype to score, or waits for scores. Returns `None` if all scores are known.
    pub(super) fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Option<Ask> {
        if self.to_draw > 0 {
            self.to_draw -= 1;
            if let Some(genotype) = self.unseen.sample(domain, rng) {
                self.unseen.insert(&genotype);
                self.running.insert(genotype.clone());
                let origin = Origin::of("random", Vec::new());
                return Some(Ask::Propose(Proposal { genotype, fidelity: Fidelity::Proxy, origin }));
            }
            self.to_draw = 0;
        }
        (!self.running.is_empty()).then_some(Ask::Wait)
    }

    /// Records a trial if it is a proxy evaluation that this prior requested. Returns whether it is one.
    pub(super) fn tell(&mut self, trial: &Trial) -> bool {
        let Proposal { genotype, fidelity, .. } = &trial.proposal;
        if *fidelity != Fidelity::Proxy || !self.running.remove(genotype) {
            return false;
        }
        if let Some(found) = trial.outcome.measurement() {
            self.scored.insert(genotype.clone(), found.metrics().clone().into());
        }
        true
    }

    /// Returns the best genotypes, from best to worst, and the rank of every scored genotype, from 0 to 1.
    /// Genotypes that lack a score are left out. The result is empty if no genotype was measured.
    ///
    /// # Errors
    /// [`SettingsError`] if every genotype lacks a score. This happens if no trial measured a score that the
    /// settings name.
    pub(super) fn conclude(
        &self,
        domain: &Domain<'_>,
        settings: &Settings,
    ) -> Result<Concluded, SettingsError> {
        let (genotypes, scores) = self.complete(domain);
        if genotypes.is_empty() && !self.scored.is_empty() {
            return Err(self.incomplete("proxies.metrics", settings));
        }
        let places = places(&scores);
        let objectives: Vec<Vec<f64>> = genotypes
            .iter()
            .zip(places.iter().copied())
            .map(|(genotype, place)| {
                let costs = domain.costs(genotype).unwrap_or_default();
                let costs = domain.objectives().iter().filter_map(|name| costs.0.get(name).copied());
                std::iter::once(place).chain(costs).collect()
            })
            .collect();
        let points: Vec<Point<'_>> =
            objectives.iter().map(|objectives| Point { objectives, violation: 0.0 }).collect();
        let best = pareto::order(&points).into_iter().take(self.keep).map(|at| genotypes[at].clone());
        let last = genotypes.len().max(2) as f64 - 1.0;
        let each = genotypes.iter().zip(&places).map(|(genotype, place)| ((*genotype).clone(), place / last));
        Ok((best.collect(), each.collect()))
    }

    /// Returns the error if no genotype has all required scores.
    fn incomplete(&self, key: &str, settings: &Settings) -> SettingsError {
        let measured: BTreeSet<&str> =
            self.scored.values().flat_map(BTreeMap::keys).map(String::as_str).collect();
        let measured: Vec<&str> = measured.into_iter().collect();
        let problem = format!(
            "no genotype has all of the scores `{}`; what was measured is `{}`, and costs count too",
            self.names().join("`, `"),
            measured.join("`, `")
        );
        SettingsError::rule(settings.key(key), problem)
    }

    /// Returns the names of the scores to use.
    fn names(&self) -> Vec<&str> {
        if self.metrics.is_empty() {
            let all: BTreeSet<&str> =
                self.scored.values().flat_map(BTreeMap::keys).map(String::as_str).collect();
            return all.into_iter().collect();
        }
        self.metrics.iter().map(String::as_str).collect()
    }

    /// Returns the genotypes that have all required scores, and these scores. Lower scores are better.
    fn complete(&self, domain: &Domain<'_>) -> (Vec<&Genotype>, Vec<Vec<f64>>) {
        let all = self.names();
        let score = |genotype: &Genotype, metrics: &BTreeMap<String, f64>, name: &str| {
            let (name, sign) = name.strip_prefix('-').map_or((name, 1.0), |name| (name, -1.0));
            let cost = || domain.costs(genotype).ok()?.0.get(name).copied();
            metrics.get(name).copied().or_else(cost).map(|value| sign * value)
        };
        let (mut genotypes, mut scores): (Vec<&Genotype>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
        for (genotype, metrics) in &self.scored {
            let found: Option<Vec<f64>> = all.iter().map(|name| score(genotype, metrics, name)).collect();
            if let Some(found) = found {
                genotypes.push(genotype);
                scores.push(found);
            }
        }
        (genotypes, scores)
    }
}

/// Returns the mean rank of each genotype over the scores. The rank of the lowest score is 0. Equal scores
/// share their mean rank.
fn places(scores: &[Vec<f64>]) -> Vec<f64> {
    let count = scores.first().map_or(0, Vec::len);
    let mut sums = vec![0.0; scores.len()];
    for score in 0..count {
        let mut sorted: Vec<f64> = scores.iter().map(|scores| scores[score]).collect();
        sorted.sort_by(f64::total_cmp);
        for (sum, scores) in sums.iter_mut().zip(scores) {
            let below = sorted.partition_point(|other| other.total_cmp(&scores[score]).is_lt());
            let not_above = sorted.partition_point(|other| other.total_cmp(&scores[score]).is_le());
            *sum += f64::midpoint(below as f64, not_above as f64 - 1.0) / count as f64;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use kiln_space::spaces::NasBench201;
    use serde_json::json;

    use super::*;
    use crate::contracts::Strategy;
    use crate::domain::CostSet;
    use crate::registry::StrategyRegistry;
    use crate::trials::seed::ask_generator;
    use crate::trials::{Costs, Objectives, Outcome};

    #[test]
    fn mean_places_of_two_scores_by_hand() {
        // The ranks are 0, 1.5, 1.5, 3 by the first score and 3, 2, 1, 0 by the second score.
        let scores = [[1.0, 9.0], [5.0, 8.0], [5.0, 7.0], [6.0, 0.0]].map(|scores| scores.to_vec());
        assert_eq!(places(&scores), [1.5, 1.75, 1.25, 1.5]);
    }

    /// Returns the proposals of a study whose proxy is the sum of the genes.
    fn proposed(proxies: serde_json::Value, objectives: &[&str], asks: u64) -> Vec<Proposal> {
        let settings = serde_json::Map::from_iter([("proxies".to_owned(), proxies)]);
        let settings = Settings::new("search", settings);
        let mut strategy: Box<dyn Strategy> = StrategyRegistry::builtin().build("random", &settings).unwrap();
        let (space, costs) = (NasBench201::default(), CostSet::default());
        let objectives: Vec<String> = objectives.iter().map(|name| (*name).to_owned()).collect();
        let domain = Domain::new(&space, &costs, &[], &objectives);
        let mut found = Vec::new();
        for id in 0..asks {
            let Ask::Propose(proposal) = strategy.ask(&domain, &mut ask_generator(1, id)) else {
                panic!("it proposes something");
            };
            found.push(proposal.clone());
            let score = sum(&proposal);
            let outcome = Outcome::from_metrics([("negative_naswot".to_owned(), score)].into());
            let objectives = Objectives(vec![score; objectives.len()]);
            let costs = Costs::default();
            strategy.tell(&Trial { id, proposal, outcome, costs, objectives, violation: 0.0 });
        }
        found
    }

    fn sum(proposal: &Proposal) -> f64 {
        proposal.genotype.genes().iter().map(|gene| f64::from(*gene)).sum()
    }

    #[test]
    fn best_scored_genotypes_are_trained_first() {
        let found = proposed(json!({ "draw": 20, "keep": 3 }), &["error_percent"], 25);
        assert!(found[..20].iter().all(|proposal| proposal.fidelity == Fidelity::Proxy));
        assert!(found[20..].iter().all(|proposal| proposal.fidelity == Fidelity::Full));
        let mut lowest: Vec<f64> = found[..20].iter().map(sum).collect();
        lowest.sort_by(f64::total_cmp);
        assert_eq!(found[20..23].iter().map(sum).collect::<Vec<_>>(), lowest[..3]);
        let operators: Vec<&str> =
            found[20..].iter().map(|proposal| proposal.origin.operator.as_str()).collect();
        assert_eq!(operators, ["prior", "prior", "prior", "random", "random"]);
    }

    #[test]
    fn score_that_no_genotype_has_is_refused_when_all_scores_are_known() {
        let settings = json!({ "proxies": { "draw": 2, "metrics": ["nasswot"] } });
        let settings = Settings::new("search", settings.as_object().cloned().unwrap());
        let mut strategy = StrategyRegistry::builtin().build("random", &settings).unwrap();
        let (space, costs) = (NasBench201::default(), CostSet::default());
        let domain = Domain::new(&space, &costs, &[], &[]);
        for id in 0..2 {
            let Ask::Propose(proposal) = strategy.ask(&domain, &mut ask_generator(1, id)) else {
                panic!("it draws two");
            };
            let outcome = Outcome::from_metrics([("negative_naswot".to_owned(), -1.0)].into());
            let (costs, objectives) = (Costs::default(), Objectives(vec![-1.0]));
            strategy.tell(&Trial { id, proposal, outcome, costs, objectives, violation: 0.0 });
        }
        let Ask::Misfit(error) = strategy.ask(&domain, &mut ask_generator(1, 2)) else {
            panic!("it is refused")
        };
        let expected = "`search.proxies.metrics`: no genotype has all of the scores `nasswot`; what was \
                        measured is `negative_naswot`, and costs count too";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn costs_count_as_scores_and_the_cheapest_genotype_is_kept() {
        let space = NasBench201::default();
        let costs = CostSet::default();
        let domain = Domain::new(&space, &costs, &[], &[]);
        let parameters = |proposal: &Proposal| domain.costs(&proposal.genotype).unwrap().0["parameters"];
        let most = |found: &[Proposal]| found.iter().map(parameters).fold(0.0, f64::max);
        let large =
            proposed(json!({ "draw": 20, "keep": 1, "metrics": ["-parameters"] }), &["error_percent"], 21);
        assert!((parameters(&large[20]) - most(&large[..20])).abs() < 0.5);
        let front = proposed(json!({ "draw": 20, "keep": 8 }), &["error_percent", "parameters"], 28);
        let least = |found: &[Proposal]| found.iter().map(parameters).fold(f64::INFINITY, f64::min);
        assert!((least(&front[20..]) - least(&front[..20])).abs() < 0.5);
    }
}

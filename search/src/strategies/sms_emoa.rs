//! SMS-EMOA: evolution with one offspring at a time. A member of the worst front leaves the population: the
//! one that adds the least hypervolume.
//!
//! Source: Beume, Naujoks, Emmerich, SMS-EMOA: multiobjective selection based on dominated hypervolume, EJOR
//! 2007, algorithms 1 and 2 (with several fronts the member with the most dominating points leaves; the ends
//! of a front stay). Differs: objectives are scaled to the extent of the front, so that no unit outweighs
//! another. The reference point exceeds the front's worst values by a tenth of the extent. Feasible members
//! come first. The next proposal does not wait for running ones. Offspring are generated as in NSGA-II.

use kiln_space::{Samples, Settings, SettingsError};
use rand::{Rng, RngExt};
use serde::Deserialize;

use super::member::{self, Member, offspring};
use super::unseen::Unseen;
use crate::comparison::hypervolume::contribution;
use crate::comparison::pareto::{self, Point, dominates};
use crate::contracts::{Ask, Strategy, StrategyPart};
use crate::domain::Domain;
use crate::trials::Trial;

/// Each component of the reference point. The scale is such that the front extends from 0 to 1.
const REFERENCE: f64 = 1.1;

/// Settings of the strategy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SmsEmoaSettings {
    /// Size of the population, and also the number of random first trials.
    population: usize,
    /// Probability that an offspring has two parents.
    crossover: f64,
}

impl Default for SmsEmoaSettings {
    fn default() -> Self {
        Self { population: 50, crossover: 0.9 }
    }
}

/// The strategy's entry in the registry.
pub(crate) const PART: StrategyPart = StrategyPart::new("an evolving front by hypervolume", build)
    .with_keys(&[member::KEYS])
    .tested_with(SAMPLES);

/// Sample settings at the limits of their valid ranges.
const SAMPLES: Samples = &[
    "{}",
    r#"{ "population": 1, "crossover": 0.0, "start": [[1, 1]] }"#,
    r#"{ "population": 7, "crossover": 1.0 }"#,
];

/// Builds the strategy from `population` and `crossover`.
fn build(settings: &Settings) -> Result<Box<dyn Strategy>, SettingsError> {
    let SmsEmoaSettings { population, crossover } = settings.read()?;
    // After each trial, the strategy computes the hypervolumes of a front. This takes much longer with more
    // members.
    if !(1..=1_000).contains(&population) {
        return Err(SettingsError::value(settings.key("population"), population, "1 to 1000"));
    }
    if !(0.0..=1.0).contains(&crossover) {
        return Err(SettingsError::value(settings.key("crossover"), crossover, "a probability, 0 to 1"));
    }
    Ok(Box::new(SmsEmoa {
        settings: SmsEmoaSettings { population, crossover },
        unseen: Unseen::default(),
        members: Vec::new(),
        asked: 0,
    }))
}

#[derive(Debug)]
struct SmsEmoa {
    settings: SmsEmoaSettings,
    unseen: Unseen,
    /// The members, from oldest to youngest.
    members: Vec<Member>,
    asked: usize,
}

impl Strategy for SmsEmoa {
    fn ask(&mut self, domain: &Domain<'_>, rng: &mut dyn Rng) -> Ask {
        let members = &self.members;
        let evolving = self.asked >= self.settings.population && !members.is_empty();
        let select = |rng: &mut dyn Rng| Some(&members[rng.random_range(0..members.len())]);
        let crossover = self.settings.crossover;
        let found = if evolving { offspring(select, crossover, domain, &self.unseen, rng) } else { None };
        self.asked += 1;
        self.unseen.propose(found, domain, rng)
    }

    fn tell(&mut self, trial: &Trial) {
        self.unseen.insert(&trial.proposal.genotype);
        self.members.push(Member::from(trial));
        if self.members.len() > self.settings.population {
            self.members.remove(dispensable(&self.members));
        }
    }
}

/// Returns the member that leaves the population. If there are several ranks, this is the member of the worst
/// rank that the most members dominate. If there is only one rank, this is the member that adds the least
/// volume. Of equal members, the youngest one leaves.
fn dispensable(members: &[Member]) -> usize {
    let points: Vec<Point<'_>> = members.iter().map(Point::from).collect();
    let ranks = pareto::ranks(&points);
    let worst = ranks.iter().copied().max().unwrap_or(0);
    let last: Vec<usize> = (0..members.len()).filter(|&member| ranks[member] == worst).collect();
    let least = if worst > 0 {
        let above = |member: usize| {
            members.iter().filter(|other| dominates(&other.objectives, &members[member].objectives)).count()
        };
        last.into_iter().map(|member| (-(above(member) as f64), member)).collect()
    } else {
        let front: Vec<&[f64]> = last.iter().map(|&member| members[member].objectives.as_slice()).collect();
        last.iter()
            .copied()
            .zip(contributions(&front))
            .map(|(member, adds)| (adds, member))
            .collect::<Vec<_>>()
    };
    let order = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1));
    least.into_iter().min_by(order).map_or(0, |(_, member)| member)
}

/// Returns the volume that each point of a front adds. Objectives are scaled so that the front extends from 0
/// to 1. The volume is infinite for the lowest point of each objective.
fn contributions(front: &[&[f64]]) -> Vec<f64> {
    let dimensions = front.first().map_or(0, |point| point.len());
    let range = |d: usize| {
        let values = || front.iter().map(|point| point[d]);
        (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
    };
    let ranges: Vec<(f64, f64)> = (0..dimensions).map(range).collect();
    let scaled = |point: &&[f64]| -> Vec<f64> {
        let values = point.iter().zip(&ranges);
        values
            .map(|(value, (low, high))| if high > low { (value - low) / (high - low) } else { 0.0 })
            .collect()
    };
    let front: Vec<Vec<f64>> = front.iter().map(scaled).collect();
    let reference = vec![REFERENCE; dimensions];
    let mut ends = vec![None; dimensions];
    for (at, point) in front.iter().enumerate() {
        for (end, value) in ends.iter_mut().zip(point) {
            if *value <= 0.0 && end.is_none() {
                *end = Some(at);
            }
        }
    }
    let adds = |at: usize| {
        if dimensions > 1 && ends.contains(&Some(at)) {
            return f64::INFINITY;
        }
        let others: Vec<&Vec<f64>> =
            front.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, point)| point).collect();
        contribution(&front[at], &others, &reference)
    };
    (0..front.len()).map(adds).collect()
}

#[cfg(test)]
mod tests {
    use kiln_space::Genotype;

    use super::*;

    fn members(points: &[(&[f64], f64)]) -> Vec<Member> {
        let one = |(id, (objectives, violation)): (usize, &(&[f64], f64))| Member {
            id: id as u64,
            genotype: Genotype::new([0]),
            objectives: objectives.to_vec(),
            violation: *violation,
        };
        points.iter().enumerate().map(one).collect()
    }

    #[test]
    fn contributions_of_four_points_by_hand() {
        // Divided by the extent of 4, the points are (0, 1), (.25, .5), (.5, .25) and (1, 0). The second and
        // the third point each add .25 * .5.
        let front: [&[f64]; 4] = [&[0.0, 4.0], &[1.0, 2.0], &[2.0, 1.0], &[4.0, 0.0]];
        let found = contributions(&front);
        assert!(found[0].is_infinite() && found[3].is_infinite());
        assert!((found[1] - 0.125).abs() < 1e-12 && (found[2] - 0.125).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn failed_infeasible_dominated_and_least_contributing_members_leave_in_this_order() {
        let front: [(&[f64], f64); 4] =
            [(&[0.0, 4.0], 0.0), (&[1.0, 2.0], 0.0), (&[1.1, 1.9], 0.0), (&[4.0, 0.0], 0.0)];
        let leaves = |more: &[(&[f64], f64)]| dispensable(&members(&[&front[..], more].concat()));
        // After division by 4, the second point adds .025 * .5 and the third adds .725 * .025.
        assert_eq!(leaves(&[]), 1);
        assert_eq!(leaves(&[(&[3.0, 3.0], 0.0)]), 4);
        assert_eq!(leaves(&[(&[3.0, 3.0], 0.0), (&[3.5, 3.5], 0.0)]), 5);
        assert_eq!(leaves(&[(&[0.0, 0.0], 1.0), (&[3.0, 3.0], 0.0)]), 4);
        assert_eq!(leaves(&[(&[0.0, 0.0], 1.0), (&[], 0.0), (&[3.0, 3.0], 0.0)]), 5);
    }

    #[test]
    fn worst_member_leaves_with_one_objective() {
        assert_eq!(dispensable(&members(&[(&[2.0], 0.0), (&[3.0], 0.0), (&[1.0], 0.0)])), 1);
        assert_eq!(dispensable(&members(&[(&[1.0], 0.0), (&[1.0], 0.0)])), 1);
    }
}

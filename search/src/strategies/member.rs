//! Members of a population, and their offspring.

use kiln_space::Genotype;
use rand::{Rng, RngExt};

use super::unseen::Unseen;
use crate::comparison::pareto::{self, Point};
use crate::domain::Domain;
use crate::trials::{Origin, Trial, TrialId};

/// Number of attempts to generate an offspring that is not known.
const ATTEMPTS: usize = 64;

/// Schema of the settings for strategies with a population.
pub(super) const KEYS: &str = r##"
[population]
"$ref" = "#/$defs/count"
description = "Trials in the population; as many random ones come first."
default = 50

[crossover]
"$ref" = "#/$defs/share"
description = "Probability that an offspring has two parents."
default = 0.9
"##;

/// A trial in a population.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: TrialId,
    pub(super) genotype: Genotype,
    pub(super) objectives: Vec<f64>,
    pub(super) violation: f64,
}

impl From<&Trial> for Member {
    fn from(trial: &Trial) -> Self {
        Self {
            id: trial.id,
            genotype: trial.proposal.genotype.clone(),
            objectives: trial.objectives.0.clone(),
            violation: trial.violation,
        }
    }
}

impl<'a> From<&'a Member> for Point<'a> {
    fn from(member: &'a Member) -> Self {
        Point { objectives: &member.objectives, violation: member.violation }
    }
}

/// Returns the indices of members from best to worst: by rank, then by crowding distance.
pub(super) fn order(members: &[Member]) -> Vec<usize> {
    pareto::order(&members.iter().map(Point::from).collect::<Vec<_>>())
}

/// Returns a new genotype from parents that `select` chooses. Crossover happens with probability `crossover`.
/// Then each gene is mutated with probability one over the number of genes.
///
/// Source: Deb, Pratap, Agarwal, Meyarivan, A fast and elitist multiobjective genetic algorithm: NSGA-II,
/// IEEE TEC 2002, section V.
/// Differs: genes are categories, so crossover is uniform and a mutation draws another option. Known
/// genotypes are not proposed again.
pub(super) fn offspring<'a>(
    mut select: impl FnMut(&mut dyn Rng) -> Option<&'a Member>,
    crossover: f64,
    domain: &Domain<'_>,
    unseen: &Unseen,
    rng: &mut dyn Rng,
) -> Option<(Genotype, Origin)> {
    let genes = domain.space().decisions().len().max(1);
    for _ in 0..ATTEMPTS {
        let parent = select(rng)?;
        let mut origin = Origin::of("mutation", vec![parent.id]);
        let mut genotype = parent.genotype.clone();
        if rng.random_bool(crossover) {
            let other = select(rng)?;
            if let Some(mixed) = domain.crossover(&genotype, &other.genotype, rng) {
                genotype = mixed;
                origin = Origin::of("crossover", vec![parent.id, other.id]);
            }
        }
        let mutations = (0..genes).filter(|_| rng.random_range(0..genes as u32) == 0).count();
        for _ in 0..mutations {
            if let Some(mutant) = domain.mutate(&genotype, rng) {
                genotype = mutant;
            }
        }
        if !unseen.is_known(&genotype) {
            return Some((genotype, origin));
        }
    }
    None
}

//! Samples and changes genotypes of any space. All results are canonical. This module does not decode or
//! evaluate genotypes.

use std::collections::BTreeSet;

use rand::{Rng, RngExt};

use crate::{Decision, Genotype, SearchSpace, SpaceError};

/// Number of random mutations that [`mutate`] tries before it lists all neighbors.
const MUTATION_ATTEMPTS: usize = 32;
/// Number of random genotypes that [`mutate`] tries if the parent has no neighbor.
const ESCAPE_ATTEMPTS: usize = 64;

/// Samples a genotype. Draws every active decision uniformly, earlier decisions first.
///
/// # Example
/// ```
/// use kiln_space::{SearchSpace, spaces::NasBench201, variation};
/// use rand_pcg::Pcg64;
///
/// let space = NasBench201::default();
/// let mut rng = Pcg64::new(1, 0);
/// let parent = variation::sample(&space, &mut rng);
/// let offspring = variation::mutate(&space, &parent, &mut rng);
/// assert_ne!(parent, offspring);
/// assert_eq!(offspring, space.canonical(&offspring));
/// ```
#[must_use]
pub fn sample(space: &dyn SearchSpace, rng: &mut dyn Rng) -> Genotype {
    let decisions = space.decisions();
    space.canonical(&grow(decisions, |index| draw(&decisions[index], rng)))
}

/// Changes one active decision of `parent`, drawn uniformly. The change may activate other decisions, which
/// are then drawn uniformly too. The result equals `parent` only if a bounded search finds no other
/// architecture.
#[must_use]
pub fn mutate(space: &dyn SearchSpace, parent: &Genotype, rng: &mut dyn Rng) -> Genotype {
    let decisions = space.decisions();
    let parent = space.canonical(&normalize(decisions, parent.genes()));
    let active = active(decisions, parent.genes());
    let open: Vec<usize> =
        (0..decisions.len()).filter(|index| active[*index] && decisions[*index].options.len() > 1).collect();
    if open.is_empty() {
        return parent;
    }
    for _ in 0..MUTATION_ATTEMPTS {
        let changed = open[below(open.len(), rng)];
        let step = 1 + below(decisions[changed].options.len() - 1, rng);
        let offspring = space.canonical(&grow(decisions, |index| {
            let gene = parent.genes()[index];
            if index == changed {
                ((usize::from(gene) + step) % decisions[index].options.len()) as u8
            } else if active[index] {
                gene
            } else {
                draw(&decisions[index], rng)
            }
        }));
        if offspring != parent {
            return offspring;
        }
    }
    let mut neighbors = neighbors(space, &parent);
    if !neighbors.is_empty() {
        return neighbors.swap_remove(below(neighbors.len(), rng));
    }
    (0..ESCAPE_ATTEMPTS).map(|_| sample(space, rng)).find(|other| *other != parent).unwrap_or(parent)
}

/// Combines the genes of two parents. A gene that is active in one parent comes from that parent. A gene that
/// is active in both comes from either at random. A gene that is active in neither is drawn uniformly.
#[must_use]
pub fn crossover(space: &dyn SearchSpace, a: &Genotype, b: &Genotype, rng: &mut dyn Rng) -> Genotype {
    let decisions = space.decisions();
    let (a, b) = (normalize(decisions, a.genes()), normalize(decisions, b.genes()));
    let (in_a, in_b) = (active(decisions, a.genes()), active(decisions, b.genes()));
    space.canonical(&grow(decisions, |index| match (in_a[index], in_b[index]) {
        (true, true) if below(2, rng) == 0 => a.genes()[index],
        (_, true) => b.genes()[index],
        (true, false) => a.genes()[index],
        (false, false) => draw(&decisions[index], rng),
    }))
}

/// Returns all distinct canonical genotypes that differ from `genotype` by one active decision, in the order
/// of decisions and options. `genotype` itself is excluded. Decisions that become active take their first
/// option.
#[must_use]
pub fn neighbors(space: &dyn SearchSpace, genotype: &Genotype) -> Vec<Genotype> {
    let decisions = space.decisions();
    let genotype = space.canonical(&normalize(decisions, genotype.genes()));
    let active = active(decisions, genotype.genes());
    let mut seen = BTreeSet::from([genotype.clone()]);
    let mut neighbors = Vec::new();
    for (changed, decision) in decisions.iter().enumerate().filter(|(index, _)| active[*index]) {
        for option in 0..decision.options.len() as u8 {
            let pick = |index: usize| if index == changed { option } else { genotype.genes()[index] };
            let neighbor = space.canonical(&grow(decisions, pick));
            if seen.insert(neighbor.clone()) {
                neighbors.push(neighbor);
            }
        }
    }
    neighbors
}

/// Sets inactive genes to 0. Missing genes become 0, and surplus genes are dropped.
#[must_use]
pub fn normalize(decisions: &[Decision], genes: &[u8]) -> Genotype {
    grow(decisions, |index| genes.get(index).copied().unwrap_or(0))
}

/// Checks the number of genes and the range of every gene, active or not.
///
/// # Errors
/// [`SpaceError::GenotypeLength`] or [`SpaceError::Gene`].
pub fn check(decisions: &[Decision], genotype: &Genotype) -> Result<(), SpaceError> {
    if genotype.len() != decisions.len() {
        return Err(SpaceError::GenotypeLength { found: genotype.len(), expected: decisions.len() });
    }
    for (index, (decision, gene)) in decisions.iter().zip(genotype.genes()).enumerate() {
        if usize::from(*gene) >= decision.options.len() {
            return Err(SpaceError::Gene {
                index,
                decision: decision.name.clone(),
                found: *gene,
                options: decision.options.len(),
            });
        }
    }
    Ok(())
}

/// Whether a decision is active under these genes.
#[must_use]
pub fn is_active(decisions: &[Decision], genes: &[u8], index: usize) -> bool {
    decisions[index].active_if.as_ref().is_none_or(|condition| {
        genes.get(condition.decision).is_some_and(|gene| condition.any_of.contains(gene))
            && is_active(decisions, genes, condition.decision)
    })
}

/// Returns, for each decision, whether it is active under these genes.
#[must_use]
pub fn active(decisions: &[Decision], genes: &[u8]) -> Vec<bool> {
    let mut active: Vec<bool> = Vec::with_capacity(decisions.len());
    for decision in decisions {
        let holds = decision.active_if.as_ref().is_none_or(|condition| {
            active[condition.decision]
                && genes.get(condition.decision).is_some_and(|gene| condition.any_of.contains(gene))
        });
        active.push(holds);
    }
    active
}

/// Builds a genotype by calling `choose` with the index of each active decision, in order.
fn grow(decisions: &[Decision], mut choose: impl FnMut(usize) -> u8) -> Genotype {
    let mut genes = vec![0; decisions.len()];
    let mut active = vec![false; decisions.len()];
    for (index, decision) in decisions.iter().enumerate() {
        active[index] = decision.active_if.as_ref().is_none_or(|condition| {
            active[condition.decision] && condition.any_of.contains(&genes[condition.decision])
        });
        if active[index] {
            genes[index] = choose(index);
        }
    }
    Genotype::new(genes)
}

fn draw(decision: &Decision, rng: &mut dyn Rng) -> u8 {
    below(decision.options.len(), rng) as u8
}

/// Draws uniformly from `0..count`. If `count` is below 2, returns 0 without a draw. 32-bit arithmetic makes
/// the draws equal on every machine.
fn below(count: usize, rng: &mut dyn Rng) -> usize {
    if count < 2 { 0 } else { rng.random_range(0..count as u32) as usize }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_pcg::Pcg64;
    use serde_json::{Value, json};

    use super::*;
    use crate::spaces::Stages;
    use crate::{Settings, Shape, Task, size};

    fn space(table: Value) -> Stages {
        let Value::Object(table) = table else { panic!("a table") };
        let task = Task { input: Shape::new(1, 8, 8), outputs: 10 };
        Stages::from_settings(&Settings::new("space", table), Some(task)).unwrap()
    }

    fn small() -> Stages {
        space(json!({
            "stages": [{
                "blocks": ["conv", "mbconv", "identity"],
                "depth": [1, 2],
                "width": [4, 8],
                "expansion": [1, 2]
            }]
        }))
    }

    #[test]
    fn sample_is_uniform_over_active_decisions() {
        let space = small();
        let index = |name: &str| space.decisions().iter().position(|decision| decision.name == name).unwrap();
        let (kind, expansion) = (index("stage0.block0.kind"), index("stage0.block0.expansion"));
        let mut rng = Pcg64::new(3, 0);
        let mut seen = [0_u32; 3];
        for _ in 0..4_000 {
            let genotype = sample(&space, &mut rng);
            let genes = genotype.genes();
            match (genes[kind], genes[expansion]) {
                (0, expansion) => {
                    assert_eq!(expansion, 0);
                    seen[0] += 1;
                }
                (_, expansion) => seen[1 + usize::from(expansion)] += 1,
            }
        }
        // The expected counts among 4,000 draws are 2,000, 1,000 and 1,000. Five standard deviations are 158
        // and 137.
        assert!(seen[0].abs_diff(2_000) < 158 && seen[1].abs_diff(1_000) < 137, "{seen:?}");
    }

    #[test]
    fn mutate_reaches_every_canonical_genotype() {
        let space = small();
        let mut rng = Pcg64::new(5, 0);
        let mut genotype = sample(&space, &mut rng);
        let mut seen = BTreeSet::new();
        for _ in 0..4_000 {
            genotype = mutate(&space, &genotype, &mut rng);
            seen.insert(genotype.clone());
        }
        assert_eq!(seen, size::enumerate_canonical(&space).collect());
    }

    #[test]
    fn variation_in_space_of_one_architecture_returns_it() {
        let space = space(json!({ "stages": [{ "blocks": "conv", "width": 4 }] }));
        let mut rng = Pcg64::new(7, 0);
        let only = Genotype::new([]);
        assert_eq!(sample(&space, &mut rng), only);
        assert_eq!(mutate(&space, &only, &mut rng), only);
        assert_eq!(crossover(&space, &only, &only, &mut rng), only);
        assert!(neighbors(&space, &only).is_empty());
    }

    #[test]
    fn neighbors_differ_in_one_decision() {
        let space = space(json!({ "stages": [{ "blocks": "conv", "width": [4, 8, 12], "depth": [1, 2] }] }));
        let of = |genes: [u8; 2]| neighbors(&space, &Genotype::new(genes));
        let expected = |genes: &[[u8; 2]]| genes.iter().copied().map(Genotype::new).collect::<Vec<_>>();
        assert_eq!(of([1, 0]), expected(&[[0, 0], [2, 0], [1, 1]]));
    }

    #[test]
    fn check_names_the_gene() {
        let decisions = small().decisions().to_vec();
        let mut genes = vec![0; decisions.len()];
        genes[0] = 2;
        assert_eq!(
            check(&decisions, &Genotype::new(genes)).unwrap_err().to_string(),
            "gene 0 (`stage0.width`) is 2, expected less than 2"
        );
        assert_eq!(
            check(&decisions, &Genotype::new([0])).unwrap_err().to_string(),
            "the genotype has 1 genes, expected 6"
        );
    }

    proptest! {
        #[test]
        fn crossover_takes_genes_from_parents(seed in any::<u64>()) {
            let space = small();
            let mut rng = Pcg64::new(seed.into(), 0);
            let (a, b) = (sample(&space, &mut rng), sample(&space, &mut rng));
            prop_assert_eq!(crossover(&space, &a, &a, &mut rng), a.clone());
            // The canonical form never changes the width, the depth or the first block.
            let child = crossover(&space, &a, &b, &mut rng);
            prop_assert!([a.genes()[0], b.genes()[0]].contains(&child.genes()[0]));
        }

        #[test]
        fn active_and_is_active_agree(genes in prop::collection::vec(0_u8..3, 6)) {
            let space = small();
            let all = active(space.decisions(), &genes);
            for (index, found) in all.into_iter().enumerate() {
                prop_assert_eq!(found, is_active(space.decisions(), &genes, index));
            }
        }
    }
}

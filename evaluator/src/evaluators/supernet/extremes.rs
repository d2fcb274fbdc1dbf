//! Finds the largest and the smallest architecture of a space.

use kiln_space::{Genotype, SearchSpace, variation};

/// Selects the largest or the smallest architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extreme {
    Largest,
    Smallest,
}

/// Finds the genotype with the most or the fewest multiply-accumulates by coordinate ascent. The number of
/// parameters breaks ties. The result is exact if decisions do not interact, as in every built-in space.
pub(super) fn find(space: &dyn SearchSpace, extreme: Extreme) -> Genotype {
    let decisions = space.decisions();
    let size = |genes: &[u8]| {
        let genotype = variation::normalize(decisions, genes);
        let counts = space.decode(&genotype).ok()?.counts();
        Some((counts.macs, counts.parameters))
    };
    let better = |a, b| match extreme {
        Extreme::Largest => a > b,
        Extreme::Smallest => a < b,
    };
    let mut genes: Vec<u8> = decisions
        .iter()
        .map(|decision| if extreme == Extreme::Largest { decision.options.len() as u8 - 1 } else { 0 })
        .collect();
    let mut best = size(&genes);
    // Each round tries every option once. The loop ends after the first round that changes nothing.
    for _ in 0..8 {
        let mut changed = false;
        for (index, decision) in decisions.iter().enumerate() {
            for option in 0..decision.options.len() as u8 {
                let kept = std::mem::replace(&mut genes[index], option);
                let found = size(&genes);
                match (found, best) {
                    (Some(found), Some(known)) if !better(found, known) => genes[index] = kept,
                    (None, _) => genes[index] = kept,
                    _ => {
                        changed |= kept != option;
                        best = found;
                    }
                }
            }
        }
        if !changed {
            break;
        }
    }
    space.canonical(&variation::normalize(decisions, &genes))
}

//! Draws the architectures that an audit trains.

use std::num::NonZeroUsize;

use kiln_search::{Domain, seed};
use kiln_space::Genotype;

use super::AuditError;
use crate::assembly::Assembly;

/// Maximum number of draws for each requested architecture.
const ATTEMPTS: usize = 100;

/// Draws distinct feasible architectures that are not in `excluded`. Equal studies produce equal lists. A
/// shorter list is a prefix of a longer list.
pub(super) fn draw(
    assembly: &Assembly,
    wanted: NonZeroUsize,
    excluded: &[Genotype],
) -> Result<Vec<Genotype>, AuditError> {
    let Assembly { space, costs, constraints, config, .. } = assembly;
    let domain = Domain::new(space.as_ref(), costs, constraints, &[]);
    let mut rng = seed::generator(config.study.seed, "audit", &[]);
    let mut found: Vec<Genotype> = Vec::new();
    for _ in 0..ATTEMPTS * wanted.get() {
        if found.len() == wanted.get() {
            break;
        }
        match domain.sample(&mut rng) {
            Some(genotype) if !found.contains(&genotype) && !excluded.contains(&genotype) => {
                found.push(genotype);
            }
            Some(_) => {}
            None => break,
        }
    }
    if found.len() < wanted.get() {
        return Err(AuditError::TooFew { found: found.len(), wanted: wanted.get() });
    }
    Ok(found)
}

//! Derives every seed of a study from the study's own seed. A study has no other source of randomness.

use kiln_space::Genotype;
use rand::SeedableRng;
use rand_pcg::Pcg64;

/// Derives a seed for one purpose. The seed depends on the study's seed, on a label that names the purpose,
/// and on `parts`.
#[must_use]
pub fn derive(seed: u64, label: &str, parts: &[&[u8]]) -> u64 {
    let hash = hash(seed, label, parts);
    u64::from_le_bytes(std::array::from_fn(|i| hash[i]))
}

/// Creates a random generator for one purpose. Its seed is derived by [`derive()`].
#[must_use]
pub fn generator(seed: u64, label: &str, parts: &[&[u8]]) -> Pcg64 {
    Pcg64::from_seed(hash(seed, label, parts))
}

/// Creates the random generator for the ask with index `ask` of a study.
#[must_use]
pub fn ask_generator(seed: u64, ask: u64) -> Pcg64 {
    generator(seed, "ask", &[&ask.to_le_bytes()])
}

/// Returns the seed of all random numbers in the evaluations of one genotype. The seed is the same at every
/// fidelity, so that a short training equals the first epochs of a long one.
#[must_use]
pub fn trial_seed(seed: u64, genotype: &Genotype) -> u64 {
    derive(seed, "trial", &[genotype.genes()])
}

fn hash(seed: u64, label: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    // The lengths are hashed too, so that the parts `ab`, `c` differ from the parts `a`, `bc`.
    for part in std::iter::once(label.as_bytes()).chain(parts.iter().copied()) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn seeds_differ_for_different_inputs() {
        let genes = |genes: &[u8]| Genotype::new(genes);
        let seeds = [
            derive(1, "a", &[]),
            derive(2, "a", &[]),
            derive(1, "b", &[]),
            derive(1, "a", &[b"xy", b"z"]),
            derive(1, "a", &[b"x", b"yz"]),
            trial_seed(1, &genes(&[1])),
            trial_seed(2, &genes(&[1])),
            trial_seed(1, &genes(&[1, 0])),
        ];
        assert_eq!(BTreeSet::from(seeds).len(), seeds.len());
    }

    #[test]
    fn seeds_do_not_change_between_versions() {
        // If these values change, existing studies cannot be resumed.
        assert_eq!(derive(1, "a", &[b"b"]), 253_826_723_582_648_840);
        assert_ne!(ask_generator(1, 0), ask_generator(1, 1));
    }
}

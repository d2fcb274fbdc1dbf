//! Derives random generators from a seed, a label and numbers. Random numbers therefore do not depend on the
//! order of computations.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;

/// Returns a generator for the purpose `label`. `place` distinguishes several generators of one purpose, for
/// example by `[epoch, step]`.
pub(crate) fn generator(seed: u64, label: &str, place: &[u64]) -> Pcg64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(label.as_bytes());
    hasher.update(&[0]);
    for number in place {
        hasher.update(&number.to_le_bytes());
    }
    Pcg64::from_seed(*hasher.finalize().as_bytes())
}

//! Helpers for the tests against burn's operations: random values, and a comparison with tolerance.

use burn::tensor::Tensor;
use kiln_kernels::InstructionSet;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// Largest accepted difference, relative to the largest expected value.
const TOLERANCE: f32 = 1e-4;

pub(crate) fn values(seed: u64, len: usize) -> Vec<f32> {
    let mut rng = Pcg64::seed_from_u64(seed);
    (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
}

pub(crate) fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("a tensor of `f32`")
}

pub(crate) fn supported() -> impl Iterator<Item = InstructionSet> {
    InstructionSet::ALL.into_iter().filter(|set| set.is_supported())
}

pub(crate) fn assert_close(what: &str, found: &[Vec<f32>], expected: &[Vec<f32>]) {
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.len(), expected.len(), "{what}: length of {index}");
        let size = expected.iter().fold(1e-2f32, |size, value| size.max(value.abs()));
        for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
            let difference = (found - expected).abs();
            let close = difference <= TOLERANCE * size;
            assert!(close, "{what}: {index} at {place}: {found}, not {expected} (of {size})");
        }
    }
}

//! The trait that every search space implements.

use crate::{Architecture, Decision, Genotype, ParameterSpec, SpaceError};

/// A set of architectures described by decisions.
///
/// Every implementation must obey the laws below. `testing::check_space` checks them for every registered
/// space.
/// - Decoding a genotype returns a network or an error, and never panics.
/// - `canonical` is idempotent and keeps the decoded network and its cost.
/// - Every weight reference of a decoded architecture lies inside the declared parameter.
pub trait SearchSpace: Send + Sync {
    /// The decisions of the space. A condition refers to earlier decisions only.
    fn decisions(&self) -> &[Decision];

    /// Returns the network that the genotype describes.
    ///
    /// # Errors
    /// [`SpaceError`] when genes are out of range, or when the network's layers do not fit together.
    fn decode(&self, genotype: &Genotype) -> Result<Architecture, SpaceError>;

    /// Returns one representative for all genotypes that have the same network and the same cost.
    fn canonical(&self, genotype: &Genotype) -> Genotype;

    /// Returns every shared parameter with its largest shape.
    fn parameters(&self) -> Vec<ParameterSpec>;
}

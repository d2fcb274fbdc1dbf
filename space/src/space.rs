//! The contract of every search space.

use crate::{Architecture, Decision, Genotype, ParameterSpec, SpaceError};

/// A set of architectures described by decisions.
///
/// Laws, checked by `testing::check_space` for every registered space:
/// - A genotype in range decodes or gives an error; nothing panics.
/// - `canonical` is idempotent and keeps the decoded network and its cost.
/// - Every weight reference of a decoded architecture lies inside the declared parameter.
pub trait SearchSpace: Send + Sync {
    /// The decisions of the space. A condition refers to earlier decisions only.
    fn decisions(&self) -> &[Decision];

    /// The network of a genotype.
    ///
    /// # Errors
    /// [`SpaceError`] for genes out of range, or for a network whose layers do not fit together.
    fn decode(&self, genotype: &Genotype) -> Result<Architecture, SpaceError>;

    /// The representative of all genotypes that have the same network and the same cost.
    fn canonical(&self, genotype: &Genotype) -> Genotype;

    /// Every weight key with its largest shape.
    fn parameters(&self) -> Vec<ParameterSpec>;
}

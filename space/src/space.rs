//! The contract every search space fulfils.

use crate::{Architecture, Decision, Genotype, ParameterSpec, SpaceError};

/// A set of architectures described by decisions.
///
/// Laws (checked by `testing::check_space` for every registered space): every genotype in range decodes or gives an
/// error, never a panic; `canonical` is idempotent and keeps the decoded network and its cost; every weight reference
/// of a decoded architecture lies inside the declared parameter.
pub trait SearchSpace: Send + Sync {
    /// What may vary. A condition refers to earlier decisions only.
    fn decisions(&self) -> &[Decision];

    /// The network that a genotype stands for.
    ///
    /// # Errors
    /// [`SpaceError`] for genes out of range or a network that does not fit together.
    fn decode(&self, genotype: &Genotype) -> Result<Architecture, SpaceError>;

    /// One genotype for all that give the same network at the same cost.
    fn canonical(&self, genotype: &Genotype) -> Genotype;

    /// Every weight key with its largest shape.
    fn parameters(&self) -> Vec<ParameterSpec>;
}

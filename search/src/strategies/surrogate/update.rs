//! How models are updated, and which cached data an update makes invalid.

/// How a model is updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// The kernel is chosen again.
    Kernel,
    /// The points were chosen again, and the kernel stays.
    Points,
    /// Points from this one on were added.
    From(usize),
}

/// How an update changed the models. This determines which cached data of candidates stays valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::strategies) enum Change {
    /// Points were added, or nothing changed.
    Grown,
    /// Kernels changed.
    Kernels,
    /// Points were chosen again. Kernels may have changed too.
    Points,
}

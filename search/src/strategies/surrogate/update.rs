//! How models are brought up to date, and what that changes.

/// How a model is brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// The kernel is chosen anew.
    Kernel,
    /// The points were chosen anew.
    Points,
    /// Points from this one on were added.
    From(usize),
}

/// How an update changed the models. It decides which cached numbers of candidates stay valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::strategies) enum Change {
    /// Points were added, or nothing changed.
    Grown,
    /// Kernels changed.
    Kernels,
    /// Points were chosen anew. Kernels may have changed too.
    Points,
}

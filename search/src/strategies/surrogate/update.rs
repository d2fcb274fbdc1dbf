//! How models are brought up to date, and what that changes.

/// How a model is brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// Everything is chosen anew.
    Kernel,
    /// The points are others.
    Points,
    /// Points were added from this one on.
    From(usize),
}

/// What became of the models, for those who remember something of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::strategies) enum Change {
    /// At most, points were added.
    Grown,
    /// Kernels are others.
    Kernels,
    /// Kernels or points are others.
    Points,
}

//! The kinds of model updates, and the cached data that each kind makes invalid.

/// How a model is updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// The kernel is chosen again.
    Kernel,
    /// The points were chosen again. The kernel stays the same.
    Points,
    /// Points were added. The value is the index of the first added point.
    From(usize),
}

/// The effect of an update on the models. It determines which cached data of candidates is still valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::strategies) enum Change {
    /// Points were added, or the models did not change.
    Grown,
    /// Kernels changed.
    Kernels,
    /// The points were chosen again. Kernels may have changed, too.
    Points,
}

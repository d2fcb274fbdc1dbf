//! How much an evaluator and its finisher compute, for estimates of time and memory. It decides nothing.

/// Number of examples that pass through a network of typical size, by stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Once, before the search.
    pub prepare: Effort,
    /// For each trial.
    pub trial: Effort,
    /// For each network that is finished.
    pub network: Effort,
    /// Number of examples whose activations are in memory at the same time during training.
    pub examples_in_memory: usize,
}

/// Number of examples that pass through a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Forward and backward.
    pub trained: u64,
    /// Forward only.
    pub judged: u64,
}

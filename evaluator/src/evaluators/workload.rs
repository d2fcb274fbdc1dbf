//! Describes how much an evaluator and its finisher compute. Only estimates of time and memory use these
//! numbers.

/// Number of examples that pass through a network of typical size, for each stage of a study. The default,
/// all zeros, means that the evaluator does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Work before the search.
    pub prepare: Effort,
    /// Work for each trial.
    pub trial: Effort,
    /// Work for each finished network.
    pub network: Effort,
    /// Number of training examples whose activations are in memory at the same time.
    pub examples_in_memory: usize,
}

/// Number of examples that pass through a network, with and without a backward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Examples with forward and backward pass.
    pub trained: u64,
    /// Examples with forward pass only.
    pub judged: u64,
}

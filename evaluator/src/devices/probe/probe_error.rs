//! Reasons why a device cannot be used.

use std::io;
use std::time::Duration;

use burn::tensor::DataError;
use kiln_search::Panicked;
use thiserror::Error;

use super::comparison::Disagreement;

/// The reason why a device cannot be used.
#[derive(Debug, Error)]
pub(crate) enum ProbeError {
    /// A sum is wrong.
    #[error("64 ones add up to {found:?} there")]
    Sum {
        /// The device's result.
        found: Vec<f32>,
    },
    /// The result of a sum cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// An operation's results differ from the CPU's.
    #[error(transparent)]
    Disagreement(#[from] Disagreement),
    /// Another thread panicked before the operation did, for example a thread of the driver.
    #[error("its first operations failed: {panic}")]
    Panicked {
        /// The beginning of the panic message.
        panic: String,
    },
    /// The system cannot create a thread.
    #[error("no thread to try it on: {0}")]
    Thread(io::Error),
    /// The operation panicked.
    #[error("{what} failed: {panic}")]
    Failed {
        /// The operation that was run.
        what: &'static str,
        /// The panic message.
        panic: Panicked,
    },
    /// The operation takes too long.
    #[error("{what} gave no result within {} s", limit.as_secs_f64())]
    Timeout {
        /// The operation that was run.
        what: &'static str,
        /// The time limit.
        limit: Duration,
    },
    /// The thread of the operation ended without a result.
    #[error("{what} ended without a result")]
    NoResult {
        /// The operation that was run.
        what: &'static str,
    },
    /// A device of a collective panicked.
    #[cfg(feature = "cuda")]
    #[error("one of them failed")]
    CollectiveFailed,
    /// A collective computed a wrong sum.
    #[cfg(feature = "cuda")]
    #[error("their ones add up to {found:?}")]
    CollectiveSum {
        /// The result on each device.
        found: Vec<Vec<f32>>,
    },
}

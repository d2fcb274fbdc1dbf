//! Why a device cannot be used.

use std::io;
use std::time::Duration;

use burn::tensor::DataError;
use kiln_search::Panicked;
use thiserror::Error;

use super::comparison::Disagreement;

/// Why a device cannot be used.
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
    /// An operation differs from the CPU.
    #[error(transparent)]
    Disagreement(#[from] Disagreement),
    /// A thread panicked first, which may be one of the driver.
    #[error("its first operations failed: {panic}")]
    Panicked {
        /// The beginning of the panic's message.
        panic: String,
    },
    /// The system gives no thread.
    #[error("no thread to try it on: {0}")]
    Thread(io::Error),
    /// The operation panicked.
    #[error("{what} failed: {panic}")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// The panic.
        panic: Panicked,
    },
    /// The operation takes too long.
    #[error("{what} gave no result within {} s", limit.as_secs_f64())]
    Timeout {
        /// What was tried.
        what: &'static str,
        /// The time limit.
        limit: Duration,
    },
    /// The thread of the operation ended without an answer.
    #[error("{what} ended without a result")]
    NoResult {
        /// What was tried.
        what: &'static str,
    },
    /// A device of a collective panicked.
    #[cfg(feature = "cuda")]
    #[error("one of them failed")]
    CollectiveFailed,
    /// A collective gives a wrong sum.
    #[cfg(feature = "cuda")]
    #[error("their ones add up to {found:?}")]
    CollectiveSum {
        /// The result on each device.
        found: Vec<Vec<f32>>,
    },
}

//! The contract of runtimes: programs or libraries that run a network and say how long it took.

use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

/// Runs networks on a device.
///
/// A network that fails is [`RuntimeError::Network`]: it is recorded, and the others are measured. What makes
/// every network fail (no library, no such program) is [`RuntimeError::Unusable`] and ends the session.
pub trait Runtime {
    /// Name, as `--runtime` takes it.
    fn name(&self) -> &str;

    /// Version, for the report. Empty if the runtime does not say.
    fn version(&self) -> &str;

    /// The format of the model files that it loads, as a file extension: `onnx` or `kiln`.
    fn format(&self) -> &'static str;

    /// Whether networks run on this machine, so that its clock governor and its load matter.
    fn is_local(&self) -> bool;

    /// Number of runs after loading that are not measured. 0 for a runtime that warms up by itself.
    fn warm_ups(&self) -> usize {
        3
    }

    /// Loads a model file.
    ///
    /// # Errors
    /// [`RuntimeError`].
    fn load(&self, model: &Path) -> Result<Box<dyn LoadedModel + '_>, RuntimeError>;
}

/// A loaded network.
pub trait LoadedModel {
    /// Runs the network and returns the measured latencies, one or more.
    ///
    /// # Units
    /// Microseconds for the whole batch.
    ///
    /// # Errors
    /// [`RuntimeError`].
    fn run(&mut self) -> Result<Vec<f64>, RuntimeError>;
}

/// Why nothing was measured.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// This network failed. Others may run.
    #[error("{0}")]
    Network(Arc<dyn StdError + Send + Sync>),
    /// The runtime cannot run any network.
    #[error("{0}")]
    Unusable(Arc<dyn StdError + Send + Sync>),
    /// The user interrupted the run.
    #[error("interrupted")]
    Stopped,
}

impl RuntimeError {
    /// This network failed.
    pub fn network(error: impl StdError + Send + Sync + 'static) -> Self {
        Self::Network(Arc::new(error))
    }

    /// The runtime cannot run any network.
    pub fn unusable(error: impl StdError + Send + Sync + 'static) -> Self {
        Self::Unusable(Arc::new(error))
    }
}

/// A runtime returned something that is not a latency.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[error("the runtime measured {found} us, expected a finite number above 0")]
pub struct NotALatency {
    /// What it returned, in microseconds.
    pub found: f64,
}

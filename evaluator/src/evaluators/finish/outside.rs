//! Networks that are trained outside of this process.

use std::collections::BTreeMap;

use kiln_export::Arrays;
use kiln_search::{EvalError, Progress, Trial};
use kiln_space::Architecture;

/// Trains networks outside of this process.
pub(crate) trait OutsideTraining: Send + Sync {
    /// Trains the network of a trial with the whole schedule. `shared` is what its genotype decodes to.
    fn trained(
        &self,
        trial: &Trial,
        shared: &Architecture,
        progress: &dyn Progress,
    ) -> Result<Returned, EvalError>;

    /// Describes the training, for model cards.
    fn describe(&self) -> String;

    /// A text that identifies everything that the trained weights depend on, except the network.
    fn fingerprint(&self) -> String;
}

/// A network that was trained outside of this process.
pub(crate) struct Returned {
    /// Its arrays, which fit its architecture. Those of a regression give standardized values.
    pub(crate) arrays: Arrays,
    /// What the program reported.
    pub(crate) metrics: BTreeMap<String, f64>,
}

//! How a training runs a network, and what the network learns from, where a training differs from the usual
//! one.

use crate::network::plan::Plan;
use crate::network::weights::Weights;
use crate::training::distillation::Distillation;
use crate::training::pruning::PruningRules;

/// The way in which a training runs a network, other than with the statistics of each batch.
pub(crate) trait Form: Send + Sync {
    /// Returns the plan for the present weights in an epoch.
    fn plan(&self, epoch: u32, weights: &Weights) -> Plan;

    /// Keeps weights within the bounds that this way of training has, after an optimizer step.
    fn hold(&self, weights: &mut Weights);
}

/// Where a training differs from the usual one. The default is the usual training.
#[derive(Clone, Copy, Default)]
pub(crate) struct How<'a> {
    /// How the network runs. `None` normalizes with the statistics of each batch.
    pub(crate) form: Option<&'a dyn Form>,
    /// A teacher whose outputs the network learns too.
    pub(crate) teacher: Option<&'a Distillation>,
    /// How the zeros of sparse layers are chosen.
    pub(crate) pruning: PruningRules,
}

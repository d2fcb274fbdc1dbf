//! Removes channels from a network. The result is a smaller network that runs everywhere.
//!
//! A *unit* is a set of channels that can only be removed together, and a *group* consists of units that lie
//! side by side in the same layers ([`kiln_space::channels`]). The functions here score units, choose the
//! units to remove under a budget, and cut them out of the arrays.

mod cut;
mod plan;
mod scores;
mod sensitivity;

pub use self::cut::cut;
pub use self::plan::{Plan, Rules, plan};
pub use self::scores::{Norm, add_movement, filter_norms, taylor};
pub use self::sensitivity::{Sensitivity, losses, sensitivity};

//! Proposals, outcomes and the numbers in them. These types are plain data that every other module uses.

mod failures;
mod fidelity;
mod named_values;
pub(crate) mod objectives;
pub(crate) mod results;
mod seconds;
pub mod seed;
mod trial;

pub use self::failures::{CommonReason, FailureGroup, REASON_PARTS};
pub use self::fidelity::{Fidelities, Fidelity, UnansweredFidelity};
pub use self::named_values::NamedValues;
pub use self::results::{RESULTS_VERSION, results_part};
pub use self::seconds::{NotSeconds, Seconds};
pub use self::trial::{
    Costs, FailureKind, Measurement, NotFinite, Objectives, Origin, Outcome, Proposal, Trial, TrialId,
};

//! The built-in strategies, with one file for each strategy, and the code that several strategies share.

pub(crate) mod asha;
pub(crate) mod bohb;
mod brackets;
pub(crate) mod clustered;
pub(crate) mod ensemble;
pub(crate) mod gaussian_process;
mod guided;
pub(crate) mod hyperband;
pub(crate) mod local_search;
mod member;
pub(crate) mod nsga2;
pub(crate) mod prior;
pub(crate) mod random;
pub(crate) mod regularized_evolution;
mod rungs;
pub(crate) mod simulated_annealing;
pub(crate) mod sms_emoa;
pub(crate) mod successive_halving;
mod surrogate;
mod unseen;
mod walk;
mod weighing;

pub use self::unseen::ENUMERABLE;

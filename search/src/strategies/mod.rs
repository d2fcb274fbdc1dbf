//! The strategies of this crate. Each has a file and a line in the list below.

use crate::contracts::StrategyBuilder;

mod brackets;
mod guided;
mod member;
pub(crate) mod prior;
mod rungs;
mod surrogate;
mod unseen;
mod walk;
mod weighing;

pub use self::unseen::ENUMERABLE;

/// A strategy of this crate.
pub(crate) struct Builtin {
    /// Name in configs.
    pub(crate) name: &'static str,
    /// One line about it.
    pub(crate) doc: &'static str,
    /// Makes it from its settings.
    pub(crate) build: StrategyBuilder,
}

/// Declares a module for each strategy and lists it under the module's name. `cargo fmt` does not find
/// modules that a macro declares: the script of the checks hands these files to `rustfmt` by name.
macro_rules! strategies {
    ($($name:ident: $doc:literal,)*) => {
        $(mod $name;)*

        /// Every strategy of this crate.
        pub(crate) const BUILTIN: &[Builtin] =
            &[$(Builtin { name: stringify!($name), doc: $doc, build: $name::build },)*];
    };
}

strategies! {
    asha: "more effort for the best third, without waiting",
    bohb: "hyperband around what resembles the best",
    clustered: "model-guided search over clusters of candidates",
    ensemble: "model-guided search by randomized trees",
    gaussian_process: "Bayesian optimization of what networks look like",
    hyperband: "brackets of successive halving, more or less bold",
    local_search: "first better neighbor, with restarts",
    nsga2: "generations by rank and crowding",
    random: "uniform sampling without repeats",
    regularized_evolution: "tournaments in an aging population",
    simulated_annealing: "a walk that cools down",
    sms_emoa: "an evolving front by hypervolume",
    successive_halving: "more effort for the best third",
}

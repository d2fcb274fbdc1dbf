//! The strategies that come with the crate, one file and one line in the list below each.

use crate::StrategyRegistry;

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

/// Declares a module for each strategy and registers it under the module's name. What it declares, `cargo fmt` does not find:
/// the script of the checks hands these files to `rustfmt` by name.
macro_rules! strategies {
    ($($name:ident: $about:literal,)*) => {
        $(pub(crate) mod $name;)*

        /// Adds every strategy of this crate.
        pub(crate) fn register_all(registry: &mut StrategyRegistry) {
            $(registry.register(stringify!($name), $about, $name::build);)*
        }
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

//! The strategies that come with the crate, one file and one line in the list below each.

use crate::StrategyRegistry;

mod unseen;

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
    clustered: "model-guided search over clusters of candidates",
    random: "uniform sampling without repeats",
    regularized_evolution: "tournaments in an aging population",
}

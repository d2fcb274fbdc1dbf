//! The errors of comparisons.

use kiln_space::{Genotype, SettingsError};
use thiserror::Error;

use crate::table::TableError;
use crate::trials::Fidelity;

/// A comparison that cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A table cannot be read, or a column is missing.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A strategy or a problem cannot be built from its settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The text of a strategy is invalid.
    #[error("strategy `{text}`: {fault}; write `NAME` or `NAME:{{\"setting\": value}}`")]
    Strategy {
        /// What was written.
        text: String,
        /// What is wrong with it.
        fault: ChoiceFault,
    },
    /// A number is impossible.
    #[error("`{name}` is {found}, expected {expected}")]
    Value {
        /// Name of the number.
        name: &'static str,
        /// The value found.
        found: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// The table has no answer for an architecture that a strategy asked for.
    #[error(
        "the table has no `{column}` for {genotype}; take a table of all architectures, perhaps this one was \
         cut off"
    )]
    MissingAnswer {
        /// The architecture.
        genotype: String,
        /// The missing column.
        column: String,
    },
    /// A study has no answer for an architecture that a strategy asked for.
    #[error(
        "the study has no trial of {genotype}; take one that has judged its whole space, as `random` does \
         with enough trials"
    )]
    MissingTrial {
        /// The architecture.
        genotype: String,
    },
    /// A study has no measured trial at full effort.
    #[error("study `{study}` has no measured trial, so that there is nothing to find")]
    NoTrials {
        /// Its name.
        study: String,
    },
    /// A strategy asked for a fidelity that the problem does not support.
    #[error(
        "`{strategy}` asks for {fidelity:?} of {genotype}, which the problem does not know; name the table's \
         columns for fewer epochs, or take a strategy of one fidelity"
    )]
    Fidelity {
        /// The strategy.
        strategy: String,
        /// The architecture.
        genotype: Genotype,
        /// The fidelity.
        fidelity: Fidelity,
    },
    /// A strategy broke its contract: it waits although nothing is running.
    #[error("`{strategy}` waits although nothing is running")]
    Waits {
        /// The strategy.
        strategy: String,
    },
    /// No evaluation fits into the budget.
    #[error("`{strategy}` found nothing within the budget of {budget} {unit}; give a larger one")]
    NothingFound {
        /// The strategy.
        strategy: String,
        /// The budget.
        budget: f64,
        /// Its unit.
        unit: &'static str,
    },
}

/// What is wrong with the text of a strategy.
#[derive(Debug, Error)]
pub enum ChoiceFault {
    /// There is no strategy name before the settings.
    #[error("the name is missing")]
    NoName,
    /// The settings are JSON, but not an object.
    #[error("settings are a JSON object")]
    NotAnObject,
    /// The settings are not JSON.
    #[error("settings are not JSON: {0}")]
    NotJson(serde_json::Error),
}

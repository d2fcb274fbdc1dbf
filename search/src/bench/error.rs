//! The errors of comparisons.

use kiln_space::{Genotype, SettingsError};
use thiserror::Error;

use crate::table::TableError;
use crate::trials::Fidelity;

/// An error that makes a comparison impossible.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A table cannot be read, or a column is missing.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A strategy or a problem cannot be built from its settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The text that names a strategy is invalid.
    #[error("strategy `{text}`: {fault}; write `NAME` or `NAME:{{\"setting\": value}}`")]
    Strategy {
        /// The invalid text.
        text: String,
        /// The fault in the text.
        fault: ChoiceFault,
    },
    /// A number is outside its allowed range.
    #[error("`{name}` is {found}, expected {expected}")]
    Value {
        /// Name of the number.
        name: &'static str,
        /// The number found.
        found: String,
        /// The allowed values.
        expected: &'static str,
    },
    /// The table has no result for an architecture that a strategy proposed.
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
    /// A study has no trial of an architecture that a strategy proposed.
    #[error(
        "the study has no trial of {genotype}; take one that has judged its whole space, as `random` does \
         with enough trials"
    )]
    MissingTrial {
        /// The architecture.
        genotype: String,
    },
    /// A study has no measured trial with full fidelity.
    #[error("study `{study}` has no measured trial, so that there is nothing to find")]
    NoTrials {
        /// Name of the study.
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
        /// Unit of the budget.
        unit: &'static str,
    },
}

/// The fault in a text that names a strategy.
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

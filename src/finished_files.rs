//! Checks whether the files of finished networks are unchanged, and reports changes to the user.

use std::collections::BTreeMap;

use kiln_export::{ExportError, ModelCard};
use kiln_files::{FileError, optional};
use kiln_search::{Finished, RunPaths, TrialId};
use thiserror::Error;

use crate::output;

/// Returns the problems with the files of these networks. The list is empty if all files are unchanged.
pub(crate) fn problems<'a>(
    paths: &RunPaths,
    finished: impl IntoIterator<Item = &'a Finished>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut is_unchecked = false;
    for network in finished {
        is_unchecked |= network.is_unchecked();
        problems.extend(network.mismatches(&paths.model(network.trial)).iter().map(|mismatch| {
            format!("finished trial {}: {mismatch}; run the study again to finish it again", network.trial)
        }));
    }
    if is_unchecked {
        problems.push(
            "an older build recorded the finished networks without hashes, so their files are not checked"
                .to_owned(),
        );
    }
    problems
}

/// File name of a network's card.
const CARD: &str = "card.json";
/// Maximum size of a card in bytes. Kiln never writes a larger card.
const LONGEST_CARD_BYTES: u64 = 16 << 20;

/// A card that cannot be shown.
#[derive(Debug, Error)]
pub(crate) enum CardError {
    /// The file cannot be read.
    #[error("{}", .0.said())]
    File(FileError),
    /// The file does not contain a valid card.
    #[error(transparent)]
    Content(#[from] ExportError),
}

impl From<FileError> for CardError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// For each trial with a card, returns the card or the reason why the card cannot be read.
pub(crate) fn cards(
    paths: &RunPaths,
    trials: impl Iterator<Item = TrialId>,
) -> BTreeMap<TrialId, Result<ModelCard, CardError>> {
    let card = |trial: TrialId| {
        let path = paths.model(trial).join(CARD);
        let read = || -> Result<Option<ModelCard>, CardError> {
            let bytes = optional(kiln_files::read(&path, LONGEST_CARD_BYTES))?;
            let card = bytes.map(|bytes| ModelCard::read(&mut bytes.as_slice())).transpose()?;
            Ok(card.map(|card| card.content))
        };
        read().transpose().map(|card| (trial, card))
    };
    trials.filter_map(card).collect()
}

/// Prints each problem on standard error.
pub(crate) fn warn(problems: &[String]) {
    for problem in problems {
        output::say(&format!("warning: {problem}"));
    }
}

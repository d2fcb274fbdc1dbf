//! Whether the files of finished networks are still what was written, for people.

use std::collections::BTreeMap;

use kiln_export::ModelCard;
use kiln_files::optional;
use kiln_search::{Finished, RunPaths, TrialId};

use crate::output;

/// What is to be said of the files of these networks; nothing where all are what was written.
pub(crate) fn problems<'a>(
    paths: &RunPaths,
    finished: impl IntoIterator<Item = &'a Finished>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut is_unchecked = false;
    for network in finished {
        is_unchecked |= network.is_unchecked();
        problems.extend(network.mismatches(&paths.model(network.trial)).iter().map(|mismatch| {
            format!(
                "finished trial {}: {mismatch}; run the study again to have it finished again",
                network.trial
            )
        }));
    }
    if is_unchecked {
        problems.push(
            "an older build journaled the finished networks without hashes of their files: they are not \
             checked"
                .to_owned(),
        );
    }
    problems
}

/// Name of a card in the folder of its network.
const CARD: &str = "card.json";
/// Kiln writes no longer card.
const LONGEST_CARD_BYTES: u64 = 16 << 20;

/// The cards of those of these trials that have one, or why a card cannot be read.
pub(crate) fn cards(
    paths: &RunPaths,
    trials: impl Iterator<Item = TrialId>,
) -> BTreeMap<TrialId, Result<ModelCard, String>> {
    let card = |trial: TrialId| {
        let path = paths.model(trial).join(CARD);
        let read = || -> Result<Option<ModelCard>, String> {
            let bytes =
                optional(kiln_files::read(&path, LONGEST_CARD_BYTES)).map_err(|error| error.said())?;
            let card = bytes.map(|bytes| ModelCard::read(&mut bytes.as_slice())).transpose();
            Ok(card.map_err(|error| error.to_string())?.map(|card| card.content))
        };
        read().transpose().map(|card| (trial, card))
    };
    trials.filter_map(card).collect()
}

/// Says each problem on standard error.
pub(crate) fn warn(problems: &[String]) {
    for problem in problems {
        output::say(&format!("warning: {problem}"));
    }
}

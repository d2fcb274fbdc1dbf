//! Whether the files of finished networks are still what was written, for people.

use kiln_search::{Finished, RunPaths};

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

/// Says each problem on standard error.
pub(crate) fn warn(problems: &[String]) {
    for problem in problems {
        output::say(&format!("warning: {problem}"));
    }
}

//! What a reader should know about a journal itself.

use crate::trials::TrialId;

/// What keeps a journal from being all that was written, as far as it can be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// Lines at its beginning that have no check.
    pub unchecked_lines: u64,
    /// Whether a line behind them vouches for them.
    pub vouched: bool,
    /// Bytes behind its last whole line.
    pub torn_bytes: usize,
    /// Networks that are in the run folder and belong to trials that the journal does not have.
    pub unknown_networks: Vec<TrialId>,
}

impl Doubts {
    /// What a person should be told, a sentence each.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let mut said = Vec::new();
        if self.unchecked_lines > 0 {
            let what = if self.vouched {
                "a change of them is noticed only where it came after the lines that follow"
            } else {
                "a change of them is not noticed"
            };
            let lines = self.unchecked_lines;
            said.push(format!("lines 1 to {lines} have no checks (an earlier version wrote them): {what}"));
        }
        if self.torn_bytes > 0 {
            said.push(format!(
                "it ends in {} bytes of an unfinished line, which do not count: it is being written, or was \
                 cut",
                self.torn_bytes
            ));
        }
        if let Some(trial) = self.unknown_networks.first() {
            said.push(format!(
                "there is a finished network of trial {trial}, of which it says nothing: its last lines are \
                 missing"
            ));
        }
        said
    }
}

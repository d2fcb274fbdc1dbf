//! Signs that a journal may be incomplete or changed.

use crate::trials::TrialId;

/// Signs that a journal may lack lines or contain changed lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// Number of lines without a check, which are at the beginning of the journal.
    pub unchecked_lines: u64,
    /// Whether a later line has a check, which also covers the lines without checks.
    pub vouched: bool,
    /// Number of bytes after the last complete line.
    pub torn_bytes: usize,
    /// Trials that have a finished network in the run folder but are not in the journal.
    pub unknown_networks: Vec<TrialId>,
}

impl Doubts {
    /// Returns the doubts as text, one sentence for each.
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

//! The checks of a journal's lines. Each check is a hash of the line and of the previous check. So the checks
//! reveal a line that was changed, removed, repeated or moved.
//!
//! A checked line ends in `,"check":"H"}`, where H is 32 hexadecimal digits: the first half of a BLAKE3 hash.
//! The hash covers the 32 digits of the previous line's check, then the line's own bytes up to `,"check"`.
//! The first checked line has no previous check. For this line, the first 32 digits of the hash of all bytes
//! before the line are hashed in place of the previous check. In a new journal, no bytes precede the first
//! line. In a journal that began without checks, the lines without checks precede it.

use super::entry::JournalEntry;
use crate::error::ChainBreak;

/// Number of digits in a check.
const DIGITS: usize = 32;
/// The bytes of a line before the digits of the check, and the bytes after the digits.
const MARK: &[u8] = b",\"check\":\"";
const END: &[u8] = b"\"}";

/// The digits of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Check([u8; DIGITS]);

/// Computes and verifies the checks of a journal's lines, in their order.
///
/// # Example
/// A program can write its own journal:
/// ```
/// use kiln_search::{CheckChain, Event, JOURNAL_VERSION, JournalEntry, Seconds};
/// let (unix_s, elapsed_s) = (Seconds::ZERO, Seconds::ZERO);
/// let entry = JournalEntry { version: JOURNAL_VERSION, unix_s, elapsed_s, event: Event::Ended };
/// let mut chain = CheckChain::default();
/// let journal = chain.line(&entry) + &chain.line(&entry);
/// assert!(journal.ends_with("\"}\n"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct CheckChain {
    /// Hash of the lines without a check.
    unchecked: Box<blake3::Hasher>,
    /// Number of lines without a check.
    unchecked_lines: u64,
    /// Check of the last line that has one.
    last: Option<Check>,
}

impl CheckChain {
    /// Returns the next line of a journal, with a check and a line end.
    ///
    /// # Panics
    /// Never, because an entry is plain data.
    #[must_use]
    pub fn line(&mut self, entry: &JournalEntry) -> String {
        let (line, check) = self.sealed(entry);
        self.advance(check);
        line
    }

    /// Returns the next line and its check. After the line was written, call [`CheckChain::advance`] with the
    /// check. If the line could not be written, it must not become part of the chain.
    pub(super) fn sealed(&self, entry: &JournalEntry) -> (String, Check) {
        let mut line = serde_json::to_string(entry).expect("an entry is plain data with names as keys");
        line.pop();
        let check = self.next(line.as_bytes());
        line.push_str(",\"check\":\"");
        line.extend(check.0.map(char::from));
        line.push_str("\"}\n");
        (line, check)
    }

    /// Continues the chain after a line with this check.
    pub(super) const fn advance(&mut self, check: Check) {
        self.last = Some(check);
    }

    /// Verifies the next line, which is passed without its line end. Returns whether the line has a check.
    pub(super) fn verify(&mut self, line: &[u8]) -> Result<bool, ChainBreak> {
        match split(line) {
            Some((body, check)) => {
                if self.next(body) != check {
                    return Err(ChainBreak::Mismatch);
                }
                self.advance(check);
                Ok(true)
            }
            None if self.last.is_some() => Err(ChainBreak::Missing),
            None => {
                self.unchecked.update(line).update(b"\n");
                self.unchecked_lines += 1;
                Ok(false)
            }
        }
    }

    /// Whether any line so far had a check.
    pub(super) const fn has_checks(&self) -> bool {
        self.last.is_some()
    }

    /// Number of lines without a check. All of them precede the lines with a check.
    pub(super) const fn unchecked_lines(&self) -> u64 {
        self.unchecked_lines
    }

    fn next(&self, body: &[u8]) -> Check {
        let before = self.last.unwrap_or_else(|| Check::of(&self.unchecked));
        let mut hasher = blake3::Hasher::new();
        Check::of(hasher.update(&before.0).update(body))
    }
}

impl Check {
    fn of(hasher: &blake3::Hasher) -> Self {
        let hash = hasher.finalize().to_hex();
        Self(*hash.as_bytes().first_chunk().expect("a hash has 64 digits"))
    }
}

/// Splits a line into its own bytes and its check. Returns `None` if the line has no check.
fn split(line: &[u8]) -> Option<(&[u8], Check)> {
    let (rest, digits) = line.strip_suffix(END)?.split_last_chunk::<DIGITS>()?;
    Some((rest.strip_suffix(MARK)?, Check(*digits)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn verifier_in_the_readme_equals_the_tested_script() {
        let verifier = include_str!("../../../../tests/journal/verify.py");
        assert!(include_str!("../../../README.md").contains(&format!("```python\n{verifier}```")));
    }
}

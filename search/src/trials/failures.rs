//! Groups failed trials by the reason of the failure.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::trial::{FailureKind, Outcome, Trial, TrialId};

/// Maximum number of trials that a group lists.
const EXAMPLES: usize = 5;
/// Text that replaces numbers that differ between the trials of a group.
const VARIES: &str = "…";

/// Trials that failed for the same reason. Reasons that differ only in numbers count as the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureGroup {
    /// The kind of failure.
    pub kind: FailureKind,
    /// The reason of the failure. Numbers that differ between the trials are replaced by `…`.
    pub reason: String,
    /// Number of trials.
    pub count: u64,
    /// Ids of the first few trials.
    pub trials: Vec<TrialId>,
}

impl FailureGroup {
    /// Groups the failed trials among `trials`, with the largest group first.
    #[must_use]
    pub fn of<'a>(trials: impl IntoIterator<Item = &'a Trial>) -> Vec<Self> {
        let outcomes = trials.into_iter().map(|trial| (trial.id, &trial.outcome));
        Self::of_outcomes(outcomes)
    }

    /// Groups failed outcomes by reason. Each outcome comes with the id of its trial. The largest group comes
    /// first.
    #[must_use]
    pub fn of_outcomes<'a>(outcomes: impl IntoIterator<Item = (TrialId, &'a Outcome)>) -> Vec<Self> {
        let mut groups: BTreeMap<(FailureKind, Vec<&str>), Alike<'_>> = BTreeMap::new();
        for (id, outcome) in outcomes {
            let Outcome::Failed { kind, reason } = outcome else { continue };
            let (words, numbers) = split(reason);
            let group = groups.entry((*kind, words)).or_insert_with(|| Alike {
                numbers: numbers.iter().copied().map(Some).collect(),
                trials: Vec::new(),
            });
            for (known, number) in group.numbers.iter_mut().zip(numbers) {
                *known = known.filter(|known| *known == number);
            }
            group.trials.push(id);
        }
        let mut groups: Vec<Self> = groups
            .into_iter()
            .map(|((kind, words), Alike { numbers, mut trials })| {
                let count = trials.len() as u64;
                trials.sort_unstable();
                trials.truncate(EXAMPLES);
                Self { kind, reason: joined(&words, &numbers), count, trials }
            })
            .collect();
        groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.trials.cmp(&b.trials)));
        groups
    }
}

/// Text between the parts of a reason: what happened, and the last lines of a program.
pub const REASON_PARTS: &str = " | ";

/// What the reasons of several failures have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommonReason {
    /// All reasons have these parts. Numbers that differ are replaced by `…`.
    Parts(Vec<String>),
    /// The reasons have no part in common. This is the last one.
    Nothing {
        /// The last reason.
        last: String,
    },
}

impl CommonReason {
    /// Finds the parts that all reasons have. Parts that differ only in numbers count as the same.
    #[must_use]
    pub fn of(reasons: &[&str]) -> Self {
        let Some((last, others)) = reasons.split_last() else { return Self::Parts(Vec::new()) };
        let common = last.split(REASON_PARTS).filter_map(|part| {
            let (words, numbers) = split(part);
            let mut numbers: Vec<Option<&str>> = numbers.into_iter().map(Some).collect();
            for reason in others {
                let mut found = reason.split(REASON_PARTS).map(split);
                let (_, theirs) = found.find(|(theirs, _)| *theirs == words)?;
                for (known, number) in numbers.iter_mut().zip(theirs) {
                    *known = known.filter(|known| *known == number);
                }
            }
            Some(joined(&words, &numbers))
        });
        let common: Vec<String> = common.filter(|part| !part.trim().is_empty()).collect();
        if common.is_empty() { Self::Nothing { last: (*last).to_owned() } } else { Self::Parts(common) }
    }
}

impl fmt::Display for CommonReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parts(parts) => write!(f, "they have in common: {}", parts.join(REASON_PARTS)),
            Self::Nothing { last } => write!(f, "they have nothing in common, the last reason: {last}"),
        }
    }
}

/// Failures whose reasons have the same words.
struct Alike<'a> {
    /// The numbers between the words. A number is `None` if it differs between the trials.
    numbers: Vec<Option<&'a str>>,
    trials: Vec<TrialId>,
}

/// Splits a reason into words and the numbers between them. There is one more word than numbers. The first
/// and the last word may be empty.
fn split(reason: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut words, mut numbers) = (Vec::new(), Vec::new());
    let (mut word, mut at) = (0, 0);
    while at < reason.len() {
        let length = number(reason, at);
        if length > 0 {
            words.push(&reason[word..at]);
            numbers.push(&reason[at..at + length]);
            at += length;
            word = at;
        } else {
            at += reason[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    words.push(&reason[word..]);
    (words, numbers)
}

/// Returns the length in bytes of the number that begins at `at`, or 0 if there is none. A number consists of
/// digits with sign, point and exponent, or is one of the words `NaN`, `inf`, `infinity`.
fn number(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    let sign = usize::from(bytes[at] == b'-' && !in_word);
    let rest = &text[at + sign..];
    for name in ["NaN", "inf", "infinity"] {
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if !in_word && rest.strip_prefix(name).is_some_and(ends) {
            return sign + name.len();
        }
    }
    let digits = |from: &str| from.bytes().take_while(u8::is_ascii_digit).count();
    let mut length = digits(rest);
    if length == 0 {
        return 0;
    }
    if let Some(fraction) = rest[length..].strip_prefix('.') {
        let more = digits(fraction);
        length += if more > 0 { 1 + more } else { 0 };
    }
    if let Some(exponent) = rest[length..].strip_prefix(['e', 'E']) {
        let sign = usize::from(exponent.starts_with(['+', '-']));
        let more = digits(&exponent[sign..]);
        length += if more > 0 { 1 + sign + more } else { 0 };
    }
    sign + length
}

fn joined(words: &[&str], numbers: &[Option<&str>]) -> String {
    let between = numbers.iter().map(|number| number.unwrap_or(VARIES)).chain(std::iter::once(""));
    words.iter().zip(between).flat_map(|(word, number)| [*word, number]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(reasons: &[&str]) -> Vec<(String, u64)> {
        let outcome =
            |reason: &&str| Outcome::Failed { kind: FailureKind::Diverged, reason: (*reason).to_owned() };
        let outcomes: Vec<Outcome> = reasons.iter().map(outcome).collect();
        let groups = FailureGroup::of_outcomes((0..).zip(&outcomes));
        groups.into_iter().map(|group| (group.reason, group.count)).collect()
    }

    #[test]
    fn reasons_that_differ_in_numbers_only_form_one_group() {
        let reasons = [
            "the loss was NaN in epoch 1",
            "the loss was 1.5e+12 in epoch 1",
            "the loss was -3 in epoch 1",
            "layer2 is missing",
            "the loss was inf in epoch 1",
            "layer10 is missing",
            "information is NaNny",
        ];
        let expected = [
            ("the loss was … in epoch 1".to_owned(), 4),
            ("layer… is missing".to_owned(), 2),
            ("information is NaNny".to_owned(), 1),
        ];
        assert_eq!(groups(&reasons), expected);
        assert_eq!(groups(&["", "", "é9", "é8"]), [(String::new(), 2), ("é…".to_owned(), 2)]);
    }

    #[test]
    fn common_reason_has_the_parts_of_all_reasons() {
        let reasons = [
            "`python` failed (exit status: 1) | epoch 3 | OSError: no file /data/7",
            "`python` failed (exit status: 1) | OSError: no file /data/7",
            "`python` failed (exit status: 1) | epoch 12 | other | OSError: no file /data/9",
        ];
        let common = CommonReason::of(&reasons).to_string();
        assert_eq!(
            common,
            "they have in common: `python` failed (exit status: 1) | OSError: no file /data/…"
        );
        assert_eq!(CommonReason::of(&["a | b", "c"]), CommonReason::Nothing { last: "c".to_owned() });
        assert_eq!(CommonReason::of(&["a 1"]), CommonReason::Parts(vec!["a 1".to_owned()]));
    }

    #[test]
    fn groups_differ_by_kind_and_name_at_most_five_trials() {
        let failed = |kind| Outcome::Failed { kind, reason: "it is 7".to_owned() };
        let mut outcomes = vec![failed(FailureKind::Diverged); 9];
        outcomes.push(failed(FailureKind::Panicked));
        outcomes.push(Outcome::from_metrics(BTreeMap::new()));
        let groups = FailureGroup::of_outcomes((100..).zip(&outcomes));
        assert_eq!(groups.len(), 2);
        assert_eq!((groups[0].count, groups[0].trials.as_slice()), (9, [100, 101, 102, 103, 104].as_slice()));
        assert_eq!((groups[1].kind, groups[1].reason.as_str()), (FailureKind::Panicked, "it is 7"));
    }
}

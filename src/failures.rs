//! Describes failed trials to the user, with advice.

use kiln_export::plain_text;
use kiln_search::{FailureGroup, FailureKind, TrialId};

/// Maximum number of groups to list.
const LISTED: usize = 5;

/// Describes the kind of failure.
pub(crate) const fn said(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Invalid => "cannot be built",
        FailureKind::Diverged => "diverged",
        FailureKind::Panicked => "panicked",
        FailureKind::Program => "failed in the command",
    }
}

/// Returns advice for this kind of failure.
pub(crate) const fn advice(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Diverged => {
            "try a lower `learning_rate`, `clip_norm = 1.0`, or some `warmup_epochs` in `[evaluator]`"
        }
        FailureKind::Panicked => {
            "`kiln.log` has details; after you fix the cause, `--retry-failed` repeats them"
        }
        FailureKind::Program => {
            "the last lines of the command say why; `kiln check CONFIG --try` runs one trial alone; after \
             you fix the cause, `--retry-failed` repeats them"
        }
        FailureKind::Invalid => "the space contains networks that cannot be built: narrow the named decision",
    }
}

/// Returns one line with the counts, one line for each group, and the advice. Returns no lines if no trial
/// failed.
pub(crate) fn lines(groups: &[FailureGroup], trials: u64) -> Vec<String> {
    let failed: u64 = groups.iter().map(|group| group.count).sum();
    if failed == 0 {
        return Vec::new();
    }
    let all = if failed == trials { format!("All {trials}") } else { format!("{failed} of {trials}") };
    let mut lines = vec![format!("{all} trials failed:")];
    lines.extend(groups.iter().take(LISTED).map(|group| {
        let trials = examples(group, if group.count == 1 { "trial" } else { "trials" });
        format!("  {} {}: {} ({trials})", group.count, said(group.kind), plain_text(&group.reason))
    }));
    if groups.len() > LISTED {
        let rest: u64 = groups.iter().skip(LISTED).map(|group| group.count).sum();
        lines.push(format!("  {rest} for {} other reasons", groups.len() - LISTED));
    }
    let mut kinds: Vec<FailureKind> = groups.iter().map(|group| group.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    lines.extend(kinds.into_iter().map(|kind| format!("What {}: {}", said(kind), advice(kind))));
    lines
}

/// Returns a text with the first trial numbers of a group.
pub(crate) fn examples(group: &FailureGroup, what: &str) -> String {
    let named: Vec<String> = group.trials.iter().map(TrialId::to_string).collect();
    let more = if group.count > named.len() as u64 { ", …" } else { "" };
    format!("{what} {}{more}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_reason_with_advice() {
        let group = |kind, reason: &str, trials: &[TrialId], count| FailureGroup {
            kind,
            reason: reason.to_owned(),
            count,
            trials: trials.to_vec(),
        };
        let groups = [
            group(FailureKind::Diverged, "the loss was … in epoch …", &[0, 1, 2, 3, 4], 7),
            group(FailureKind::Panicked, "index out of bounds", &[9], 1),
        ];
        let expected = [
            "8 of 20 trials failed:",
            "  7 diverged: the loss was … in epoch … (trials 0, 1, 2, 3, 4, …)",
            "  1 panicked: index out of bounds (trial 9)",
            "What diverged: try a lower `learning_rate`, `clip_norm = 1.0`, or some `warmup_epochs` in \
             `[evaluator]`",
            "What panicked: `kiln.log` has details; after you fix the cause, `--retry-failed` repeats them",
        ];
        assert_eq!(lines(&groups, 20), expected);
        assert_eq!(lines(&groups, 8)[0], "All 8 trials failed:");
        assert_eq!(lines(&[], 8), Vec::<String>::new());
    }
}

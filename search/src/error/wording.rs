//! Parts of messages that need more than a format string.

use std::fmt;

use crate::domain::Rejections;
use crate::trials::results::version_in;

/// Displays names in backticks, separated by commas.
pub(super) struct List<'a>(pub(super) &'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (i, name) in self.0.iter().enumerate() {
            write!(f, "{}`{name}`", if i > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// Displays why a strategy may propose different genotypes than before.
pub(super) struct Changed(pub(super) bool);

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the program or its data changed since")?;
        if self.0 {
            f.write_str(
                " (an older build planned a full training as one epoch, and told the trials of several \
                 fidelities in another order)",
            )?;
        }
        Ok(())
    }
}

/// Displays who holds a lock.
pub(super) struct Holder(pub(super) Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

/// Displays the difference between two fingerprints, as far as it is visible in them, and what to do.
pub(super) struct Otherwise<'a>(pub(super) &'a str, pub(super) &'a str);

impl fmt::Display for Otherwise<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = |fingerprint: &str| version_in(fingerprint);
        match (version(self.0), version(self.1)) {
            (before, Some(after)) if before != Some(after) => {
                let judge =
                    if before.is_some_and(|before| before > after) { "a later" } else { "an earlier" };
                write!(
                    f,
                    "{judge} build judged them, by results version {}, and this build gives results version \
                     {after}, whose bits differ; go on with that build, or choose another name for the study",
                    before.unwrap_or(0)
                )
            }
            _ => f.write_str("use the same program, data and device, or choose another name for the study"),
        }
    }
}

/// Displays why candidates were rejected.
pub(super) struct Refused<'a>(pub(super) &'a Rejections, pub(super) &'a [(String, f64)]);

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(rejections, limits) = self;
        let percent = 100.0 * rejections.rejected as f64 / (rejections.candidates.max(1)) as f64;
        write!(f, "{percent:.1} % of {} candidates were rejected", rejections.candidates)?;
        for (cost, max) in *limits {
            if let Some(smallest) = rejections.smallest.get(cost) {
                write!(f, "; the smallest `{cost}` seen is {smallest}, the limit {max}")?;
            }
        }
        match &rejections.without_costs {
            Some(error) => write!(f, "; candidates without costs: {error}"),
            None => f.write_str("; raise a limit or widen the space"),
        }
    }
}

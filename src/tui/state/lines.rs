//! The screen's log, which contains the latest messages.

use std::collections::VecDeque;
use std::time::Duration;

use kiln_export::{plain_text, steers};

/// Maximum number of lines.
const KEPT: usize = 1000;

/// Kind of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Ordinary progress.
    Info,
    /// Good news.
    Good,
    /// A network was exported.
    Exported,
    /// A warning.
    Warning,
    /// A trial failed.
    Failure,
}

impl Level {
    /// Returns the sign of the kind, so that no meaning depends on color only.
    pub(crate) const fn sign(self) -> char {
        match self {
            Self::Info => ' ',
            Self::Good => '+',
            Self::Exported => '↓',
            Self::Warning => '!',
            Self::Failure => '×',
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) at: Duration,
    pub(crate) level: Level,
    pub(crate) message: String,
}

/// The latest lines. The oldest comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines(VecDeque<Line>);

impl Lines {
    /// Adds a line, and drops the oldest if there are too many.
    pub(crate) fn push(&mut self, at: Duration, level: Level, message: String) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        let message = if message.contains(steers) { plain_text(&message).into_owned() } else { message };
        self.0.push_back(Line { at, level, message });
    }

    /// Returns the lines to print after the screen has closed.
    pub(crate) fn to_keep(&self) -> Vec<String> {
        let kept = self.0.iter().filter_map(|line| match line.level {
            Level::Exported => Some(line.message.clone()),
            Level::Warning => Some(format!("warning: {}", line.message)),
            Level::Info | Level::Good | Level::Failure => None,
        });
        kept.collect()
    }

    /// Returns all lines. The oldest comes first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Line> + ExactSizeIterator {
        self.0.iter()
    }
}

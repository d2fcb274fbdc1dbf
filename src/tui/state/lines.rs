//! The terminal UI's log, which contains the latest messages.

use std::collections::VecDeque;
use std::time::Duration;

use kiln_export::{plain_text, steers};

/// Maximum number of log lines to keep.
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
    /// Returns the sign for this kind of line, so that no meaning depends on color only.
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

/// One message in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) at: Duration,
    pub(crate) level: Level,
    pub(crate) message: String,
}

/// The latest log lines, from oldest to newest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines(VecDeque<Line>);

impl Lines {
    /// Adds a line. If there are then too many lines, drops the oldest line.
    pub(crate) fn push(&mut self, at: Duration, level: Level, message: String) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        let message = if message.contains(steers) { plain_text(&message).into_owned() } else { message };
        self.0.push_back(Line { at, level, message });
    }

    /// Returns the lines to print after the terminal UI has closed.
    pub(crate) fn to_keep(&self) -> Vec<String> {
        let kept = self.0.iter().filter_map(|line| match line.level {
            Level::Exported => Some(line.message.clone()),
            Level::Warning => Some(format!("warning: {}", line.message)),
            Level::Info | Level::Good | Level::Failure => None,
        });
        kept.collect()
    }

    /// Returns all lines, from oldest to newest.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Line> + ExactSizeIterator {
        self.0.iter()
    }
}

//! The log of the screen: its latest messages.

use std::collections::VecDeque;
use std::time::Duration;

use kiln_export::{plain_text, steers};

/// Number of lines that are kept.
const KEPT: usize = 1000;

/// Kind of a line.
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
    /// The sign of the kind, so that nothing is said by color alone.
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

    /// The lines to print after the screen has closed.
    pub(crate) fn to_keep(&self) -> Vec<String> {
        let kept = self.0.iter().filter_map(|line| match line.level {
            Level::Exported => Some(line.message.clone()),
            Level::Warning => Some(format!("warning: {}", line.message)),
            Level::Info | Level::Good | Level::Failure => None,
        });
        kept.collect()
    }

    /// All lines. The oldest comes first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Line> + ExactSizeIterator {
        self.0.iter()
    }
}

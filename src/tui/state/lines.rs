//! The last things that a person may want to read.

use std::collections::VecDeque;
use std::time::Duration;

use kiln_export::{plain_text, steers};

/// Lines that are kept.
const KEPT: usize = 1000;

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// It goes on.
    Info,
    /// It goes well.
    Good,
    /// A network was exported.
    Exported,
    /// Something a person should know.
    Warning,
    /// A trial failed.
    Failure,
}

impl Level {
    /// A sign for it, so that color alone never tells.
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

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) at: Duration,
    pub(crate) level: Level,
    pub(crate) message: String,
}

/// The last lines, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines(VecDeque<Line>);

impl Lines {
    /// Adds a line; the oldest goes when there are too many.
    pub(crate) fn push(&mut self, at: Duration, level: Level, message: String) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        let message = if message.contains(steers) { plain_text(&message).into_owned() } else { message };
        self.0.push_back(Line { at, level, message });
    }

    /// Those that a person wants to read when the screen has gone.
    pub(crate) fn to_keep(&self) -> Vec<String> {
        let kept = self.0.iter().filter_map(|line| match line.level {
            Level::Exported => Some(line.message.clone()),
            Level::Warning => Some(format!("warning: {}", line.message)),
            Level::Info | Level::Good | Level::Failure => None,
        });
        kept.collect()
    }

    /// All of them, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Line> + ExactSizeIterator {
        self.0.iter()
    }
}

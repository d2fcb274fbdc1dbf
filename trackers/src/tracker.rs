//! The trait of trackers, which take the numbers of a study elsewhere.

use std::sync::Arc;

use kiln_search::RunPaths;
use kiln_space::{Registration, SettingsError};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::point::Point;

/// What trackers record about a study beside its points.
#[derive(Clone, Debug)]
pub struct TrackedStudy {
    /// Name of the study.
    pub name: String,
    /// Paths of the run folder.
    pub paths: RunPaths,
    /// The config.
    pub config: Map<String, Value>,
    /// The config as TOML.
    pub config_text: String,
    /// Names of the objectives.
    pub objectives: Vec<String>,
    /// Version of the program.
    pub version: &'static str,
}

/// Tells the user about a problem of a tracker. The study goes on.
pub type Warn = Arc<dyn Fn(&str) + Send + Sync>;

/// How a process leaves a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All stages are done.
    Finished,
    /// The user stopped the study, or an error did. It may be resumed.
    Stopped,
}

/// A problem that keeps a tracker from beginning. The study runs without it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrackerError {
    /// A file of the tracker cannot be used.
    #[error("{path}: cannot {action}: {source}")]
    File {
        /// Path of the file or folder.
        path: String,
        /// The action that failed.
        action: &'static str,
        /// The cause of the failure.
        source: std::io::Error,
    },
    /// The tracker's folder is a link, which could lead anywhere.
    #[error("{path}: is not a folder of this run")]
    NotAFolder {
        /// Path of the link.
        path: String,
    },
    /// The token in the environment cannot be sent. The message does not contain it.
    #[error("`{variable}` has a character that no token has, such as a line end")]
    Token {
        /// Name of the environment variable.
        variable: &'static str,
    },
    /// No thread can be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// Takes the points of a study elsewhere.
///
/// All methods are called from the thread that runs the study, so none may wait for a network. A tracker
/// that works slowly uses a thread of its own.
pub trait Tracker: Send {
    /// The tracker's name in `[track]`, for messages.
    fn name(&self) -> &'static str;

    /// Begins to track a study. The run folder exists and is locked. It may contain what an earlier process
    /// tracked.
    ///
    /// # Errors
    /// [`TrackerError`] if the tracker cannot work.
    fn begin(&mut self, study: &TrackedStudy, warn: &Warn) -> Result<(), TrackerError>;

    /// Takes the next points. A resumed study gives points again that an earlier process gave. The tracker
    /// records each step of a series once ([`Steps`](crate::Steps)).
    fn take(&mut self, points: &[Point]);

    /// Ends the tracking. This call may take a few seconds.
    fn end(&mut self, ending: Ending);
}

/// The value of a tracker's key in `[track]`.
#[derive(Clone, Copy, Debug)]
pub struct TrackerSetting<'a> {
    /// Dotted path of the key, for errors.
    pub key: &'a str,
    /// The value.
    pub value: &'a Value,
}

/// Builds a tracker from its setting. Returns `None` if the setting turns the tracker off.
pub type TrackerBuilder = fn(TrackerSetting<'_>) -> Result<Option<Box<dyn Tracker>>, SettingsError>;

/// The registry entry of a tracker. Its keys describe the tracker's own key in `[track]`. Its samples are
/// tables `[track]`.
pub type TrackerPart = Registration<TrackerBuilder>;

//! Errors in a config, with their place.

use std::fmt;
use std::path::PathBuf;

use kiln_space::SettingsProblem;
use thiserror::Error;

/// The place of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The config file.
    pub path: PathBuf,
    /// Line, counted from 1. `None` if something is missing from the file as a whole.
    pub line: Option<usize>,
    /// Dotted path of the key. List positions count from 0.
    pub key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": `{}`", self.key)
    }
}

/// A config that cannot be used. Every message names the file, and the line and key if there are any.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The config file.
        path: PathBuf,
        /// Why the system refused.
        source: std::io::Error,
    },
    /// The file is too large for a config.
    #[error("{}: larger than {max_bytes} bytes; is this a config file?", path.display())]
    TooLarge {
        /// The config file.
        path: PathBuf,
        /// Size limit.
        max_bytes: u64,
    },
    /// The file is not text.
    #[error("{}:{line}: byte {byte} of the file is not UTF-8; save the file as UTF-8", path.display())]
    NotUtf8 {
        /// The config file.
        path: PathBuf,
        /// Line of the first wrong byte.
        line: usize,
        /// Number of bytes that precede it in the file.
        byte: usize,
    },
    /// The file is not TOML.
    #[error("{}:{line}:{column}: not valid TOML: {}", path.display(), error.message())]
    Syntax {
        /// The config file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What the parser found and expected.
        error: Box<toml::de::Error>,
    },
    /// A key that no part reads.
    #[error("{place}: unknown key; accepted: {}{}", listed(accepted), suggestion(nearest.as_deref()))]
    UnknownKey {
        /// The key.
        place: Place,
        /// Accepted keys of this table.
        accepted: Vec<String>,
        /// The accepted key with the most similar name.
        nearest: Option<String>,
    },
    /// A required key is missing.
    #[error("{place}: missing; expected {expected}")]
    Missing {
        /// Place of the key, at the line of its table.
        place: Place,
        /// The expected value.
        expected: String,
    },
    /// A value of the wrong type, or one that cannot be used.
    #[error("{place}: {problem}{}", suggestion(nearest.as_deref()))]
    Value {
        /// The key.
        place: Place,
        /// What was found and what is accepted.
        problem: Box<SettingsProblem>,
        /// The accepted value with the most similar name.
        nearest: Option<String>,
    },
    /// The part that a table describes cannot be built, for example because data are missing or a device is
    /// unknown.
    #[error("{place}")]
    Part {
        /// The table.
        place: Place,
        /// Why it cannot be built.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { format!("`{}`", names.join("`, `")) }
}

//! Config errors with the place of the mistake.

use std::fmt;
use std::path::PathBuf;

use kiln_space::SettingsProblem;
use thiserror::Error;

/// The place of a key in a config file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The config file.
    pub path: PathBuf,
    /// Line of the key, counted from 1. `None` if no line applies, because something is missing from the
    /// whole file.
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

/// An error in a config. Every message names the file. It also names the line and the key if the error has
/// them.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The config file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is larger than a config can be.
    #[error("{}: larger than {max_bytes} bytes; is this a config file?", path.display())]
    TooLarge {
        /// The config file.
        path: PathBuf,
        /// Size limit in bytes.
        max_bytes: u64,
    },
    /// The file is not UTF-8 text.
    #[error("{}:{line}: byte {byte} of the file is not UTF-8; save the file as UTF-8", path.display())]
    NotUtf8 {
        /// The config file.
        path: PathBuf,
        /// Line of the first invalid byte, counted from 1.
        line: usize,
        /// Offset of the first invalid byte in the file.
        byte: usize,
    },
    /// The file is not valid TOML.
    #[error("{}:{line}:{column}: not valid TOML: {}", path.display(), error.message())]
    Syntax {
        /// The config file.
        path: PathBuf,
        /// Line of the syntax error, counted from 1.
        line: usize,
        /// Column of the syntax error, counted from 1.
        column: usize,
        /// The parser's error.
        error: Box<toml::de::Error>,
    },
    /// A key that no part reads.
    #[error("{place}: unknown key; accepted: {}{}", listed(accepted), suggestion(nearest.as_deref()))]
    UnknownKey {
        /// Place of the unknown key.
        place: Place,
        /// Accepted keys of the table that contains the unknown key.
        accepted: Vec<String>,
        /// The accepted key that is most similar to the unknown key.
        nearest: Option<String>,
    },
    /// A required key is missing.
    #[error("{place}: missing; expected {expected}")]
    Missing {
        /// Place of the missing key, with the line of its table.
        place: Place,
        /// Description of the expected value.
        expected: String,
    },
    /// The value has the wrong type, or it cannot be used.
    #[error("{place}: {problem}{}", suggestion(nearest.as_deref()))]
    Value {
        /// Place of the key with this value.
        place: Place,
        /// The value that was found, and the values that are accepted.
        problem: Box<SettingsProblem>,
        /// The accepted value that is most similar to the value that was found.
        nearest: Option<String>,
    },
    /// The part that a table describes cannot be built, for example because data are missing or a device is
    /// unknown.
    #[error("{place}")]
    Part {
        /// Place of the table.
        place: Place,
        /// Why the part cannot be built.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { format!("`{}`", names.join("`, `")) }
}

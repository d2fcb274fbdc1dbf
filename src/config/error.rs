//! What can be wrong with a config, and where.

use std::fmt;
use std::path::PathBuf;

use kiln_space::SettingsProblem;
use thiserror::Error;

/// Where a key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The config file.
    pub path: PathBuf,
    /// Line, from 1; `None` for something that is missing from the file as a whole.
    pub line: Option<usize>,
    /// Dotted path of the key; positions in lists count from 0.
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

/// A config that cannot be used. Every message names the file, and line and key where there are any.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The config file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is larger than any config.
    #[error("{}: larger than {max_bytes} bytes; is this a config file?", path.display())]
    TooLarge {
        /// The config file.
        path: PathBuf,
        /// Most bytes that are read.
        max_bytes: u64,
    },
    /// The file is not text.
    #[error("{}:{line}: byte {byte} of the file is no UTF-8; save the file as UTF-8", path.display())]
    NotUtf8 {
        /// The config file.
        path: PathBuf,
        /// Line of the first wrong byte.
        line: usize,
        /// Bytes before it.
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
    /// A key that nothing reads.
    #[error("{place}: unknown key; accepted: {}{}", listed(accepted), suggestion(nearest.as_deref()))]
    UnknownKey {
        /// The key.
        place: Place,
        /// Keys that are read there.
        accepted: Vec<String>,
        /// The accepted key most like it.
        nearest: Option<String>,
    },
    /// A key that must be there is not.
    #[error("{place}: missing; expected {expected}")]
    Missing {
        /// The key, at the line of its table.
        place: Place,
        /// What should stand there.
        expected: String,
    },
    /// A value of the wrong type, or one that cannot be used.
    #[error("{place}: {problem}{}", suggestion(nearest.as_deref()))]
    Value {
        /// The key.
        place: Place,
        /// What was found and what is accepted.
        problem: SettingsProblem,
        /// The accepted value most like it.
        nearest: Option<String>,
    },
    /// What a table describes cannot be made: its data are missing, its device is unknown, and the like.
    #[error("{place}")]
    Part {
        /// The table.
        place: Place,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { format!("`{}`", names.join("`, `")) }
}

//! `[evaluator]` with `kind = "command"`.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kiln_files::{Content, FileError};
use kiln_processes::{Arguments, can_measure_memory};
use kiln_space::{Settings, SettingsError, Task};
use serde::{Deserialize, Serialize};

use crate::data::DataSet;

/// The places that a command may contain.
pub(super) const PLACES: [&str; 9] = [
    "architecture",
    "onnx",
    "initial_weights",
    "epochs",
    "full_epochs",
    "seed",
    "result",
    "checkpoint",
    "weights",
];
/// Names that costs have.
const COSTS: [&str; 2] = ["parameters", "macs"];
/// Maximum number of metrics.
const METRICS_MAX: usize = 64;

/// The table `[evaluator]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CommandSettings {
    command: Vec<String>,
    pub(super) metrics: Vec<String>,
    #[serde(default = "one")]
    pub(super) epochs: u32,
    // The space's settings and the data, which are hashed too, contain the shapes.
    #[serde(default, skip_serializing)]
    input: Option<[usize; 3]>,
    #[serde(default, skip_serializing)]
    outputs: Option<usize>,
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) patience: Option<u32>,
    // Where a program runs, how long it may take and what is kept changes no result.
    #[serde(default, skip_serializing)]
    pub(super) folder: Option<PathBuf>,
    #[serde(default, skip_serializing)]
    depends: Vec<PathBuf>,
    #[serde(default = "day", skip_serializing)]
    time_out: u64,
    #[serde(default, skip_serializing)]
    pub(super) memory_max_bytes: Option<u64>,
    #[serde(default = "kept_max_bytes", skip_serializing)]
    pub(super) kept_max_bytes: u64,
}

const fn one() -> u32 {
    1
}
const fn day() -> u64 {
    86_400
}
const fn kept_max_bytes() -> u64 {
    8 << 30
}

impl CommandSettings {
    /// Reads and checks the settings. Returns them with the command and the hashes of the files that results
    /// depend on. Runs nothing.
    pub(super) fn read(
        settings: &Settings,
        data: &DataSet,
    ) -> Result<(Self, Arguments, Vec<String>), SettingsError> {
        let read: Self = settings.read()?;
        let refuse = |key: &str, found: String, expected: &str| {
            Err(SettingsError::value(settings.key(key), found, expected))
        };
        if data.has_examples() && (read.input.is_some() || read.outputs.is_some()) {
            let key = if read.input.is_some() { "input" } else { "outputs" };
            return refuse(key, "it beside `[data]`".to_owned(), "one of them: the data have a shape");
        }
        let counts = [
            ("epochs", u64::from(read.epochs)),
            ("patience", u64::from(read.patience.unwrap_or(1))),
            ("time_out", read.time_out),
            ("memory_max_bytes", read.memory_max_bytes.unwrap_or(1)),
            ("kept_max_bytes", read.kept_max_bytes),
        ];
        if let Some((key, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return refuse(key, "0".to_owned(), "at least 1");
        }
        if read.memory_max_bytes.is_some() && !can_measure_memory() {
            let expected = "no such key: this system does not say how much memory a program uses";
            return refuse("memory_max_bytes", "a limit".to_owned(), expected);
        }
        read.check_metrics(settings)?;
        let arguments = read.checked_command(settings)?;
        read.check_program(settings)?;
        let hashes = read.hashes(settings)?;
        Ok((read, arguments, hashes))
    }

    /// The shape and the number of outputs that a config states instead of data.
    pub(crate) fn stated_task(settings: &Settings) -> Option<Task> {
        let size = |value: &serde_json::Value| usize::try_from(value.as_u64()?).ok().filter(|size| *size > 0);
        let input = settings.table().get("input")?.as_array()?;
        let [channels, height, width] = input.as_slice() else { return None };
        let input = kiln_space::Shape::new(size(channels)?, size(height)?, size(width)?);
        Some(Task { input, outputs: size(settings.table().get("outputs")?)? })
    }

    /// The program and its arguments, as the config states them.
    pub(super) fn command(&self) -> &[String] {
        &self.command
    }

    pub(super) const fn time_out(&self) -> Duration {
        Duration::from_secs(self.time_out)
    }

    fn check_metrics(&self, settings: &Settings) -> Result<(), SettingsError> {
        if self.metrics.is_empty() || self.metrics.len() > METRICS_MAX {
            let found = format!("{} names", self.metrics.len());
            return Err(SettingsError::value(settings.key("metrics"), found, "1 to 64 names"));
        }
        let mut known = BTreeSet::new();
        for (index, name) in self.metrics.iter().enumerate() {
            let is_plain = !name.is_empty()
                && name.len() <= 100
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            let expected = if !is_plain {
                "lower-case letters, digits and `_`, with the unit, such as `error_percent`"
            } else if COSTS.contains(&name.as_str()) || name == "epoch" {
                "another name: Kiln uses this one itself"
            } else if known.insert(name) {
                continue;
            } else {
                "each metric once"
            };
            return Err(SettingsError::value(
                settings.key(&format!("metrics.{index}")),
                format!("`{name}`"),
                expected,
            ));
        }
        Ok(())
    }

    fn checked_command(&self, settings: &Settings) -> Result<Arguments, SettingsError> {
        let key = settings.key("command");
        let arguments = Arguments::new(self.command.clone())
            .map_err(|error| SettingsError::rule(&key, error.to_string()))?;
        if let Some((index, place)) = arguments.places().find(|(_, place)| !PLACES.contains(place)) {
            let expected = format!("one of `{{{}}}`", PLACES.join("}`, `{"));
            let key = settings.key(&format!("command.{index}"));
            return Err(SettingsError::value(key, format!("`{{{place}}}`"), &expected));
        }
        if !arguments.mentions("architecture") && !arguments.mentions("onnx") {
            let expected = "`{architecture}` or `{onnx}` in an argument: the program must know the network";
            return Err(SettingsError::value(key, "neither", expected));
        }
        Ok(arguments)
    }

    /// Refuses a program that is not there, so that a typing error does not cost a run folder.
    fn check_program(&self, settings: &Settings) -> Result<(), SettingsError> {
        let program = &self.command[0];
        let missing = |expected: &str| {
            Err(SettingsError::value(settings.key("command.0"), format!("`{program}`"), expected))
        };
        if let Some(folder) = self.folder.as_deref().filter(|folder| !folder.is_dir()) {
            let found = format!("`{}`", folder.display());
            return Err(SettingsError::value(settings.key("folder"), found, "an existing folder"));
        }
        if program.contains('/') {
            // The system looks for a relative path in the program's own folder.
            let place = self.folder.as_deref().unwrap_or(Path::new(".")).join(program);
            return if place.is_file() { Ok(()) } else { missing("a program that exists") };
        }
        let path = self.environment.get("PATH").map_or_else(|| env::var_os("PATH"), |path| Some(path.into()));
        let Some(path) = path else { return Ok(()) };
        let is_there = |folder: PathBuf| {
            folder.join(program).is_file() || folder.join(format!("{program}.exe")).is_file()
        };
        if env::split_paths(&path).any(is_there) {
            Ok(())
        } else {
            missing("a program in a folder of the variable `PATH`, or a path with `/`")
        }
    }

    /// Hashes the files that results depend on. They are relative to the working folder.
    fn hashes(&self, settings: &Settings) -> Result<Vec<String>, SettingsError> {
        let folder = self.folder.as_deref().unwrap_or(Path::new(""));
        let hash = |(index, file): (usize, &PathBuf)| {
            let content = Content::of_file(&folder.join(file)).map_err(|error: FileError| {
                let key = settings.key(&format!("depends.{index}"));
                let found = format!("`{}` ({})", file.display(), error.problem());
                SettingsError::value(key, found, "a file that can be read")
            })?;
            Ok(format!("{} {}", file.display(), content.blake3))
        };
        self.depends.iter().enumerate().map(hash).collect()
    }
}

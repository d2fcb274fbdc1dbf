//! The settings of `[engine]` with `kind = "slurm"`.

use std::ffi::OsString;

use kiln_space::{Settings, SettingsError};
use serde::{Deserialize, Serialize};

/// `[engine]` with `kind = "slurm"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SlurmSettings {
    #[serde(default)]
    pub(crate) partition: Option<String>,
    #[serde(default)]
    pub(crate) account: Option<String>,
    #[serde(default)]
    pub(crate) constraint: Option<String>,
    #[serde(default)]
    pub(crate) time_minutes: Option<u64>,
    #[serde(default = "one")]
    pub(crate) time_growth: f64,
    #[serde(default)]
    pub(crate) memory_bytes: Option<u64>,
    #[serde(default = "one")]
    pub(crate) memory_growth: f64,
    #[serde(default)]
    pub(crate) cpus: Option<u32>,
    #[serde(default)]
    pub(crate) gpus: Option<u32>,
    #[serde(default)]
    pub(crate) arguments: Vec<String>,
    #[serde(default)]
    pub(crate) setup: Vec<String>,
    #[serde(default)]
    pub(crate) accounting: bool,
    #[serde(default = "settle_s")]
    pub(crate) settle_s: u32,
}

const fn one() -> f64 {
    1.0
}
const fn settle_s() -> u32 {
    2
}

/// Descriptions of the settings.
pub(crate) const KEYS: &str = r##"
[partition]
type = "string"
description = "Partition of the jobs; the cluster's default unless stated."

[account]
type = "string"
description = "Account to which the jobs are charged."

[constraint]
type = "string"
description = "Features that the nodes must have, as in `--constraint` of `sbatch`."

[time_minutes]
"$ref" = "#/$defs/count"
description = "Limit of time of each job, which may take several evaluations; the partition's unless stated."

[time_growth]
type = "number"
minimum = 1
maximum = 10
description = "Factor by which the limit of time grows with each further attempt. Default 1."

[memory_bytes]
"$ref" = "#/$defs/count"
description = "Memory of each job; the cluster's default unless stated."

[memory_growth]
type = "number"
minimum = 1
maximum = 10
description = "Factor by which the memory grows with each further attempt. Default 1."

[cpus]
"$ref" = "#/$defs/count"
description = "Processors of each job; the cluster's default unless stated."

[gpus]
"$ref" = "#/$defs/count"
description = "GPUs of each job; none unless stated."

[arguments]
type = "array"
items = { type = "string" }
description = "More arguments for `sbatch`, each `--name` or `--name=value`."

[setup]
type = "array"
items = { type = "string" }
description = "Lines of shell that each job runs first, such as `module load python`."

[accounting]
type = "boolean"
description = "Whether to ask `sacct` about jobs that the controller has forgotten. Default false."

[settle_s]
type = "integer"
minimum = 0
maximum = 3600
description = "Seconds for which files of a job may appear after its end, on a slow shared folder. Default 2."
"##;

/// Options of `sbatch` on which the engine relies, or which would run another program.
const RESERVED: [&str; 24] = [
    "array",
    "clusters",
    "comment",
    "cpus-per-task",
    "error",
    "export",
    "export-file",
    "get-user-env",
    "help",
    "job-name",
    "mem",
    "no-requeue",
    "nodes",
    "ntasks",
    "open-mode",
    "output",
    "parsable",
    "requeue",
    "test-only",
    "time",
    "usage",
    "version",
    "wait",
    "wrap",
];
/// Largest factor for further attempts.
const GROWTH_MAX: f64 = 10.0;
/// Largest limit of time in minutes: ten years.
const MINUTES_MAX: u64 = 5_256_000;
/// Largest memory in bytes: 1 PB.
const BYTES_MAX: u64 = 1_000_000_000_000_000;

impl SlurmSettings {
    /// Reads and checks the settings.
    pub(crate) fn read(settings: &Settings) -> Result<Self, SettingsError> {
        let read: Self = settings.read()?;
        let refuse = |key: &str, found: String, expected: &str| {
            Err(SettingsError::value(settings.key(key), found, expected))
        };
        for (key, value) in
            [("partition", &read.partition), ("account", &read.account), ("constraint", &read.constraint)]
        {
            if let Some(value) = value
                && (value.is_empty() || value.chars().any(char::is_control))
            {
                return refuse(key, format!("{value:?}"), "a text without control characters");
            }
        }
        for (key, value, most) in [
            ("time_minutes", read.time_minutes, MINUTES_MAX),
            ("memory_bytes", read.memory_bytes, BYTES_MAX),
            ("cpus", read.cpus.map(u64::from), 1 << 20),
            ("gpus", read.gpus.map(u64::from), 1 << 10),
        ] {
            if let Some(value) = value.filter(|value| *value == 0 || *value > most) {
                return refuse(key, value.to_string(), &format!("1 to {most}"));
            }
        }
        for (key, value, of, is_stated) in [
            ("time_growth", read.time_growth, "time_minutes", read.time_minutes.is_some()),
            ("memory_growth", read.memory_growth, "memory_bytes", read.memory_bytes.is_some()),
        ] {
            if !(1.0..=GROWTH_MAX).contains(&value) {
                return refuse(key, value.to_string(), &format!("1 to {GROWTH_MAX}"));
            }
            if value > 1.0 && !is_stated {
                return refuse(key, value.to_string(), &format!("`{of}`, which grows by it"));
            }
        }
        if read.settle_s > 3600 {
            return refuse("settle_s", read.settle_s.to_string(), "0 to 3600");
        }
        for (index, argument) in read.arguments.iter().enumerate() {
            if let Some(expected) = unfit(argument) {
                return refuse(&format!("arguments.{index}"), format!("{argument:?}"), &expected);
            }
        }
        for (index, line) in read.setup.iter().enumerate() {
            if line.chars().any(|symbol| symbol.is_control() && symbol != '\t') {
                let expected = "one line of shell without control characters";
                return refuse(&format!("setup.{index}"), format!("{line:?}"), expected);
            }
        }
        Ok(read)
    }

    /// Returns the options of `sbatch` for this attempt at a job's work, from 1, and without these nodes.
    pub(crate) fn options(&self, attempt: u32, avoid: &[String]) -> Vec<OsString> {
        let grown = |base: u64, factor: f64, most: u64| {
            let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
            // The product is capped, so it fits.
            (base as f64 * factor.powi(exponent)).ceil().min(most as f64) as u64
        };
        let text =
            |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("--{name}={value}"));
        let time = self.time_minutes.map(|minutes| grown(minutes, self.time_growth, MINUTES_MAX));
        let memory =
            self.memory_bytes.map(|bytes| grown(bytes, self.memory_growth, BYTES_MAX).div_ceil(1024));
        let stated = [
            text("partition", &self.partition),
            text("account", &self.account),
            text("constraint", &self.constraint),
            time.map(|minutes| format!("--time={minutes}")),
            memory.map(|kibibytes| format!("--mem={kibibytes}K")),
            self.cpus.map(|cpus| format!("--cpus-per-task={cpus}")),
            self.gpus.map(|gpus| format!("--gres=gpu:{gpus}")),
        ];
        let mut options: Vec<String> = stated.into_iter().flatten().collect();
        options.extend(self.arguments.iter().cloned());
        // Of several options of a name, the last counts.
        let named = self.arguments.iter().rev().find_map(|argument| argument.strip_prefix("--exclude="));
        let avoid = avoid.iter().map(String::as_str).filter(|node| is_node(node));
        let excluded: Vec<&str> = named.into_iter().chain(avoid).collect();
        if excluded.len() > usize::from(named.is_some()) {
            options.push(format!("--exclude={}", excluded.join(",")));
        }
        options.into_iter().map(OsString::from).collect()
    }
}

/// Whether a text can be the name of one node.
fn is_node(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.bytes().all(is_plain)
}

/// Returns what was expected in place of an argument that is refused.
fn unfit(argument: &str) -> Option<String> {
    let name = argument.strip_prefix("--").map(|rest| rest.split('=').next().unwrap_or_default());
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Some("`--name` or `--name=value`".to_owned());
    };
    if argument.chars().any(char::is_control) {
        return Some("no control characters".to_owned());
    }
    // `sbatch` accepts the beginnings of names.
    let reserved = RESERVED.iter().find(|reserved| reserved.starts_with(name))?;
    Some(format!("an option other than `--{reserved}`, which Kiln sets itself or cannot use"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(table: Value) -> Result<SlurmSettings, String> {
        let Value::Object(table) = table else { panic!("a table") };
        SlurmSettings::read(&Settings::new("engine", table)).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_become_options_of_sbatch() {
        let settings = read(json!({
            "partition": "long; touch ran", "account": "a", "constraint": "avx2&fast", "time_minutes": 90,
            "time_growth": 1.5, "memory_bytes": 1_000_000_000, "memory_growth": 2.0, "cpus": 4, "gpus": 2,
            "arguments": ["--exclude=n1", "--exclusive"]
        }))
        .unwrap();
        let options = |attempt| -> Vec<String> {
            settings.options(attempt, &[]).into_iter().map(|option| option.into_string().unwrap()).collect()
        };
        assert_eq!(
            options(1),
            [
                "--partition=long; touch ran",
                "--account=a",
                "--constraint=avx2&fast",
                "--time=90",
                "--mem=976563K",
                "--cpus-per-task=4",
                "--gres=gpu:2",
                "--exclude=n1",
                "--exclusive"
            ]
        );
        assert_eq!(options(3)[3..5], ["--time=203", "--mem=3906250K"], "90 * 1.5^2 and 4 GB");
        assert_eq!(options(1_000_000)[3..5], ["--time=5256000", "--mem=976562500000K"]);
        assert!(read(json!({})).unwrap().options(9, &[]).is_empty());
        let avoid = ["n2", "(null)", "n3"].map(str::to_owned);
        assert_eq!(settings.options(1, &avoid).last().unwrap(), "--exclude=n1,n2,n3");
        assert_eq!(read(json!({})).unwrap().options(1, &avoid), ["--exclude=n2,n3"]);
    }

    #[test]
    fn settings_that_could_run_or_hide_something_are_refused() {
        for (table, key) in [
            (json!({ "partition": "a\nb" }), "partition"),
            (json!({ "account": "" }), "account"),
            (json!({ "constraint": "a\u{7}" }), "constraint"),
            (json!({ "time_minutes": 0 }), "time_minutes"),
            (json!({ "memory_bytes": 0 }), "memory_bytes"),
            (json!({ "cpus": 0 }), "cpus"),
            (json!({ "gpus": 5000 }), "gpus"),
            (json!({ "time_growth": 2.0 }), "time_growth"),
            (json!({ "memory_growth": 0.5, "memory_bytes": 1 }), "memory_growth"),
            (json!({ "settle_s": 4000 }), "settle_s"),
            (json!({ "arguments": ["script.sh"] }), "arguments.0"),
            (json!({ "arguments": ["--exclusive", "-o", "x"] }), "arguments.1"),
            (json!({ "arguments": ["--wrap=touch ran"] }), "arguments.0"),
            (json!({ "arguments": ["--wr=touch ran"] }), "arguments.0"),
            (json!({ "arguments": ["--"] }), "arguments.0"),
            (json!({ "arguments": ["--exclude=a\nb"] }), "arguments.0"),
            (json!({ "setup": ["module load a", "a\nb"] }), "setup.1"),
            (json!({ "tokn": 1 }), "tokn"),
        ] {
            let message = read(table).unwrap_err();
            assert!(message.starts_with(&format!("`engine.{key}`: ")), "{message}");
        }
    }
}

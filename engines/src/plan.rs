//! The settings of `[engine]` that every engine has.

use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use kiln_space::{Settings, SettingsError, SettingsProblem};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Largest number of jobs at a time.
const JOBS_MAX: usize = 10_000;
/// Time for which a job takes further short pieces of work. Its start then takes little of its time.
const CHUNK: Duration = Duration::from_mins(1);
/// Largest number of pieces of work that a job then takes. More files in its folder would slow it down.
const CHUNK_MAX: u32 = 256;

/// How many jobs run, and how often they are tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Number of jobs at a time.
    #[serde(default = "jobs")]
    pub jobs: usize,
    /// Number of evaluations that a job takes one after another. `None` to choose by their durations.
    #[serde(default)]
    pub trials_per_job: Option<u32>,
    /// Number of times that an evaluation is begun before it counts as failed.
    #[serde(default = "attempts")]
    pub attempts: u32,
    /// Time in seconds after which a job that has not begun is reported.
    #[serde(default = "start_warning_s")]
    pub start_warning_s: u32,
    /// Settings of the engine that differ for the job that trains a supernet.
    #[serde(default)]
    pub training: Map<String, Value>,
}

fn jobs() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
const fn attempts() -> u32 {
    3
}
const fn start_warning_s() -> u32 {
    600
}

/// Descriptions of these settings for [`kiln_space::Registration::with_keys`].
pub(crate) const KEYS: &str = r##"
[jobs]
"$ref" = "#/$defs/count"
description = "Number of jobs at a time; as many as the machine has cores unless stated. It changes no result."

[trials_per_job]
"$ref" = "#/$defs/count"
description = "Evaluations that a job takes one after another; unless stated, as many as it can begin in a minute."

[attempts]
"$ref" = "#/$defs/count"
description = "How often an evaluation is begun before it counts as failed, if its job is killed. Default 3."

[start_warning_s]
"$ref" = "#/$defs/count"
description = "Seconds after which a job that has not begun is reported. Default 600."

[training]
type = "object"
additionalProperties = {}
description = "Settings of this engine that differ for the job that trains a supernet."
"##;

/// The keys of these settings.
const NAMES: [&str; 5] = ["jobs", "trials_per_job", "attempts", "start_warning_s", "training"];

/// Adds the keys of every engine to those that an error says an engine accepts.
pub(crate) fn with_keys(settings: &Settings, mut error: SettingsError) -> SettingsError {
    if let SettingsProblem::UnknownKey { found, accepted } = &mut error.problem
        && error.key == settings.key(found)
    {
        accepted.extend(NAMES.map(str::to_owned));
        accepted.sort();
    }
    error
}

impl Plan {
    /// Separates the settings of every engine from those of one kind.
    pub(crate) fn read(settings: &Settings) -> Result<(Self, Settings), SettingsError> {
        let (mut own, mut rest) = (Map::new(), Map::<String, Value>::new());
        for (key, value) in settings.table() {
            let table = if NAMES.contains(&key.as_str()) { &mut own } else { &mut rest };
            table.insert(key.clone(), value.clone());
        }
        let plan: Self = Settings::new(settings.path(), own).read()?;
        let refuse = |key: &str, found: String, expected: &str| {
            Err(SettingsError::value(settings.key(key), found, expected))
        };
        if plan.jobs == 0 || plan.jobs > JOBS_MAX {
            return refuse("jobs", plan.jobs.to_string(), &format!("1 to {JOBS_MAX}"));
        }
        if plan.trials_per_job == Some(0) {
            return refuse("trials_per_job", "0".to_owned(), "at least 1");
        }
        if plan.attempts == 0 {
            return refuse("attempts", "0".to_owned(), "at least 1");
        }
        Ok((plan, Settings::new(settings.path(), rest)))
    }

    /// Returns the settings of the job that trains a supernet. `own` are those of the other jobs.
    pub(crate) fn for_training(&self, own: &Settings) -> Settings {
        let mut table = own.table().clone();
        table.extend(self.training.clone());
        Settings::new(own.key("training"), table)
    }

    /// Whether a job that was given so many pieces of work, and runs for this time, gets another one.
    pub(crate) fn continues(&self, given: u32, since: Duration) -> bool {
        match self.trials_per_job {
            Some(most) => given < most,
            None => given < CHUNK_MAX && since < CHUNK,
        }
    }
}

//! The tables of a config as the user wrote them. This module does not interpret the settings of registered
//! parts, because each part reads its own settings.

use std::collections::BTreeMap;
use std::path::Path;

use kiln_search::MAX_HOURS;
use kiln_space::Settings;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::measuring::{self, BESIDE_COMMAND, FinishMeasure, HardwareMeasure, MEASURE};
use super::{ConfigError, Document};

/// Name of the table that Kiln adds to a run's config. The table records the properties of the data.
pub const RESOLVED: &str = "resolved";
/// Key in the table `resolved` for the reading rules of the data. Earlier builds had only one set of rules
/// and did not write this key.
pub const READING_RULES: &str = "reading_rules";
/// Name of the table of trackers. Its keys may change between two runs of a study.
pub(crate) const TRACK: &str = "track";
/// Name of the table of the engine. Its keys may change between two runs of a study.
pub(crate) const ENGINE: &str = "engine";
/// All tables of a config in their usual order.
pub(super) const TABLES: [&str; 10] =
    ["study", "data", "space", "hardware", "evaluator", "search", "finish", ENGINE, TRACK, RESOLVED];
/// Tables that every study needs.
pub(super) const NEEDED: [&str; 4] = ["study", "space", "evaluator", "search"];
/// Keys of `[[hardware]]` that set limits, each with the cost that it limits.
pub(super) const LIMITS: [(&str, &str); 4] = [
    ("latency_max_us", "latency_us"),
    ("energy_max_uj", "energy_uj"),
    ("peak_memory_max_bytes", "peak_memory_bytes"),
    ("model_max_bytes", "model_bytes"),
];
/// Key of `[[hardware]]` that holds limits against the upper ends of intervals.
pub(super) const CONFIDENCE: &str = "confidence";
/// The only confidence that the intervals of cost models have.
const INTERVALS: f64 = 0.9;
/// Maximum number of objectives. With more objectives, the hypervolume is slow and almost every trial is on
/// the front.
const MAX_OBJECTIVES: usize = 4;

/// Keys of a part's table that Kiln reads itself.
pub(super) fn keys_beside_settings(table: &str) -> &'static [&'static str] {
    const HARDWARE_KEYS: [&str; 12] = [
        "device",
        "file",
        "model",
        CONFIDENCE,
        LIMITS[0].0,
        LIMITS[1].0,
        LIMITS[2].0,
        LIMITS[3].0,
        MEASURE,
        BESIDE_COMMAND[0],
        BESIDE_COMMAND[1],
        BESIDE_COMMAND[2],
    ];
    match table {
        "data" | "space" | "evaluator" | "search.strategy" | ENGINE => &["kind"],
        "finish" => &["networks", MEASURE],
        _ if table.strip_prefix("hardware.").is_some_and(|index| !index.contains('.')) => &HARDWARE_KEYS,
        _ => &[],
    }
}

/// A registered part: its name in a registry, and settings that only the part reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The part's name in the registry.
    pub kind: String,
    /// All other keys of the part's table.
    pub settings: Settings,
}

/// `[study]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StudyTable {
    /// Name of the study and of its run folder.
    pub name: String,
    /// Seed of everything random.
    #[serde(default)]
    pub seed: u64,
}

/// `[[hardware]]`: a device with a cost model, and limits on the predicted costs.
#[derive(Clone, Debug, PartialEq)]
pub struct HardwareTable {
    /// Settings of the cost model.
    pub settings: Settings,
    /// Upper limits, each with the name of its cost, such as `latency_us`.
    pub limits: Vec<(&'static str, f64)>,
    /// Whether limits are held against the upper end of the 90 % interval, not against the prediction.
    pub is_confident: bool,
    /// How networks run on the device, for `[finish] measure`.
    pub measure: Option<HardwareMeasure>,
}

/// `[search]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchTable {
    /// The strategy.
    pub strategy: Part,
    /// Budget in trials of any fidelity, if the config sets one.
    pub trials: Option<u64>,
    /// Budget in epochs, summed over all trials.
    pub epochs: Option<u64>,
    /// Number of pending trials, for any number of workers.
    pub in_flight: usize,
    /// Metrics and costs to minimize.
    pub objectives: Vec<String>,
    /// Limits on `parameters` and `macs`.
    pub limits: Vec<(&'static str, f64)>,
    /// Budget in hours for the search stage.
    pub hours: Option<f64>,
    /// The search ends when a trial reaches these values of metrics or costs.
    pub target: BTreeMap<String, f64>,
    /// Number of consecutive panics that stops the study.
    pub panics_in_a_row: u32,
}

/// `[finish]`.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishTable {
    /// Number of networks of the front to finish.
    pub networks: usize,
    /// Whether and how finished networks are measured.
    pub measure: Option<FinishMeasure>,
    /// Settings that the evaluator's finisher reads.
    pub settings: Settings,
}

/// A config as the user wrote it, with defaults for missing keys.
#[derive(Clone, Debug, PartialEq)]
pub struct RunConfig {
    /// The parsed file from which the config was read.
    pub document: Document,
    /// `[study]`.
    pub study: StudyTable,
    /// `[data]`. Evaluators that train nothing do not need it.
    pub data: Option<Part>,
    /// `[space]`.
    pub space: Part,
    /// `[[hardware]]`.
    pub hardware: Vec<HardwareTable>,
    /// `[evaluator]`.
    pub evaluator: Part,
    /// `[search]`.
    pub search: SearchTable,
    /// `[finish]`.
    pub finish: Option<FinishTable>,
    /// `[engine]`: what runs evaluations as jobs. `None` to evaluate in the process of the study.
    pub engine: Option<Part>,
    /// `[track]`: trackers by name, with what each reads. Empty if the config has no such table.
    pub track: Settings,
}

/// `[search]` in the file, without the settings of the strategy.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchKeys {
    /// How architectures are proposed.
    strategy: Value,
    /// Budget in trials of any fidelity. A network that is promoted to a higher fidelity counts as another
    /// trial. Required, unless something else ends the search: `epochs`, `hours`, a `target`, or a space of
    /// at most 20000 networks, which strategies exhaust.
    #[schemars(range(min = 1))]
    trials: Option<u64>,
    /// Budget in epochs, summed over all trials. The last trial may exceed it. For evaluators that train each
    /// network.
    #[schemars(range(min = 1))]
    epochs: Option<u64>,
    /// Number of pending trials, for any number of workers.
    #[serde(default = "in_flight")]
    in_flight: usize,
    /// Metrics and costs to minimize. The default is the evaluator's first metric: `error_percent` for
    /// classes, `mean_squared_error` for values. The metrics `balanced_error_percent`,
    /// `macro_f1_error_percent`, `mean_absolute_error` and `one_minus_r2` are measured only if they are
    /// listed here or in `metrics` of `[evaluator]`.
    #[schemars(length(min = 1, max = 4))]
    #[serde(default = "objectives")]
    objectives: Vec<String>,
    /// Maximum number of trainable parameters.
    #[schemars(range(min = 0))]
    parameters_max: Option<f64>,
    /// Maximum number of multiply-accumulates for one example.
    #[schemars(range(min = 0))]
    macs_max: Option<f64>,
    /// Budget in hours for the search stage.
    #[schemars(range(min = 0))]
    hours: Option<f64>,
    /// Metrics or costs with target values. The search ends when a feasible trial reaches all of them.
    #[serde(default)]
    target: BTreeMap<String, f64>,
    /// Number of consecutive panics, or failures of a command that evaluates, that stops the study.
    #[schemars(range(min = 1))]
    #[serde(default = "panics_in_a_row")]
    panics_in_a_row: u32,
}

const fn in_flight() -> usize {
    8
}
fn objectives() -> Vec<String> {
    vec!["error_percent".to_owned()]
}
const fn panics_in_a_row() -> u32 {
    5
}

impl RunConfig {
    /// Reads a config file. `seed` replaces the seed in the file and becomes part of the config.
    ///
    /// # Errors
    /// [`ConfigError`] with file, line and key.
    pub fn read(path: &Path, seed: Option<u64>) -> Result<Self, ConfigError> {
        Self::from_document(Document::read(path)?, seed)
    }

    /// Reads the tables of a parsed file.
    ///
    /// # Errors
    /// The same as for [`RunConfig::read`].
    pub fn from_document(mut document: Document, seed: Option<u64>) -> Result<Self, ConfigError> {
        let tables = || TABLES.iter().map(|table| (*table).to_owned()).collect();
        if let Some(unknown) = document.root().keys().find(|key| !TABLES.contains(&key.as_str())) {
            return Err(document.unknown_key("", unknown, tables()));
        }
        if let Some(missing) = NEEDED.iter().find(|table| !document.root().contains_key(**table)) {
            return Err(document.missing(missing, &format!("a table `[{missing}]`")));
        }
        if let Some(seed) = seed {
            document.set("study", "seed", seed.into());
        }
        let study = study(&document)?;
        let data = document.root().contains_key("data").then(|| part(&document, "data")).transpose()?;
        let space = part(&document, "space")?;
        let hardware = hardware(&document)?;
        let evaluator = part(&document, "evaluator")?;
        let search = search(&document)?;
        let finish = document.root().contains_key("finish").then(|| finish(&document)).transpose()?;
        let engine = document.root().contains_key(ENGINE).then(|| part(&document, ENGINE)).transpose()?;
        let track = match document.root().get(TRACK) {
            Some(_) => Settings::new(TRACK, table(&document, TRACK)?),
            None => Settings::empty(TRACK),
        };
        Ok(Self { document, study, data, space, hardware, evaluator, search, finish, engine, track })
    }
}

/// Returns the table at a top-level key.
fn table(document: &Document, key: &str) -> Result<Map<String, Value>, ConfigError> {
    object(document, key, document.root().get(key).unwrap_or(&Value::Null))
}

fn object(document: &Document, key: &str, value: &Value) -> Result<Map<String, Value>, ConfigError> {
    match value {
        Value::Object(table) => Ok(table.clone()),
        other => Err(document.value(key, found(other), "a table")),
    }
}

/// Formats a value for error messages.
fn found(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
        plain => format!("`{plain}`"),
    }
}

fn study(document: &Document) -> Result<StudyTable, ConfigError> {
    let settings = Settings::new("study", table(document, "study")?);
    let study: StudyTable = settings.read().map_err(|error| document.explain(&error))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name = &study.name;
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(plain) {
        let expected =
            "1 to 100 letters, digits, `-`, `_` or `.`, not starting with `.` (it names the run folder)";
        return Err(document.value("study.name", format!("`{name}`"), expected));
    }
    Ok(study)
}

/// Reads a part's table, and separates its `kind` from its settings.
fn part(document: &Document, key: &str) -> Result<Part, ConfigError> {
    let table = table(document, key)?;
    part_of(document, key, table)
}

fn part_of(document: &Document, key: &str, mut table: Map<String, Value>) -> Result<Part, ConfigError> {
    let kind_key = format!("{key}.kind");
    match table.remove("kind") {
        Some(Value::String(kind)) => Ok(Part { kind, settings: Settings::new(key, table) }),
        Some(other) => Err(document.value(&kind_key, found(&other), "a name in quotes")),
        None => Err(document.missing(&kind_key, "a name in quotes")),
    }
}

fn hardware(document: &Document) -> Result<Vec<HardwareTable>, ConfigError> {
    let tables = match document.root().get("hardware") {
        None => return Ok(Vec::new()),
        Some(Value::Array(tables)) => tables,
        Some(other) => return Err(document.value("hardware", found(other), "tables headed `[[hardware]]`")),
    };
    let read = |(index, value): (usize, &Value)| {
        let key = format!("hardware.{index}");
        let mut table = object(document, &key, value)?;
        let mut limits = Vec::new();
        for (limit, cost) in LIMITS {
            if let Some(value) = table.remove(limit) {
                limits.push((cost, positive(document, &format!("{key}.{limit}"), &value)?));
            }
        }
        let is_confident = match table.remove(CONFIDENCE) {
            None => false,
            Some(value) if value.as_f64().is_some_and(|share| share.total_cmp(&INTERVALS).is_eq()) => true,
            Some(value) => {
                let expected = format!("{INTERVALS}, the confidence of the predicted intervals");
                return Err(document.value(&format!("{key}.{CONFIDENCE}"), found(&value), &expected));
            }
        };
        let measure = measuring::hardware(document, &key, &mut table)?;
        Ok(HardwareTable { settings: Settings::new(key, table), limits, is_confident, measure })
    };
    tables.iter().enumerate().map(read).collect()
}

fn positive(document: &Document, key: &str, value: &Value) -> Result<f64, ConfigError> {
    match value.as_f64() {
        Some(number) if number > 0.0 => Ok(number),
        _ => Err(document.value(key, found(value), "a number above 0")),
    }
}

fn search(document: &Document) -> Result<SearchTable, ConfigError> {
    let settings = Settings::new("search", table(document, "search")?);
    let keys: SearchKeys = settings.read().map_err(|error| document.explain(&error))?;
    let strategy = match keys.strategy {
        Value::String(kind) => Part { kind, settings: Settings::empty("search.strategy") },
        Value::Object(table) => part_of(document, "search.strategy", table)?,
        other => {
            let expected = "the name of a strategy, or a table with its `kind`";
            return Err(document.value("search.strategy", found(&other), expected));
        }
    };
    let at_least_one = [
        ("trials", keys.trials.unwrap_or(1)),
        ("epochs", keys.epochs.unwrap_or(1)),
        ("in_flight", keys.in_flight as u64),
        ("panics_in_a_row", u64::from(keys.panics_in_a_row)),
    ];
    if let Some((key, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
        return Err(document.value(&format!("search.{key}"), 0, "at least 1"));
    }
    if keys.in_flight > 4096 {
        return Err(document.value("search.in_flight", keys.in_flight, "at most 4096"));
    }
    if let Some(hours) = keys.hours.filter(|hours| !(*hours > 0.0 && *hours <= MAX_HOURS)) {
        let expected = format!("a number above 0, at most {MAX_HOURS}");
        return Err(document.value("search.hours", format!("{hours:?}"), &expected));
    }
    check_objectives(document, &keys.objectives)?;
    let mut limits = Vec::new();
    for (key, cost, limit) in
        [("parameters_max", "parameters", keys.parameters_max), ("macs_max", "macs", keys.macs_max)]
    {
        if let Some(limit) = limit {
            limits.push((cost, positive(document, &format!("search.{key}"), &limit.into())?));
        }
    }
    Ok(SearchTable {
        strategy,
        trials: keys.trials,
        epochs: keys.epochs,
        in_flight: keys.in_flight,
        objectives: keys.objectives,
        limits,
        hours: keys.hours,
        target: keys.target,
        panics_in_a_row: keys.panics_in_a_row,
    })
}

fn check_objectives(document: &Document, objectives: &[String]) -> Result<(), ConfigError> {
    if objectives.is_empty() || objectives.len() > MAX_OBJECTIVES {
        let found = format!("{} objectives", objectives.len());
        return Err(document.value("search.objectives", found, "1 to 4 names"));
    }
    let twice = (1..objectives.len()).find(|index| objectives[..*index].contains(&objectives[*index]));
    twice.map_or(Ok(()), |index| {
        let key = format!("search.objectives.{index}");
        Err(document.value(&key, format!("`{}` again", objectives[index]), "each objective once"))
    })
}

fn finish(document: &Document) -> Result<FinishTable, ConfigError> {
    let mut table = table(document, "finish")?;
    let networks = match table.remove("networks") {
        None => 1,
        Some(value) => match value.as_u64() {
            Some(networks @ 1..=1000) => networks as usize,
            _ => {
                return Err(document.value(
                    "finish.networks",
                    found(&value),
                    "a whole number from 1 to 1000",
                ));
            }
        },
    };
    let measure = measuring::finish(document, &mut table)?;
    Ok(FinishTable { networks, measure, settings: Settings::new("finish", table) })
}

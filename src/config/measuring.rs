//! The keys of `[finish]` and `[[hardware]]` that say how finished networks are measured.

use std::path::PathBuf;

use kiln_hw_models::measuring::TimeUnit;
use serde_json::{Map, Value, json};

use super::{ConfigError, Document};

/// Key of `[finish]` and of `[[hardware]]`.
pub(super) const MEASURE: &str = "measure";
/// Keys of `[[hardware]]` beside a command in `measure`.
pub(super) const BESIDE_COMMAND: [&str; 3] = ["copy", "unit", "time_out"];
/// The text that names this machine.
const HERE: &str = "this machine";
/// Names of units, as commands print latencies.
const UNITS: [(&str, TimeUnit); 3] = [("us", TimeUnit::Us), ("ms", TimeUnit::Ms), ("s", TimeUnit::S)];
/// Default for the minutes after which no measurement begins.
const MINUTES: u64 = 10;
/// Default for the seconds after which a command is killed.
const TIME_OUT_S: u64 = 60;

/// `[finish] measure`: finished networks are measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishMeasure {
    /// What runs networks on this machine. `None` if the config does not say.
    pub runtime: Option<LocalRuntime>,
    /// Full path of ONNX Runtime's library.
    pub library: Option<PathBuf>,
    /// Minutes on each device after which no measurement begins.
    pub minutes: u64,
}

impl Default for FinishMeasure {
    fn default() -> Self {
        Self { runtime: None, library: None, minutes: MINUTES }
    }
}

/// What runs networks on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalRuntime {
    /// Kiln's own inference.
    Kiln,
    /// ONNX Runtime.
    OnnxRuntime,
}

impl LocalRuntime {
    /// The runtime with this name, as configs and device files write it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Kiln, Self::OnnxRuntime].into_iter().find(|runtime| runtime.name() == name)
    }

    /// The name of the runtime.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kiln => "kiln",
            Self::OnnxRuntime => "onnxruntime",
        }
    }
}

/// `[[hardware]] measure`: how networks run on the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HardwareMeasure {
    /// The device is this machine.
    Here,
    /// A command runs networks on the device.
    Command(MeasureCommand),
}

/// A command that runs networks and prints their latency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasureCommand {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The program that brings the file of a network to the device, and its arguments. Empty if none is
    /// needed.
    pub copy: Vec<String>,
    /// Unit of the last printed number. `None` if the command prints JSON.
    pub unit: Option<TimeUnit>,
    /// Seconds after which a command is killed.
    pub time_out_s: u64,
}

/// Takes the keys about measuring out of the table `[finish]`.
pub(super) fn finish(
    document: &Document,
    table: &mut Map<String, Value>,
) -> Result<Option<FinishMeasure>, ConfigError> {
    let mut keys = match table.remove(MEASURE) {
        None | Some(Value::Bool(false)) => return Ok(None),
        Some(Value::Bool(true)) => return Ok(Some(FinishMeasure::default())),
        Some(Value::Object(keys)) => keys,
        Some(other) => {
            let expected = "`true`, `false`, or a table with `runtime`, `library` and `minutes`";
            return Err(document.value("finish.measure", shown(&other), expected));
        }
    };
    let runtime = match keys.remove("runtime") {
        None => None,
        Some(value) => {
            let runtime = value.as_str().and_then(LocalRuntime::named);
            let refused =
                || document.value("finish.measure.runtime", shown(&value), "`kiln` or `onnxruntime`");
            Some(runtime.ok_or_else(refused)?)
        }
    };
    let library = match keys.remove("library") {
        None => None,
        Some(Value::String(path)) => Some(PathBuf::from(path)),
        Some(other) => {
            let expected = "the full path of a library, in quotes";
            return Err(document.value("finish.measure.library", shown(&other), expected));
        }
    };
    let minutes =
        whole_number(document, "finish.measure.minutes", keys.remove("minutes"), (MINUTES, 10_080))?;
    match keys.keys().next() {
        None => Ok(Some(FinishMeasure { runtime, library, minutes })),
        Some(unknown) => {
            let known = ["runtime", "library", "minutes"].map(str::to_owned).to_vec();
            Err(document.unknown_key("finish.measure", unknown, known))
        }
    }
}

/// Takes the keys about measuring out of a table `[[hardware]]` with this path.
pub(super) fn hardware(
    document: &Document,
    key: &str,
    table: &mut Map<String, Value>,
) -> Result<Option<HardwareMeasure>, ConfigError> {
    let measure = table.remove(MEASURE);
    let [copy, unit, time_out] = BESIDE_COMMAND.map(|name| table.remove(name));
    if !matches!(measure, Some(Value::Array(_))) {
        let mut beside = [&copy, &unit, &time_out].into_iter().zip(BESIDE_COMMAND);
        if let Some((_, name)) = beside.find(|(value, _)| value.is_some()) {
            let expected = format!("a command: `copy`, `unit` and `time_out` need one (found `{name}`)");
            return Err(document.missing(&format!("{key}.{MEASURE}"), &expected));
        }
        return match measure {
            None => Ok(None),
            Some(Value::String(text)) if text == HERE => Ok(Some(HardwareMeasure::Here)),
            Some(other) => {
                let expected = format!("`{HERE}`, or a list: a program and its arguments");
                Err(document.value(&format!("{key}.{MEASURE}"), shown(&other), &expected))
            }
        };
    }
    let command = texts(document, &format!("{key}.{MEASURE}"), measure)?;
    let copy = texts(document, &format!("{key}.copy"), copy)?;
    let unit = match unit {
        None => None,
        Some(value) => {
            let named = UNITS.iter().find(|(name, _)| value.as_str() == Some(name));
            let expected = "`us`, `ms` or `s`, the unit of the last printed number";
            let refuse = || document.value(&format!("{key}.unit"), shown(&value), expected);
            Some(named.ok_or_else(refuse)?.1)
        }
    };
    let time_out_s = whole_number(document, &format!("{key}.time_out"), time_out, (TIME_OUT_S, 86_400))?;
    Ok(Some(HardwareMeasure::Command(MeasureCommand { command, copy, unit, time_out_s })))
}

/// A list of texts. Empty if there is none.
fn texts(document: &Document, key: &str, value: Option<Value>) -> Result<Vec<String>, ConfigError> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let texts = value.as_array().and_then(|list| list.iter().map(text).collect::<Option<Vec<String>>>());
    texts.filter(|texts| texts.first().is_some_and(|program| !program.is_empty())).ok_or_else(|| {
        document.value(key, shown(&value), "a list of texts: a program and its arguments, without a shell")
    })
}

fn whole_number(
    document: &Document,
    key: &str,
    value: Option<Value>,
    (default, most): (u64, u64),
) -> Result<u64, ConfigError> {
    let Some(value) = value else { return Ok(default) };
    value
        .as_u64()
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| document.value(key, shown(&value), &format!("a whole number from 1 to {most}")))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
        plain => format!("`{plain}`"),
    }
}

/// The schema of `[finish] measure`.
pub(super) fn finish_schema() -> Value {
    json!({
        "description": "Whether the finished networks are measured on the devices, and with what on this \
                        machine.",
        "anyOf": [
            { "type": "boolean" },
            {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "runtime": {
                        "description": "What runs networks on this machine.",
                        "enum": ["kiln", "onnxruntime"],
                    },
                    "library": {
                        "description": "Full path of ONNX Runtime's library, instead of ORT_DYLIB_PATH.",
                        "type": "string",
                    },
                    "minutes": {
                        "description": "Minutes on each device after which no measurement begins.",
                        "type": "integer", "minimum": 1, "maximum": 10_080, "default": MINUTES,
                    },
                },
            },
        ],
        "default": false,
    })
}

/// The schemas of the keys of `[[hardware]]` about measuring.
pub(super) fn hardware_schemas() -> [(&'static str, Value); 4] {
    let arguments = json!({ "type": "array", "minItems": 1, "items": { "type": "string" } });
    let mut copy = arguments.clone();
    copy["description"] =
        "Program and arguments that bring the file of a network, `{model}`, to the device.".into();
    let units: Vec<&str> = UNITS.iter().map(|(name, _)| *name).collect();
    [
        (
            MEASURE,
            json!({
                "description": "How `[finish] measure` runs networks on the device: `this machine`, or a \
                                program and arguments with `{model}`, `{threads}` and `{batch}`, without a \
                                shell.",
                "anyOf": [{ "const": HERE }, arguments],
            }),
        ),
        ("copy", copy),
        (
            "unit",
            json!({
                "description": "Unit of the last number that the program prints; without it, the program \
                                prints JSON with `latency_us` or `latencies_us`.",
                "enum": units,
            }),
        ),
        (
            "time_out",
            json!({
                "description": "Seconds after which the program is killed.",
                "type": "integer", "minimum": 1, "maximum": 86_400, "default": TIME_OUT_S,
            }),
        ),
    ]
}

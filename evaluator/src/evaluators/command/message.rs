//! What a program reports: objects of JSON, with metrics.

use std::collections::BTreeMap;

use kiln_processes::without_secrets;
use serde_json::{Map, Value};
use thiserror::Error;

/// Values of metrics by name.
pub(super) type Metrics = BTreeMap<String, f64>;

/// Why an object gives no metrics.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum MetricProblem {
    /// The object lacks a metric.
    #[error("the result has no `{name}`, which `metrics` names")]
    Missing { name: String },
    /// A metric is no number.
    #[error("`{name}` of the result is `{found}`, expected a number")]
    NotANumber { name: String, found: String },
    /// A metric is infinite or NaN.
    #[error("`{name}` of the result is {found}, expected a finite number")]
    NotFinite { name: String, found: String },
}

/// Maximum number of characters of a quoted value.
const QUOTED_MAX: usize = 60;

/// Reads a text as an object of JSON. `NaN`, `Infinity` and `-Infinity`, which some programs write although
/// JSON has no such numbers, become texts. So a metric that is not finite is recognized as such.
pub(super) fn object(text: &str) -> Option<Map<String, Value>> {
    let text = text.trim();
    if !(text.starts_with('{') && text.ends_with('}')) {
        return None;
    }
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&with_quoted_names(text))).ok()
}

/// Puts quotation marks around the names of numbers that JSON lacks, outside of texts.
fn with_quoted_names(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 8);
    let (mut rest, mut is_inside) = (text, false);
    while let Some(first) = rest.chars().next() {
        let name = ["NaN", "-Infinity", "Infinity"].into_iter().find(|name| rest.starts_with(name));
        if let Some(name) = name.filter(|_| !is_inside) {
            quoted.extend(["\"", name, "\""]);
            rest = &rest[name.len()..];
            continue;
        }
        let mut length = first.len_utf8();
        match first {
            '"' => is_inside = !is_inside,
            // The next character cannot end the text.
            '\\' if is_inside => length += rest[1..].chars().next().map_or(0, char::len_utf8),
            _ => {}
        }
        quoted.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    quoted
}

/// Takes the metrics of these names from an object. Other keys are ignored.
pub(super) fn metrics(object: &Map<String, Value>, names: &[String]) -> Result<Metrics, MetricProblem> {
    let metric = |name: &String| {
        let value = object.get(name).ok_or_else(|| MetricProblem::Missing { name: name.clone() })?;
        match value {
            Value::Number(number) => {
                let number = number.as_f64().filter(|number| number.is_finite());
                number
                    .map(|number| (name.clone(), number))
                    .ok_or_else(|| MetricProblem::NotFinite { name: name.clone(), found: value.to_string() })
            }
            Value::String(text) if matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") => {
                Err(MetricProblem::NotFinite { name: name.clone(), found: text.clone() })
            }
            other => {
                let found = without_secrets(&other.to_string()).chars().take(QUOTED_MAX).collect();
                Err(MetricProblem::NotANumber { name: name.clone(), found })
            }
        }
    };
    names.iter().map(metric).collect()
}

/// The number of the epoch after which an object was reported. `None` if the object states none.
pub(super) fn epoch(object: &Map<String, Value>) -> Option<u32> {
    object.get("epoch")?.as_u64().and_then(|epoch| u32::try_from(epoch).ok()).filter(|epoch| *epoch > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Metrics, String> {
        let names = ["error_percent", "loss"].map(str::to_owned);
        let object = object(text).ok_or_else(|| "no object".to_owned())?;
        metrics(&object, &names).map_err(|problem| problem.to_string())
    }

    #[test]
    fn metrics_are_taken_from_an_object_and_other_keys_are_ignored() {
        let expected = Metrics::from([("error_percent".to_owned(), 12.5), ("loss".to_owned(), -3.0)]);
        let text = r#" {"epoch": 2, "loss": -3, "error_percent": 12.5, "note": "NaN \" Infinity"} "#;
        assert_eq!(read(text).unwrap(), expected);
        assert_eq!(epoch(&object(text).unwrap()), Some(2));
        for none in [r#"{"epoch": 0}"#, r#"{"epoch": 1.5}"#, r#"{"epoch": "1"}"#, r#"{"epoch": -1}"#, "{}"] {
            assert_eq!(epoch(&object(none).unwrap()), None, "{none}");
        }
    }

    #[test]
    fn wrong_metrics_are_named_with_what_was_found() {
        for (text, expected) in [
            ("", "no object"),
            ("[1]", "no object"),
            ("{\"loss\": 1", "no object"),
            ("{\"error_percent\": 1}", "the result has no `loss`, which `metrics` names"),
            (
                "{\"error_percent\": NaN, \"loss\": 1}",
                "`error_percent` of the result is NaN, expected a finite number",
            ),
            (
                "{\"error_percent\": 1, \"loss\": -Infinity}",
                "`loss` of the result is -Infinity, expected a finite number",
            ),
            (
                "{\"error_percent\": null, \"loss\": 1}",
                "`error_percent` of the result is `null`, expected a number",
            ),
            (
                "{\"error_percent\": [1], \"loss\": 1}",
                "`error_percent` of the result is `[1]`, expected a number",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn any_text_is_an_object_or_none() {
        let valid = br#"{"a": NaN, "b\\\"": [-Infinity, 1e5], "c": "\u00e9 Infinity"}"#.to_vec();
        assert!(object(std::str::from_utf8(&valid).unwrap()).is_some());
        kiln_damage::check_damaged(&[valid], |bytes| {
            let _ = object(&String::from_utf8_lossy(bytes));
        });
    }
}

//! Reads latencies from what a command printed.

use kiln_processes::{last_line, shortened, without_secrets};
use serde::Deserialize;
use thiserror::Error;

/// Maximum number of latencies of one run.
const LATENCIES_MAX: usize = 1 << 16;

/// The rule by which the output of a command is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputRule {
    /// The output, or its last line that is not empty, is a JSON object with the number `latency_us` or the
    /// list of numbers `latencies_us`. Other keys are ignored.
    Json,
    /// The last number of the last line that is not empty is the latency, in this unit.
    LastNumber(TimeUnit),
}

/// Unit of a printed latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
}

impl TimeUnit {
    const fn us(self) -> f64 {
        match self {
            Self::Us => 1.0,
            Self::Ms => 1e3,
            Self::S => 1e6,
        }
    }
}

/// The output is not what the rule expects.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the command printed `{found}`, expected {expected}")]
pub struct OutputError {
    /// The last line, shortened.
    pub found: String,
    /// What was expected.
    pub expected: &'static str,
}

#[derive(Deserialize)]
struct Printed {
    latency_us: Option<f64>,
    latencies_us: Option<Vec<f64>>,
}

impl OutputRule {
    const fn expected(self) -> &'static str {
        match self {
            Self::Json => {
                "a JSON object with a number above 0 as `latency_us`, or a list of such numbers as \
                 `latencies_us`, alone or on the last line; for other output give `--unit`"
            }
            Self::LastNumber(_) => "a last line whose last number is the latency, above 0 and without `,`",
        }
    }

    /// The latencies in microseconds.
    ///
    /// # Errors
    /// [`OutputError`] with the last line.
    pub fn latencies_us(self, printed: &[u8]) -> Result<Vec<f64>, OutputError> {
        let text = String::from_utf8_lossy(printed);
        let last = last_line(&text);
        let found = match self {
            Self::Json => json(text.trim()).or_else(|| json(last)),
            Self::LastNumber(unit) => last_number(last).map(|value| vec![value * unit.us()]),
        };
        let is_latency = |value: &f64| value.is_finite() && *value > 0.0;
        let found =
            found.filter(|all| (1..=LATENCIES_MAX).contains(&all.len()) && all.iter().all(is_latency));
        found.ok_or_else(|| OutputError {
            found: shortened(&without_secrets(last)),
            expected: self.expected(),
        })
    }
}

fn json(text: &str) -> Option<Vec<f64>> {
    // An object, not a list: serde would read a list as the fields in their order.
    let printed: Printed = text.starts_with('{').then(|| serde_json::from_str(text).ok())??;
    match (printed.latency_us, printed.latencies_us) {
        (Some(one), None) => Some(vec![one]),
        (None, Some(all)) => Some(all),
        _ => None,
    }
}

/// The last number of a line: the last word that begins with one, where a unit may follow. `None` if there is
/// none, and for `1,234` and `1.2.3`: nobody knows what they mean.
fn last_number(line: &str) -> Option<f64> {
    let is_gap = |c: char| c.is_whitespace() || "=:;()[]{}<>|/\"'".contains(c);
    let (number, unit) = line.split(is_gap).rev().find_map(split_number)?;
    let is_unclear = unit.strip_prefix(['.', ',']).is_some_and(|more| more.starts_with(is_digit));
    if is_unclear { None } else { number.parse().ok() }
}

/// Splits a word after the number that it begins with.
fn split_number(word: &str) -> Option<(&str, &str)> {
    let digits = |from: usize| from + word[from..].bytes().take_while(u8::is_ascii_digit).count();
    let sign = usize::from(word.starts_with(['+', '-']));
    let whole = digits(sign);
    let end = if word[whole..].starts_with('.') { digits(whole + 1) } else { whole };
    if !word[sign..end].contains(is_digit) {
        return None;
    }
    let after =
        word[end..].strip_prefix(['e', 'E']).map_or("", |rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
    let end = if after.starts_with(is_digit) { digits(word.len() - after.len()) } else { end };
    Some(word.split_at(end))
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_us(text: &str) -> Result<Vec<f64>, OutputError> {
        OutputRule::Json.latencies_us(text.as_bytes())
    }

    fn last_us(text: &str, unit: TimeUnit) -> Result<Vec<f64>, OutputError> {
        OutputRule::LastNumber(unit).latencies_us(text.as_bytes())
    }

    #[test]
    fn json_is_read_alone_or_from_the_last_line() {
        assert_eq!(json_us("{\"latency_us\": 12.5}").unwrap(), [12.5]);
        assert_eq!(json_us("{\n\"latencies_us\": [1, 2.5],\n\"board\": \"x\"}\n").unwrap(), [1.0, 2.5]);
        assert_eq!(json_us("loading\n{\"latency_us\": 3}\n\n").unwrap(), [3.0]);
    }

    #[test]
    fn other_output_is_quoted() {
        for wrong in [
            "",
            "12.5",
            "[1]",
            "{}",
            "{\"latency_us\": \"12\"}",
            "{\"latency_us\": -1}",
            "{\"latency_us\": 0}",
            "{\"latency_us\": 1e999}",
            "{\"latency_us\": 1, \"latencies_us\": [1]}",
            "{\"latencies_us\": []}",
            "{\"latencies_us\": [1, null]}",
        ] {
            let error = json_us(wrong).unwrap_err();
            assert_eq!(error.found, wrong);
            assert!(error.to_string().contains("for other output give `--unit`"));
        }
        let long = json_us(&"é".repeat(1000)).unwrap_err().found;
        assert_eq!(long.chars().count(), 201);
        assert!(OutputRule::Json.latencies_us(&[0xff, 0xfe, b'\n']).is_err());
    }

    #[test]
    fn last_number_of_last_line_is_read_in_its_unit() {
        use TimeUnit::{Ms, S, Us};
        for (text, unit, expected) in [
            ("12.5", Us, 12.5),
            ("first 3\nInference (avg): 7243.1 us\n", Us, 7243.1),
            ("mean=1.5ms", Ms, 1500.0),
            ("took 2e-3", S, 2000.0),
            ("took 2.5E+1 us", Us, 25.0),
            ("7 run-7: .5 s", S, 5e5),
            ("50 %, 90 %: 11, 12 µs", Us, 12.0),
            ("p50: 3 us, 90 %", Us, 90.0),
        ] {
            assert_eq!(last_us(text, unit).unwrap(), [expected], "{text}");
        }
    }

    #[test]
    fn lines_without_a_clear_number_are_refused() {
        for wrong in ["", "no number", "net7", "7: 1,234 us", "-5", "took -5 us", "0", "1.2.3", "1e999"] {
            assert!(last_us(wrong, TimeUnit::Us).is_err(), "{wrong}");
        }
    }

    #[test]
    fn any_bytes_are_an_error_or_latencies() {
        let valid = b"run 3: {\"latencies_us\": [1.5, 2e3]} 4,5.e-6 \xce\xbcs\n".to_vec();
        kiln_damage::check_damaged(&[valid], |bytes| {
            for rule in [OutputRule::Json, OutputRule::LastNumber(TimeUnit::Ms)] {
                let _ = rule.latencies_us(bytes);
            }
        });
    }
}

//! Chooses and names the quantities that a study's plots show.

use kiln_export::page::{Axis, Limit, Point};
use kiln_search::{Constraint, NamedValues, Trial};

use crate::units::{self, Numbers};

/// Costs to show if neither objectives nor constraints name a cost, in order of preference.
const COSTS: [&str; 3] = ["latency_us", "macs", "parameters"];

/// The two quantities on the axes of a plot.
pub(super) struct Axes {
    /// A measured objective.
    pub(super) y: String,
    /// Name of a cost. `None` puts the trial number on the axis, because no cost is known.
    pub(super) x: Option<String>,
    /// Upper limit of the cost.
    limit: Option<f64>,
    /// Whether the metrics are measured or estimated.
    pub(super) numbers: Numbers,
}

impl Axes {
    /// Chooses a measured objective for `y`. For `x`, it prefers another objective, then a constrained cost,
    /// then any cost.
    pub(super) fn choose(objectives: &[String], constraints: &[Constraint], trials: &[Trial]) -> Self {
        let is_measured = |name: &&String| base(name).contains("error") || base(name) == "one_minus_r2";
        let measured = objectives.iter().find(is_measured);
        let y = measured.or(objectives.first()).cloned().unwrap_or_default();
        let other = objectives.iter().find(|name| **name != y).cloned();
        let costs = trials.iter().map(|trial| &trial.costs.0).find(|costs| !costs.is_empty());
        let known = || {
            let names: Vec<&String> = costs.into_iter().flat_map(NamedValues::keys).collect();
            COSTS
                .iter()
                .find_map(|cost| names.iter().find(|name| base(name) == *cost))
                .map(|name| (*name).clone())
        };
        let limited = constraints.first().map(|limit| limit.cost.clone());
        let x = other.or(limited).or_else(known);
        let limits =
            constraints.iter().filter(|limit| Some(&limit.cost) == x.as_ref()).map(|limit| limit.max);
        let limit = limits.min_by(f64::total_cmp);
        Self { y, x, limit, numbers: Numbers::Measured }
    }

    /// Sets whether the metrics are measured or estimated.
    pub(super) fn with_numbers(self, numbers: Numbers) -> Self {
        Self { numbers, ..self }
    }

    pub(super) fn x_axis(&self) -> Axis {
        let heading = |name: &str| self.numbers.heading(name);
        let label = self.x.as_deref().map_or_else(|| "trial".to_owned(), heading);
        Axis { label, may_be_logarithmic: self.x.is_some() }
    }

    pub(super) fn y_axis(&self) -> Axis {
        Axis { label: self.numbers.heading(&self.y), may_be_logarithmic: false }
    }

    pub(super) fn limits(&self) -> Vec<Limit> {
        let limit = self.x.as_ref().zip(self.limit);
        let limit = limit.map(|(name, at)| Limit {
            horizontal: true,
            at,
            label: format!("limit: {}", with_unit(name, at)),
        });
        limit.into_iter().collect()
    }

    /// Returns the position of a trial. `None` if the trial failed.
    pub(super) fn point(&self, trial: &Trial) -> Option<Point> {
        let measured = displayed(&self.y, value(trial, &self.y)?);
        let (x, cost) = match &self.x {
            Some(name) => {
                let cost = value(trial, name)?;
                (
                    displayed(name, cost),
                    format!(", {} {}", subject_of(name, self.numbers), with_unit(name, cost)),
                )
            }
            None => (trial.id as f64, String::new()),
        };
        let y_text = with_unit(&self.y, value(trial, &self.y)?);
        Some(Point {
            x,
            y: measured,
            note: format!("trial {}: {} {y_text}{cost}", trial.id, subject_of(&self.y, self.numbers)),
        })
    }
}

/// Returns the trial's metric with this name. If there is no such metric, returns the cost with this name.
pub(super) fn value(trial: &Trial, name: &str) -> Option<f64> {
    let measured = trial.outcome.measurement().and_then(|measurement| measurement.get(name));
    measured.or_else(|| trial.costs.0.get(name).copied())
}

/// Returns the number to display: an accuracy if the value is an error, otherwise the value itself.
pub(super) fn displayed(name: &str, value: f64) -> f64 {
    match base(name) {
        "one_minus_r2" => 1.0 - value,
        base if base.ends_with("error_percent") => 100.0 - value,
        _ => value,
    }
}

fn base(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

/// Returns the name with its unit: `accuracy %`.
pub(super) fn heading(name: &str) -> String {
    units::shown(name, 0.0).0
}

/// Returns the name of a test result or a cost without its unit: `accuracy`.
pub(super) fn subject(name: &str) -> String {
    subject_of(name, Numbers::Measured)
}

/// Returns the name of a trial's metric or cost without its unit: `estimated accuracy`.
pub(super) fn subject_of(name: &str, numbers: Numbers) -> String {
    let heading = numbers.heading(name);
    let (what, device) = heading.split_once(" @").unwrap_or((&heading, ""));
    let what = what.rsplit_once(' ').filter(|(_, unit)| is_unit(unit)).map_or(what, |(what, _)| what);
    if device.is_empty() { what.to_owned() } else { format!("{what} on {device}") }
}

/// Formats a value with its unit: `98.50 %`.
pub(super) fn with_unit(name: &str, value: f64) -> String {
    let (heading, text) = units::shown(base(name), value);
    match heading.rsplit_once(' ').filter(|(_, unit)| is_unit(unit)) {
        Some((_, unit)) => format!("{text} {unit}"),
        None => text,
    }
}

fn is_unit(word: &str) -> bool {
    matches!(word, "%" | "µs" | "µJ" | "nats")
}

/// Returns the text with its first letter in upper case.
pub(super) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_forms_with_and_without_unit() {
        for (name, what, value, text) in [
            ("error_percent", "accuracy", 1.5, "98.50 %"),
            ("latency_us@raspi4", "latency on raspi4", 1234.0, "1234 µs"),
            ("model_bytes", "model", 12_345.0, "12.35 kB"),
            ("macs", "macs", 1_200_000.0, "1.200 M"),
        ] {
            assert_eq!((subject(name), with_unit(name, value)), (what.to_owned(), text.to_owned()));
        }
    }
}

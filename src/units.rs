//! Formats numbers with units for people. The names of metrics and costs end in their unit.

use std::time::Duration;

use kiln::config::RunConfig;
use kiln_export::{Date, civil, plain_text};
use kiln_search::MAX_HOURS;

/// Values from `SMALLEST` up to `LARGEST` are written without an exponent.
const SMALLEST: f64 = 1e-4;
const LARGEST: f64 = 1e9;

/// Metrics that evaluators measure on the validation split.
const METRICS: [&str; 8] = [
    "error_percent",
    "loss_nats",
    "balanced_error_percent",
    "macro_f1_error_percent",
    "mean_squared_error",
    "rmse_deviations",
    "mean_absolute_error",
    "one_minus_r2",
];

/// Whether the metrics of a study's trials are measured or estimated. The headings of costs and test results
/// are the same for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// Measured, or read from a table.
    Measured,
    /// Estimated with shared weights, with or without correction by anchors.
    Estimated,
}

impl Numbers {
    /// Returns how the metrics of a study with this config are labeled.
    pub(crate) fn of(config: &RunConfig) -> Self {
        if config.evaluator.kind == "supernet" { Self::Estimated } else { Self::Measured }
    }

    /// Returns the heading and the displayed value of a trial's metric or cost. The heading states whether
    /// the value is an estimate.
    pub(crate) fn shown(self, name: &str, value: f64) -> (String, String) {
        let (heading, value) = shown(name, value);
        let is_estimate = self == Self::Estimated && METRICS.contains(&name);
        (if is_estimate { format!("estimated {heading}") } else { heading }, value)
    }

    /// Returns only the heading of a trial's metric or cost.
    pub(crate) fn heading(self, name: &str) -> String {
        self.shown(name, 0.0).0
    }
}

/// Returns the heading and the displayed value of a metric or cost. An error is displayed as an accuracy.
pub(crate) fn shown(name: &str, value: f64) -> (String, String) {
    let (base, device) = name.split_once('@').map_or((name, ""), |(base, device)| (base, device));
    let (heading, value) = if base == "one_minus_r2" {
        ("r2".to_owned(), significant(1.0 - value))
    } else if let Some(what) = base.strip_suffix("f1_error_percent") {
        (format!("{what}f1 %"), fixed(100.0 - value, 2))
    } else if let Some(what) = base.strip_suffix("error_percent") {
        (format!("{what}accuracy %"), fixed(100.0 - value, 2))
    } else if let Some(what) = base.strip_suffix("_percent") {
        (format!("{what} %"), fixed(value, 2))
    } else if let Some(what) = base.strip_suffix("_us") {
        (format!("{what} µs"), significant(value))
    } else if let Some(what) = base.strip_suffix("_uj") {
        (format!("{what} µJ"), significant(value))
    } else if let Some(what) = base.strip_suffix("_bytes") {
        (what.to_owned(), bytes(value))
    } else if let Some(what) = base.strip_suffix("_nats") {
        (format!("{what} nats"), fixed(value, 4))
    } else {
        (
            base.to_owned(),
            if matches!(base, "parameters" | "macs") { count(value) } else { significant(value) },
        )
    };
    let written = |word| match word {
        "f1" => "F1",
        "r2" => "R²",
        word => word,
    };
    let heading = heading.split(['_', ' ']).map(written).collect::<Vec<_>>().join(" ");
    let heading = if device.is_empty() { heading } else { format!("{heading} @{device}") };
    (plain_text(&heading).into_owned(), value)
}

/// Formats a value whose unit is in the heading. Values have four significant digits, except that whole
/// numbers below a billion have all digits. The text has at most 10 characters, so that it fits in a table's
/// column.
pub(crate) fn significant(value: f64) -> String {
    if value.abs() < f64::MIN_POSITIVE {
        return "0".to_owned();
    }
    if !(SMALLEST..LARGEST).contains(&value.abs()) {
        return format!("{value:.3e}");
    }
    let magnitude = value.abs().log10().floor() as i32;
    let decimals = (3 - magnitude).max(0) as usize;
    format!("{value:.decimals$}")
}

/// Formats a value with this many decimals. If the text would not fit in a table's column, formats the value
/// with an exponent.
fn fixed(value: f64, decimals: usize) -> String {
    if value.abs() < 1e6 { format!("{value:.decimals$}") } else { significant(value) }
}

/// Formats a count. Large counts have a suffix for thousands, millions and so on.
pub(crate) fn count(value: f64) -> String {
    scaled(value, 1000.0, &["", " k", " M", " G", " T"])
}

/// Formats a number of bytes.
pub(crate) fn bytes(value: f64) -> String {
    scaled(value, 1000.0, &[" B", " kB", " MB", " GB", " TB"])
}

fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let mut scaled = value;
    let mut unit = 0;
    while scaled.abs() >= step && unit + 1 < units.len() {
        scaled /= step;
        unit += 1;
    }
    if unit == 0 {
        format!("{scaled:.0}{}", units[0])
    } else {
        format!("{}{}", significant(scaled), units[unit])
    }
}

/// Durations longer than this are not shown in full.
const CENTURY_S: f64 = 3600.0 * MAX_HOURS;

/// Formats a duration.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= CENTURY_S {
        return "more than 100 years".to_owned();
    }
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let whole = duration.as_secs();
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Formats seconds since the Unix epoch as a UTC date and time, to the minute. Returns an empty text if the
/// value is not a valid time.
pub(crate) fn moment(unix_s: f64) -> String {
    const YEAR_10000: f64 = 253_402_300_800.0;
    if !(0.0..YEAR_10000).contains(&unix_s) {
        return String::new();
    }
    let minutes = unix_s as u64 / 60;
    let (days, minute) = (minutes / 1440, minutes % 1440);
    let Date { year, month, day } = civil(days);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}", minute / 60, minute % 60)
}

#[cfg(test)]
mod tests {
    use kiln_search::Seconds;

    use super::*;

    #[test]
    fn moment_is_calendar_date_and_time() {
        assert_eq!(moment(0.0), "1970-01-01 00:00");
        assert_eq!(moment(951_782_399.0), "2000-02-28 23:59");
        assert_eq!(moment(951_782_400.0), "2000-02-29 00:00");
        assert_eq!(moment(1_795_943_772.4), "2026-11-29 09:16");
        assert_eq!(moment(253_402_300_799.0), "9999-12-31 23:59");
        assert_eq!([-1.0, 1e300, f64::NAN].map(moment), [(); 3].map(|()| String::new()));
    }

    #[test]
    fn names_become_headings_and_values_with_units() {
        let cases = [
            ("error_percent", 1.5, "accuracy %", "98.50"),
            ("test_accuracy_percent", 98.611, "test accuracy %", "98.61"),
            ("balanced_error_percent", 30.0, "balanced accuracy %", "70.00"),
            ("macro_f1_error_percent", 40.0, "macro F1 %", "60.00"),
            ("test_macro_f1_percent", 60.0, "test macro F1 %", "60.00"),
            ("one_minus_r2", 0.25, "R²", "0.7500"),
            ("test_r2", 0.75, "test R²", "0.7500"),
            ("latency_us@raspi4", 1234.56, "latency µs @raspi4", "1235"),
            ("model_bytes", 12_345.0, "model", "12.35 kB"),
            ("macs", 1_234_567.0, "macs", "1.235 M"),
            ("parameters", 999.0, "parameters", "999"),
        ];
        for (name, value, heading, text) in cases {
            assert_eq!(shown(name, value), (heading.to_owned(), text.to_owned()));
        }
    }

    #[test]
    fn supernet_metrics_are_labeled_as_estimates_and_costs_are_not() {
        let heading = |name| (Numbers::Estimated.heading(name), Numbers::Measured.heading(name));
        let both = |estimated: &str, measured: &str| (estimated.to_owned(), measured.to_owned());
        assert_eq!(heading("error_percent"), both("estimated accuracy %", "accuracy %"));
        assert_eq!(heading("loss_nats"), both("estimated loss nats", "loss nats"));
        assert_eq!(heading("rmse_deviations"), both("estimated rmse deviations", "rmse deviations"));
        for same in ["latency_us", "test_accuracy_percent", "negative_naswot", "latency_us@cortex-m7"] {
            assert_eq!(Numbers::Estimated.heading(same), Numbers::Measured.heading(same));
        }
    }

    #[test]
    fn significant_keeps_four_digits() {
        assert_eq!(significant(0.012_345), "0.01235");
        assert_eq!(significant(12.345), "12.35");
        assert_eq!(significant(0.0), "0");
        assert_eq!(significant(0.000_123_46), "0.0001235");
        assert_eq!(significant(123_456_789.4), "123456789");
    }

    #[test]
    fn numbers_of_any_size_fit_column() {
        assert_eq!(significant(1.2341e-9), "1.234e-9");
        assert_eq!(significant(-1.5e12), "-1.500e12");
        assert_eq!(shown("loss_nats", 1.5e30).1, "1.500e30");
        assert_eq!(shown("error_percent", 1e12).1, "-1.000e12");
        for exponent in -300..=300 {
            for name in ["error_percent", "loss_nats", "latency_us", "model_bytes", "macs", "anything"] {
                for sign in [-1.0, 1.0] {
                    let text = shown(name, sign * 9.876_54 * 10.0_f64.powi(exponent)).1;
                    assert!(text.chars().count() <= 13, "{name}: {text}");
                }
            }
        }
    }

    #[test]
    fn durations_use_suitable_units() {
        let said = |seconds| duration(Seconds::saturating(seconds).duration());
        assert_eq!(said(2.34), "2.3 s");
        assert_eq!(said(59.9), "59 s");
        assert_eq!(said(125.0), "2 min 05 s");
        assert_eq!(said(7260.0), "2 h 01 min");
        assert_eq!(said(1e300), "more than 100 years");
    }
}

//! The report of a fit, for people and for programs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Agreement;

/// A number of the device file that a fit changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedNumber {
    /// Key in the device file. If a key contains `*`, it stands for several numbers, and the values are
    /// factors on them.
    pub key: String,
    /// Value before the fit.
    pub before: f64,
    /// Fitted value.
    pub after: f64,
    /// Whether the value reached a limit. This happens, for example, if the peak rate in the file is too low.
    pub at_limit: bool,
}

/// Changed numbers and prediction errors of a fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitReport {
    /// The calibrated device.
    pub device: String,
    /// Number of networks in the fit.
    pub networks: usize,
    /// Number of folds in cross-validation.
    pub folds: usize,
    /// Changed numbers. Numbers that the measurements do not determine are omitted.
    pub fitted: Vec<FittedNumber>,
    /// Agreement of the original device file with the measurements.
    pub before: Agreement,
    /// Agreement of the fit with the networks to which it was fitted.
    pub in_sample: Agreement,
    /// Agreement in cross-validation, in which a fit to the other folds predicts each network. This agreement
    /// estimates the error on new networks.
    pub held_out: Agreement,
    /// Nine of ten held-out measurements are within a factor of `1 + latency_relative_90` of the prediction.
    pub latency_relative_90: f64,
}

impl fmt::Display for FitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, fitted to {} networks", self.device, self.networks)?;
        writeln!(f, "\n{:<26} {:>10} {:>10}", "number", "before", "after")?;
        for FittedNumber { key, before, after, at_limit } in &self.fitted {
            let limit = if *at_limit { "  (at its limit)" } else { "" };
            writeln!(f, "{key:<26} {before:>10} {after:>10}{limit}")?;
        }
        writeln!(
            f,
            "\n{:<26} {:>10} {:>10} {:>10} {:>10}",
            "error", "mean", "median", "in 10 %", "Spearman"
        )?;
        let held_out = format!("held out, {} folds", self.folds);
        for (name, agreement) in
            [("before", &self.before), ("in sample", &self.in_sample), (&held_out, &self.held_out)]
        {
            write_agreement(f, name, agreement)?;
        }
        writeln!(f, "\nnine of ten within a factor of {:.3}", 1.0 + self.latency_relative_90)
    }
}

fn write_agreement(f: &mut fmt::Formatter<'_>, name: &str, agreement: &Agreement) -> fmt::Result {
    let Agreement { mean_error_percent, median_error_percent, within_a_tenth_percent, spearman, .. } =
        agreement;
    let percent = |value: &f64| format!("{value:.1} %");
    let [mean, median, within] =
        [mean_error_percent, median_error_percent, within_a_tenth_percent].map(percent);
    let spearman = spearman.map_or_else(|| "-".to_owned(), |spearman| format!("{spearman:.3}"));
    writeln!(f, "{name:<26} {mean:>10} {median:>10} {within:>10} {spearman:>10}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_displays_as_table() {
        let agreement = |mean_error_percent: f64, spearman| Agreement {
            networks: 120,
            mean_error_percent,
            median_error_percent: mean_error_percent / 2.0,
            within_a_tenth_percent: 100.0 - mean_error_percent,
            spearman,
        };
        let number = |key: &str, before, after, at_limit| FittedNumber {
            key: key.to_owned(),
            before,
            after,
            at_limit,
        };
        let report = FitReport {
            device: "cortex-a72".to_owned(),
            networks: 120,
            folds: 5,
            fitted: vec![
                number("efficiency.dense_conv", 0.5, 1.0, true),
                number("memory.*_bytes_per_s", 1.0, 0.6517, false),
                number("layer_overhead_us", 8.0, 21.43, false),
            ],
            before: agreement(81.26, None),
            in_sample: agreement(8.44, Some(0.981_23)),
            held_out: agreement(10.0, Some(0.97)),
            latency_relative_90: 0.2954,
        };
        let expected = "\
cortex-a72, fitted to 120 networks

number                         before      after
efficiency.dense_conv             0.5          1  (at its limit)
memory.*_bytes_per_s                1     0.6517
layer_overhead_us                   8      21.43

error                            mean     median    in 10 %   Spearman
before                         81.3 %     40.6 %     18.7 %          -
in sample                       8.4 %      4.2 %     91.6 %      0.981
held out, 5 folds              10.0 %      5.0 %     90.0 %      0.970

nine of ten within a factor of 1.295
";
        assert_eq!(report.to_string(), expected);
        let read: FitReport = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        assert_eq!(read, report);
    }
}

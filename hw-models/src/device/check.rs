//! Checks the numbers of a device file.

use std::collections::BTreeMap;

use kiln_space::NumberFormat;

use super::{Device, Number};
use crate::HwError;

impl Device {
    pub(super) fn check(&self, file: &str) -> Result<(), HwError> {
        let refuse = |key: &str, found: String, expected| {
            Err(HwError::Value { file: file.to_owned(), key: key.to_owned(), found, expected })
        };
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
        if self.name.is_empty() || !self.name.chars().all(letters) {
            let found = format!("`{}`", self.name);
            return refuse("name", found, "lower case letters, digits, `-`, `.` and `_`");
        }
        if let Some(calibration) = &self.calibration
            && (calibration.is_empty() || !calibration.chars().all(letters))
        {
            return refuse(
                "calibration",
                format!("`{calibration}`"),
                "lower case letters, digits, `-`, `.` and `_`",
            );
        }
        for RangedNumber { key, number, range } in self.ranged_numbers() {
            if !range.holds(number.value) {
                return refuse(&key, number.value.to_string(), range.expected());
            }
            if number.source.trim().is_empty() {
                return refuse(&format!("{key}.source"), "empty".to_owned(), "where the number comes from");
            }
        }
        if self.macs_per_s_per_core.is_empty() {
            return refuse(
                "macs_per_s_per_core",
                "empty".to_owned(),
                "a rate for at least one number format",
            );
        }
        if !self.macs_per_s_per_core.keys().eq(self.energy.pj_per_mac.keys()) {
            let names = |formats: &BTreeMap<NumberFormat, Number>| {
                let names: Vec<String> = formats.keys().map(|f| format!("`{f}`")).collect();
                if names.is_empty() { "empty".to_owned() } else { names.join(", ") }
            };
            return refuse(
                "energy.pj_per_mac",
                names(&self.energy.pj_per_mac),
                "the number formats of `macs_per_s_per_core`",
            );
        }
        let external = self.memory.external_bytes_per_s_per_core.as_ref();
        let external = external.unwrap_or(&self.memory.external_bytes_per_s).value;
        if self.memory.on_chip_bytes_per_s_per_core.value < external {
            return refuse(
                "memory.on_chip_bytes_per_s_per_core",
                self.memory.on_chip_bytes_per_s_per_core.value.to_string(),
                "at least what one core gets from external memory",
            );
        }
        for (i, pattern) in self.sparsity.n_of_m.iter().enumerate() {
            let key = format!("sparsity.n_of_m.{i}");
            if pattern.n == 0 || pattern.n >= pattern.m {
                return refuse(&key, format!("{} of {}", pattern.n, pattern.m), "`n` from 1 to `m` - 1");
            }
            if !(pattern.speedup.is_finite() && pattern.speedup >= 1.0) {
                return refuse(
                    &format!("{key}.speedup"),
                    pattern.speedup.to_string(),
                    "a number of at least 1",
                );
            }
            if pattern.source.trim().is_empty() {
                return refuse(&format!("{key}.source"), "empty".to_owned(), "where the number comes from");
            }
        }
        if self.adds_up.as_ref().is_some_and(|found| found.source.trim().is_empty()) {
            return refuse("adds_up.source", "empty".to_owned(), "where this is known from");
        }
        self.kernels.as_ref().map_or(Ok(()), |kernels| kernels.check(file))?;
        self.fitted.as_ref().map_or(Ok(()), |fitted| fitted.check(file))
    }

    /// Returns every [`Number`] of the file with its dotted key.
    #[must_use]
    pub fn numbers(&self) -> Vec<(String, &Number)> {
        self.ranged_numbers().into_iter().map(|ranged| (ranged.key, ranged.number)).collect()
    }

    /// Returns every [`Number`] with its dotted key and its valid range.
    fn ranged_numbers(&self) -> Vec<RangedNumber<'_>> {
        let mut numbers = vec![
            ("cores", &self.cores, Range::Count),
            ("parallel_loss", &self.parallel_loss, Range::Share),
            ("layer_overhead_us", &self.layer_overhead_us, Range::NotNegative),
            ("efficiency.dense_conv", &self.efficiency.dense_conv, Range::PositiveShare),
            ("efficiency.depthwise_conv", &self.efficiency.depthwise_conv, Range::PositiveShare),
            ("efficiency.linear", &self.efficiency.linear, Range::PositiveShare),
            ("efficiency.element_wise", &self.efficiency.element_wise, Range::PositiveShare),
            ("memory.capacity_bytes", &self.memory.capacity_bytes, Range::Count),
            ("memory.external_bytes_per_s", &self.memory.external_bytes_per_s, Range::Positive),
            ("memory.on_chip_bytes", &self.memory.on_chip_bytes, Range::NotNegative),
            (
                "memory.on_chip_bytes_per_s_per_core",
                &self.memory.on_chip_bytes_per_s_per_core,
                Range::Positive,
            ),
            ("energy.static_w", &self.energy.static_w, Range::NotNegative),
            ("energy.external_pj_per_byte", &self.energy.external_pj_per_byte, Range::NotNegative),
            ("energy.on_chip_pj_per_byte", &self.energy.on_chip_pj_per_byte, Range::NotNegative),
            ("error.latency_relative_90", &self.error.latency_relative_90, Range::NotNegative),
            ("error.energy_relative_90", &self.error.energy_relative_90, Range::NotNegative),
        ];
        let optional = [
            ("saturating_outputs", &self.saturating_outputs, Range::Count),
            ("sparsity.unstructured_index_bits", &self.sparsity.unstructured_index_bits, Range::Count),
            ("memory.flash_bytes", &self.memory.flash_bytes, Range::Count),
            (
                "memory.external_bytes_per_s_per_core",
                &self.memory.external_bytes_per_s_per_core,
                Range::Positive,
            ),
        ];
        numbers
            .extend(optional.into_iter().filter_map(|(k, number, range)| Some((k, number.as_ref()?, range))));
        let rates =
            self.macs_per_s_per_core.iter().map(|entry| ("macs_per_s_per_core", entry, Range::Positive));
        let energies =
            self.energy.pj_per_mac.iter().map(|entry| ("energy.pj_per_mac", entry, Range::NotNegative));
        let by_format =
            rates.chain(energies).map(|(k, (format, n), range)| (format!("{k}.{format}"), n, range));
        let by_key = numbers.into_iter().map(|(k, number, range)| (k.to_owned(), number, range));
        by_key.chain(by_format).map(|(key, number, range)| RangedNumber { key, number, range }).collect()
    }
}

/// A number of a device file with its dotted key and its valid range.
struct RangedNumber<'a> {
    key: String,
    number: &'a Number,
    range: Range,
}

/// Valid range of a number.
#[derive(Clone, Copy)]
enum Range {
    Count,
    NotNegative,
    Positive,
    Share,
    PositiveShare,
}

impl Range {
    fn holds(self, value: f64) -> bool {
        value.is_finite()
            && match self {
                Self::Count => value >= 1.0 && value.fract().abs() < f64::EPSILON,
                Self::NotNegative => value >= 0.0,
                Self::Positive => value > 0.0,
                Self::Share => (0.0..=1.0).contains(&value),
                Self::PositiveShare => value > 0.0 && value <= 1.0,
            }
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Count => "a whole number of at least 1",
            Self::NotNegative => "a number of at least 0",
            Self::Positive => "a number above 0",
            Self::Share => "a number from 0 to 1",
            Self::PositiveShare => "a number above 0, at most 1",
        }
    }
}

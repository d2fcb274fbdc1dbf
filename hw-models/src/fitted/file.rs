//! The measured networks of a device file, from which the fitted model predicts.

use serde::{Deserialize, Serialize};

use super::bound::Bound;
use super::features::{self, NAMED};
use super::process::Kernel;
use super::regression::{Kernels, Predicted, Regression, WeighedKind};
use super::rows::{Row, Scales};
use super::shipped::Transfer;
use crate::{Agreement, Conditions, HwError, Interval};

/// Version of the format. Features of another version have other meanings.
const VERSION: u32 = 3;
/// Maximum number of networks in a file.
pub(super) const NETWORKS_MAX: usize = 1000;
/// A network with a feature outside the range of the measured ones by more than this share of the range is
/// unlike them.
const BEYOND: f64 = 0.5;
/// A network that is farther from the measured ones than these from each other, by this factor, is unlike
/// them.
const APART_MAX: f64 = 1.5;
/// Largest magnitude of a number in a file.
const MAGNITUDE_MAX: f64 = 1e18;

/// The table `fitted` of a device file: features and latencies of measured networks, and how they are joined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FittedNetworks {
    version: u32,
    /// Name of the measurements, the last part of the model's name.
    source: String,
    batch: u64,
    threads: u64,
    /// Day of the fit, `YYYY-MM-DD`; nothing if it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    date: String,
    /// Shipped predictors that are known devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    transfer: Vec<String>,
    /// Names of the features that vary among the networks, in the order of each row of `networks`.
    features: Vec<String>,
    latencies_us: Vec<f64>,
    networks: Vec<Vec<f64>>,
    /// Error of the networks as the other folds predict them.
    held_out: Agreement,
    regression: Learned,
    /// Without known devices, for networks unlike those of the shipped predictors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alone: Option<Learned>,
    scales: Scales,
}

/// What cross-validation chose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Learned {
    kinds: Vec<WeighedKind>,
    bound: Bound,
    kernels: Kernels,
}

impl Learned {
    pub(super) fn of(regression: &Regression) -> Self {
        Self { kinds: regression.kinds().to_vec(), bound: regression.bound(), kernels: regression.kernels() }
    }

    fn restored(&self, rows: &[Row], latencies: &[f64]) -> Regression {
        Regression::restored(rows, latencies, self.kernels, self.kinds.clone(), self.bound)
    }

    /// What is wrong with the numbers.
    fn problem(&self) -> Option<(&'static str, String, &'static str)> {
        let Kernels { process, ridge } = &self.kernels;
        if !process.iter().chain(ridge).all(Kernel::is_usable) {
            return Some((
                "kernels",
                "not usable".to_owned(),
                "numbers from 0 to 1000, and a length above 0",
            ));
        }
        if !self.bound.is_usable() {
            return Some(("bound", format!("{:?}", self.bound), "numbers from 0 to 1000000"));
        }
        let mut kinds: Vec<_> = self.kinds.iter().map(|weighed| weighed.kind).collect();
        kinds.dedup();
        let whole: f64 = self.kinds.iter().map(|weighed| weighed.weight).sum();
        let numbers = self.kinds.iter().flat_map(|weighed| [weighed.weight, weighed.error_percent]);
        let usable = numbers.into_iter().all(|number| number.is_finite() && number >= 0.0);
        let whole = (whole - 1.0).abs() < 1e-6;
        (!whole || !usable || kinds.len() != self.kinds.len() || !kinds.is_sorted()).then(|| {
            ("kinds", format!("{:?}", self.kinds), "different kinds in order, whose weights sum to 1")
        })
    }
}

/// What is fitted, apart from the networks and their features.
pub(super) struct FittedParts {
    pub(super) source: String,
    pub(super) conditions: Conditions,
    pub(super) held_out: Agreement,
    pub(super) transfer: Transfer,
    pub(super) regression: Learned,
    pub(super) alone: Option<Learned>,
    pub(super) scales: Scales,
}

impl FittedNetworks {
    /// The table of networks, given all their features.
    pub(super) fn new(parts: FittedParts, networks: &[&[f64]], latencies_us: Vec<f64>) -> Self {
        let FittedParts { source, conditions, held_out, transfer, regression, alone, scales } = parts;
        let (varying, names) = (scales.varying(), features::names());
        let row = |network: &&[f64]| varying.iter().map(|feature| network[*feature]).collect();
        Self {
            version: VERSION,
            source,
            batch: conditions.batch,
            threads: conditions.threads,
            date: String::new(),
            held_out,
            transfer: transfer.names().into_iter().map(str::to_owned).collect(),
            features: varying.iter().map(|feature| names[*feature].clone()).collect(),
            latencies_us,
            networks: networks.iter().map(row).collect(),
            regression,
            alone,
            scales,
        }
    }

    /// The table with the day of the fit, which the model's name does not contain.
    #[must_use]
    pub fn dated(self, date: String) -> Self {
        Self { date, ..self }
    }

    /// Checks that the table is whole and its numbers can be computed with.
    pub(crate) fn check(&self, file: &str) -> Result<(), HwError> {
        let refuse = |key: &str, found: String, expected| {
            Err(HwError::Value { file: file.to_owned(), key: format!("fitted.{key}"), found, expected })
        };
        let usable = |value: f64| value.is_finite() && value.abs() <= MAGNITUDE_MAX;
        let names = features::names();
        if self.version != VERSION {
            return refuse(
                "version",
                self.version.to_string(),
                "3; fit the device file again, because features of earlier versions had other names",
            );
        }
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
        if self.source.is_empty() || !self.source.chars().all(letters) {
            return refuse(
                "source",
                format!("`{}`", self.source),
                "lower case letters, digits, `-`, `.` and `_`",
            );
        }
        for (key, count) in [("batch", self.batch), ("threads", self.threads)] {
            if !(1..=65_536).contains(&count) {
                return refuse(key, count.to_string(), "a whole number from 1 to 65536");
            }
        }
        let count = self.latencies_us.len();
        if !(2..=NETWORKS_MAX).contains(&count) || self.networks.len() != count {
            let found = format!("{count} latencies of {} networks", self.networks.len());
            return refuse("networks", found, "a latency for each of 2 to 1000 networks");
        }
        if let Some(latency) =
            self.latencies_us.iter().find(|latency| !(usable(**latency) && **latency > 1e-9))
        {
            return refuse("latencies_us", latency.to_string(), "a number above 0");
        }
        if !self.scales.is_whole(names.len(), self.transfer.len(), usable) {
            return refuse(
                "scales",
                "not usable".to_owned(),
                "finite numbers, one for each feature of this version",
            );
        }
        let varying: Vec<&String> = self.scales.varying().iter().map(|feature| &names[*feature]).collect();
        if !self.features.iter().eq(varying) {
            return refuse("features", "others".to_owned(), "the features whose factors are above 0");
        }
        let whole =
            |row: &Vec<f64>| row.len() == self.features.len() && row.iter().all(|value| usable(*value));
        if let Some(place) = self.networks.iter().position(|row| !whole(row)) {
            return refuse(
                &format!("networks.{place}"),
                "not usable".to_owned(),
                "a finite number for each feature",
            );
        }
        if Transfer::named(&self.transfer).is_err() || !self.transfer.is_sorted() {
            let found = self.transfer.join(", ");
            return refuse("transfer", found, "names of predictors that come with Kiln, in order");
        }
        for (name, learned) in [("regression", Some(&self.regression)), ("alone", self.alone.as_ref())] {
            if let Some((key, found, expected)) = learned.and_then(Learned::problem) {
                return refuse(&format!("{name}.{key}"), found, expected);
            }
        }
        Ok(())
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Batch and threads of the measurements.
    #[must_use]
    pub const fn conditions(&self) -> Conditions {
        Conditions { batch: self.batch, threads: self.threads }
    }

    /// The table with all latencies multiplied by `factor`. Predictions change by the same factor, because
    /// they are relative to the typical latency.
    pub(crate) fn rescaled(&self, factor: f64) -> Self {
        let latencies_us = self.latencies_us.iter().map(|latency| latency * factor).collect();
        Self { latencies_us, ..self.clone() }
    }

    /// Number of measured networks.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.latencies_us.len()
    }

    /// Whether there are none, which no checked file has.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.latencies_us.is_empty()
    }

    /// Day of the fit; `None` if it is not known.
    #[must_use]
    pub fn date(&self) -> Option<&str> {
        Some(self.date.as_str()).filter(|date| !date.is_empty())
    }

    /// Error of the networks as the other folds predict them.
    #[must_use]
    pub const fn held_out(&self) -> &Agreement {
        &self.held_out
    }

    /// Shipped predictors that are known devices.
    #[must_use]
    pub fn transfer(&self) -> &[String] {
        &self.transfer
    }

    /// Kinds of regression with their cross-validated errors and weights.
    #[must_use]
    pub fn kinds(&self) -> &[WeighedKind] {
        &self.regression.kinds
    }

    /// The regressions, fitted again to the same networks.
    pub(super) fn restored(&self) -> Result<RestoredFit, HwError> {
        let varying = self.scales.varying();
        let whole = |network: &Vec<f64>| -> Vec<f64> {
            let mut features = self.scales.centers().to_vec();
            for (feature, value) in varying.iter().zip(network) {
                features[*feature] = *value;
            }
            features
        };
        let networks: Vec<Vec<f64>> = self.networks.iter().map(whole).collect();
        let transfer = Transfer::named(&self.transfer)?;
        let rows = |transfer: &Transfer| -> Vec<Row> {
            let row = |features: &Vec<f64>| {
                self.scales.row(features, &transfer.known_us(features).unwrap_or_default())
            };
            networks.iter().map(row).collect()
        };
        let regression = self.regression.restored(&rows(&transfer), &self.latencies_us);
        let alone = self.alone.as_ref();
        let alone = alone.map(|alone| alone.restored(&rows(&Transfer::none()), &self.latencies_us));
        let range = |feature: usize| {
            let values = networks.iter().map(|network| network[feature]);
            values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| {
                [low.min(value), high.max(value)]
            })
        };
        let ranges = (0..NAMED).map(range).collect();
        Ok(RestoredFit { scales: self.scales.clone(), transfer, regression, alone, ranges })
    }
}

/// The regressions of a device file.
#[derive(Clone, Debug)]
pub(super) struct RestoredFit {
    scales: Scales,
    transfer: Transfer,
    regression: Regression,
    alone: Option<Regression>,
    /// Smallest and largest value of each feature among the measured networks.
    ranges: Vec<[f64; 2]>,
}

impl RestoredFit {
    /// The predicted latency of a network, and in what it is unlike all measured ones.
    pub(super) fn predict(&self, features: &[f64]) -> (Interval, Vec<String>) {
        let found = match self.transfer.known_us(features) {
            Some(known) => self.regression.predict(&self.scales.row(features, &known)),
            None => self.alone.as_ref().unwrap_or(&self.regression).predict(&self.scales.row(features, &[])),
        };
        let Predicted { value, low, high, apart } = found;
        let is_beyond = |(value, [low, high]): (&f64, &[f64; 2])| {
            let margin = BEYOND * (high - low) + 1e-9 * low.abs().max(high.abs());
            *value < low - margin || *value > high + margin
        };
        let beyond = features.iter().zip(&self.ranges).enumerate().filter(|(_, pair)| is_beyond(*pair));
        let mut unlike: Vec<String> = beyond.map(|(feature, _)| features::name(feature)).collect();
        if apart > APART_MAX {
            unlike
                .push(format!("{apart:.1} times as far from the measured networks as these from each other"));
        }
        if unlike.is_empty() {
            return (Interval { value, low, high }, unlike);
        }
        let wider = apart.max(2.0);
        let low = value / (1.0 + wider * (value / low - 1.0));
        (Interval { value, low, high: value + wider * (high - value) }, unlike)
    }
}

//! The measured networks of a device file, from which the fitted model predicts.

use serde::{Deserialize, Serialize};

use super::features;
use super::process::{Bound, Kernel, Process};
use super::rows::{Row, Scales};
use crate::{Conditions, HwError};

/// Version of the format. Features of another version have other meanings.
const VERSION: u32 = 1;
/// Maximum number of networks in a file.
pub(super) const NETWORKS_MAX: usize = 1000;
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
    /// Names of the features that vary among the networks, in the order of each row of `networks`.
    features: Vec<String>,
    latencies_us: Vec<f64>,
    networks: Vec<Vec<f64>>,
    kernels: [Kernel; 2],
    bound: Bound,
    scales: Scales,
}

impl FittedNetworks {
    /// The table of networks, given all their features.
    pub(super) fn new(
        source: String,
        conditions: Conditions,
        networks: &[&[f64]],
        latencies_us: Vec<f64>,
        (scales, process): (Scales, &Process),
    ) -> Self {
        let (varying, names) = (scales.varying(), features::names());
        let row = |network: &&[f64]| varying.iter().map(|feature| network[*feature]).collect();
        Self {
            version: VERSION,
            source,
            batch: conditions.batch,
            threads: conditions.threads,
            features: varying.iter().map(|feature| names[*feature].clone()).collect(),
            latencies_us,
            networks: networks.iter().map(row).collect(),
            kernels: process.kernels(),
            bound: process.bound(),
            scales,
        }
    }

    /// Checks that the table is whole and its numbers can be computed with.
    pub(crate) fn check(&self, file: &str) -> Result<(), HwError> {
        let refuse = |key: &str, found: String, expected| {
            Err(HwError::Value { file: file.to_owned(), key: format!("fitted.{key}"), found, expected })
        };
        let usable = |value: f64| value.is_finite() && value.abs() <= MAGNITUDE_MAX;
        let names = features::names();
        if self.version != VERSION {
            return refuse("version", self.version.to_string(), "1; fit the device file again");
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
        if !self.scales.is_whole(names.len(), usable) {
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
        if !self.kernels.iter().all(Kernel::is_usable) {
            return refuse(
                "kernels",
                "not usable".to_owned(),
                "numbers from 0 to 1000, and a length above 0",
            );
        }
        if !self.bound.is_usable() {
            return refuse("bound", format!("{:?}", self.bound), "numbers from 0 to 1000000");
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

    pub(super) fn scales(&self) -> Scales {
        self.scales.clone()
    }

    pub(super) fn process(&self) -> Process {
        let varying = self.scales.varying();
        let row = |network: &Vec<f64>| -> Row {
            let mut features = self.scales.centers().to_vec();
            for (feature, value) in varying.iter().zip(network) {
                features[*feature] = *value;
            }
            self.scales.row(&features, &[])
        };
        let rows = self.networks.iter().map(row).collect();
        Process::restored(rows, &self.latencies_us, self.kernels, self.bound)
    }
}

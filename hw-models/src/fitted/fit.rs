//! Fits a device file to a table of measured networks, and names measurements that cannot be right.

use serde::Serialize;

use super::file::{FittedNetworks, FittedParts, Learned, NETWORKS_MAX};
use super::regression::{Regression, WeighedKind};
use super::rows::{Row, Scales};
use crate::{Agreement, Conditions, Device, EvaluationTable, HwError};

/// Fewest networks to fit to.
const NETWORKS_MIN: usize = 5;
/// A latency that differs by more than this factor from what the others say is an outlier.
const OUTLYING: f64 = 3.0;
/// A fit of which more networks than this share are outliers is nonsense.
const OUTLIERS_MAX: f64 = 0.2;
/// A fit that orders networks worse than this is nonsense, if they are enough to tell.
const SPEARMAN_MIN: f64 = 0.3;
/// Fewest networks whose order can tell.
const ORDERED_MIN: usize = 20;

/// A measurement that the other networks contradict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Line of the table, from 1.
    pub line: u64,
    /// Its latency in microseconds.
    pub latency_us: f64,
    /// The latency that the other networks predict, in microseconds.
    pub expected_us: f64,
}

/// How well a fitted model predicts networks that it was not fitted to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FittedReport {
    /// Number of networks.
    pub networks: usize,
    /// Agreement of each network with the prediction from the other folds.
    pub held_out: Agreement,
    /// Kinds of regression with their cross-validated errors and weights.
    pub kinds: Vec<WeighedKind>,
    /// Shipped predictors that are known devices.
    pub transfer: Vec<&'static str>,
    /// Measurements that the other networks contradict.
    pub outliers: Vec<Finding>,
}

impl FittedReport {
    /// Fits `device` to the networks of a table.
    ///
    /// # Errors
    /// [`HwError::TooFewMeasurements`]; [`HwError::LargeMeasurements`] above 1000 networks;
    /// [`HwError::Contradictory`] when the networks do not predict each other.
    pub fn fit(
        table: &EvaluationTable,
        device: &Device,
        source: &str,
        conditions: Conditions,
    ) -> Result<(Device, Self), HwError> {
        if table.len() < NETWORKS_MIN {
            return Err(HwError::TooFewMeasurements { found: table.len(), needed: NETWORKS_MIN });
        }
        if table.len() > NETWORKS_MAX {
            let (file, limit) = (source.to_owned(), NETWORKS_MAX as u64);
            return Err(HwError::LargeMeasurements { file, what: "networks", limit });
        }
        let networks: Vec<&[f64]> = table.networks().map(|(features, _)| features).collect();
        let latencies: Vec<f64> = (0..table.len()).map(|row| table.latency(row)).collect();
        let transfer = table.transfer().clone();
        // Networks that are unlike those of the shipped predictors say nothing of the scales of the others.
        let sampled = table.sampled().chain(networks.iter().copied());
        let known: Vec<(&[f64], Vec<f64>)> = sampled
            .filter_map(|features| transfer.known_us(features).map(|known| (features, known)))
            .collect();
        let scales = Scales::new(known.iter().map(|(features, known)| (*features, known.as_slice())));
        let rows: Vec<Row> = table.networks().map(|(features, known)| scales.row(features, known)).collect();
        let (regression, held_out) = Regression::judged(&rows, &latencies, 0);
        let alone = (!transfer.is_none()).then(|| {
            let rows: Vec<Row> = networks.iter().map(|features| scales.row(features, &[])).collect();
            Learned::of(&Regression::fit(&rows, &latencies, 0))
        });
        let pairs: Vec<(f64, f64)> = held_out.iter().copied().zip(latencies.iter().copied()).collect();
        let apart = |(expected, latency): &(f64, f64)| (expected / latency).ln().abs() > OUTLYING.ln();
        let outliers: Vec<Finding> = pairs
            .iter()
            .enumerate()
            .filter(|(_, pair)| apart(pair))
            .map(|(row, (expected_us, latency_us))| Finding {
                line: table.line(row),
                latency_us: *latency_us,
                expected_us: *expected_us,
            })
            .collect();
        let report = Self {
            networks: table.len(),
            held_out: Agreement::new(&pairs),
            kinds: regression.kinds().to_vec(),
            transfer: transfer.names(),
            outliers,
        };
        let orders = report.held_out.spearman.unwrap_or(0.0) >= SPEARMAN_MIN || table.len() < ORDERED_MIN;
        if !orders || report.outliers.len() as f64 > OUTLIERS_MAX * table.len() as f64 {
            return Err(HwError::Contradictory {
                file: source.to_owned(),
                outliers: report.outliers.len(),
                networks: report.networks,
                spearman: report.held_out.spearman.unwrap_or(0.0),
                first: report.outliers.first().map(|found| (found.line, found.latency_us, found.expected_us)),
            });
        }
        let name = identifier(&format!("{source}-{}-{}", table.target(), table.len()));
        let parts = FittedParts {
            source: name,
            conditions,
            held_out: report.held_out,
            transfer,
            regression: Learned::of(&regression),
            alone,
            scales,
        };
        let fitted = FittedNetworks::new(parts, &networks, latencies);
        Ok((Device { fitted: Some(fitted), ..device.clone() }, report))
    }
}

/// A text of letters, digits, `-`, `.` and `_`.
fn identifier(text: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' };
    text.to_lowercase().chars().map(letter).collect()
}

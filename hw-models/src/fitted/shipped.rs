//! Predictors of published devices, which come with Kiln. Fits use them as known devices.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::features::{self, NAMED};
use super::rows::Scales;
use crate::{EvaluationTable, HwError, spearman};

/// The embedded predictors, as `examples/ship_predictors.rs` writes them.
const EMBEDDED: &str = include_str!("../../shipped/nasbench201.toml");
/// Version of the format. Features of another version have other meanings.
const VERSION: u32 = 1;
/// Weight of the squared coefficients.
const PENALTY: f64 = 0.5;
/// Degrees of freedom of the noise, so that outliers count little.
const FREEDOM: f64 = 4.0;
/// Rounds in which outliers are found.
const ROUNDS: usize = 8;
/// Predictions stay within these factors of the smallest and the largest measured latency.
const WITHIN: [f64; 2] = [0.5, 1.5];
/// How far outside the range of the cells a feature may lie, as a share of the range.
const BEYOND: f64 = 0.1;
/// Columns whose deviation from a predictor is at most this factor of the predictor's own are the same
/// device.
const SAME: f64 = 1.25;
/// What the rounding of a predictor's coefficients may add to its deviation.
const ROUNDED: f64 = 1e-4;

/// Fitted predictors of devices, all of one space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShippedPredictors {
    version: u32,
    /// What the numbers are, with source and license.
    about: String,
    /// Names of the features that the predictors use. None depends on a device or a batch.
    features: Vec<String>,
    /// Smallest and largest value of each feature in the space.
    ranges: Vec<[f64; 2]>,
    /// The predictors, sorted by name.
    devices: Vec<ShippedPredictor>,
}

/// The fitted predictor of one device: a sum over features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShippedPredictor {
    /// Name of the device.
    pub name: String,
    /// Description for people.
    pub title: String,
    /// Where the measurements stand: data sets and columns.
    pub sources: Vec<String>,
    /// License of the measurements.
    pub license: String,
    /// When the predictor was fitted.
    pub date: String,
    /// Number of networks that were measured.
    pub networks: usize,
    /// Share of the networks that are predicted within 10 %, in percent.
    pub within_10_percent: f64,
    /// Rank correlation of predictions and measurements.
    pub spearman: f64,
    /// Median error, as the logarithm of a quotient.
    pub median_log_error: f64,
    /// Bounds of predictions in microseconds.
    bounds_us: [f64; 2],
    /// Latency of a network whose features are all 0, in microseconds.
    constant_us: f64,
    /// Microseconds of one unit of each feature.
    coefficients_us: Vec<f64>,
}

impl ShippedPredictors {
    /// The predictors that come with Kiln.
    ///
    /// # Errors
    /// [`HwError::Parse`] or [`HwError::Value`] if the embedded file is damaged.
    pub fn builtin() -> Result<&'static Self, HwError> {
        static BUILTIN: OnceLock<Result<ShippedPredictors, HwError>> = OnceLock::new();
        let parsed = BUILTIN.get_or_init(|| Self::parse("shipped/nasbench201.toml", EMBEDDED));
        parsed.as_ref().map_err(Clone::clone)
    }

    /// Reads predictors.
    ///
    /// # Errors
    /// [`HwError::Parse`] or [`HwError::Value`], with the file's name.
    pub fn parse(file: &str, text: &str) -> Result<Self, HwError> {
        let found: Self = toml::from_str(text).map_err(|error| HwError::Parse {
            file: file.to_owned(),
            line: error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count()),
            key: None,
            error: Box::new(error),
        })?;
        let refuse = |key: &str, found: String, expected| {
            Err(HwError::Value { file: file.to_owned(), key: key.to_owned(), found, expected })
        };
        if found.version != VERSION {
            return refuse("version", found.version.to_string(), "1");
        }
        let names = features::names();
        if let Some(unknown) = found.features.iter().find(|name| !names.contains(name)) {
            return refuse("features", format!("`{unknown}`"), "names of features");
        }
        if found.ranges.len() != found.features.len() {
            return refuse("ranges", found.ranges.len().to_string(), "a range for each feature");
        }
        for device in &found.devices {
            let numbers =
                [&device.bounds_us[..], &[device.constant_us], &device.coefficients_us[..]].concat();
            let usable = numbers.iter().all(|number| number.is_finite()) && device.bounds_us[0] > 0.0;
            if !usable || device.coefficients_us.len() != found.features.len() {
                return refuse(&device.name, "not usable".to_owned(), "finite numbers, one for each feature");
            }
        }
        Ok(found)
    }

    /// Fits a predictor to each table. All tables have the networks of one space.
    ///
    /// # Errors
    /// [`HwError::TooFewMeasurements`] without tables or networks.
    pub fn fit(about: &str, tables: &[(ShippedPredictor, EvaluationTable)]) -> Result<Self, HwError> {
        let Some((_, largest)) = tables.iter().max_by_key(|(_, table)| table.len()) else {
            return Err(HwError::TooFewMeasurements { found: 0, needed: 1 });
        };
        let scales = Scales::new(largest.networks().map(|(features, _)| (features, &[][..])));
        let kept: Vec<usize> =
            scales.varying().into_iter().filter(|feature| features::is_portable(*feature)).collect();
        // Features that never vary have a range too, so that networks of other spaces are recognized.
        let compared: Vec<usize> = (0..features::COUNT)
            .filter(|feature| features::is_portable(*feature) && (*feature < NAMED || kept.contains(feature)))
            .collect();
        let range = |feature: &usize| {
            let values = largest.networks().map(|(features, _)| features[*feature]);
            values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| {
                [low.min(value), high.max(value)]
            })
        };
        let names = features::names();
        let ranges: Vec<[f64; 2]> = compared.iter().map(range).collect();
        let devices = tables.iter().map(|(about, table)| about.fitted(table, &compared, &ranges)).collect();
        let features = compared.iter().map(|feature| names[*feature].clone()).collect();
        Ok(Self { version: VERSION, about: about.to_owned(), features, ranges, devices })
    }

    /// The file's text.
    ///
    /// # Panics
    /// Never, because TOML can express all predictors.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("tables of numbers, texts and lists are valid TOML")
    }

    /// The predictors.
    #[must_use]
    pub fn devices(&self) -> &[ShippedPredictor] {
        &self.devices
    }
}

impl ShippedPredictor {
    /// A predictor that is not fitted yet.
    #[must_use]
    pub fn named(name: &str, title: &str, sources: Vec<String>, license: &str, date: &str) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            sources,
            license: license.to_owned(),
            date: date.to_owned(),
            networks: 0,
            within_10_percent: 0.0,
            spearman: 0.0,
            median_log_error: 0.0,
            bounds_us: [1.0, 1.0],
            constant_us: 0.0,
            coefficients_us: Vec::new(),
        }
    }

    /// The predictor of the latencies of a table: least squares of relative errors, in which outliers count
    /// less.
    fn fitted(&self, table: &EvaluationTable, features: &[usize], ranges: &[[f64; 2]]) -> Self {
        let scale = |[low, high]: [f64; 2]| if high > low { 1.0 / (high - low) } else { 0.0 };
        let scales: Vec<f64> = ranges.iter().map(|range| scale(*range)).collect();
        let point = |row: &[f64]| -> Vec<f64> {
            let scaled = features.iter().zip(ranges.iter().zip(&scales));
            let scaled = scaled.map(|(feature, (range, scale))| (row[*feature] - range[0]) * scale);
            std::iter::once(1.0).chain(scaled).collect()
        };
        let points: Vec<Vec<f64>> = table.networks().map(|(row, _)| point(row)).collect();
        let latencies: Vec<f64> = (0..table.len()).map(|row| table.latency(row)).collect();
        let mut sorted = latencies.clone();
        sorted.sort_by(f64::total_cmp);
        let bounds_us = [
            sorted.first().map_or(1.0, |latency| latency * WITHIN[0]),
            sorted.last().map_or(1.0, |latency| latency * WITHIN[1]),
        ];
        let unit = sorted.get(sorted.len() / 2).copied().unwrap_or(1.0);
        // Weights of the squared errors, in units of the median latency.
        let mut weights: Vec<f64> = latencies.iter().map(|latency| (unit / latency).powi(2)).collect();
        let mut coefficients = Vec::new();
        for _ in 0..ROUNDS {
            let weighed = |(point, weight): (&Vec<f64>, &f64)| -> Vec<f64> {
                point.iter().map(|value| value * weight.sqrt()).collect()
            };
            let rows: Vec<Vec<f64>> = points.iter().zip(&weights).map(weighed).collect();
            let targets: Vec<f64> = latencies
                .iter()
                .zip(&weights)
                .map(|(latency, weight)| latency / unit * weight.sqrt())
                .collect();
            coefficients = kiln_regression::ridge(&rows, &targets, PENALTY);
            let predicted: Vec<f64> = points
                .iter()
                .map(|point| {
                    (kiln_regression::dot(point, &coefficients) * unit).clamp(bounds_us[0], bounds_us[1])
                })
                .collect();
            let errors: Vec<f64> = predicted
                .iter()
                .zip(&latencies)
                .map(|(value, latency)| (latency / value - 1.0).abs())
                .collect();
            let mut sorted = errors.clone();
            sorted.sort_by(f64::total_cmp);
            let deviation = (1.4826 * sorted.get(sorted.len() / 2).copied().unwrap_or(1.0)).max(1e-3);
            weights = predicted
                .iter()
                .zip(&errors)
                .map(|(value, error)| {
                    (unit / value).powi(2) * (FREEDOM + 1.0) / (FREEDOM + (error / deviation).powi(2))
                })
                .collect();
        }
        let coefficients_us: Vec<f64> = coefficients[1..]
            .iter()
            .zip(&scales)
            .map(|(coefficient, scale)| rounded(coefficient * unit * scale))
            .collect();
        let shift: f64 =
            coefficients_us.iter().zip(ranges).map(|(coefficient, range)| coefficient * range[0]).sum();
        let mut fitted = Self {
            networks: table.len(),
            bounds_us: bounds_us.map(significant),
            constant_us: rounded(coefficients[0] * unit - shift),
            coefficients_us,
            ..self.clone()
        };
        let predicted: Vec<f64> = table
            .networks()
            .map(|(row, _)| fitted.latency_us(features.iter().map(|feature| row[*feature])))
            .collect();
        let within = predicted.iter().zip(&latencies).filter(|(a, b)| (*a - *b).abs() <= 0.1 * *b).count();
        fitted.within_10_percent = significant(100.0 * within as f64 / table.len().max(1) as f64);
        fitted.spearman = significant(spearman(&predicted, &latencies).unwrap_or(0.0));
        fitted.median_log_error = significant(spread(&predicted, &latencies).1);
        fitted
    }

    /// The predicted latency in microseconds.
    fn latency_us(&self, features: impl Iterator<Item = f64>) -> f64 {
        let sum: f64 = self
            .coefficients_us
            .iter()
            .zip(features)
            .map(|(coefficient, feature)| coefficient * feature)
            .sum();
        (self.constant_us + sum).clamp(self.bounds_us[0], self.bounds_us[1])
    }
}

/// Which shipped predictors are known devices.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    /// Positions among the shipped predictors.
    devices: Vec<usize>,
}

impl Transfer {
    /// No shipped predictor.
    #[must_use]
    pub const fn none() -> Self {
        Self { devices: Vec::new() }
    }

    /// All shipped predictors.
    ///
    /// # Errors
    /// As [`ShippedPredictors::builtin`].
    pub fn all() -> Result<Self, HwError> {
        Ok(Self { devices: (0..ShippedPredictors::builtin()?.devices.len()).collect() })
    }

    /// The shipped predictors with these names; `all` and `none` are names too.
    ///
    /// # Errors
    /// [`HwError::UnknownShipped`] with the name; as [`ShippedPredictors::builtin`].
    pub fn named<N: AsRef<str>>(names: &[N]) -> Result<Self, HwError> {
        let shipped = ShippedPredictors::builtin()?;
        match names {
            [name] if name.as_ref() == "none" => return Ok(Self::none()),
            [name] if name.as_ref() == "all" => return Self::all(),
            _ => {}
        }
        let find = |name: &N| {
            let found = shipped.devices.iter().position(|device| device.name == name.as_ref());
            found.ok_or_else(|| HwError::UnknownShipped {
                name: name.as_ref().to_owned(),
                known: shipped.devices.iter().map(|device| device.name.clone()).collect(),
            })
        };
        let mut devices: Vec<usize> = names.iter().map(find).collect::<Result<_, _>>()?;
        devices.sort_unstable();
        devices.dedup();
        Ok(Self { devices })
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.devices.is_empty()
    }

    /// Names of the predictors.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let Ok(shipped) = ShippedPredictors::builtin() else { return Vec::new() };
        self.devices
            .iter()
            .filter_map(|device| shipped.devices.get(*device))
            .map(|d| d.name.as_str())
            .collect()
    }

    /// What the predictors say of a network: a latency in microseconds each. `None` for a network unlike
    /// those of the predictors' space.
    pub(crate) fn known_us(&self, features: &[f64]) -> Option<Vec<f64>> {
        if self.devices.is_empty() {
            return Some(Vec::new());
        }
        let shipped = ShippedPredictors::builtin().ok()?;
        let positions = positions(shipped);
        for (position, [low, high]) in positions.iter().zip(&shipped.ranges) {
            let value = *features.get(*position)?;
            let beyond = BEYOND * (high - low) + 1e-9 * high.abs();
            if !(low - beyond..=high + beyond).contains(&value) {
                return None;
            }
        }
        let of = |device: &usize| {
            let device = shipped.devices.get(*device)?;
            Some(device.latency_us(positions.iter().map(|position| features[*position])))
        };
        self.devices.iter().map(of).collect()
    }

    /// Those that are not the device of a column: neither by name, nor by its latencies.
    pub(crate) fn without(&self, table: &EvaluationTable) -> Self {
        let Ok(shipped) = ShippedPredictors::builtin() else { return Self::none() };
        let latencies: Vec<f64> = (0..table.len()).map(|row| table.latency(row)).collect();
        let differs = |device: &&usize| {
            let Some(predictor) = shipped.devices.get(**device) else { return false };
            if named_alike(table.target(), &predictor.name) {
                return false;
            }
            let one = Self { devices: vec![**device] };
            let predicted: Option<Vec<f64>> =
                table.networks().map(|(row, _)| one.known_us(row).map(|known| known[0])).collect();
            predicted.is_none_or(|predicted| {
                spread(&predicted, &latencies).1 > SAME * predictor.median_log_error + ROUNDED
            })
        };
        Self { devices: self.devices.iter().filter(differs).copied().collect() }
    }
}

/// Positions of the shipped predictors' features among all.
fn positions(shipped: &ShippedPredictors) -> &'static [usize] {
    static POSITIONS: OnceLock<Vec<usize>> = OnceLock::new();
    POSITIONS.get_or_init(|| {
        let names = features::names();
        let position = |name: &String| names.iter().position(|known| known == name);
        shipped.features.iter().filter_map(position).collect()
    })
}

/// Whether a column is named after a device, such as `raspi4_latency_ms`.
fn named_alike(column: &str, device: &str) -> bool {
    column.strip_prefix(device).is_some_and(|rest| rest.is_empty() || rest.starts_with("_latency"))
}

/// The median logarithm of `measured / predicted`, and the median distance from it.
fn spread(predicted: &[f64], measured: &[f64]) -> (f64, f64) {
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    let mut logs: Vec<f64> = predicted.iter().zip(measured).map(|(a, b)| (b / a).ln()).collect();
    let middle = median(&mut logs);
    let mut apart: Vec<f64> = logs.iter().map(|log| (log - middle).abs()).collect();
    (middle, median(&mut apart))
}

/// A coefficient with ten significant digits. Large terms cancel in a prediction, so fewer digits would change
/// it.
fn rounded(value: f64) -> f64 {
    format!("{value:.9e}").parse().unwrap_or(value)
}

/// A number for people, with five significant digits.
fn significant(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

//! The fitted cost model: from a handful of measured networks to a predictor of the others. See
//! `docs/fitted.md`.

pub(crate) mod choice;
pub(crate) mod features;
mod file;
mod fit;
mod process;
mod rows;

use std::sync::Arc;

use kiln_space::{Architecture, LayerId, Settings, SettingsError};
use serde::Deserialize;

pub use self::file::FittedNetworks;
pub use self::fit::{Finding, FittedReport};
pub(crate) use self::process::Process;
pub(crate) use self::rows::{Row, Scales};
use crate::registry::ModelPart;
use crate::{Conditions, Cost, CostModel, Device, Estimate, HwError, Interval, Roofline};

/// Predicts latency from measured networks of one device. Energy, memory and the shares of layers are those
/// of the device's roofline.
#[derive(Clone, Debug)]
pub struct Fitted {
    name: String,
    roofline: Roofline,
    networks: FittedNetworks,
    scales: Scales,
    process: Process,
}

/// Settings of a `[[hardware]]` table with `model = "fitted"`. Without them, those of the measurements.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FittedSettings {
    batch: Option<u64>,
    threads: Option<u64>,
}

/// Descriptions of the settings for the schema of configs.
const KEYS: &str = r##"
[batch]
"$ref" = "#/$defs/count"
description = "Examples for which costs are predicted; if given, that of the measurements."

[threads]
"$ref" = "#/$defs/count"
description = "Threads for which costs are predicted; if given, that of the measurements."
"##;

impl Fitted {
    /// The registry entry of this cost model.
    pub(crate) const PART: ModelPart =
        ModelPart::new("from measured networks of the device file", Self::from_settings).with_keys(&[KEYS]);

    /// The model of a device file that holds measured networks.
    ///
    /// # Errors
    /// [`HwError::NotFitted`] when the file holds none.
    pub fn new(device: Device) -> Result<Self, HwError> {
        let Some(networks) = device.fitted.clone() else {
            return Err(HwError::NotFitted { device: device.name });
        };
        let name = format!("{}/fitted/{}", device.name, networks.source());
        let Conditions { batch, threads } = networks.conditions();
        let (scales, process) = (networks.scales(), networks.process());
        Ok(Self { name, roofline: Roofline::new(device, batch, threads), networks, scales, process })
    }

    /// Reads `batch` and `threads`, which must be those of the measurements.
    ///
    /// # Errors
    /// As [`Fitted::new`]; [`HwError::Settings`] with the key.
    pub(crate) fn from_settings(device: Device, settings: &Settings) -> Result<Arc<dyn CostModel>, HwError> {
        let FittedSettings { batch, threads } = settings.read()?;
        let model = Self::new(device)?;
        let Conditions { batch: measured, threads: with } = model.networks.conditions();
        for (key, found, expected) in [("batch", batch, measured), ("threads", threads, with)] {
            if let Some(found) = found.filter(|found| *found != expected) {
                let expected = format!("{expected}, as the networks of the device file were measured");
                return Err(SettingsError::value(settings.key(key), found, &expected).into());
            }
        }
        Ok(Arc::new(model))
    }

    /// Names of the features in which a network differs from all measured ones.
    fn unseen(&self, features: &[f64]) -> Vec<String> {
        let names = features::names();
        self.scales.unseen(features).into_iter().filter_map(|feature| names.get(feature).cloned()).collect()
    }

    /// The features of a network, its predicted latency, and whether it is unlike all measured ones.
    fn predicted(&self, architecture: &Architecture) -> Result<(Interval, Vec<String>), HwError> {
        let features = features::features(architecture, &self.roofline)?;
        let row = self.scales.row(&features, &[]);
        let found = self.process.predict(&row);
        let mut unlike = self.unseen(&features);
        let apart = self.process.apart(&row);
        // Half as far again as the measured networks lie from each other.
        if apart > 1.5 {
            unlike
                .push(format!("{apart:.1} times as far from the measured networks as these from each other"));
        }
        let wider = if unlike.is_empty() { 1.0 } else { apart.max(2.0) };
        let Interval { value, low, high } = Interval { value: found.value, low: found.low, high: found.high };
        let low = if wider > 1.0 { value / (1.0 + wider * (value / low - 1.0)) } else { low };
        Ok((Interval { value, low, high: value + wider * (high - value) }, unlike))
    }
}

impl CostModel for Fitted {
    fn name(&self) -> &str {
        &self.name
    }

    fn conditions(&self) -> Option<Conditions> {
        Some(self.networks.conditions())
    }

    fn basis(&self) -> String {
        format!("{:?} {}", self.networks, self.roofline.basis())
    }

    fn layer(&self, architecture: &Architecture, layer: LayerId) -> Result<Cost, HwError> {
        let mut cost = self.roofline.layer(architecture, layer)?;
        let whole = self.roofline.network(architecture)?.latency_us.value;
        let (fitted, _) = self.predicted(architecture)?;
        // The fitted model knows networks alone; the roofline divides their latency.
        cost.latency_us *= if whole > 0.0 { fitted.value / whole } else { 0.0 };
        Ok(cost)
    }

    fn network(&self, architecture: &Architecture) -> Result<Estimate, HwError> {
        let estimate = self.roofline.network(architecture)?;
        Ok(Estimate { latency_us: self.predicted(architecture)?.0, ..estimate })
    }

    fn unlike(&self, architecture: &Architecture) -> Result<Vec<String>, HwError> {
        Ok(self.predicted(architecture)?.1)
    }
}

//! The fitted cost model: from a handful of measured networks to a predictor of the others. See
//! `docs/fitted.md`.

mod bound;
pub(crate) mod choice;
pub(crate) mod features;
mod file;
mod fit;
mod known;
mod process;
mod regression;
mod rows;
mod shipped;
mod trees;

use std::sync::Arc;

use kiln_space::{Architecture, LayerId, Settings, SettingsError};
use serde::Deserialize;

pub(crate) use self::choice::CHOSEN_MAX;
pub use self::file::FittedNetworks;
use self::file::RestoredFit;
pub use self::fit::{Finding, FittedReport};
pub(crate) use self::regression::Regression;
pub use self::regression::{RegressionKind, WeighedKind};
pub(crate) use self::rows::{Row, Scales};
pub use self::shipped::{ShippedPredictor, ShippedPredictors, Transfer};
use crate::registry::ModelPart;
use crate::{Conditions, Cost, CostModel, Device, Estimate, HwError, Interval, Roofline, Schedule};

/// Predicts latency from measured networks of one device. Energy, memory and the shares of layers are those
/// of the device's roofline.
#[derive(Clone, Debug)]
pub struct Fitted {
    name: String,
    roofline: Roofline,
    networks: FittedNetworks,
    fit: RestoredFit,
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
description = "For models of measurements: examples of a batch that was measured."

[threads]
"$ref" = "#/$defs/count"
description = "For models of measurements: the threads that were measured."
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
        let fit = networks.restored()?;
        Ok(Self { name, roofline: Roofline::new(device, batch, threads), networks, fit })
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

    /// The predicted latency of a network, and in what it is unlike all measured ones.
    fn predicted(
        &self,
        architecture: &Architecture,
        schedule: &Schedule,
    ) -> Result<(Interval, Vec<String>), HwError> {
        Ok(self.fit.predict(&features::features_of(architecture, schedule, &self.roofline)?))
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
        let schedule = Schedule::new(architecture);
        let whole = self.roofline.network_of(architecture, &schedule)?.latency_us.value;
        let (fitted, _) = self.predicted(architecture, &schedule)?;
        // The fitted model knows networks alone; the roofline divides their latency.
        cost.latency_us *= if whole > 0.0 { fitted.value / whole } else { 0.0 };
        Ok(cost)
    }

    fn network(&self, architecture: &Architecture) -> Result<Estimate, HwError> {
        let schedule = Schedule::new(architecture);
        let estimate = self.roofline.network_of(architecture, &schedule)?;
        Ok(Estimate { latency_us: self.predicted(architecture, &schedule)?.0, ..estimate })
    }

    fn unlike(&self, architecture: &Architecture) -> Result<Vec<String>, HwError> {
        Ok(self.predicted(architecture, &Schedule::new(architecture))?.1)
    }
}

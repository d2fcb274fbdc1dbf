//! The cost models of a study. They compute every cost of an architecture. Each cost name includes the unit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use kiln_hw_models::{Conditions, CostModel, HwError};
use kiln_space::{Architecture, SpaceError};
use thiserror::Error;

use crate::trials::Costs;

/// Costs that do not depend on a device.
const COUNTED: [&str; 2] = ["parameters", "macs"];
/// Costs that are predicted for every device.
const PREDICTED: [&str; 4] = ["latency_us", "energy_uj", "peak_memory_bytes", "model_bytes"];
/// Upper ends of predicted intervals, with the cost that they belong to.
const UPPER: [(&str, &str); 2] = [("latency_upper_us", "latency_us"), ("energy_upper_uj", "energy_uj")];

/// The reason why the costs of a genotype cannot be computed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum CostError {
    /// The genotype does not decode to a network.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// A cost model cannot predict the network's cost.
    #[error(transparent)]
    Hardware(#[from] HwError),
    /// A cost model returned a number that is not finite.
    #[error("cost `{name}` is {value}, expected a finite number")]
    NotFinite {
        /// Name of the cost.
        name: String,
        /// The returned number, as text.
        value: String,
    },
}

/// Two devices of a study have the same name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("device `{device}` is named twice; give each device of a study its own name")]
pub struct DuplicateDevice {
    /// Name that two devices have.
    pub device: String,
}

/// How a cost is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostOrigin {
    /// Text that describes the computation.
    pub how: String,
    /// The cost model that predicts the cost. `None` for a cost that is counted.
    pub predictor: Option<CostPredictor>,
}

/// The device and the cost model that predict a cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostPredictor {
    /// Name of the device.
    pub device: String,
    /// Name of the cost model.
    pub model: String,
    /// Batch size and number of threads, if the model states them.
    pub conditions: Option<Conditions>,
}

/// Cost models by device name. With one device, the names of costs are `latency_us` and so on. With several
/// devices, the names are `latency_us@device` and so on.
#[derive(Clone, Default)]
pub struct CostSet {
    devices: Vec<(String, Arc<dyn CostModel>)>,
    /// Devices whose upper ends are costs too.
    upper: BTreeSet<String>,
}

impl CostSet {
    /// Creates the set of cost models from pairs of device name and cost model. The costs `parameters` and
    /// `macs` need no device.
    ///
    /// # Errors
    /// [`DuplicateDevice`] if two devices have the same name.
    pub fn new(devices: Vec<(String, Arc<dyn CostModel>)>) -> Result<Self, DuplicateDevice> {
        for (i, (device, _)) in devices.iter().enumerate() {
            if devices[..i].iter().any(|(earlier, _)| earlier == device) {
                return Err(DuplicateDevice { device: device.clone() });
            }
        }
        Ok(Self { devices, upper: BTreeSet::new() })
    }

    /// Adds the upper ends of the intervals of this device as costs: `latency_upper_us` and
    /// `energy_upper_uj`. A limit on them holds for a prediction that is as wrong as the interval allows.
    #[must_use]
    pub fn with_upper_ends(mut self, device: &str) -> Self {
        self.upper.insert(device.to_owned());
        self
    }

    /// The cost that a limit on `cost` is held against: its upper end, if the device has one.
    #[must_use]
    pub fn limited<'a>(&self, cost: &'a str, device: &str) -> &'a str {
        let upper = UPPER.iter().find(|(_, of)| *of == cost && self.upper.contains(device));
        upper.map_or(cost, |(name, _)| *name)
    }

    /// Returns the devices and their cost models, in the order in which they were passed to `new`.
    #[must_use]
    pub fn devices(&self) -> &[(String, Arc<dyn CostModel>)] {
        &self.devices
    }

    /// Returns the name that [`Costs`] uses for `cost` on `device`.
    #[must_use]
    pub fn qualified(&self, cost: &str, device: &str) -> String {
        if self.devices.len() > 1 { format!("{cost}@{device}") } else { cost.to_owned() }
    }

    /// Returns the names of all costs that the set computes, counts first.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let counted = COUNTED.iter().map(|&name| name.to_owned());
        let predicted = self
            .devices
            .iter()
            .flat_map(|(device, _)| self.predicted(device).map(move |cost| self.qualified(cost, device)));
        counted.chain(predicted).collect()
    }

    /// Returns a map from each cost's name to the way in which this cost is computed. A cost is either
    /// counted, or predicted by a cost model for a batch size and a number of threads.
    #[must_use]
    pub fn origins(&self) -> BTreeMap<String, CostOrigin> {
        let mut origins = BTreeMap::new();
        for name in COUNTED {
            let how = "counted in the architecture".to_owned();
            origins.insert(name.to_owned(), CostOrigin { how, predictor: None });
        }
        for (device, model) in &self.devices {
            for cost in self.predicted(device) {
                // The size of a model does not depend on batch size and number of threads.
                let conditions = model.conditions().filter(|_| cost != "model_bytes");
                let conditions =
                    conditions.map_or_else(String::new, |conditions| format!(" for {conditions}"));
                let upper = if PREDICTED.contains(&cost) { "" } else { ", upper end of the 90 % interval" };
                let how = format!("predicted by {} from the architecture{conditions}{upper}", model.name());
                let predictor = CostPredictor {
                    device: device.clone(),
                    model: model.name().to_owned(),
                    conditions: model.conditions(),
                };
                let origin = CostOrigin { how, predictor: Some(predictor) };
                origins.insert(self.qualified(cost, device), origin);
            }
        }
        origins
    }

    /// Returns the names of a device's costs.
    fn predicted(&self, device: &str) -> impl Iterator<Item = &'static str> + use<> {
        let upper = UPPER.iter().map(|(name, _)| *name).filter(|_| self.upper.contains(device));
        PREDICTED.into_iter().chain(upper.collect::<Vec<_>>())
    }

    /// Computes all costs of an architecture.
    ///
    /// # Errors
    /// [`CostError`] if a model does not support an operation or a number format, or returns a number that is
    /// not finite.
    pub fn network(&self, architecture: &Architecture) -> Result<Costs, CostError> {
        let counts = architecture.counts();
        let mut costs = BTreeMap::new();
        for (name, value) in COUNTED.iter().zip([counts.parameters, counts.macs]) {
            costs.insert((*name).to_owned(), value as f64);
        }
        for (device, model) in &self.devices {
            let estimate = model.network(architecture)?;
            let values = [
                estimate.latency_us.value,
                estimate.energy_uj.value,
                estimate.peak_memory_bytes as f64,
                estimate.model_bytes as f64,
                estimate.latency_us.high,
                estimate.energy_uj.high,
            ];
            for (cost, value) in self.predicted(device).zip(values) {
                let name = self.qualified(cost, device);
                if !value.is_finite() {
                    return Err(CostError::NotFinite { name, value: value.to_string() });
                }
                costs.insert(name, value);
            }
        }
        Ok(Costs(costs.into()))
    }
}

impl fmt::Debug for CostSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.devices.iter().map(|(device, model)| (device, model.name()))).finish()
    }
}

#[cfg(test)]
mod tests {
    use kiln_hw_models::{Cost, Estimate, Interval};
    use kiln_space::{ArchitectureBuilder, LayerId, Shape};

    use super::*;

    struct PerMac(f64);

    impl CostModel for PerMac {
        fn name(&self) -> &'static str {
            "per-mac"
        }
        fn layer(&self, architecture: &Architecture, layer: LayerId) -> Result<Cost, HwError> {
            let macs = architecture.layer_counts(layer).macs as f64;
            Ok(Cost { latency_us: self.0 * macs, energy_uj: macs })
        }
        fn network(&self, architecture: &Architecture) -> Result<Estimate, HwError> {
            let macs = architecture.counts().macs as f64;
            let exact = |value| Interval { value, low: value, high: value };
            Ok(Estimate { latency_us: exact(self.0 * macs), energy_uj: exact(macs), ..Estimate::default() })
        }
    }

    fn network() -> Architecture {
        let mut builder = ArchitectureBuilder::new(Shape::vector(4));
        builder.linear("head", builder.input(), 3).unwrap();
        builder.finish().unwrap()
    }

    fn devices(rates: &[(&str, f64)]) -> CostSet {
        let devices = rates.iter().map(|&(name, rate)| {
            let model: Arc<dyn CostModel> = Arc::new(PerMac(rate));
            (name.to_owned(), model)
        });
        CostSet::new(devices.collect()).unwrap()
    }

    #[test]
    fn cost_names_have_devices_only_with_several_devices() {
        let one = devices(&[("a", 2.0)]);
        let costs = one.network(&network()).unwrap();
        assert!((costs.0["latency_us"] - 24.0).abs() < 1e-12);
        assert!((costs.0["parameters"] - 15.0).abs() < 1e-12);
        let two = devices(&[("a", 2.0), ("b", 3.0)]);
        let costs = two.network(&network()).unwrap();
        assert!((costs.0["latency_us@b"] - 36.0).abs() < 1e-12);
        assert!(!costs.0.contains_key("latency_us"));
        let mut names = two.names();
        names.sort();
        assert!(names.iter().eq(costs.0.keys()));
    }

    #[test]
    fn upper_ends_are_costs_of_the_devices_that_ask_for_them() {
        let device = kiln_hw_models::Device::builtin("cortex-a72").unwrap();
        let model: Arc<dyn CostModel> = Arc::new(kiln_hw_models::Roofline::new(device, 1, 1));
        let plain = CostSet::new(vec![("a".to_owned(), Arc::clone(&model))]).unwrap();
        assert_eq!(plain.limited("latency_us", "a"), "latency_us");
        let both = CostSet::new(vec![("a".to_owned(), Arc::clone(&model)), ("b".to_owned(), model)]).unwrap();
        let both = both.with_upper_ends("b");
        assert_eq!(both.limited("latency_us", "b"), "latency_upper_us");
        assert_eq!((both.limited("latency_us", "a"), both.limited("macs", "b")), ("latency_us", "macs"));
        let costs = both.network(&network()).unwrap();
        assert!(costs.0["latency_upper_us@b"] > costs.0["latency_us@b"]);
        assert!(!costs.0.contains_key("latency_upper_us@a"));
        assert_eq!(both.names().len(), costs.0.len());
        assert!(both.origins()["energy_upper_uj@b"].how.ends_with("upper end of the 90 % interval"));
    }

    #[test]
    fn origin_of_a_predicted_cost_names_batch_size_and_threads() {
        let device = kiln_hw_models::Device::builtin("cortex-a72").unwrap();
        let model: Arc<dyn CostModel> = Arc::new(kiln_hw_models::Roofline::new(device, 32, 4));
        let origins = CostSet::new(vec![("cortex-a72".to_owned(), model)]).unwrap().origins();
        let by = "predicted by cortex-a72/roofline/hw-nas-bench-raspi4-100 from the architecture";
        assert_eq!(origins["latency_us"].how, format!("{by} for a batch of 32 examples on 4 threads"));
        assert_eq!(
            (&*origins["model_bytes"].how, &*origins["macs"].how),
            (by, "counted in the architecture")
        );
        let predictor = CostPredictor {
            device: "cortex-a72".to_owned(),
            model: "cortex-a72/roofline/hw-nas-bench-raspi4-100".to_owned(),
            conditions: Some(Conditions { batch: 32, threads: 4 }),
        };
        assert_eq!(origins["energy_uj"].predictor.as_ref(), Some(&predictor));
        assert_eq!(origins["macs"].predictor, None);
        let origins = devices(&[("a", 2.0), ("b", 3.0)]).origins();
        assert_eq!(origins["latency_us@b"].how, "predicted by per-mac from the architecture");
    }

    #[test]
    fn cost_that_is_not_finite_is_refused() {
        let error = devices(&[("a", f64::NAN)]).network(&network()).unwrap_err();
        assert_eq!(error.to_string(), "cost `latency_us` is NaN, expected a finite number");
    }

    #[test]
    fn device_named_twice_is_refused() {
        let model: Arc<dyn CostModel> = Arc::new(PerMac(1.0));
        let twice = vec![("a".to_owned(), Arc::clone(&model)), ("a".to_owned(), model)];
        assert!(CostSet::new(twice).is_err());
    }
}

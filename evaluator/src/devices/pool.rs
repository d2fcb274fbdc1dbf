//! The devices on which a study trains and evaluates networks. All have the same class, so outcomes do not
//! depend on which device did the work. On the CPU, each device is one parallel worker.

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::Device;
use kiln_space::{Settings, SettingsError};

use crate::devices::{device, parallel};

/// Maximum number of devices.
const MOST: usize = 64;

/// One or several devices.
pub(crate) struct Devices {
    class: String,
    all: Vec<Device>,
    /// Whether the devices sum gradients with a collective.
    has_collective: bool,
    /// Number of evaluations that currently run on each device.
    busy: Mutex<Vec<usize>>,
}

/// A device that an evaluation uses until the lease is dropped.
pub(crate) struct Lease<'a> {
    devices: &'a Devices,
    /// Index of the device.
    pub(crate) index: usize,
    /// Whether other evaluations run at the same time.
    shared: bool,
}

impl Devices {
    /// Schema of the settings that choose devices.
    pub(crate) const KEYS: &str = r##"
device = { type = "string", description = "Where networks run: `cpu`, `cuda:0`, `wgpu:0`." }

[devices]
"$ref" = "#/$defs/strings"
description = "Several devices of one kind, in place of `device`."
"##;

    /// Opens the devices of `device = "cpu"` or `devices = ["cuda:0", "cuda:1"]`, and checks that they work.
    ///
    /// # Errors
    /// [`SettingsError`] when a config contains both settings, lists no devices or too many, or lists a
    /// device that is unknown, does not exist, or has another class than the first.
    pub(crate) fn read(
        device: Option<&str>,
        devices: &[String],
        settings: &Settings,
    ) -> Result<Self, SettingsError> {
        if device.is_some() && !devices.is_empty() {
            let expected = "either `device` or `devices`";
            return Err(SettingsError::value(settings.key("devices"), "both", expected));
        }
        let is_empty = settings.table().contains_key("devices") && devices.is_empty();
        if is_empty || devices.len() > MOST {
            let expected = format!("1 to {MOST} devices");
            return Err(SettingsError::value(settings.key("devices"), devices.len(), &expected));
        }
        let named: Vec<(String, &str)> = if devices.is_empty() {
            vec![(settings.key("device"), device.unwrap_or("cpu"))]
        } else {
            let key = |index: usize| settings.key(&format!("devices.{index}"));
            devices.iter().enumerate().map(|(index, name)| (key(index), name.as_str())).collect()
        };
        let kind = device::kind(named[0].1);
        if let Some((key, other)) = named.iter().find(|(_, name)| device::kind(name) != kind) {
            let expected =
                format!("devices of one kind, such as `{}`: their outcomes are compared", named[0].1);
            return Err(SettingsError::value(key, format!("`{other}`"), &expected));
        }
        let all = named.iter().map(|(key, name)| device::open(name, key)).collect::<Result<Vec<_>, _>>()?;
        let class = device::class(kind, &all[0]);
        for ((key, name), device) in named.iter().zip(&all) {
            let other = device::class(kind, device);
            if other != class {
                let expected = format!(
                    "GPUs of one model, such as `{}` ({class}): their outcomes are compared",
                    named[0].1
                );
                return Err(SettingsError::value(key, format!("`{name}` ({other})"), &expected));
            }
        }
        let busy = Mutex::new(vec![0; all.len()]);
        // If the config lists the same GPU twice, that GPU runs two workers. The workers cannot use a
        // collective, because the GPU would wait for itself.
        let distinct = (1..all.len()).all(|index| !all[..index].contains(&all[index]));
        let has_collective = cfg!(feature = "cuda") && kind == "cuda" && all.len() > 1 && distinct;
        #[cfg(feature = "cuda")]
        if has_collective {
            crate::devices::collective::probe(&all).map_err(|problem| {
                let expected =
                    format!("GPUs that NCCL can sum over ({problem}); check NCCL, or name one device");
                SettingsError::value(settings.key("devices"), format!("{} of them", all.len()), &expected)
            })?;
        }
        let class = if has_collective { format!("{class}/nccl-{}", all.len()) } else { class };
        Ok(Self { class, all, has_collective, busy })
    }

    /// Returns the class of the devices, for fingerprints.
    pub(crate) fn class(&self) -> &str {
        &self.class
    }

    /// Whether the devices sum gradients with a collective. The sum then depends on the number of devices, so
    /// the device class includes this number.
    pub(crate) const fn has_collective(&self) -> bool {
        self.has_collective
    }

    /// The device that runs the optimizer.
    pub(crate) fn main(&self) -> &Device {
        &self.all[0]
    }

    /// All devices, the main one first.
    pub(crate) fn all(&self) -> &[Device] {
        &self.all
    }

    /// Leases the device with the fewest evaluations. Ties go to the first device.
    pub(crate) fn lease(&self) -> Lease<'_> {
        let mut busy = self.lock();
        let index = (0..busy.len()).min_by_key(|index| busy[*index]).unwrap_or(0);
        busy[index] += 1;
        Lease { devices: self, index, shared: busy.iter().sum::<usize>() > 1 }
    }

    /// Applies `work` to every item in parallel, and returns the results in order. Item `i` runs on device
    /// `i` modulo the number of devices. A single device uses as many threads as there are cores.
    pub(crate) fn map<T: Sync, R: Send>(
        &self,
        items: &[T],
        work: impl Fn(usize, &T, &Device) -> R + Sync,
    ) -> Vec<R> {
        match self.all.as_slice() {
            [one] => parallel::map(items, |index, item| work(index, item, one)),
            several => parallel::map_in_lanes(items, several.len(), |index, item| {
                work(index, item, &several[index % several.len()])
            }),
        }
    }

    /// Like [`Self::map`], but for work that uses a whole device: each GPU processes one item at a time.
    pub(crate) fn map_whole<T: Sync, R: Send>(
        &self,
        items: &[T],
        work: impl Fn(usize, &T, &Device) -> R + Sync,
    ) -> Vec<R> {
        if kiln_kernels::runs_on(self.main()) {
            return self.map(items, work);
        }
        let count = self.all.len();
        parallel::map_in_lanes(items, count, |index, item| work(index, item, &self.all[index % count]))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<usize>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease<'_> {
    fn device(&self) -> &Device {
        &self.devices.all[self.index]
    }

    /// Runs an evaluation. On the CPU, the evaluation uses one thread if other evaluations run at the same
    /// time, and all threads otherwise.
    pub(crate) fn run<R: Send>(&self, work: impl FnOnce(&Device) -> R + Send) -> R {
        if self.shared { parallel::on_one_thread(|| work(self.device())) } else { work(self.device()) }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.devices.lock()[self.index] -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(device: Option<&str>, devices: &[&str]) -> Result<Devices, String> {
        let devices: Vec<String> = devices.iter().map(|name| (*name).to_owned()).collect();
        Devices::read(device, &devices, &Settings::empty("evaluator")).map_err(|error| error.to_string())
    }

    #[test]
    fn evaluations_go_to_the_least_busy_device() {
        let devices = read(None, &["cpu", "cpu"]).unwrap();
        let (first, second) = (devices.lease(), devices.lease());
        assert_eq!((first.index, second.index), (0, 1));
        drop(second);
        let third = devices.lease();
        assert_eq!((third.index, devices.lease().index), (1, 0));
        assert_eq!(read(None, &[]).unwrap().all().len(), 1);
    }

    #[test]
    fn unusable_devices_are_refused_with_their_key() {
        let both = read(Some("cpu"), &["cpu"]).err().unwrap();
        assert!(both.contains("`evaluator.devices`") && both.contains("either"), "{both}");
        let unknown = read(None, &["cpu", "tpu:0"]).err().unwrap();
        assert!(unknown.contains("`evaluator.devices.1`"), "{unknown}");
        if !cfg!(feature = "cuda") {
            let missing = read(Some("cuda:0"), &[]).err().unwrap();
            assert!(
                missing.contains("`evaluator.device`") && missing.contains("--features cuda"),
                "{missing}"
            );
        }
    }
}

//! A registry of cost models by name. The settings of a `[[hardware]]` table select and configure a model.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::Arc;

use kiln_space::{Registration, Registry, Settings, SettingsError};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{CostModel, Device, HwError};

/// Builds a cost model for a device from the model's own settings.
pub type ModelBuilder = fn(Device, &Settings) -> Result<Arc<dyn CostModel>, HwError>;

/// The registry entry of a cost model.
pub type ModelPart = Registration<ModelBuilder>;

/// The model to use if the settings name none.
const DEFAULT_MODEL: &str = "roofline";

/// A registry of cost models by name. Other programs can register their own.
///
/// # Example
/// ```
/// use kiln_hw_models::HardwareRegistry;
/// use kiln_space::Settings;
/// use serde_json::json;
///
/// let settings = json!({ "device": "xeon-4210r", "batch": 1, "threads": 4 });
/// let settings = Settings::new("hardware.0", settings.as_object().cloned().unwrap_or_default());
/// let model = HardwareRegistry::builtin().build(&settings)?;
/// assert_eq!(model.name(), "xeon-4210r/roofline/datasheet");
/// # Ok::<(), kiln_hw_models::HwError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct HardwareRegistry(Registry<ModelBuilder>);

/// The keys that every `[[hardware]]` table may have. Other keys belong to the model.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Common {
    device: Option<String>,
    file: Option<PathBuf>,
    model: Option<String>,
}

impl Common {
    const KEYS: [&'static str; 3] = ["device", "file", "model"];
}

impl HardwareRegistry {
    /// Creates a registry with the models of this crate.
    #[must_use]
    pub fn builtin() -> Self {
        let mut registry = Self::default();
        registry.add("fitted", crate::fitted::Fitted::PART);
        registry.add("kernels", crate::kernels::Kernels::PART);
        registry.add("roofline", crate::roofline::Roofline::PART);
        registry.add("table", crate::table::KernelTable::PART);
        registry
    }

    /// Returns the built-in devices, sorted by name.
    ///
    /// # Errors
    /// The errors of [`Device::builtin`], if an embedded file is invalid.
    pub fn devices(&self) -> Result<Vec<Device>, HwError> {
        Device::builtin_names().into_iter().map(Device::builtin).collect()
    }

    /// Builds the cost model of a `[[hardware]]` table. The table has the key `device` (a built-in name) or
    /// `file` (the path of a device file). It may have the key `model` (`roofline` by default) and the
    /// model's own keys, such as `batch` and `threads`.
    ///
    /// # Errors
    /// [`HwError::Settings`], which names the key, and the errors of [`Device::open`].
    pub fn build(&self, settings: &Settings) -> Result<Arc<dyn CostModel>, HwError> {
        let table: Map<String, Value> = settings.read()?;
        let (common, own) = table.into_iter().partition(|(key, _)| Common::KEYS.contains(&key.as_str()));
        let common: Common = Settings::new(settings.path(), common).read()?;
        let own = Settings::new(settings.path(), own);

        let name = common.model.as_deref().unwrap_or(DEFAULT_MODEL);
        let part = self.find(name).map_err(|unknown| unknown.at(settings.key("model")))?;
        let device = match (&common.device, &common.file) {
            (Some(device), None) => Device::builtin(device)
                .map_err(|_| one_of(settings, "device", device, &Device::builtin_names()))?,
            (None, Some(file)) => Device::open(file)?,
            (Some(_), Some(_)) => {
                let expected = "either `device` or `file`";
                return Err(SettingsError::value(settings.key("file"), "both", expected).into());
            }
            (None, None) => {
                let expected = format!("one of {}, or a `file`", quoted(&Device::builtin_names()));
                return Err(SettingsError::value(settings.key("device"), "nothing", &expected).into());
            }
        };
        (part.build)(device, &own)
    }
}

impl Deref for HardwareRegistry {
    type Target = Registry<ModelBuilder>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for HardwareRegistry {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

fn one_of(settings: &Settings, key: &str, found: &str, known: &[&str]) -> SettingsError {
    SettingsError::value(settings.key(key), format!("`{found}`"), &format!("one of {}", quoted(known)))
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Roofline;

    #[track_caller]
    fn build(settings: &Value) -> Result<Arc<dyn CostModel>, HwError> {
        let table = settings.as_object().unwrap().clone();
        HardwareRegistry::builtin().build(&Settings::new("hardware.0", table))
    }

    #[track_caller]
    fn refused(settings: &Value) -> String {
        build(settings).err().expect("the settings are refused").to_string()
    }

    #[test]
    fn build_accepts_every_builtin_device() {
        for device in HardwareRegistry::builtin().devices().unwrap() {
            let model = build(&json!({ "device": device.name })).unwrap();
            assert_eq!(model.device(), device.name);
        }
    }

    #[test]
    fn build_errors_name_the_key() {
        let devices = "`cortex-a72`, `cortex-m7`, `h200`, `jetson-tx2`, `xeon-4210r`";
        let registry = HardwareRegistry::builtin();
        let models = quoted(&registry.names().collect::<Vec<_>>());
        let cases = [
            (
                json!({}),
                format!("`hardware.0.device`: found nothing, expected one of {devices}, or a `file`"),
            ),
            (
                json!({ "device": "abacus" }),
                format!("`hardware.0.device`: found `abacus`, expected one of {devices}"),
            ),
            (
                json!({ "device": "h200", "model": "oracle" }),
                format!("`hardware.0.model`: found `oracle`, expected one of {models}"),
            ),
            (
                json!({ "device": "h200", "file": "h200.toml" }),
                "`hardware.0.file`: found both, expected either `device` or `file`".to_owned(),
            ),
            (
                json!({ "device": "h200", "batch": 0 }),
                "`hardware.0.batch`: found 0, expected a whole number from 1 to 65536".to_owned(),
            ),
            (
                json!({ "device": "h200", "threads": 1_000_000 }),
                "`hardware.0.threads`: found 1000000, expected a whole number from 1 to 65536".to_owned(),
            ),
            (
                json!({ "device": 3 }),
                "`hardware.0.device`: invalid type: integer `3`, expected a string".to_owned(),
            ),
        ];
        for (settings, expected) in cases {
            assert_eq!(refused(&settings), expected, "{settings}");
        }
        let unknown = refused(&json!({ "device": "h200", "bacth": 1 }));
        assert!(unknown.starts_with("`hardware.0"), "{unknown}");
        assert!(unknown.contains("unknown field `bacth`, expected `batch` or `threads`"), "{unknown}");
    }

    #[test]
    fn build_accepts_device_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        let mut device = Device::builtin("cortex-a72").unwrap();
        device.name = "mine".to_owned();
        device.calibration = None;
        std::fs::write(&path, toml::to_string(&device).unwrap()).unwrap();
        let model = build(&json!({ "file": path })).unwrap();
        assert_eq!(model.name(), "mine/roofline/datasheet");
        let missing = refused(&json!({ "file": folder.path().join("none.toml") }));
        assert!(missing.contains("none.toml: cannot be read"), "{missing}");
    }

    #[test]
    fn build_finds_model_registered_by_caller() {
        let mut registry = HardwareRegistry::builtin();
        registry.add("twin", Roofline::PART);
        assert!(registry.names().any(|name| name == "twin"));
        let table = json!({ "device": "h200", "model": "twin" }).as_object().unwrap().clone();
        assert!(registry.build(&Settings::new("hardware.0", table)).is_ok());
    }
}

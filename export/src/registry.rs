//! Exporters by name. Other programs can register their own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::{ExportError, Exporter, Onnx, RustModule, Safetensors};

/// Export formats by name.
///
/// # Example
/// ```
/// let formats = kiln_export::ExporterRegistry::builtin();
/// assert_eq!(formats.get("onnx")?.extension(), "onnx");
/// assert!(formats.get("onyx").is_err());
/// # Ok::<(), kiln_export::ExportError>(())
/// ```
#[derive(Clone, Default)]
pub struct ExporterRegistry {
    exporters: BTreeMap<String, Arc<dyn Exporter>>,
}

impl ExporterRegistry {
    /// A registry without formats.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The formats of this crate.
    #[must_use]
    pub fn builtin() -> Self {
        let mut registry = Self::new();
        registry.register("onnx", Arc::new(Onnx));
        registry.register("rust", Arc::new(RustModule));
        registry.register("safetensors", Arc::new(Safetensors));
        registry
    }

    /// Adds a format. Returns the format that it replaces, if the name was taken.
    pub fn register(
        &mut self,
        name: impl Into<String>,
        exporter: Arc<dyn Exporter>,
    ) -> Option<Arc<dyn Exporter>> {
        self.exporters.insert(name.into(), exporter)
    }

    /// The exporter with this name.
    ///
    /// # Errors
    /// [`ExportError::UnknownFormat`] with the known names.
    pub fn get(&self, name: &str) -> Result<&dyn Exporter, ExportError> {
        self.exporters.get(name).map(AsRef::as_ref).ok_or_else(|| ExportError::UnknownFormat {
            name: name.to_owned(),
            known: self.names().map(str::to_owned).collect(),
        })
    }

    /// Names of all formats, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.exporters.keys().map(String::as_str)
    }
}

impl fmt::Debug for ExporterRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{WEIGHTS_FILE, testing};

    #[test]
    fn every_registered_exporter_obeys_the_laws() {
        let registry = ExporterRegistry::builtin();
        for name in registry.names() {
            let (exporter, models) = (registry.get(name).unwrap(), testing::sample_models());
            match name {
                "onnx" => testing::check_exporter(exporter, testing::read_onnx, &models),
                "rust" => testing::check_folder_exporter(
                    exporter,
                    |files| testing::read_safetensors(&files[WEIGHTS_FILE]),
                    &models,
                ),
                "safetensors" => testing::check_exporter(exporter, testing::read_safetensors, &models),
                other => panic!("say how `{other}` is read back"),
            }
        }
    }

    #[test]
    fn get_with_unknown_format_lists_known_formats() {
        let message = ExporterRegistry::builtin().get("tflite").map(|_| ()).unwrap_err().to_string();
        assert_eq!(
            message,
            "there is no export format `tflite`; the formats are `onnx`, `rust`, `safetensors`"
        );
    }
}

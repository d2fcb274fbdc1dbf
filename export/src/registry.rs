//! A registry of exporters by name. Other programs can register their own.

use std::ops::{Deref, DerefMut};

use kiln_space::Registry;

use crate::{ExportError, Exporter, ExporterBuilder, ReadBack};

/// A registry of export formats by name.
///
/// # Example
/// ```
/// let formats = kiln_export::ExporterRegistry::builtin();
/// assert_eq!(formats.build("onnx")?.extension(), "onnx");
/// assert!(formats.build("onyx").is_err());
/// # Ok::<(), kiln_export::ExportError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ExporterRegistry(Registry<ExporterBuilder, ReadBack>);

impl ExporterRegistry {
    /// Creates a registry with the formats of this crate.
    #[must_use]
    pub fn builtin() -> Self {
        let mut registry = Self::default();
        registry.add("onnx", crate::onnx::Onnx::PART);
        registry.add("rust", crate::rust_module::RustModule::PART);
        registry.add("safetensors", crate::safetensors::Safetensors::PART);
        registry
    }

    /// Builds the exporter with this name.
    ///
    /// # Errors
    /// [`ExportError::UnknownFormat`] with the known names.
    pub fn build(&self, name: &str) -> Result<Box<dyn Exporter>, ExportError> {
        let part = self
            .find(name)
            .map_err(|unknown| ExportError::UnknownFormat { name: unknown.found, known: unknown.known })?;
        Ok((part.build)())
    }
}

impl Deref for ExporterRegistry {
    type Target = Registry<ExporterBuilder, ReadBack>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for ExporterRegistry {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn every_registered_exporter_obeys_the_laws() {
        let (registry, models) = (ExporterRegistry::builtin(), testing::sample_models());
        for (name, part) in registry.entries() {
            assert!(!part.doc.is_empty(), "`{name}` needs a line of documentation");
            let exporter = (part.build)();
            match part.fixture.unwrap_or_else(|| panic!("`{name}` is registered without its `ReadBack`")) {
                ReadBack::File(read) => testing::check_exporter(exporter.as_ref(), read, &models),
                ReadBack::Folder(read) => testing::check_folder_exporter(exporter.as_ref(), read, &models),
            }
        }
    }

    #[test]
    fn build_with_unknown_format_lists_known_formats() {
        let registry = ExporterRegistry::builtin();
        let message = registry.build("tflite").map(|_| ()).unwrap_err().to_string();
        let known: Vec<String> = registry.names().map(|name| format!("`{name}`")).collect();
        let known = known.join(", ");
        assert_eq!(message, format!("there is no export format `tflite`; the formats are {known}"));
    }
}

//! Writes exported networks to disk.

use std::path::{Path, PathBuf};

use kiln_files::{Overwrite, write_output, write_output_folder};

use crate::{ExportError, Exporter, TrainedModel};

/// The file that turns a folder into a Rust package.
const PACKAGE: &str = "Cargo.toml";

/// Writes a network in one format. `path` becomes a file or a folder, depending on the format. Returns the
/// paths of the written files.
///
/// A file or a new folder appears completely or not at all. Existing files with other content are overwritten
/// only with `force`. Other files in an existing folder stay. If the path is a device or a pipe, the bytes
/// are written to it directly.
///
/// # Errors
/// [`ExportError::Unwritable`] when the format cannot express the network. [`ExportError::Files`] when a file
/// cannot be written or must not be overwritten.
pub fn write_files(
    exporter: &dyn Exporter,
    model: &TrainedModel,
    path: &Path,
    force: bool,
) -> Result<Vec<PathBuf>, ExportError> {
    let at = |source| ExportError::Unwritable { path: path.to_owned(), source: Box::new(source) };
    let Some(files) = exporter.folder(model).map_err(at)? else {
        let mut bytes = Vec::new();
        exporter.export(model, &mut bytes).map_err(at)?;
        write_output(path, &bytes, if force { Overwrite::Always } else { Overwrite::Never })?;
        return Ok(vec![path.to_owned()]);
    };
    let first = files.keys().next().map_or("", String::as_str);
    let marker = if files.contains_key(PACKAGE) { PACKAGE } else { first };
    write_output_folder(path, &files, marker, force)?;
    Ok(files.keys().map(|name| path.join(name)).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{Onnx, RustModule, testing};

    #[test]
    fn write_files_writes_file_or_folder_by_format() {
        let folder = tempfile::tempdir().unwrap();
        let model = testing::perceptron();
        let onnx = folder.path().join("a.onnx");
        assert_eq!(write_files(&Onnx, &model, &onnx, false).unwrap(), std::slice::from_ref(&onnx));
        let package = folder.path().join("a");
        let written = write_files(&RustModule, &model, &package, false).unwrap();
        assert_eq!(written.len(), 5);
        assert!(written.iter().all(|file| file.is_file()));
        // Writing the same content again must succeed.
        assert_eq!(write_files(&RustModule, &model, &package, false).unwrap(), written);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn write_files_overwrites_other_network_only_with_force() {
        let folder = tempfile::tempdir().unwrap();
        let (model, mut other) = (testing::perceptron(), testing::perceptron());
        other.card.name = "another".to_owned();
        for (exporter, name) in [(&Onnx as &dyn Exporter, "a.onnx"), (&RustModule, "a")] {
            let path = folder.path().join(name);
            let written = write_files(exporter, &model, &path, false).unwrap();
            let bytes = || written.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>();
            let before = bytes();
            let error = write_files(exporter, &other, &path, false).unwrap_err().to_string();
            assert!(error.contains("already exists"), "{error}");
            assert_eq!(bytes(), before);
            write_files(exporter, &other, &path, true).unwrap();
            assert_ne!(bytes(), before);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn write_files_writes_to_device() {
        use std::os::unix::fs::FileTypeExt;
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("a.onnx");
        // Write through a link. A broken writer that renames a file would replace the link, not the device.
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        assert_eq!(
            write_files(&Onnx, &testing::perceptron(), &link, false).unwrap(),
            std::slice::from_ref(&link)
        );
        assert!(link.metadata().unwrap().file_type().is_char_device());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn failed_write_leaves_nothing_and_names_path() {
        let folder = tempfile::tempdir().unwrap();
        let mut model = testing::perceptron();
        model.arrays.clear();
        let path = folder.path().join("a.onnx");
        let error = write_files(&Onnx, &model, &path, false).unwrap_err();
        assert!(error.to_string().contains("a.onnx"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        // `path` is a file, but the format needs a folder.
        fs::write(&path, "").unwrap();
        assert!(write_files(&RustModule, &testing::perceptron(), &path, true).is_err());
    }
}

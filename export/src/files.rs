//! Exported networks on disk.

use std::path::{Path, PathBuf};

use kiln_files::{Overwrite, write_output, write_output_folder};

use crate::{ExportError, Exporter, TrainedModel};

/// The file of a Rust package without which the folder is none.
const PACKAGE: &str = "Cargo.toml";

/// Writes a network in one format at `path`, which is a file, or a folder where the format is one. Returns
/// its files.
///
/// A file, or a new folder, appears whole. Existing content is overwritten only where it is the same, or with
/// `force`. Other files of an existing folder stay. A device or a pipe is written to as it is.
///
/// # Errors
/// [`ExportError::Unwritable`] when the format cannot hold the network, [`ExportError::Files`] when a file
/// cannot be written or may not be overwritten.
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
    fn a_format_is_a_file_or_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let model = testing::perceptron();
        let onnx = folder.path().join("a.onnx");
        assert_eq!(write_files(&Onnx, &model, &onnx, false).unwrap(), std::slice::from_ref(&onnx));
        let package = folder.path().join("a");
        let written = write_files(&RustModule, &model, &package, false).unwrap();
        assert_eq!(written.len(), 5);
        assert!(written.iter().all(|file| file.is_file()));
        // The same again.
        assert_eq!(write_files(&RustModule, &model, &package, false).unwrap(), written);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn another_network_is_overwritten_only_when_forced() {
        let folder = tempfile::tempdir().unwrap();
        let (model, mut other) = (testing::perceptron(), testing::perceptron());
        other.card.name = "another".to_owned();
        for (exporter, name) in [(&Onnx as &dyn Exporter, "a.onnx"), (&RustModule, "a")] {
            let path = folder.path().join(name);
            let written = write_files(exporter, &model, &path, false).unwrap();
            let bytes = || written.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>();
            let before = bytes();
            let error = write_files(exporter, &other, &path, false).unwrap_err().to_string();
            assert!(error.contains("is there already"), "{error}");
            assert_eq!(bytes(), before);
            write_files(exporter, &other, &path, true).unwrap();
            assert_ne!(bytes(), before);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_written_to_and_stays() {
        use std::os::unix::fs::FileTypeExt;
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("a.onnx");
        // Through a link, so that a writer that renames harms nothing but the link.
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        assert_eq!(
            write_files(&Onnx, &testing::perceptron(), &link, false).unwrap(),
            std::slice::from_ref(&link)
        );
        assert!(link.metadata().unwrap().file_type().is_char_device());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_and_names_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let mut model = testing::perceptron();
        model.arrays.clear();
        let path = folder.path().join("a.onnx");
        let error = write_files(&Onnx, &model, &path, false).unwrap_err();
        assert!(error.to_string().contains("a.onnx"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        // A folder where a file is.
        fs::write(&path, "").unwrap();
        assert!(write_files(&RustModule, &testing::perceptron(), &path, true).is_err());
    }
}

//! Exported networks on disk.

use std::fs::{self, File};
use std::io::{BufWriter, IntoInnerError, Write};
use std::path::{Path, PathBuf};

use crate::{ExportError, Exporter, TrainedModel};

/// Writes a network in one format at `path`: a file, or a folder where the format is one. Gives the files written.
///
/// Every file is written beside its place and renamed, so that there is never half a file. Other files of an existing
/// folder stay. A device or a pipe is written to as it is.
///
/// # Errors
/// [`ExportError::Unwritable`] with the path and what is wrong.
pub fn write_files(
    exporter: &dyn Exporter,
    model: &TrainedModel,
    path: &Path,
) -> Result<Vec<PathBuf>, ExportError> {
    let at =
        |path: &Path, source| ExportError::Unwritable { path: path.to_owned(), source: Box::new(source) };
    let Some(folder) = exporter.folder(model).map_err(|error| at(path, error))? else {
        write_whole(path, &mut |out| exporter.export(model, out)).map_err(|error| at(path, error))?;
        return Ok(vec![path.to_owned()]);
    };
    let mut written = Vec::new();
    for (name, bytes) in folder {
        let file = path.join(name);
        let parent = file.parent().unwrap_or(path);
        fs::create_dir_all(parent).map_err(|error| at(parent, error.into()))?;
        write_whole(&file, &mut |out| Ok(out.write_all(&bytes)?)).map_err(|error| at(&file, error))?;
        written.push(file);
    }
    Ok(written)
}

/// Writes beside `path`, syncs and renames; what cannot be written whole is removed.
pub(crate) fn write_whole(
    path: &Path,
    write: &mut dyn FnMut(&mut dyn Write) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    if path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        let mut out = BufWriter::new(File::options().write(true).open(path)?);
        write(&mut out)?;
        return Ok(out.flush()?);
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let mut save = || -> Result<(), ExportError> {
        let mut out = BufWriter::new(File::create(&partial)?);
        write(&mut out)?;
        out.into_inner().map_err(IntoInnerError::into_error)?.sync_all()?;
        Ok(fs::rename(&partial, path)?)
    };
    save().inspect_err(|_| {
        // What is left of a failed write is of no use; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&partial);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Onnx, RustModule, testing};

    #[test]
    fn a_format_is_a_file_or_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let model = testing::perceptron();
        let onnx = folder.path().join("a.onnx");
        assert_eq!(write_files(&Onnx, &model, &onnx).unwrap(), std::slice::from_ref(&onnx));
        let package = folder.path().join("a");
        let written = write_files(&RustModule, &model, &package).unwrap();
        assert_eq!(written.len(), 5);
        assert!(written.iter().all(|file| file.is_file()));
        // Again over the old ones.
        assert_eq!(write_files(&RustModule, &model, &package).unwrap(), written);
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
        assert_eq!(write_files(&Onnx, &testing::perceptron(), &link).unwrap(), std::slice::from_ref(&link));
        assert!(link.metadata().unwrap().file_type().is_char_device());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_and_names_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let mut model = testing::perceptron();
        model.arrays.clear();
        let path = folder.path().join("a.onnx");
        let error = write_files(&Onnx, &model, &path).unwrap_err();
        assert!(error.to_string().contains("a.onnx"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        // A folder where a file is.
        fs::write(&path, "").unwrap();
        assert!(write_files(&RustModule, &testing::perceptron(), &path).is_err());
    }
}

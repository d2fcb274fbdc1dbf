//! Files that a command was asked to write, where it was asked to.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context;

use crate::exit::Failure;

/// Writes `what` to a file: beside its place, then renamed, so that there is never half a file. Devices and pipes are
/// written to as they are.
pub(crate) fn write(path: &Path, what: &str, bytes: &[u8]) -> Result<(), Failure> {
    let is_stream = path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir());
    let written = if is_stream { fs::write(path, bytes) } else { write_whole(path, bytes) };
    let written = written.with_context(|| format!("{}: cannot write {what}", path.display()));
    written.map_err(Failure::unwritable)
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let written = fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        // Half a file is of no use; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&partial);
    }
    written
}

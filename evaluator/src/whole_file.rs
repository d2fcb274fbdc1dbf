//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes a file beside its place, syncs it, and moves it there.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    kiln_search::check_held(path)?;
    let beside = path.with_extension("partial");
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    written.inspect_err(|_| {
        // Half a file is of no use; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&beside);
    })
}

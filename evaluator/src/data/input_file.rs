//! A file of a data set, plain or gzipped, read with a limit.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::DataError;

/// Maximum number of values in a data set. Each value takes four bytes of memory.
pub(super) const MAX_VALUES: u64 = 1 << 30;
/// Maximum size of a text in bytes.
const MAX_TEXT: u64 = 1 << 31;
/// Maximum number of classes.
pub(super) const MAX_CLASSES: usize = 10_000;
/// Maximum number of examples in a data set.
pub(super) const MAX_EXAMPLES: u64 = 100_000_000;

/// A data file that is open for reading.
pub(super) struct InputFile {
    path: PathBuf,
    reader: Box<dyn Read>,
    /// Number of decompressed bytes read so far.
    offset: u64,
}

impl InputFile {
    /// Opens `path`. If it does not exist, opens `path` with `.gz` appended.
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let mut zipped = path.as_os_str().to_owned();
        zipped.push(".gz");
        for candidate in [path.to_owned(), PathBuf::from(zipped)] {
            // Opening a pipe would block until a writer opens it, and a device may be endless.
            if candidate.metadata().is_ok_and(|data| !data.is_file() && !data.is_dir()) {
                let found = "a pipe, a socket or a device";
                return Err(DataError::content(&candidate, "file", found, "a file that ends"));
            }
            match File::open(&candidate) {
                Ok(file) => {
                    let gzip = candidate.extension().is_some_and(|extension| extension == "gz");
                    let reader = BufReader::new(file);
                    let reader: Box<dyn Read> =
                        if gzip { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };
                    return Ok(Self { path: candidate, reader, offset: 0 });
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(source) => return Err(DataError::Read { path: candidate, source }),
            }
        }
        Err(DataError::Missing { path: path.to_owned() })
    }

    /// A file inside an archive.
    pub(super) fn within(path: PathBuf, reader: Box<dyn Read>) -> Self {
        Self { path, reader, offset: 0 }
    }

    /// The path at which the file was found.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Builds an error for unexpected content.
    pub(super) fn content(
        &self,
        place: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> DataError {
        DataError::content(&self.path, place, found, expected)
    }

    /// Reads `count` bytes, or fewer at the end of the file. Memory grows with the number of bytes that were
    /// read.
    pub(super) fn up_to(&mut self, count: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        let read = (&mut self.reader).take(count).read_to_end(&mut bytes);
        self.offset += bytes.len() as u64;
        read.map(|_| bytes).map_err(|source| Self::refused(&self.path, source))
    }

    /// Reads exactly `count` bytes. Error messages use `what` as the name of these bytes.
    pub(super) fn exactly(&mut self, count: u64, what: &str) -> Result<Vec<u8>, DataError> {
        let place = self.offset;
        let bytes = self.up_to(count)?;
        if bytes.len() as u64 == count {
            return Ok(bytes);
        }
        let found = format!("the end of the file after {} of {count} bytes", bytes.len());
        Err(self.content(format!("byte {place}"), found, what))
    }

    /// Converts a read error. Damaged compression counts as unexpected content.
    pub(super) fn refused(path: &Path, source: std::io::Error) -> DataError {
        if matches!(
            source.kind(),
            ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof
        ) {
            return DataError::content(path, "the packed bytes", source.to_string(), "a whole gzip file");
        }
        DataError::Read { path: path.to_owned(), source }
    }

    /// Returns the rest of the file as text. Reading fails beyond [`MAX_TEXT`] bytes.
    pub(super) fn into_text(self) -> (PathBuf, Text) {
        (self.path, Text { reader: self.reader, left: MAX_TEXT })
    }

    /// Refuses bytes after the expected end.
    pub(super) fn end(&mut self) -> Result<(), DataError> {
        let place = self.offset;
        if self.up_to(1)?.is_empty() {
            return Ok(());
        }
        Err(self.content(format!("byte {place}"), "more bytes", "the end of the file"))
    }
}

/// A text file of at most [`MAX_TEXT`] bytes.
pub(super) struct Text {
    reader: Box<dyn Read>,
    left: u64,
}

impl Read for Text {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            std::io::Error::new(ErrorKind::FileTooLarge, format!("it is longer than {MAX_TEXT} bytes"))
        })?;
        Ok(count)
    }
}

impl Text {
    /// Puts bytes that were already read in front of the remaining text.
    pub(super) fn preceded(self, bytes: Vec<u8>) -> Self {
        Self { reader: Box::new(std::io::Cursor::new(bytes).chain(self.reader)), left: self.left }
    }
}

/// The last component of a path, as the name of the data set.
pub(super) fn name_of(path: &Path) -> String {
    let named =
        path.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    named.unwrap_or_else(|| "data".to_owned())
}

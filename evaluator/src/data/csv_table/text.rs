//! The text of a table: its encoding, its lines as an editor counts them, and a limit on their length.

use std::io::{self, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use kiln_files::LineCounter;
use serde::Deserialize;

use crate::data::DataError;
use crate::data::input_file::{InputFile, Text};

/// Most bytes from one line end to the next. Nobody writes such a line: the file is something else, or has no line ends.
const MAX_LINE: u64 = 16 << 20;

/// How the bytes of a file are letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Encoding {
    /// UTF-8, or UTF-16 where the file begins with its byte order mark.
    #[default]
    Unicode,
    /// ISO 8859-1: every byte is a letter.
    #[serde(rename = "latin-1")]
    Latin1,
}

/// A table's text as UTF-8, without a byte order mark.
pub(super) struct TableText {
    source: Source,
    /// Bytes since the last line end, and lines before it, for the limit.
    line: (u64, u64),
}

enum Source {
    /// Bytes as they are; whether they are UTF-8 the reader of lines finds out.
    Plain(io::Chain<io::Cursor<Vec<u8>>, Text>),
    /// Code units of two bytes, or letters of one byte, and what is decoded but not yet read.
    Decoded { bytes: BufReader<Text>, unit: Unit, ready: Vec<u8>, at: usize },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Latin1,
    Utf16 { is_big_endian: bool },
}

impl TableText {
    /// Opens a file, plain or gzipped, and gives its path.
    pub(super) fn open(path: &Path, encoding: Encoding) -> Result<(PathBuf, Self), DataError> {
        let mut file = InputFile::open(path)?;
        let start = file.up_to(3)?;
        let (path, text) = file.into_text();
        let unit = match (encoding, start.as_slice()) {
            (Encoding::Latin1, _) => Some((0, Unit::Latin1)),
            (Encoding::Unicode, [0xFF, 0xFE, ..]) => Some((2, Unit::Utf16 { is_big_endian: false })),
            (Encoding::Unicode, [0xFE, 0xFF, ..]) => Some((2, Unit::Utf16 { is_big_endian: true })),
            (Encoding::Unicode, _) => None,
        };
        let source = if let Some((mark, unit)) = unit {
            // Three bytes were read to see the mark, which has two.
            let bytes = BufReader::new(text.preceded(start[mark..].to_vec()));
            Source::Decoded { bytes, unit, ready: Vec::new(), at: 0 }
        } else {
            let bytes = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&start).to_vec();
            Source::Plain(io::Cursor::new(bytes).chain(text))
        };
        Ok((path, Self { source, line: (0, 1) }))
    }

    /// Follows how long lines are. Buffers are far shorter than the longest line.
    fn count(&mut self, bytes: &[u8]) -> io::Result<()> {
        match memchr::memrchr2(b'\n', b'\r', bytes) {
            Some(last) => {
                self.line = (
                    (bytes.len() - last - 1) as u64,
                    self.line.1 + memchr::memchr_iter(b'\n', bytes).count() as u64,
                );
            }
            None => self.line.0 += bytes.len() as u64,
        }
        if self.line.0 > MAX_LINE {
            let said = format!("line {} is longer than {MAX_LINE} bytes", self.line.1);
            return Err(io::Error::new(ErrorKind::FileTooLarge, said));
        }
        Ok(())
    }
}

impl Read for TableText {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.source {
            Source::Plain(bytes) => bytes.read(buffer)?,
            Source::Decoded { bytes, unit, ready, at } => {
                if *at == ready.len() {
                    (*ready, *at) = (decode(bytes, *unit, buffer.len())?, 0);
                }
                let count = buffer.len().min(ready.len() - *at);
                buffer[..count].copy_from_slice(&ready[*at..*at + count]);
                *at += count;
                count
            }
        };
        self.count(&buffer[..count])?;
        Ok(count)
    }
}

/// The next letters, about `wanted` bytes of them; none at the end.
fn decode(bytes: &mut impl Read, unit: Unit, wanted: usize) -> io::Result<Vec<u8>> {
    let mut next = || -> io::Result<Option<u16>> {
        let mut unit_bytes = [0; 2];
        let size = if unit == Unit::Latin1 { 1 } else { 2 };
        let mut read = 0;
        while read < size {
            match bytes.read(&mut unit_bytes[read..size]) {
                Ok(0) if read == 0 => return Ok(None),
                Ok(0) => return Err(io::Error::new(ErrorKind::InvalidInput, "half of a letter at the end")),
                Ok(count) => read += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(match unit {
            Unit::Latin1 => u16::from(unit_bytes[0]),
            Unit::Utf16 { is_big_endian: true } => u16::from_be_bytes(unit_bytes),
            Unit::Utf16 { is_big_endian: false } => u16::from_le_bytes(unit_bytes),
        }))
    };
    let mut text = String::new();
    while text.len() < wanted {
        let Some(first) = next()? else { break };
        let units =
            if (0xD800..0xDC00).contains(&first) { vec![first, next()?.unwrap_or(0)] } else { vec![first] };
        for letter in char::decode_utf16(units) {
            text.push(letter.map_err(|error| io::Error::new(ErrorKind::InvalidInput, error.to_string()))?);
        }
    }
    Ok(text.into_bytes())
}

/// The line of a file in which the record begins that the reader of lines found at byte `offset`, as an editor counts lines:
/// `\r\n`, `\n` and `\r` each end one.
pub(super) fn line_of(path: &Path, encoding: Encoding, offset: u64) -> u64 {
    let counted = TableText::open(path, encoding)
        .ok()
        .and_then(|(_, text)| LineCounter::new(BufReader::new(text)).line_at(offset).ok());
    counted.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], encoding: Encoding) -> io::Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, bytes).unwrap();
        let mut text = String::new();
        TableText::open(&path, encoding).unwrap().1.read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn encodings_are_recognized_by_their_mark() {
        let words =
            |order: fn(u16) -> [u8; 2]| "\u{FEFF}é,𝄞\n".encode_utf16().flat_map(order).collect::<Vec<_>>();
        for bytes in
            ["é,𝄞\n".into(), "\u{FEFF}é,𝄞\n".into(), words(u16::to_le_bytes), words(u16::to_be_bytes)]
        {
            assert_eq!(text(&bytes, Encoding::Unicode).unwrap(), "é,𝄞\n");
        }
        assert_eq!(text(b"\xE9,1\n", Encoding::Latin1).unwrap(), "é,1\n");
        assert!(text(b"\xE9,1\n", Encoding::Unicode).is_err());
        assert!(text(b"\xFF\xFEa", Encoding::Unicode).is_err(), "half of a letter");
        assert_eq!(text(b"", Encoding::Unicode).unwrap(), "");
    }

    #[test]
    fn a_line_without_an_end_is_refused_early() {
        let error = text(&vec![b'a'; MAX_LINE as usize + 10], Encoding::Unicode).unwrap_err();
        assert_eq!(error.to_string(), format!("line 1 is longer than {MAX_LINE} bytes"));
    }
}

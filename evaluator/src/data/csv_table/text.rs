//! The text of a table: encoding, line numbers as an editor counts them, and a limit on the length of a
//! record.

use std::cell::Cell;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use kiln_files::LineCounter;
use serde::Deserialize;

use super::escapes::{Escapes, Rewriter};
use super::letters::{Source, Unit};
use crate::data::DataError;
use crate::data::input_file::InputFile;

/// Maximum size of a record in bytes. A longer record means that the file is not a table, has no line ends,
/// or has an unclosed quote.
pub(super) const MAX_RECORD: u64 = 16 << 20;

/// Encoding of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Encoding {
    /// UTF-8, or UTF-16 if the file starts with a byte order mark or with UTF-16 letters.
    #[default]
    Unicode,
    /// ISO 8859-1: every byte is a character.
    #[serde(rename = "latin-1")]
    Latin1,
    /// Latin-1 with printable characters instead of control characters.
    #[serde(rename = "windows-1252")]
    Windows1252,
}

/// Encoding and escapes of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TextFormat {
    pub(super) encoding: Encoding,
    /// Escapes, if the file uses them. Otherwise quotes are doubled.
    pub(super) escapes: Option<Escapes>,
}

/// The text of a table as UTF-8, without byte order mark and escapes.
pub(super) struct TableText {
    source: Source,
    is_utf_16: bool,
    /// For escaped text: its rewriter, and rewritten bytes that were not read yet.
    escaped: Option<(Rewriter, Vec<u8>)>,
    /// Maximum size of a record in bytes.
    limit: u64,
    /// Bytes since the last record. The CSV reader's caller resets it to 0.
    since_record: Rc<Cell<u64>>,
}

impl TableText {
    /// Opens a file, plain or gzipped. Also returns the path of the file that was opened.
    pub(super) fn open(path: &Path, format: TextFormat) -> Result<(PathBuf, Self), DataError> {
        let mut file = InputFile::open(path)?;
        let start = file.up_to(4)?;
        if let Some(found) = other_kind(&start) {
            let expected =
                "text in UTF-8, UTF-16, Latin-1 or Windows-1252, plain or packed by gzip; save it so";
            return Err(file.content("byte 0", found, expected));
        }
        let (path, text) = file.into_text();
        let unit = match (format.encoding, start.as_slice()) {
            (Encoding::Latin1, _) => Some((0, Unit::Latin1)),
            (Encoding::Windows1252, _) => Some((0, Unit::Windows1252)),
            (Encoding::Unicode, [0xFF, 0xFE, ..]) => Some((2, Unit::Utf16 { is_big_endian: false })),
            (Encoding::Unicode, [0xFE, 0xFF, ..]) => Some((2, Unit::Utf16 { is_big_endian: true })),
            // Text contains no zero bytes, so these are upper halves of UTF-16 units.
            (Encoding::Unicode, [1..=255, 0, 1..=255, 0]) => Some((0, Unit::Utf16 { is_big_endian: false })),
            (Encoding::Unicode, [0, 1..=255, 0, 1..=255]) => Some((0, Unit::Utf16 { is_big_endian: true })),
            (Encoding::Unicode, _) => None,
        };
        let is_utf_16 = matches!(unit, Some((_, Unit::Utf16 { .. })));
        let source = if let Some((mark, unit)) = unit {
            // Four bytes were read to detect the byte order mark. Put the bytes after the mark back.
            let bytes = BufReader::new(text.preceded(start[mark..].to_vec()));
            Source::Decoded { bytes, unit, ready: Vec::new(), at: 0 }
        } else {
            let bytes = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&start).to_vec();
            Source::Plain(io::Cursor::new(bytes).chain(text))
        };
        let escaped = format.escapes.map(|escapes| (Rewriter::new(escapes), Vec::new()));
        Ok((path, Self { source, is_utf_16, escaped, limit: MAX_RECORD, since_record: Rc::default() }))
    }

    /// Whether the text is UTF-16.
    pub(super) const fn is_utf_16(&self) -> bool {
        self.is_utf_16
    }

    /// The counter of bytes since the last record.
    pub(super) fn since_record(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.since_record)
    }
}

impl Read for TableText {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.escaped {
            Some((rewriter, ready)) => {
                while ready.is_empty() && !buffer.is_empty() {
                    let mut bytes = vec![0; buffer.len()];
                    let count = self.source.read(&mut bytes)?;
                    if count == 0 {
                        rewriter.end(ready);
                        break;
                    }
                    rewriter.rewrite(&bytes[..count], ready);
                }
                let count = buffer.len().min(ready.len());
                buffer[..count].copy_from_slice(&ready[..count]);
                ready.drain(..count);
                count
            }
            None => self.source.read(buffer)?,
        };
        let since = self.since_record.get() + count as u64;
        self.since_record.set(since);
        if since > self.limit {
            return Err(io::Error::new(
                ErrorKind::FileTooLarge,
                format!("a record is longer than {MAX_RECORD} bytes"),
            ));
        }
        Ok(count)
    }
}

/// Detects the kind of a file that is not a readable table from its first bytes.
fn other_kind(start: &[u8]) -> Option<&'static str> {
    match start {
        [b'B', b'Z', b'h', b'1'..=b'9'] => Some("a file packed by bzip2"),
        [b'P', b'K', 3, 4] => Some("a zip archive or a spreadsheet"),
        [0xFD, b'7', b'z', b'X'] => Some("a file packed by xz"),
        [0x28, 0xB5, 0x2F, 0xFD] => Some("a file packed by Zstandard"),
        [0xFF, 0xFE, 0, 0] | [0, 0, 0xFE, 0xFF] => Some("text in UTF-32"),
        _ => None,
    }
}

/// The line of the record at byte `offset`, as an editor counts lines: `\r\n`, `\n` and `\r` each end one.
pub(super) fn line_of(path: &Path, format: TextFormat, offset: u64) -> u64 {
    let counted = TableText::open(path, format)
        .ok()
        .map(|(_, text)| TableText { limit: u64::MAX, ..text })
        .and_then(|text| LineCounter::new(BufReader::new(text)).line_at(offset).ok());
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
        let format = TextFormat { encoding, escapes: None };
        TableText::open(&path, format).unwrap().1.read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn open_recognizes_encodings() {
        let words =
            |order: fn(u16) -> [u8; 2]| "\u{FEFF}é,𝄞\n".encode_utf16().flat_map(order).collect::<Vec<_>>();
        for bytes in
            ["é,𝄞\n".into(), "\u{FEFF}é,𝄞\n".into(), words(u16::to_le_bytes), words(u16::to_be_bytes)]
        {
            assert_eq!(text(&bytes, Encoding::Unicode).unwrap(), "é,𝄞\n");
        }
        let unmarked: Vec<u8> = "a,é\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(text(&unmarked, Encoding::Unicode).unwrap(), "a,é\n");
        assert_eq!(text(b"\xE9,1\n", Encoding::Latin1).unwrap(), "é,1\n");
        assert_eq!(text(b"\x80\xE9,1\n", Encoding::Windows1252).unwrap(), "€é,1\n");
        assert!(text(b"\x81", Encoding::Windows1252).is_err());
        assert!(text(b"\xE9,1\n", Encoding::Unicode).is_err());
        assert!(text(b"\xFF\xFEa", Encoding::Unicode).is_err(), "half of a letter");
        assert_eq!(text(b"", Encoding::Unicode).unwrap(), "");
    }

    #[test]
    fn open_names_unsupported_kinds_of_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        for (bytes, name) in [
            (b"BZh91AY".as_slice(), "bzip2"),
            (b"PK\x03\x04", "a zip archive"),
            (b"\xFD7zXZ\0", "xz"),
            (b"\x28\xB5\x2F\xFD", "Zstandard"),
            (b"\xFF\xFE\0\0a\0\0\0", "UTF-32"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = TableText::open(&path, TextFormat::default()).err().unwrap().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn read_of_escaped_text_works_with_small_buffers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, "a\\,b,c\n").unwrap();
        let escapes = Some(Escapes { escape: b'\\', quote: b'"', separator: b',' });
        let (_, mut table) =
            TableText::open(&path, TextFormat { encoding: Encoding::Unicode, escapes }).unwrap();
        let (mut read, mut piece) = (Vec::<u8>::new(), [0; 2]);
        loop {
            let count = table.read(&mut piece).unwrap();
            if count == 0 {
                break;
            }
            read.extend(&piece[..count]);
        }
        assert_eq!(read, b"\"a,b\",\"c\"\n");
    }

    #[test]
    fn read_refuses_endless_record() {
        let error = text(&vec![b'a'; MAX_RECORD as usize + 10], Encoding::Unicode).unwrap_err();
        assert_eq!(error.to_string(), format!("a record is longer than {MAX_RECORD} bytes"));
    }
}

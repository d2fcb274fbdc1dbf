//! Decodes the characters of a file to UTF-8, from UTF-16 or from single bytes.

use std::io::{self, BufReader, ErrorKind, Read};

use crate::data::input_file::Text;

/// Source of a table's text.
pub(super) enum Source {
    /// Unchanged bytes. The CSV reader checks that they are UTF-8.
    Plain(io::Chain<io::Cursor<Vec<u8>>, Text>),
    /// Bytes to decode, the kind of their code units, and a buffer of decoded text. `at` is the position in
    /// the buffer up to which the text was read.
    Decoded { bytes: BufReader<Text>, unit: Unit, ready: Vec<u8>, at: usize },
}

/// The code unit of a character.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Latin1,
    Windows1252,
    Utf16 { is_big_endian: bool },
}

/// Characters of Windows-1252 at 0x80 to 0x9F. Undefined bytes have the entry 0.
///
/// Source: WHATWG, "Encoding Standard", index windows-1252, without its five control characters.
const WINDOWS: [u16; 32] = [
    0x20AC, 0, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0,
    0x017D, 0, 0, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A,
    0x0153, 0, 0x017E, 0x0178,
];

impl Source {
    /// Reads UTF-8, or bytes that are not validated.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(bytes) => bytes.read(buffer),
            Self::Decoded { bytes, unit, ready, at } => {
                if *at == ready.len() {
                    (*ready, *at) = (decode(bytes, *unit, buffer.len())?, 0);
                }
                let count = buffer.len().min(ready.len() - *at);
                buffer[..count].copy_from_slice(&ready[*at..*at + count]);
                *at += count;
                Ok(count)
            }
        }
    }
}

/// Decodes about `wanted` bytes of text. The result is empty at the end of the file.
fn decode(bytes: &mut impl Read, unit: Unit, wanted: usize) -> io::Result<Vec<u8>> {
    let mut next = || -> io::Result<Option<u16>> {
        let mut unit_bytes = [0; 2];
        let size = if matches!(unit, Unit::Utf16 { .. }) { 2 } else { 1 };
        let mut read = 0;
        while read < size {
            match bytes.read(&mut unit_bytes[read..size]) {
                Ok(0) if read == 0 => return Ok(None),
                Ok(0) => return Err(io::Error::other("UTF-16 ends with half of a letter")),
                Ok(count) => read += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(match unit {
            Unit::Windows1252 if (0x80..0xA0).contains(&unit_bytes[0]) => {
                match WINDOWS[usize::from(unit_bytes[0] - 0x80)] {
                    0 => {
                        let said = format!("no Windows-1252: the byte {:#04x} is no letter", unit_bytes[0]);
                        return Err(io::Error::other(said));
                    }
                    letter => letter,
                }
            }
            Unit::Latin1 | Unit::Windows1252 => u16::from(unit_bytes[0]),
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
            text.push(letter.map_err(|error| io::Error::other(format!("no UTF-16: {error}")))?);
        }
    }
    Ok(text.into_bytes())
}

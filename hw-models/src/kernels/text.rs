//! Compressed bytes as text of 64 letters (RFC 4648, section 5, without padding).

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

/// Most bytes that a text stands for.
const BYTES_MAX: u64 = 4 << 20;

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Compresses bytes and writes them as text.
pub(super) fn pack(bytes: &[u8]) -> String {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory can be written");
    to_text(&encoder.finish().expect("memory can be written"))
}

/// Reads what [`pack`] writes. `None` for damaged text.
pub(super) fn unpack(text: &str) -> Option<Vec<u8>> {
    let packed = to_bytes(text)?;
    let mut bytes = Vec::new();
    DeflateDecoder::new(packed.as_slice()).take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Writes three bytes as four letters.
fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let letter = |place: usize| char::from(LETTERS[(bits >> (18 - 6 * place) & 63) as usize]);
        text.extend((0..=chunk.len()).map(letter));
    }
    text
}

/// Reads what [`to_text`] writes. `None` for any other text.
fn to_bytes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for letter in chunk {
            bits = bits << 6 | LETTERS.iter().position(|known| known == letter)? as u32;
        }
        let rest = bits.checked_shl(6 * (4 - chunk.len()) as u32)?;
        let [_, whole @ ..] = rest.to_be_bytes();
        let count = chunk.len().checked_sub(1).filter(|count| *count > 0)?;
        bytes.extend(&whole[..count]);
    }
    (to_text(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_standard() {
        // RFC 4648, section 10, without padding.
        for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(to_text(bytes.as_bytes()), text);
            assert_eq!(to_bytes(text), Some(bytes.as_bytes().to_vec()));
        }
        let bytes: Vec<u8> = (0..2000_u32).map(|i| (i * i % 7) as u8).collect();
        assert_eq!(unpack(&pack(&bytes)), Some(bytes));
        assert_eq!(unpack("foobar"), None);
        for wrong in ["Z", "Zg=", "Zh", "Zm9v ", "Zm9vY"] {
            assert_eq!(to_bytes(wrong), None, "{wrong}");
        }
    }
}

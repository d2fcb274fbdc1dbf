//! The records of event files (TFRecord): length, checksum of the length, data, checksum of the data. All
//! numbers are little-endian. A checksum is a masked CRC-32C.
//!
//! Source: TensorFlow, `core/lib/io/record_writer.h` and `core/lib/hash/crc32c.h`; RFC 3720, appendix B.4.

use std::io::{self, Read, Write};

/// Longest record that is read, in bytes. Kiln's own records are shorter.
const LONGEST: u64 = 64 << 20;

/// The CRC-32C of each byte (Castagnoli polynomial, reflected).
const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
    !bytes.iter().fold(!0, step)
}

/// Returns the checksum in the form in which files contain it. A checksum of data that contains checksums
/// would be weak, so files contain a rotated one.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Writes a record.
pub(super) fn write_record(out: &mut impl Write, data: &[u8]) -> io::Result<()> {
    let length = (data.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked(&length).to_le_bytes())?;
    out.write_all(data)?;
    out.write_all(&masked(data).to_le_bytes())
}

/// Reads records one by one.
pub(super) struct Records<R> {
    input: R,
    data: Vec<u8>,
}

impl<R: Read> Records<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input, data: Vec::new() }
    }

    /// Returns the data of the next record. Returns `None` at the end of the file, and at a record that is
    /// damaged, incomplete or too long.
    pub(super) fn next_record(&mut self) -> Option<&[u8]> {
        let length: [u8; 8] = self.bytes()?;
        let checksum: [u8; 4] = self.bytes()?;
        let bytes = u64::from_le_bytes(length);
        if masked(&length) != u32::from_le_bytes(checksum) || bytes > LONGEST {
            return None;
        }
        self.data.clear();
        let read = self.input.by_ref().take(bytes).read_to_end(&mut self.data).ok()?;
        let checksum: [u8; 4] = self.bytes()?;
        let is_intact = read as u64 == bytes && masked(&self.data) == u32::from_le_bytes(checksum);
        is_intact.then_some(self.data.as_slice())
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, appendix B.4, and the check value of the CRC catalogue.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn records_end_at_damage() {
        let mut file = Vec::new();
        for data in [b"one".as_slice(), b"", b"three"] {
            write_record(&mut file, data).unwrap();
        }
        let read = |file: &[u8]| {
            let mut records = Records::new(file);
            let mut found = Vec::new();
            while let Some(record) = records.next_record() {
                found.push(record.to_vec());
            }
            found
        };
        assert_eq!(read(&file), [b"one".to_vec(), Vec::new(), b"three".to_vec()]);
        for end in 0..file.len() {
            assert!(read(&file[..end]).len() < 3);
        }
        for index in 0..file.len() {
            let mut damaged = file.clone();
            damaged[index] ^= 1;
            assert!(read(&damaged).len() < 3, "byte {index}");
        }
    }
}

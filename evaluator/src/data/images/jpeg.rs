//! Detects truncated JPEG files. Decoders silently fill missing parts with grey.
//!
//! Source: ITU-T T.81, Information technology, Digital compression and coding of continuous-tone still
//! images, 1992, annex B.

/// Whether a JPEG file has an end marker after its last scan. Markers inside segments, such as those of a
/// thumbnail, do not count.
pub(super) fn has_end(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // A marker is one or more bytes 0xFF, then a byte that is neither 0x00 nor 0xFF.
        let Some(found) = memchr::memchr(0xFF, &bytes[at.min(bytes.len())..]) else {
            return false;
        };
        at += found;
        while bytes.get(at) == Some(&0xFF) {
            at += 1;
        }
        let Some(marker) = bytes.get(at) else { return false };
        at += 1;
        match marker {
            // An escaped byte 0xFF, a restart marker, or another marker without content.
            0x00 | 0x01 | 0xD0..=0xD8 => {}
            0xD9 => return true,
            _ => {
                let Some(length) = bytes.get(at..at + 2) else { return false };
                at += usize::from(u16::from_be_bytes([length[0], length[1]]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A start marker, a segment with the end marker of a thumbnail, a scan with an escaped byte and a
    /// restart marker, and the end marker.
    fn file() -> Vec<u8> {
        let segment = [0xFF, 0xE1, 0x00, 0x04, 0xFF, 0xD9];
        let scan = [0xFF, 0xDA, 0x00, 0x02, 0x12, 0xFF, 0x00, 0xFF, 0xD0, 0x34];
        [&[0xFF, 0xD8][..], &segment, &scan, &[0xFF, 0xD9]].concat()
    }

    #[test]
    fn has_end_detects_truncation_at_every_byte() {
        let whole = file();
        assert!(has_end(&whole));
        for length in 0..whole.len() {
            assert!(!has_end(&whole[..length]), "{length} of {} bytes", whole.len());
        }
    }
}

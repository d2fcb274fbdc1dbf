//! Corrects the transparent grey level of PNG files with at most 8 bits per pixel, as other PNG decoders do.
//!
//! Source: W3C, "Portable Network Graphics (PNG) Specification", section 11.3.1.1: only the lowest bits of
//! the level in `tRNS` count, as many as a pixel has.

use flate2::Crc;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Number of bytes in a chunk before and after its content.
const BEFORE: usize = 8;
const BEHIND: usize = 4;

/// Clears the unused bits of the level. Pillow writes 255 for white in a 1-bit image, a level that the
/// decoder would never match.
pub(super) fn mend_transparent_level(bytes: &mut [u8]) {
    let Some((at, level)) = level(bytes) else { return };
    bytes[at..at + 2].copy_from_slice(&level.to_be_bytes());
    let mut sum = Crc::new();
    sum.update(&bytes[at - 4..at + 2]);
    bytes[at + 2..at + 2 + BEHIND].copy_from_slice(&sum.sum().to_be_bytes());
}

/// Position of a level with unused bits set, and the corrected level.
fn level(bytes: &[u8]) -> Option<(usize, u16)> {
    // After the signature: length and name of the first chunk, width, height, then bit depth and color type.
    let [bits, kind] = *bytes.strip_prefix(SIGNATURE)?.get(16..18)? else { return None };
    if kind != 0 || bits > 8 {
        return None;
    }
    let mut at = SIGNATURE.len();
    loop {
        let [a, b, c, d, name @ ..] = *bytes.get(at..)?.first_chunk::<BEFORE>()?;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let content = at + BEFORE;
        at = content.checked_add(length)?.checked_add(BEHIND)?;
        match &name {
            b"IDAT" | b"IEND" => return None,
            b"tRNS" if length == 2 && at <= bytes.len() => {
                let stored = u16::from_be_bytes([bytes[content], bytes[content + 1]]);
                let level = stored & ((1 << bits) - 1);
                return (level != stored).then_some((content, level));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: [u8; 4], content: &[u8]) -> Vec<u8> {
        let mut sum = Crc::new();
        sum.update(&name);
        sum.update(content);
        let length = (content.len() as u32).to_be_bytes();
        [&length, name.as_slice(), content, &sum.sum().to_be_bytes()].concat()
    }

    fn file(bits: u8, kind: u8, level: u16) -> Vec<u8> {
        let head = [0, 0, 0, 1, 0, 0, 0, 1, bits, kind, 0, 0, 0];
        let chunks = [chunk(*b"IHDR", &head), chunk(*b"tRNS", &level.to_be_bytes()), chunk(*b"IEND", b"")];
        [SIGNATURE.to_vec(), chunks.concat()].concat()
    }

    #[test]
    fn mend_transparent_level_keeps_bits_of_a_pixel_only() {
        for (bits, kind, stored, expected) in [
            (1, 0, 255, 1),
            (2, 0, 255, 3),
            (4, 0, 7, 7),
            (8, 0, 0x1FF, 255),
            (16, 0, 999, 999),
            (8, 2, 999, 999),
        ] {
            let mut mended = file(bits, kind, stored);
            mend_transparent_level(&mut mended);
            assert_eq!(mended, file(bits, kind, expected), "{bits} bits, color {kind}");
        }
    }

    #[test]
    fn mend_transparent_level_ignores_truncated_files() {
        let whole = file(1, 0, 255);
        for length in 0..47 {
            let mut cut = whole[..length].to_vec();
            mend_transparent_level(&mut cut);
            assert_eq!(cut, whole[..length]);
        }
    }
}

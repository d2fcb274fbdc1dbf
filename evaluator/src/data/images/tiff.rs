//! Decodes TIFF images that the crate `image` does not support: palettes, grey with few bits or with opacity,
//! YCbCr, and CMYK with the rounding of other readers.
//!
//! Source: Adobe, "TIFF, Revision 6.0", 1992, sections 2, 5, 16, 18 and 21.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};
use tiff::decoder::{Decoder, DecodingResult};
use tiff::tags::Tag;
use tiff::{ColorType, TiffResult};

use super::limits::MAX_SIDE;

/// Numbers of tags, and values of the photometric tag.
const PHOTOMETRIC: u16 = 262;
const COMPRESSION: u16 = 259;
const SAMPLE_FORMAT: u16 = 339;
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u16 = 3;
/// Opacity that is not premultiplied into the colors.
const PLAIN_OPACITY: u16 = 2;

/// Decodes the image and its orientation. Returns `None` for kinds that the crate `image` supports.
pub(super) fn decode(bytes: &[u8]) -> TiffResult<Option<(DynamicImage, Orientation)>> {
    let mut bytes = bytes.to_vec();
    let is_palette = without_palette(&mut bytes).is_some();
    let mut decoder = Decoder::new(Cursor::new(bytes))?;
    let (width, height) = decoder.dimensions()?;
    let color = decoder.colortype()?;
    let has_opacity = decoder.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples)? == Some(vec![PLAIN_OPACITY]);
    let is_wanted = match color {
        ColorType::Gray(bits @ (1 | 2 | 4 | 8)) => is_palette || matches!(bits, 2 | 4),
        ColorType::Multiband { bit_depth: 8, num_samples: 2 } => has_opacity,
        ColorType::YCbCr(8) | ColorType::CMYK(8) => true,
        _ => false,
    };
    let layout = decoder.image_buffer_layout()?;
    let has_size = [width, height].iter().all(|side| (1..=MAX_SIDE).contains(side));
    if !is_wanted || layout.planes > 1 || !has_size {
        return Ok(None);
    }
    let orientation = decoder
        .find_tag_unsigned::<u8>(Tag::Orientation)?
        .and_then(Orientation::from_exif)
        .unwrap_or(Orientation::NoTransforms);
    let map = if is_palette { decoder.get_tag_u16_vec(Tag::ColorMap)? } else { Vec::new() };
    let DecodingResult::U8(samples) = decoder.read_image()? else { return Ok(None) };
    let image = match color {
        ColorType::Gray(bits) => {
            let levels = unpacked(&samples, bits, width as usize);
            if is_palette {
                let color = |level: &u8| color_of(&map, *level);
                let colors: Option<Vec<[u8; 3]>> = levels.iter().map(color).collect();
                colors.and_then(|colors| rgb(width, height, colors))
            } else {
                let step = 255 / ((1_u8 << bits) - 1);
                let levels = levels.into_iter().map(|level| level * step).collect();
                GrayImage::from_raw(width, height, levels).map(DynamicImage::ImageLuma8)
            }
        }
        ColorType::Multiband { .. } if is_palette => {
            let pixel = |pixel: &[u8; 2]| {
                let [red, green, blue] = color_of(&map, pixel[0])?;
                Some([red, green, blue, pixel[1]])
            };
            let pixels: Option<Vec<[u8; 4]>> = samples.as_chunks().0.iter().map(pixel).collect();
            pixels.and_then(|pixels| {
                RgbaImage::from_raw(width, height, pixels.into_flattened()).map(DynamicImage::ImageRgba8)
            })
        }
        ColorType::Multiband { .. } => {
            GrayAlphaImage::from_raw(width, height, samples).map(DynamicImage::ImageLumaA8)
        }
        ColorType::CMYK(_) => {
            rgb(width, height, samples.as_chunks().0.iter().copied().map(from_inks).collect())
        }
        _ => rgb(width, height, samples.as_chunks().0.iter().copied().map(from_ycbcr).collect()),
    };
    Ok(image.map(|image| (image, orientation)))
}

fn rgb(width: u32, height: u32, colors: Vec<[u8; 3]>) -> Option<DynamicImage> {
    RgbImage::from_raw(width, height, colors.into_flattened()).map(DynamicImage::ImageRgb8)
}

/// Returns the reason why this kind of TIFF is refused. Returns `None` if the kind is supported or the file
/// is damaged.
pub(super) fn refusal(bytes: &[u8]) -> Option<String> {
    let directory = Directory::of(bytes)?;
    let has = |tag: u16, value: usize| directory.value(tag) == Some(value);
    let compression =
        [(2, "runs of black and white (CCITT)"), (3, "fax group 3"), (34_925, "LZMA"), (50_000, "Zstandard")];
    if let Some((_, name)) = compression.iter().find(|(value, _)| has(COMPRESSION, *value)) {
        return Some(format!(
            "TIFF compressed by {name} is not read; store it with Deflate, LZW or PackBits, or as PNG"
        ));
    }
    if [8, 9, 10].into_iter().any(|lab| has(PHOTOMETRIC, lab)) {
        return Some("TIFF in colors of CIE Lab is not read; convert it to RGB".to_owned());
    }
    let numbers = match directory.value(SAMPLE_FORMAT) {
        Some(2) => "signed numbers",
        Some(3) => "numbers in floating point",
        _ => return None,
    };
    Some(format!(
        "TIFF of {numbers}, which have no range of their own, is not read; convert it to 8 or 16 bits"
    ))
}

/// Marks the samples of a palette image as grey levels, because the decoder refuses palettes. `None` for
/// other images.
fn without_palette(bytes: &mut [u8]) -> Option<()> {
    let directory = Directory::of(bytes)?;
    if directory.value(PHOTOMETRIC)? != usize::from(PALETTE) {
        return None;
    }
    let (at, is_little) = (directory.place(PHOTOMETRIC)?, directory.is_little);
    let gray = if is_little { BLACK_IS_ZERO.to_le_bytes() } else { BLACK_IS_ZERO.to_be_bytes() };
    bytes.get_mut(at..at + 2)?.copy_from_slice(&gray);
    Some(())
}

/// The first tag directory of a file.
struct Directory<'a> {
    bytes: &'a [u8],
    is_little: bool,
    is_big: bool,
    /// Offset of the first entry.
    start: usize,
    count: usize,
}

impl<'a> Directory<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let is_little = match bytes.get(..2)? {
            b"II" => true,
            b"MM" => false,
            _ => return None,
        };
        let mut directory = Self { bytes, is_little, is_big: false, start: 0, count: 0 };
        directory.is_big = directory.number(2, 2)? == 43;
        let (offset_at, offset_size, count_size) = if directory.is_big { (8, 8, 8) } else { (4, 4, 2) };
        let at = directory.number(offset_at, offset_size)?;
        directory.count = directory.number(at, count_size)?.min(usize::from(u16::MAX));
        directory.start = at.checked_add(count_size)?;
        Some(directory)
    }

    fn number(&self, at: usize, size: usize) -> Option<usize> {
        let digits = self.bytes.get(at..at.checked_add(size)?)?;
        let add = |sum: u64, digit: &u8| sum << 8 | u64::from(*digit);
        let value =
            if self.is_little { digits.iter().rev().fold(0, add) } else { digits.iter().fold(0, add) };
        usize::try_from(value).ok()
    }

    /// Offset of the first value of a 16-bit tag.
    fn place(&self, tag: u16) -> Option<usize> {
        let (entry_size, before_value, offset_size) = if self.is_big { (20, 12, 8) } else { (12, 8, 4) };
        for index in 0..self.count {
            let entry = self.start.checked_add(index * entry_size)?;
            if self.number(entry, 2)? == usize::from(tag) {
                let is_within = self.number(entry + 4, offset_size)?.checked_mul(2)? <= offset_size;
                let value = entry + before_value;
                return if is_within { Some(value) } else { self.number(value, offset_size) };
            }
        }
        None
    }

    fn value(&self, tag: u16) -> Option<usize> {
        self.number(self.place(tag)?, 2)
    }
}

/// Unpacks samples to one per byte. Rows are padded to whole bytes.
fn unpacked(samples: &[u8], bits: u8, width: usize) -> Vec<u8> {
    if bits == 8 {
        return samples.to_vec();
    }
    let in_byte = 8 / usize::from(bits);
    let mask = (1 << bits) - 1;
    let row = |row: &[u8]| -> Vec<u8> {
        let sample = |x: usize| row[x / in_byte] >> (8 - usize::from(bits) * (x % in_byte + 1)) & mask;
        (0..width).map(sample).collect()
    };
    samples.chunks_exact(width.div_ceil(in_byte)).flat_map(row).collect()
}

/// The color of a palette entry. The palette contains all red values first, then green and blue, in 16 bits.
fn color_of(map: &[u16], index: u8) -> Option<[u8; 3]> {
    let entries = map.len() / 3;
    let part = |part: usize| {
        (usize::from(index) < entries).then(|| (map[part * entries + usize::from(index)] >> 8) as u8)
    };
    Some([part(0)?, part(1)?, part(2)?])
}

/// Converts CMYK to RGB, rounded.
fn from_inks(inks: [u8; 4]) -> [u8; 3] {
    let light = 255 - u32::from(inks[3]);
    let left = |ink: u8| (light - (u32::from(ink) * light + 127) / 255) as u8;
    [left(inks[0]), left(inks[1]), left(inks[2])]
}

/// Converts full-range YCbCr to RGB with the weights of ITU-R BT.601.
fn from_ycbcr(sample: [u8; 3]) -> [u8; 3] {
    let [y, cb, cr] = sample.map(f32::from);
    let (cb, cr) = (cb - 128.0, cr - 128.0);
    let value = |value: f32| value.round().clamp(0.0, 255.0) as u8;
    [value(y + 1.402 * cr), value(y - 0.344_136 * cb - 0.714_136 * cr), value(y + 1.772 * cb)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacked_splits_bytes_into_samples_by_row() {
        assert_eq!(unpacked(&[0b0001_1011, 0b1100_0000], 2, 3), [0, 1, 2, 3, 0, 0]);
        assert_eq!(unpacked(&[0x12, 0x30], 4, 3), [1, 2, 3]);
        assert_eq!(unpacked(&[0b1010_0000], 1, 3), [1, 0, 1]);
    }

    #[test]
    fn from_inks_and_from_ycbcr_round() {
        assert_eq!(from_inks([0, 128, 255, 0]), [255, 127, 0]);
        assert_eq!(from_inks([100, 100, 100, 55]), [122, 122, 122]);
        assert_eq!(from_ycbcr([76, 85, 255]), [254, 0, 0]);
        assert_eq!(from_ycbcr([128, 128, 128]), [128; 3]);
    }

    #[test]
    fn refusal_names_unsupported_kinds() {
        let file = |tag: u16, value: u16| -> Vec<u8> {
            let head = [b"II".as_slice(), &42_u16.to_le_bytes(), &8_u32.to_le_bytes()].concat();
            let words = [1, tag, 3, 1, 0, value, 0].map(u16::to_le_bytes);
            [head, words.concat()].concat()
        };
        for (tag, value, name) in [
            (COMPRESSION, 3, "fax group 3"),
            (COMPRESSION, 50_000, "Zstandard"),
            (PHOTOMETRIC, 8, "CIE Lab"),
            (SAMPLE_FORMAT, 2, "signed numbers"),
            (SAMPLE_FORMAT, 3, "floating point"),
        ] {
            let why = refusal(&file(tag, value)).unwrap();
            assert!(why.contains(name), "{why}");
        }
        assert_eq!(refusal(&file(COMPRESSION, 5)), None);
        assert_eq!(refusal(&file(SAMPLE_FORMAT, 1)), None);
        assert_eq!(refusal(b"II"), None);
    }

    #[test]
    fn without_palette_works_in_both_byte_orders() {
        let file = |little: bool, value: u16| -> Vec<u8> {
            let two = |n: u16| if little { n.to_le_bytes() } else { n.to_be_bytes() };
            let four = |n: u32| if little { n.to_le_bytes() } else { n.to_be_bytes() };
            let mut bytes = if little { b"II".to_vec() } else { b"MM".to_vec() };
            bytes.extend(
                [&two(42)[..], &four(8), &two(1), &two(PHOTOMETRIC), &two(3), &four(1), &two(value), &two(0)]
                    .concat(),
            );
            bytes
        };
        for little in [true, false] {
            let mut palette = file(little, PALETTE);
            assert_eq!(without_palette(&mut palette), Some(()));
            assert_eq!(palette, file(little, BLACK_IS_ZERO));
            assert_eq!(without_palette(&mut palette), None);
            for length in 0..palette.len() {
                let mut cut = file(little, PALETTE)[..length].to_vec();
                without_palette(&mut cut);
            }
        }
    }
}

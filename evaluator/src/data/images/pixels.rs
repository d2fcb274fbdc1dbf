//! Reads the pixels of an image file as a viewer shows them.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::imageops::FilterType;
use image::{DynamicImage, GenericImageView, ImageDecoder, ImageFormat, ImageReader, Limits, Rgb32FImage};
use kiln_space::Shape;

use super::background::Background;
use super::unreadable::Problem;
use super::{Color, MAX_EXAMPLE_SIDE, jpeg, png, tiff};
use crate::data::ReadingRules;

/// Maximum height and width of an image file.
pub(super) const MAX_SIDE: u32 = 16_384;
/// Maximum memory for reading one image, in bytes.
const MAX_IMAGE_BYTES: u64 = 1 << 30;
/// Maximum size of an image file in bytes.
const MAX_FILE_BYTES: u64 = 1 << 28;
/// Steps of a 16-bit channel per step of an 8-bit channel.
const STEPS: f32 = 257.0;

/// How an image becomes an example.
pub(super) struct Reading {
    pub(super) shape: Shape,
    pub(super) color: Color,
    /// Whether images of another size are resized or refused.
    pub(super) resize: bool,
    pub(super) background: Option<Background>,
    pub(super) rules: ReadingRules,
}

impl Reading {
    /// Meaning of a value, for cards.
    pub(super) fn describe(&self) -> String {
        match self.color {
            Color::Rgb => "red, green, blue 0..255",
            Color::Gray => "grey level 0..255",
        }
        .to_owned()
    }

    /// The values of an image, `[channels, height, width]`.
    pub(super) fn read(&self, path: &Path) -> Result<Vec<f32>, Problem> {
        if self.rules == ReadingRules::First {
            return self.read_as_stored(path);
        }
        let image = load(path)?;
        self.check_size(path, image.height(), image.width())?;
        let mut planes = Planes::of(&image, self.background)
            .ok_or_else(|| Problem::unfit(path.to_owned(), TRANSPARENT.to_owned()))?;
        if self.color == Color::Gray {
            planes.make_gray();
        }
        if [planes.height, planes.width] == [self.shape.height, self.shape.width] {
            return Ok(planes.values);
        }
        Ok(planes.resized(self.shape.height, self.shape.width))
    }

    /// Reads by the first rules: transparency and orientation are ignored, 16 bits become 8.
    fn read_as_stored(&self, path: &Path) -> Result<Vec<f32>, Problem> {
        let image = reader(path)?.decode().map_err(|error| damaged(path, &error))?;
        self.check_size(path, image.height(), image.width())?;
        let (height, width) = (self.shape.height as u32, self.shape.width as u32);
        let image = if (image.height(), image.width()) == (height, width) {
            image
        } else {
            image.resize_exact(width, height, FilterType::Triangle)
        };
        Ok(match self.color {
            Color::Gray => image.into_luma8().into_raw().into_iter().map(f32::from).collect(),
            Color::Rgb => planar(&image.into_rgb8().into_raw(), 3, 3, f32::from),
        })
    }

    fn check_size(&self, path: &Path, height: u32, width: u32) -> Result<(), Problem> {
        let wanted = (self.shape.height, self.shape.width);
        if self.resize || (height as usize, width as usize) == wanted {
            return Ok(());
        }
        let (rows, columns) = wanted;
        Err(Problem::unfit(
            path.to_owned(),
            format!(
                "{height} x {width} pixels, expected {rows} x {columns} as in the first image; set \
                 `size = [height, width]` to resize"
            ),
        ))
    }
}

const TRANSPARENT: &str = "it has transparent pixels; say what lies behind them: `background = \"white\"`, \
    `\"black\"` or `[red, green, blue]`";

/// Height and width of an image as shown.
pub(super) fn dimensions(path: &Path, rules: ReadingRules) -> Result<[usize; 2], Problem> {
    let (width, height) = match rules {
        ReadingRules::First => reader(path)?.into_dimensions().map_err(|error| damaged(path, &error))?,
        ReadingRules::Second => load(path)?.dimensions(),
    };
    let size = [height as usize, width as usize];
    if size.iter().all(|side| (1..=MAX_EXAMPLE_SIDE).contains(side)) {
        return Ok(size);
    }
    Err(Problem::unfit(
        path.to_owned(),
        format!(
            "{height} x {width} pixels, expected at most {MAX_EXAMPLE_SIDE} rows and columns; set \
             `size = [height, width]` to resize"
        ),
    ))
}

/// Loads an image and applies its orientation.
fn load(path: &Path) -> Result<DynamicImage, Problem> {
    let refuse = |error: image::ImageError| damaged(path, &error);
    let reader = reader(path)?;
    let is_jpeg = reader.format() == Some(ImageFormat::Jpeg);
    let is_tiff = reader.format() == Some(ImageFormat::Tiff);
    let is_png = reader.format() == Some(ImageFormat::Png);
    let mut cursor = reader.into_inner();
    if is_png {
        png::mend_transparent_level(cursor.get_mut());
    }
    if is_tiff && let Some(why) = tiff::refusal(cursor.get_ref()) {
        return Err(Problem::unreadable(path.to_owned(), why));
    }
    if is_jpeg && !jpeg::has_end(cursor.get_ref()) {
        let why = "the file is cut off: a JPEG without its end".to_owned();
        return Err(Problem::unreadable(path.to_owned(), why));
    }
    // If this fails, the general decoder below reports why.
    if is_tiff && let Ok(Some((mut image, orientation))) = tiff::decode(cursor.get_ref()) {
        image.apply_orientation(orientation);
        return Ok(image);
    }
    let mut decoder =
        with_limits(guessed(cursor).map_err(|error| failed(path, &error))?).into_decoder().map_err(refuse)?;
    let bytes = decoder.total_bytes();
    if bytes > MAX_IMAGE_BYTES {
        let why = format!("{bytes} bytes of pixels, expected at most {MAX_IMAGE_BYTES}");
        return Err(Problem::unreadable(path.to_owned(), why));
    }
    let orientation = decoder.orientation().map_err(refuse)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(refuse)?;
    image.apply_orientation(orientation);
    match image {
        DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_) => {
            let why = "pixels in floating point, which have no range; convert it to 8 or 16 bits".to_owned();
            Err(Problem::unreadable(path.to_owned(), why))
        }
        image => Ok(image),
    }
}

fn reader(path: &Path) -> Result<ImageReader<Cursor<Vec<u8>>>, Problem> {
    let failed = |error: std::io::Error| failed(path, &error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let why = format!("longer than {MAX_FILE_BYTES} bytes");
        return Err(Problem::unreadable(path.to_owned(), why));
    }
    if bytes.is_empty() {
        return Err(Problem::unreadable(path.to_owned(), "the file is empty".to_owned()));
    }
    Ok(with_limits(guessed(Cursor::new(bytes)).map_err(failed)?))
}

fn failed(path: &Path, error: &std::io::Error) -> Problem {
    Problem::unreadable(path.to_owned(), format!("cannot read it: {error}"))
}

/// A reader for the format that the first bytes indicate. The crate does not recognize `BigTIFF` (TIFF beyond
/// 4 GiB), so recognize it here.
fn guessed(cursor: Cursor<Vec<u8>>) -> std::io::Result<ImageReader<Cursor<Vec<u8>>>> {
    let is_big_tiff =
        matches!(cursor.get_ref().as_slice(), [b'I', b'I', 43, 0, ..] | [b'M', b'M', 0, 43, ..]);
    if is_big_tiff {
        return Ok(ImageReader::with_format(cursor, ImageFormat::Tiff));
    }
    ImageReader::new(cursor).with_guessed_format()
}

fn with_limits(mut reader: ImageReader<Cursor<Vec<u8>>>) -> ImageReader<Cursor<Vec<u8>>> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_IMAGE_BYTES);
    reader.limits(limits);
    reader
}

fn damaged(path: &Path, error: &image::ImageError) -> Problem {
    Problem::unreadable(path.to_owned(), error.to_string())
}

/// Values of an image from 0 to 255, one plane per channel.
struct Planes {
    channels: usize,
    height: usize,
    width: usize,
    values: Vec<f32>,
    /// Whether the image has 8 bits, so that all values are whole numbers.
    is_whole: bool,
}

impl Planes {
    /// Converts an image to three planes; a grey image gives three equal planes. `None` if pixels are
    /// transparent and no background is given.
    fn of(image: &DynamicImage, background: Option<Background>) -> Option<Self> {
        let (width, height) = (image.width() as usize, image.height() as usize);
        let is_whole = !matches!(
            image,
            DynamicImage::ImageLuma16(_)
                | DynamicImage::ImageLumaA16(_)
                | DynamicImage::ImageRgb16(_)
                | DynamicImage::ImageRgba16(_)
        );
        let byte = |value: u8| f32::from(value);
        let word = |value: u16| f32::from(value) / STEPS;
        let values = match image {
            DynamicImage::ImageLuma8(image) => planar(image.as_raw(), 1, 3, byte),
            DynamicImage::ImageRgb8(image) => planar(image.as_raw(), 3, 3, byte),
            DynamicImage::ImageLuma16(image) => planar(image.as_raw(), 1, 3, word),
            DynamicImage::ImageRgb16(image) => planar(image.as_raw(), 3, 3, word),
            DynamicImage::ImageLumaA8(image) => {
                behind(&planar(image.as_raw(), 2, 4, byte), background, is_whole)?
            }
            DynamicImage::ImageRgba8(image) => {
                behind(&planar(image.as_raw(), 4, 4, byte), background, is_whole)?
            }
            DynamicImage::ImageLumaA16(image) => {
                behind(&planar(image.as_raw(), 2, 4, word), background, is_whole)?
            }
            DynamicImage::ImageRgba16(image) => {
                behind(&planar(image.as_raw(), 4, 4, word), background, is_whole)?
            }
            // Loading refused floating-point pixels, so any other kind has 8 bits.
            other => planar(other.to_rgb8().as_raw(), 3, 3, byte),
        };
        Some(Self { channels: 3, height, width, values, is_whole })
    }

    /// Converts to one grey plane with the weights of ITU-R BT.601. For 8-bit images, rounds as Pillow's
    /// `convert("L")` does.
    fn make_gray(&mut self) {
        let positions = self.height * self.width;
        let (red, rest) = self.values.split_at(positions);
        let (green, blue) = rest.split_at(positions);
        let colors = red.iter().zip(green).zip(blue);
        self.values = if self.is_whole {
            let gray = |((r, g), b): ((&f32, &f32), &f32)| {
                let sum = *r as u32 * 19_595 + *g as u32 * 38_470 + *b as u32 * 7_471;
                ((sum + 0x8000) >> 16) as f32
            };
            colors.map(gray).collect()
        } else {
            colors.map(|((r, g), b)| 0.299 * r + 0.587 * g + 0.114 * b).collect()
        };
        self.channels = 1;
    }

    /// Resizes in single precision, with a triangle filter that widens when shrinking.
    fn resized(&self, height: usize, width: usize) -> Vec<f32> {
        let positions = self.height * self.width;
        let plane = |channel: usize| &self.values[channel * positions..][..positions];
        // The filter clamps values of this pixel type to 0..1.
        let at = |channel: usize, index: usize| plane(channel.min(self.channels - 1))[index] / 255.0;
        let mut pixels = Vec::with_capacity(3 * positions);
        for index in 0..positions {
            pixels.extend((0..3).map(|channel| at(channel, index)));
        }
        let image = Rgb32FImage::from_raw(self.width as u32, self.height as u32, pixels)
            .expect("there are three values for each pixel");
        let resized = image::imageops::resize(&image, width as u32, height as u32, FilterType::Triangle);
        let mut values = planar(resized.as_raw(), 3, 3, |value| 255.0 * value);
        values.truncate(self.channels * height * width);
        values
    }
}

/// Converts `stored` interleaved channels to `given` planes. A single color channel (with or without opacity)
/// is repeated.
fn planar<T: Copy>(raw: &[T], stored: usize, given: usize, value: impl Fn(T) -> f32) -> Vec<f32> {
    let mut values = Vec::with_capacity(raw.len() / stored * given);
    for channel in 0..given {
        let from = match (stored, given) {
            (1, _) => 0,
            (2, 4) => usize::from(channel == 3),
            _ => channel,
        };
        values.extend(raw.iter().skip(from).step_by(stored).map(|raw| value(*raw)));
    }
    values
}

/// Blends three color planes over a background; the fourth plane is the opacity. For 8-bit images, rounds as
/// Pillow's `paste` does. `None` if pixels are transparent and no background is given.
fn behind(planes: &[f32], background: Option<Background>, is_whole: bool) -> Option<Vec<f32>> {
    let positions = planes.len() / 4;
    let (colors, opacity) = planes.split_at(3 * positions);
    if opacity.iter().all(|alpha| *alpha >= 255.0) {
        return Some(colors.to_vec());
    }
    let background = background?.rgb().map(f32::from);
    let values = colors.iter().enumerate().map(|(index, color)| {
        let (alpha, behind) = (opacity[index % positions], background[index / positions]);
        // An opaque pixel must keep its exact value.
        if alpha >= 255.0 {
            return *color;
        }
        let mixed = (behind * (255.0 - alpha) + color * alpha) / 255.0;
        if is_whole { mixed.round() } else { mixed }
    });
    Some(values.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_needs_background_only_for_transparent_pixels() {
        // Two pixels: a half-transparent black one and an opaque one.
        let planes = [0.0, 10.0, 0.0, 20.0, 0.0, 30.0, 128.0, 255.0];
        assert_eq!(behind(&planes, None, true), None);
        let white = Some(Background::Rgb([255, 255, 254]));
        assert_eq!(behind(&planes, white, true).unwrap(), [127.0, 10.0, 127.0, 20.0, 127.0, 30.0]);
        let opaque = [1.0, 2.0, 3.0, 255.0];
        assert_eq!(behind(&opaque, None, true).unwrap(), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn make_gray_equals_pillow() {
        let planes = |values: [f32; 3], is_whole| {
            let mut planes = Planes { channels: 3, height: 1, width: 1, values: values.to_vec(), is_whole };
            planes.make_gray();
            planes.values[0]
        };
        for (color, gray) in [([255.0; 3], 255.0), ([255.0, 0.0, 0.0], 76.0), ([0.0, 0.0, 255.0], 29.0)] {
            assert!((planes(color, true) - gray).abs() < 1e-6);
        }
        assert!((planes([255.0, 0.0, 0.0], false) - 76.245).abs() < 1e-3);
    }

    #[test]
    fn resized_keeps_fractions_and_the_mean() {
        let values: Vec<f32> = (0..16).map(|value| 10.0 * value as f32).collect();
        let planes = Planes { channels: 1, height: 4, width: 4, values, is_whole: true };
        let small = planes.resized(2, 2);
        assert_eq!(small.len(), 4);
        assert!((small.iter().sum::<f32>() / 4.0 - 75.0).abs() < 1e-3, "{small:?}");
        assert!(small.iter().any(|value| (value - value.round()).abs() > 1e-3), "{small:?}");
    }
}

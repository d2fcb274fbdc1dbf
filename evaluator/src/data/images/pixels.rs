//! The pixels of one image file, as a viewer shows them.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::imageops::FilterType;
use image::{DynamicImage, GenericImageView, ImageDecoder, ImageFormat, ImageReader, Limits, Rgb32FImage};
use kiln_space::Shape;
use serde::Deserialize;

use super::background::Background;
use super::limits::{MAX_EXAMPLE_SIDE, MAX_FILE_BYTES, MAX_IMAGE_BYTES, MAX_SIDE};
use super::unreadable::Problem;
use super::{jpeg, png, tiff};
use crate::data::ReadingRules;

/// Steps of a channel of 16 bits in one of 8.
const STEPS: f32 = 257.0;

/// Channels of the examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Color {
    /// Red, green and blue, 0 to 255 each.
    #[default]
    Rgb,
    /// Grey level, 0 to 255.
    Gray,
}

impl Color {
    pub(super) const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Rgb => &["red", "green", "blue"],
            Self::Gray => &["grey level"],
        }
    }
}

/// How the pixels of a file become an example.
pub(super) struct Reading {
    pub(super) shape: Shape,
    pub(super) color: Color,
    /// Whether images of another size are resized.
    pub(super) resize: bool,
    pub(super) background: Option<Background>,
    pub(super) rules: ReadingRules,
}

impl Reading {
    /// What a value is, for cards.
    pub(super) fn describe(&self) -> String {
        match self.color {
            Color::Rgb => "red, green, blue 0..255",
            Color::Gray => "grey level 0..255",
        }
        .to_owned()
    }

    /// Values of an image, `[channels, height, width]`.
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

    /// As earlier builds read it: transparency and orientation are ignored, 16 bits become 8.
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

const TRANSPARENT: &str = "it has transparent pixels; say what lies behind them: `background = \"white\"`, `\"black\"` or \
     `[red, green, blue]`";

/// Height and width of an image as it is shown.
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

/// The image of a file, turned as its metadata say.
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
    // What cannot be read here is refused below, with its reason.
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

/// A reader for the format that the first bytes tell; that of TIFF beyond 4 GiB (`BigTIFF`) is not told by
/// the crate.
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

/// Values of an image from 0 to 255, channel after channel.
struct Planes {
    channels: usize,
    height: usize,
    width: usize,
    values: Vec<f32>,
    /// Whether all values are whole numbers: those of an image of 8 bits.
    is_whole: bool,
}

impl Planes {
    /// Red, green and blue, or one grey plane where the image has no color; `None` where pixels are
    /// transparent and no background is stated.
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
            // Pixels in floating point were refused when the file was loaded; what else there may be has 8
            // bits.
            other => planar(other.to_rgb8().as_raw(), 3, 3, byte),
        };
        Some(Self { channels: 3, height, width, values, is_whole })
    }

    /// One grey plane, by the weights of ITU-R BT.601. Those of an image of 8 bits are rounded, as Pillow's
    /// `convert("L")` rounds them.
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

    /// Values at another size, by a triangle filter that widens where the image shrinks, in single precision.
    fn resized(&self, height: usize, width: usize) -> Vec<f32> {
        let positions = self.height * self.width;
        let plane = |channel: usize| &self.values[channel * positions..][..positions];
        // The filter keeps values of this type between 0 and 1.
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

/// Channels one after the other: the `stored` interleaved ones, of which a single one (with or without
/// transparency) is repeated so that `given` come out.
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

/// Three planes of color laid on a background, from three and one of opacity. Those of an image of 8 bits are
/// rounded, as Pillow's `paste` rounds them. `None` where pixels are transparent and no background is stated.
fn behind(planes: &[f32], background: Option<Background>, is_whole: bool) -> Option<Vec<f32>> {
    let positions = planes.len() / 4;
    let (colors, opacity) = planes.split_at(3 * positions);
    if opacity.iter().all(|alpha| *alpha >= 255.0) {
        return Some(colors.to_vec());
    }
    let background = background?.rgb().map(f32::from);
    let values = colors.iter().enumerate().map(|(index, color)| {
        let (alpha, behind) = (opacity[index % positions], background[index / positions]);
        // Where nothing is mixed, no rounding may change the value either.
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
    fn transparent_pixels_need_a_background_and_opaque_ones_do_not() {
        // Two pixels: a half transparent black one and an opaque one.
        let planes = [0.0, 10.0, 0.0, 20.0, 0.0, 30.0, 128.0, 255.0];
        assert_eq!(behind(&planes, None, true), None);
        let white = Some(Background::Rgb([255, 255, 254]));
        assert_eq!(behind(&planes, white, true).unwrap(), [127.0, 10.0, 127.0, 20.0, 127.0, 30.0]);
        let opaque = [1.0, 2.0, 3.0, 255.0];
        assert_eq!(behind(&opaque, None, true).unwrap(), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn gray_is_weighed_as_pillow_weighs_it() {
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
    fn resizing_keeps_fractions_and_the_mean() {
        let values: Vec<f32> = (0..16).map(|value| 10.0 * value as f32).collect();
        let planes = Planes { channels: 1, height: 4, width: 4, values, is_whole: true };
        let small = planes.resized(2, 2);
        assert_eq!(small.len(), 4);
        assert!((small.iter().sum::<f32>() / 4.0 - 75.0).abs() < 1e-3, "{small:?}");
        assert!(small.iter().any(|value| (value - value.round()).abs() > 1e-3), "{small:?}");
    }
}

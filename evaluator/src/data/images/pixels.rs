//! Reads the pixels of an image file as a viewer shows them.

use std::path::Path;

use image::imageops::FilterType;
use image::{DynamicImage, ImageBuffer, Luma, Pixel, Rgb};
use kiln_space::Shape;

use super::background::Background;
use super::color::Color;
use super::decoding::{damaged, load, reader};
use super::problem::Problem;
use crate::data::ReadingRules;

/// Factor between 16-bit and 8-bit channel values: 65535 / 255.
const STEPS: f32 = 257.0;

/// Settings for converting an image to an example.
pub(super) struct Reading {
    pub(super) shape: Shape,
    pub(super) color: Color,
    /// Whether images of another size are resized or refused.
    pub(super) resize: bool,
    pub(super) background: Option<Background>,
    pub(super) rules: ReadingRules,
}

impl Reading {
    /// Meaning of a value, for model cards.
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
        let mut pixels = Pixels::of(&image, self.background)
            .ok_or_else(|| Problem::unfit(path.to_owned(), TRANSPARENT.to_owned()))?;
        if self.color == Color::Gray {
            pixels.make_gray();
        }
        if [pixels.height, pixels.width] == [self.shape.height, self.shape.width] {
            return Ok(pixels.planes());
        }
        Ok(pixels.resized(self.shape.height, self.shape.width))
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
            Color::Rgb => planar(&image.into_rgb8().into_raw(), 3, f32::from),
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

/// Values of an image from 0 to 255, with interleaved channels.
struct Pixels {
    /// 3, or 1 after [`Self::make_gray`].
    channels: usize,
    height: usize,
    width: usize,
    values: Vec<f32>,
    /// Whether the image has 8 bits, so that all values are whole numbers.
    is_whole: bool,
}

impl Pixels {
    /// Converts an image to RGB. A grey pixel gets three equal channels. Returns `None` if pixels are
    /// transparent and there is no background.
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
            DynamicImage::ImageLuma8(image) => repeated(image.as_raw(), byte),
            DynamicImage::ImageRgb8(image) => image.as_raw().iter().copied().map(byte).collect(),
            DynamicImage::ImageLuma16(image) => repeated(image.as_raw(), word),
            DynamicImage::ImageRgb16(image) => image.as_raw().iter().copied().map(word).collect(),
            DynamicImage::ImageLumaA8(image) => behind::<2, _>(image.as_raw(), byte, background, is_whole)?,
            DynamicImage::ImageRgba8(image) => behind::<4, _>(image.as_raw(), byte, background, is_whole)?,
            DynamicImage::ImageLumaA16(image) => behind::<2, _>(image.as_raw(), word, background, is_whole)?,
            DynamicImage::ImageRgba16(image) => behind::<4, _>(image.as_raw(), word, background, is_whole)?,
            // Loading refused floating-point pixels, so any other kind has 8 bits.
            other => other.to_rgb8().as_raw().iter().copied().map(byte).collect(),
        };
        Some(Self { channels: 3, height, width, values, is_whole })
    }

    /// Converts to one grey level per pixel with the weights of ITU-R BT.601. For 8-bit images, rounds as
    /// Pillow's `convert("L")` does.
    fn make_gray(&mut self) {
        let (pixels, _) = self.values.as_chunks::<3>();
        self.values = if self.is_whole {
            let gray = |[r, g, b]: &[f32; 3]| {
                let sum = *r as u32 * 19_595 + *g as u32 * 38_470 + *b as u32 * 7_471;
                ((sum + 0x8000) >> 16) as f32
            };
            pixels.iter().map(gray).collect()
        } else {
            pixels.iter().map(|[r, g, b]| 0.299 * r + 0.587 * g + 0.114 * b).collect()
        };
        self.channels = 1;
    }

    /// Converts to one plane per channel.
    fn planes(self) -> Vec<f32> {
        if self.channels == 1 { self.values } else { planar(&self.values, self.channels, |value| value) }
    }

    /// Resizes in single precision, with a triangle filter that widens when shrinking, and converts to
    /// planes.
    fn resized(mut self, height: usize, width: usize) -> Vec<f32> {
        // The filter clamps values of this pixel type to 0..1.
        for value in &mut self.values {
            *value /= 255.0;
        }
        let (from, to) = ([self.width as u32, self.height as u32], [width as u32, height as u32]);
        let resized = if self.channels == 1 {
            resized::<Luma<f32>>(self.values, from, to)
        } else {
            resized::<Rgb<f32>>(self.values, from, to)
        };
        planar(&resized, self.channels, |value| 255.0 * value)
    }
}

/// Resizes interleaved pixels between two sizes, each `[width, height]`.
fn resized<P: Pixel<Subpixel = f32> + 'static>(values: Vec<f32>, from: [u32; 2], to: [u32; 2]) -> Vec<f32> {
    let image = ImageBuffer::<P, _>::from_raw(from[0], from[1], values).expect("the size is the image's own");
    image::imageops::resize(&image, to[0], to[1], FilterType::Triangle).into_raw()
}

/// Converts interleaved channels to one plane per channel.
fn planar<T: Copy>(raw: &[T], channels: usize, value: impl Fn(T) -> f32) -> Vec<f32> {
    let mut values = Vec::with_capacity(raw.len());
    for channel in 0..channels {
        values.extend(raw.chunks_exact(channels).map(|pixel| value(pixel[channel])));
    }
    values
}

/// Converts each grey pixel to RGB with three equal channels.
fn repeated<T: Copy>(raw: &[T], value: impl Fn(T) -> f32) -> Vec<f32> {
    raw.iter().flat_map(|level| [value(*level); 3]).collect()
}

/// Blends pixels over a background. The last of the pixels' `N` channels is the opacity. For 8-bit images,
/// rounds as Pillow's `paste` does. Returns `None` if pixels are transparent and there is no background.
fn behind<const N: usize, T: Copy>(
    raw: &[T],
    value: impl Fn(T) -> f32,
    background: Option<Background>,
    is_whole: bool,
) -> Option<Vec<f32>> {
    let (pixels, _) = raw.as_chunks::<N>();
    let background = match background {
        Some(background) => background.rgb().map(f32::from),
        None if pixels.iter().all(|pixel| value(pixel[N - 1]) >= 255.0) => [0.0; 3],
        None => return None,
    };
    let mix = |color: f32, behind: f32, alpha: f32| {
        // An opaque pixel must keep its exact value.
        if alpha >= 255.0 {
            return color;
        }
        let mixed = (behind * (255.0 - alpha) + color * alpha) / 255.0;
        if is_whole { mixed.round() } else { mixed }
    };
    let values = pixels.iter().flat_map(|pixel| {
        let alpha = value(pixel[N - 1]);
        // A grey pixel uses its level for all three channels.
        [0, 1, 2].map(|color| mix(value(pixel[color.min(N - 2)]), background[color], alpha))
    });
    Some(values.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_needs_background_only_for_transparent_pixels() {
        // Two pixels: a half-transparent black one and an opaque one.
        let pixels = [0, 0, 0, 128, 10, 20, 30, 255_u8];
        assert_eq!(behind::<4, _>(&pixels, f32::from, None, true), None);
        let white = Some(Background::Rgb([255, 255, 254]));
        let laid = behind::<4, _>(&pixels, f32::from, white, true).unwrap();
        assert_eq!(laid, [127.0, 127.0, 127.0, 10.0, 20.0, 30.0]);
        assert_eq!(behind::<4, _>(&pixels[4..], f32::from, None, true).unwrap(), [10.0, 20.0, 30.0]);
        // A grey level of half opacity.
        assert_eq!(behind::<2, _>(&[0, 128_u8], f32::from, white, true).unwrap(), [127.0; 3]);
    }

    #[test]
    fn make_gray_equals_pillow() {
        let gray_of = |values: [f32; 3], is_whole| {
            let mut pixels = Pixels { channels: 3, height: 1, width: 1, values: values.to_vec(), is_whole };
            pixels.make_gray();
            pixels.values[0]
        };
        for (color, gray) in [([255.0; 3], 255.0), ([255.0, 0.0, 0.0], 76.0), ([0.0, 0.0, 255.0], 29.0)] {
            assert!((gray_of(color, true) - gray).abs() < 1e-6);
        }
        assert!((gray_of([255.0, 0.0, 0.0], false) - 76.245).abs() < 1e-3);
    }

    #[test]
    fn resized_keeps_fractions_and_the_mean() {
        let values: Vec<f32> = (0..16).map(|value| 10.0 * value as f32).collect();
        let pixels = Pixels { channels: 1, height: 4, width: 4, values, is_whole: true };
        let small = pixels.resized(2, 2);
        assert_eq!(small.len(), 4);
        assert!((small.iter().sum::<f32>() / 4.0 - 75.0).abs() < 1e-3, "{small:?}");
        assert!(small.iter().any(|value| (value - value.round()).abs() > 1e-3), "{small:?}");
    }
}

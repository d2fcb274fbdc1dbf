//! Decodes image files and rotates them as their metadata require.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::{DynamicImage, GenericImageView, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::limits::{MAX_EXAMPLE_SIDE, MAX_FILE_BYTES, MAX_IMAGE_BYTES, MAX_SIDE};
use super::problem::Problem;
use super::{jpeg, png, tiff};
use crate::data::ReadingRules;

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
pub(super) fn load(path: &Path) -> Result<DynamicImage, Problem> {
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

/// Opens a file for decoding. Refuses files and images that exceed the size limits.
pub(super) fn reader(path: &Path) -> Result<ImageReader<Cursor<Vec<u8>>>, Problem> {
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

/// The problem of a file that the decoder refuses.
pub(super) fn damaged(path: &Path, error: &image::ImageError) -> Problem {
    Problem::unreadable(path.to_owned(), error.to_string())
}

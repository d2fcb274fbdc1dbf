//! The pixels of one image file.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image::imageops::FilterType;
use image::{DynamicImage, ImageReader, Limits};
use kiln_space::Shape;

use super::{Color, MAX_EXAMPLE_SIDE};
use crate::data::DataError;

/// Most rows or columns of an image file.
const MAX_SIDE: u32 = 16_384;
/// Most bytes that one image may take while it is read.
const MAX_IMAGE_BYTES: u64 = 1 << 30;

fn reader(path: &Path) -> Result<ImageReader<BufReader<File>>, DataError> {
    let failed = |source| DataError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut reader = ImageReader::new(BufReader::new(file)).with_guessed_format().map_err(failed)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_IMAGE_BYTES);
    reader.limits(limits);
    Ok(reader)
}

fn damaged(path: &Path, error: &image::ImageError) -> DataError {
    DataError::content(
        path,
        "image",
        error.to_string(),
        format!("a whole PNG or JPEG of at most {MAX_SIDE} x {MAX_SIDE} pixels"),
    )
}

/// Height and width of an image.
pub(super) fn dimensions(path: &Path) -> Result<[usize; 2], DataError> {
    let (width, height) = reader(path)?.into_dimensions().map_err(|error| damaged(path, &error))?;
    let size = [height as usize, width as usize];
    if size.iter().any(|side| !(1..=MAX_EXAMPLE_SIDE).contains(side)) {
        let found = format!("{height} x {width} pixels");
        let expected =
            format!("at most {MAX_EXAMPLE_SIDE} rows and columns; set `size = [height, width]` to resize");
        return Err(DataError::content(path, "image", found, expected));
    }
    Ok(size)
}

/// The pixels of an image, `[channels, height, width]`. Transparency is ignored, 16 bits become 8.
pub(super) fn read(path: &Path, shape: Shape, color: Color, resize: bool) -> Result<Vec<u8>, DataError> {
    let image = reader(path)?.decode().map_err(|error| damaged(path, &error))?;
    let (height, width) = (shape.height as u32, shape.width as u32);
    let image = if (image.height(), image.width()) == (height, width) {
        image
    } else if resize {
        image.resize_exact(width, height, FilterType::Triangle)
    } else {
        let found = format!("{} x {} pixels", image.height(), image.width());
        let expected =
            format!("{height} x {width} as in the first image; set `size = [height, width]` to resize");
        return Err(DataError::content(path, "image", found, expected));
    };
    Ok(planes(image, color))
}

fn planes(image: DynamicImage, color: Color) -> Vec<u8> {
    let interleaved = match color {
        Color::Gray => return image.into_luma8().into_raw(),
        Color::Rgb => image.into_rgb8().into_raw(),
    };
    (0..3).flat_map(|channel| interleaved.iter().skip(channel).step_by(3).copied()).collect()
}

//! Folders of images: `train/CLASS/*` with optional `val/CLASS/*` and `test/CLASS/*`, or only `CLASS/*`.

mod background;
mod color;
mod decoding;
mod jpeg;
mod layout;
mod limits;
mod listing;
mod pixels;
mod png;
mod problem;
mod tiff;
mod unreadable;

use std::path::{Path, PathBuf};

use kiln_export::{InputRecord, Preprocessing};
use kiln_space::{SettingsError, Shape};
use serde::Deserialize;

use self::background::Background;
use self::color::Color;
use self::decoding::dimensions;
use self::layout::Layout;
use self::limits::MAX_EXAMPLE_SIDE;
use self::listing::{Labeled, Listing};
use self::pixels::Reading;
use self::problem::Problem;
use self::unreadable::Unreadable;
use super::input_file::{MAX_EXAMPLES, MAX_VALUES, name_of};
use super::preparation::{self, Offer, Preparation, TENTH};
use super::reading::ReadingProgress;
use super::{
    DataError, DataPart, DataSample, DataSet, Example, Given, NewExamples, Opening, RawData, ReadingRules,
    Targets, examples,
};
use crate::devices::parallel;

/// Number of images that are decoded between two progress reports.
const CHUNK: usize = 256;

/// `[data]` with `kind = "images"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Images {
    /// Height and width to which every image is resized. If it is `None`, all images must have the same size.
    size: Option<[usize; 2]>,
    #[serde(default)]
    color: Color,
    /// Background color of transparent pixels. If it is `None`, images with transparent pixels are refused.
    background: Option<Background>,
    /// Whether unreadable files are skipped and counted, or refused.
    #[serde(default)]
    skip_unreadable: bool,
}

/// The registry entry of this kind of data set.
pub(super) const PART: DataPart = DataPart::new("folders of images, one for each class", open)
    .with_keys(&[preparation::KEYS, preparation::TEST_KEYS, preparation::AUGMENT_KEYS, KEYS])
    .tested_with(DataSample { settings: r#"{ "size": [4, 6] }"#, files: sample });

/// Schema of the settings that only this kind of data set has.
const KEYS: &str = include_str!("images/keys.toml");

/// Returns the files of a small data set, with which tests check the laws of data sets.
fn sample() -> Vec<(String, Vec<u8>)> {
    let image = |index: usize| {
        let (name, color) = (["cat", "dog"][index % 2], image::Rgb([index as u8, 200 - index as u8, 7]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        let image = image::RgbImage::from_pixel(5, 5, color);
        image.write_to(&mut bytes, image::ImageFormat::Png).expect("memory takes all");
        (format!("{name}/{index}.png"), bytes.into_inner())
    };
    (0..60).map(image).collect()
}

fn open(opening: &Opening<'_>) -> Result<DataSet, DataError> {
    let offer = Offer { test: true, augment: true, validation: TENTH };
    let (read, mut preparation): (Images, _) = Preparation::read(opening, offer)?;
    let settings = opening.settings;
    if let Some(size) =
        read.size.filter(|size| size.iter().any(|side| !(1..=MAX_EXAMPLE_SIDE).contains(side)))
    {
        let expected = "`[height, width]`, each from 1 to 1024";
        return Err(SettingsError::value(settings.key("size"), format!("{size:?}"), expected).into());
    }
    let folder = opening.folder.ok_or(DataError::NoFolder { kind: "images" })?;
    let layout = Layout::find(folder, &preparation, opening)?;
    if layout.test.is_none() {
        preparation.hold_out();
    }
    let Listing { names, files, problems } = layout.list()?;
    check_count(folder, files.len())?;
    let mut unreadable = Unreadable::new(folder, read.skip_unreadable, files.len() + problems.len());
    unreadable.add(problems)?;

    let [height, width] = match read.size {
        Some(size) => size,
        None => first_dimensions(&files, &mut unreadable, opening)?,
    };
    let shape = Shape::new(read.color.names().len(), height, width);
    if (shape.elements() * files.len()) as u64 > MAX_VALUES {
        let found = format!("{} images of {shape}", files.len());
        let expected = format!("at most {MAX_VALUES} values in all; set a smaller `size`");
        return Err(DataError::content(folder, "folder", found, expected));
    }
    let reading = Reading {
        shape,
        color: read.color,
        resize: read.size.is_some(),
        background: read.background,
        rules: opening.rules,
    };
    let (examples, kept) = decode(&files, &reading, &mut unreadable, opening)?;
    let notes = unreadable.finish()?;
    let labels: Vec<u32> = kept.iter().map(|file| file.label).collect();
    if let Some(empty) = (0..names.len() as u32).find(|class| !labels.contains(class)) {
        let path = layout.train.join(&names[empty as usize]);
        return Err(DataError::content(&path, "folder", "no images", "images of the class"));
    }
    let raw = RawData {
        name: name_of(folder),
        input: reading.describe(),
        shape,
        examples,
        inputs: read.color.names().iter().map(|name| InputRecord::channel(*name)).collect(),
        given: Given { splits: kept.iter().map(|file| file.split).collect(), ..Given::default() },
        targets: Targets::Classes { names, labels },
        notes,
    };
    preparation.finish(raw)
}

/// Lists the images in a folder, sorted by name. Hidden files and files of the operating system are ignored.
///
/// # Errors
/// [`DataError`] for a folder that cannot be read or has no images.
pub fn image_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let files = listing::images(folder)?;
    if files.is_empty() {
        return Err(DataError::content(folder, "folder", "no images", "images, or the names of files"));
    }
    Ok(files)
}

/// Describes the processing of pixels, for model cards.
pub(super) fn how(channels: usize) -> Vec<(&'static str, &'static str)> {
    let mut how = vec![
        ("orientation", "turned as the EXIF orientation says"),
        ("resize", "a triangle filter that widens where the image shrinks, on values in single precision"),
    ];
    if channels == 1 {
        let gray = "(19595 red + 38470 green + 7471 blue + 32768) / 65536, rounded down, of an image of \
            8 bits; 0.299 red + 0.587 green + 0.114 blue of one of 16";
        how.push(("gray", gray));
    }
    how
}

/// Converts images of any size to inputs of a network, and appends them.
pub(super) fn read_new(
    files: &[PathBuf],
    preprocessing: &Preprocessing,
    shape: Shape,
    progress: ReadingProgress<'_>,
    read: &mut NewExamples,
) -> Result<(), DataError> {
    let Some(first) = files.first() else { return Ok(()) };
    let kind: Option<String> = examples::setting(preprocessing, "kind", first)?;
    let takes_pixels = matches!(kind.as_deref(), Some("images" | "idx" | "cifar"));
    let color = match shape.channels {
        1 if takes_pixels => Color::Gray,
        3 if takes_pixels => Color::Rgb,
        _ => {
            let found = format!("a file of another kind than `{}`", kind.as_deref().unwrap_or("npy"));
            let expected = format!("an array (`.npy`) of inputs of {shape}: {}", preprocessing.input);
            return Err(DataError::content(first, "file", found, expected));
        }
    };
    let background = examples::setting(preprocessing, "background", first)?;
    let reading = Reading { shape, color, resize: true, background, rules: ReadingRules::CURRENT };
    let mut problems = Vec::new();
    for (index, chunk) in files.chunks(CHUNK).enumerate() {
        progress((index * CHUNK) as u64, files.len() as u64);
        for (file, pixels) in chunk.iter().zip(parallel::map(chunk, |_, file| reading.read(file))) {
            match pixels {
                Ok(pixels) => {
                    read.values.extend(pixels);
                    read.examples.push(Example { file: file.clone(), place: None });
                }
                Err(problem) => problems.push(problem),
            }
        }
    }
    progress(files.len() as u64, files.len() as u64);
    Unreadable::refuse_all(files.len(), &problems)
}

fn check_count(folder: &Path, count: usize) -> Result<(), DataError> {
    if count as u64 <= MAX_EXAMPLES {
        return Ok(());
    }
    let expected = format!("at most {MAX_EXAMPLES}");
    Err(DataError::content(folder, "folder", format!("{count} images"), expected))
}

/// Height and width of the first readable image.
fn first_dimensions(
    files: &[Labeled],
    unreadable: &mut Unreadable<'_>,
    opening: &Opening<'_>,
) -> Result<[usize; 2], DataError> {
    for file in files {
        match dimensions(&file.path, opening.rules) {
            Ok(size) => return Ok(size),
            // Skip this problem here, because the later pass over all files reports it.
            Err(problem) if problem.is_skippable => {}
            Err(problem) => unreadable.add(vec![problem])?,
        }
    }
    Err(unreadable.refused(files.iter().filter_map(|file| dimensions(&file.path, opening.rules).err())))
}

/// Reads the values of all readable images in file order. Also returns the readable files.
fn decode<'a>(
    files: &'a [Labeled],
    reading: &Reading,
    unreadable: &mut Unreadable<'_>,
    opening: &Opening<'_>,
) -> Result<(Vec<f32>, Vec<&'a Labeled>), DataError> {
    let mut examples = Vec::with_capacity(reading.shape.elements() * files.len());
    let mut kept = Vec::with_capacity(files.len());
    let mut problems: Vec<Problem> = Vec::new();
    for (index, chunk) in files.chunks(CHUNK).enumerate() {
        (opening.progress)((index * CHUNK) as u64, files.len() as u64);
        for (file, pixels) in chunk.iter().zip(parallel::map(chunk, |_, file| reading.read(&file.path))) {
            match pixels {
                Ok(pixels) => {
                    examples.extend(pixels);
                    kept.push(file);
                }
                Err(problem) => problems.push(problem),
            }
        }
    }
    (opening.progress)(files.len() as u64, files.len() as u64);
    unreadable.add(problems)?;
    Ok((examples, kept))
}

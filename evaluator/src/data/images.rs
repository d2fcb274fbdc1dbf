//! Folders of images: `train/CLASS/*.png` and, if there is one, `test/CLASS/*.png`; PNG and JPEG.

mod listing;
mod pixels;

use std::path::Path;

use kiln_space::{Settings, SettingsError, Shape};
use serde::Deserialize;

use self::listing::{folders, labeled};
use self::pixels::{dimensions, read};
use super::input_file::{MAX_CLASSES, MAX_EXAMPLES, MAX_VALUES, name_of};
use super::preparation::{Offer, Preparation, TENTH};
use super::{DataError, DataSet, RawData, Targets};
use crate::parallel;

/// Most rows or columns of an example.
const MAX_EXAMPLE_SIDE: usize = 1024;

/// `[data]` with `kind = "images"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Images {
    /// Height and width that every image is brought to; without it all must be alike.
    size: Option<[usize; 2]>,
    #[serde(default)]
    color: Color,
}

/// Channels of the examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Color {
    /// Red, green and blue, 0 to 255 each.
    #[default]
    Rgb,
    /// Grey level, 0 to 255.
    Gray,
}

impl Color {
    const fn channels(self) -> usize {
        match self {
            Self::Rgb => 3,
            Self::Gray => 1,
        }
    }
}

pub(super) fn open(settings: &Settings, folder: Option<&Path>) -> Result<DataSet, DataError> {
    let offer = Offer { test: true, augment: true, validation: TENTH };
    let (Images { size, color }, mut preparation) = Preparation::read(settings, offer)?;
    if size.is_some_and(|size| size.iter().any(|side| !(1..=MAX_EXAMPLE_SIDE).contains(side))) {
        let expected = "`[height, width]`, each from 1 to 1024";
        let found = format!("{:?}", size.unwrap_or_default());
        return Err(SettingsError::value(settings.key("size"), found, expected).into());
    }
    let folder = folder.ok_or(DataError::NoFolder { kind: "images" })?;
    let test_folder = folder.join("test");
    let has_test = preparation.test.is_none() && test_folder.is_dir();
    if !has_test {
        preparation.hold_out();
    }

    let train_folder = folder.join("train");
    let names: Vec<String> = folders(&train_folder)?;
    if names.len() < 2 || names.len() > MAX_CLASSES {
        let expected = format!("2 to {MAX_CLASSES} folders, one for each class");
        return Err(DataError::content(
            &train_folder,
            "folder",
            format!("{} folders", names.len()),
            expected,
        ));
    }
    let mut files = labeled(&train_folder, &names)?;
    let given = files.len();
    let mut seen = vec![false; names.len()];
    for file in &files {
        seen[file.label as usize] = true;
    }
    if let Some(empty) = seen.iter().position(|seen| !seen) {
        return Err(DataError::content(
            &train_folder.join(&names[empty]),
            "folder",
            "no images",
            "images of the class",
        ));
    }
    if has_test {
        if let Some(unknown) = folders(&test_folder)?.iter().find(|name| !names.contains(name)) {
            let expected = format!("only classes that `{}` has", train_folder.display());
            return Err(DataError::content(&test_folder, "folder", format!("class `{unknown}`"), expected));
        }
        files.extend(labeled(&test_folder, &names)?);
    }
    if files.len() as u64 > MAX_EXAMPLES {
        return Err(DataError::content(
            folder,
            "folder",
            format!("{} images", files.len()),
            format!("at most {MAX_EXAMPLES}"),
        ));
    }
    let [height, width] = size.map_or_else(|| dimensions(&files[0].path), Ok)?;
    let shape = Shape::new(color.channels(), height, width);
    if (shape.elements() * files.len()) as u64 > MAX_VALUES {
        let found = format!("{} images of {shape}", files.len());
        return Err(DataError::content(
            folder,
            "folder",
            found,
            format!("at most {MAX_VALUES} values in all; set a smaller `size`"),
        ));
    }
    let read = parallel::map(&files, |_, file| read(&file.path, shape, color, size.is_some()));
    let mut examples = Vec::with_capacity(shape.elements() * files.len());
    for pixels in read {
        examples.extend(pixels?.into_iter().map(f32::from));
    }
    let raw = RawData {
        name: name_of(folder),
        input: match color {
            Color::Rgb => "red, green, blue 0..255",
            Color::Gray => "grey level 0..255",
        }
        .to_owned(),
        shape,
        examples,
        test: files.len() - given,
        targets: Targets::Classes { names, labels: files.iter().map(|file| file.label).collect() },
    };
    preparation.finish(raw)
}

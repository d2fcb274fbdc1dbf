//! IDX files, the format of MNIST and related data sets: four files, plain or gzipped.
//!
//! Source: Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits", section "File
//! formats".

use std::path::Path;

use kiln_export::InputRecord;
use kiln_space::Shape;
use serde::Deserialize;

use super::input_file::{InputFile, MAX_VALUES, name_of};
use super::labels::{Labeled, classes};
use super::preparation::{self, Offer, Preparation, TENTH};
use super::{DataError, DataPart, DataSample, DataSet, Given, Opening, RawData};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Idx {
    #[serde(default = "train_images")]
    train_images: String,
    #[serde(default = "train_labels")]
    train_labels: String,
    #[serde(default = "test_images")]
    test_images: String,
    #[serde(default = "test_labels")]
    test_labels: String,
    #[serde(default)]
    classes: Vec<String>,
}

fn train_images() -> String {
    "train-images-idx3-ubyte".to_owned()
}
fn train_labels() -> String {
    "train-labels-idx1-ubyte".to_owned()
}
fn test_images() -> String {
    "t10k-images-idx3-ubyte".to_owned()
}
fn test_labels() -> String {
    "t10k-labels-idx1-ubyte".to_owned()
}

/// The registry entry of this kind of data set.
pub(super) const PART: DataPart = DataPart::new("IDX files, as those of MNIST", open)
    .with_keys(&[preparation::KEYS, preparation::AUGMENT_KEYS, KEYS])
    .tested_with(DataSample { settings: "{}", files: sample });

/// Schema of the settings that only this kind of data set has.
const KEYS: &str = r##"
train_labels = { type = "string", description = "Their labels; `train-labels-idx1-ubyte` unless stated." }
test_images = { type = "string", description = "Images to test on; `t10k-images-idx3-ubyte` unless stated." }
test_labels = { type = "string", description = "Their labels; `t10k-labels-idx1-ubyte` unless stated." }

[train_images]
type = "string"
description = "Images to train and validate on; `train-images-idx3-ubyte` unless stated."

[classes]
"$ref" = "#/$defs/strings"
description = "Names of the classes; numbers unless stated."
default = []
"##;

/// Returns the files of a small data set, with which tests check the laws of data sets.
fn sample() -> Vec<(String, Vec<u8>)> {
    let header = |numbers: &[usize]| {
        numbers.iter().flat_map(|number| (*number as u32).to_be_bytes()).collect::<Vec<u8>>()
    };
    let images = |count: usize| {
        let pixels = (0..count * 25).map(|pixel| (pixel % 251) as u8);
        header(&[0x0803, count, 5, 5]).into_iter().chain(pixels).collect()
    };
    let labels = |count: usize| {
        header(&[0x0801, count]).into_iter().chain((0..count).map(|label| (label % 3) as u8)).collect()
    };
    vec![
        (train_images(), images(90)),
        (train_labels(), labels(90)),
        (test_images(), images(9)),
        (test_labels(), labels(9)),
    ]
}

fn open(opening: &Opening<'_>) -> Result<DataSet, DataError> {
    let Opening { settings, folder, .. } = *opening;
    let offer = Offer { test: false, augment: true, validation: TENTH };
    let (idx, preparation): (Idx, _) = Preparation::read(opening, offer)?;
    let folder = folder.ok_or(DataError::NoFolder { kind: "idx" })?;
    let train = read_pair(&folder.join(&idx.train_images), &folder.join(&idx.train_labels))?;
    let test = read_pair(&folder.join(&idx.test_images), &folder.join(&idx.test_labels))?;
    if train.shape != test.shape {
        return Err(DataError::Content {
            path: folder.join(&idx.test_images),
            place: "header".to_owned(),
            found: format!("images of {}", test.shape),
            expected: format!("{} as in the training images", train.shape),
        });
    }
    let (given, held) = (train.labels.len(), test.labels.len());
    let labels = [train.labels, test.labels].concat();
    let Labeled { targets, notes } = classes(labels, idx.classes, (settings, "classes"), opening.rules)?;
    let raw = RawData {
        name: name_of(folder),
        input: "grey level 0..255".to_owned(),
        shape: train.shape,
        given: Given::test_at_end(given + held, held),
        notes,
        inputs: ["grey level"].map(InputRecord::channel).to_vec(),
        examples: [train.pixels, test.pixels].concat(),
        targets,
    };
    preparation.finish(raw)
}

struct Pair {
    shape: Shape,
    pixels: Vec<f32>,
    labels: Vec<u32>,
}

fn read_pair(images: &Path, labels: &Path) -> Result<Pair, DataError> {
    let ([count, height, width], pixels, file) = read_idx::<3>(images)?;
    if count == 0 || height == 0 || width == 0 || height > 1024 || width > 1024 {
        let found = format!("{count} images of {height}x{width}");
        return Err(file.content("byte 4", found, "at least one image of 1x1 to 1024x1024"));
    }
    let ([label_count], labels, label_file) = read_idx::<1>(labels)?;
    if label_count != count {
        let expected = format!("{count}, one for each image of {}", file.path().display());
        return Err(label_file.content("byte 4", format!("{label_count} labels"), expected));
    }
    Ok(Pair {
        shape: Shape::new(1, height, width),
        pixels: pixels.into_iter().map(f32::from).collect(),
        labels: labels.into_iter().map(u32::from).collect(),
    })
}

/// Reads an IDX file of unsigned bytes with `D` dimensions. Returns dimensions, bytes and the file.
fn read_idx<const D: usize>(path: &Path) -> Result<([usize; D], Vec<u8>, InputFile), DataError> {
    let mut file = InputFile::open(path)?;
    let length = 4 + 4 * D;
    let header = file.exactly(length as u64, &format!("an IDX header of {length} bytes"))?;
    if header[..4] != [0, 0, 8, D as u8] {
        let found = format!("magic number {:02x?}", &header[..4]);
        return Err(file.content("byte 0", found, format!("{:02x?}", [0, 0, 8, D as u8])));
    }
    let mut dimensions = [0; D];
    for (dimension, bytes) in dimensions.iter_mut().zip(header[4..].chunks_exact(4)) {
        *dimension = u32::from_be_bytes(bytes.try_into().expect("chunks of four bytes")) as usize;
    }
    let size = dimensions.iter().try_fold(1_u64, |size, dimension| size.checked_mul(*dimension as u64));
    let Some(size) = size.filter(|size| *size <= MAX_VALUES) else {
        let expected = format!("at most {MAX_VALUES} bytes in all");
        return Err(file.content("byte 4", format!("dimensions {dimensions:?}"), expected));
    };
    let bytes = file.exactly(size, &format!("{size} bytes after the header, as it says"))?;
    file.end()?;
    Ok((dimensions, bytes, file))
}

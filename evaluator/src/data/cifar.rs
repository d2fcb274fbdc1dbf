//! CIFAR-10 and CIFAR-100 in the binary version: a record contains labels and three planes of 32 x 32 bytes.
//!
//! Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009, and the description
//! in the data set.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use kiln_export::InputRecord;
use kiln_space::{SettingsError, Shape};
use serde::Deserialize;

use super::input_file::{InputFile, MAX_VALUES, name_of};
use super::preparation::{self, Offer, Preparation, TENTH};
use super::{DataError, DataPart, DataSample, DataSet, Given, Opening, RawData, Targets};

const SHAPE: Shape = Shape::new(3, 32, 32);
/// Bytes of the pixels in a record.
const PIXELS: usize = SHAPE.elements();
/// Maximum size of a list of class names in bytes.
const NAMES_LIMIT: u64 = 1 << 20;

/// `[data]` with `kind = "cifar"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cifar {
    #[serde(default)]
    variant: Variant,
    /// Files of training records. The default depends on the variant.
    train: Option<Vec<String>>,
    /// File of test records. The default depends on the variant.
    test_file: Option<String>,
}

/// Kind of the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Variant {
    /// Each record has one label, with ten classes.
    #[default]
    Cifar10,
    /// Each record has two labels. The second label has a hundred classes.
    Cifar100,
    /// Each record has two labels. The first label has twenty classes.
    Cifar100Coarse,
}

impl Variant {
    const fn classes(self) -> usize {
        match self {
            Self::Cifar10 => 10,
            Self::Cifar100 => 100,
            Self::Cifar100Coarse => 20,
        }
    }

    /// Number of labels (bytes) before the pixels of a record.
    const fn labels(self) -> usize {
        if matches!(self, Self::Cifar10) { 1 } else { 2 }
    }

    /// Index of the label that this variant uses.
    const fn label(self) -> usize {
        if matches!(self, Self::Cifar100) { 1 } else { 0 }
    }

    fn train_files(self) -> Vec<String> {
        match self {
            Self::Cifar10 => (1..=5).map(|number| format!("data_batch_{number}.bin")).collect(),
            Self::Cifar100 | Self::Cifar100Coarse => vec!["train.bin".to_owned()],
        }
    }

    const fn test_file(self) -> &'static str {
        if matches!(self, Self::Cifar10) { "test_batch.bin" } else { "test.bin" }
    }

    /// File of class names, one per line.
    const fn names_file(self) -> &'static str {
        match self {
            Self::Cifar10 => "batches.meta.txt",
            Self::Cifar100 => "fine_label_names.txt",
            Self::Cifar100Coarse => "coarse_label_names.txt",
        }
    }
}

/// The registry entry of this kind of data set.
pub(super) const PART: DataPart = DataPart::new("CIFAR-10 and CIFAR-100 in the binary version", open)
    .with_keys(&[preparation::KEYS, preparation::TEST_KEYS, preparation::AUGMENT_KEYS, KEYS])
    .tested_with(DataSample { settings: r#"{ "train": ["train.bin"] }"#, files: sample });

/// Schema of the settings that only this kind of data set has.
const KEYS: &str = r##"
test_file = { type = "string", description = "File of test records; that of the variant unless stated." }

[variant]
enum = ["cifar10", "cifar100", "cifar100-coarse"]
description = "Layout of the records."
default = "cifar10"

[train]
"$ref" = "#/$defs/strings"
description = "Files of training records; those of the variant unless stated."
"##;

/// Returns the files of a small data set, with which tests check the laws of data sets.
fn sample() -> Vec<(String, Vec<u8>)> {
    // Ten records of each class, and one to test on. Pixels follow each other.
    let record = |index: usize| {
        let pixels = (0..PIXELS).map(move |pixel| ((index + pixel) % 251) as u8);
        std::iter::once((index % 10) as u8).chain(pixels)
    };
    let files = [("train.bin", 0..100), ("test_batch.bin", 100..110)];
    files.into_iter().map(|(name, records)| (name.to_owned(), records.flat_map(record).collect())).collect()
}

fn open(opening: &Opening<'_>) -> Result<DataSet, DataError> {
    let Opening { settings, folder, .. } = *opening;
    // If the setting `test` is set, the test split is taken from the training records, and the file of test
    // records is not used.
    let offer = Offer { test: true, augment: true, validation: TENTH };
    let (cifar, preparation): (Cifar, _) = Preparation::read(opening, offer)?;
    let (variant, test) = (cifar.variant, preparation.test);
    if test.is_some() && cifar.test_file.is_some() {
        let expected = "`test`, a share to hold out, or `test_file`, but not both";
        return Err(SettingsError::value(settings.key("test"), test.unwrap_or_default(), expected).into());
    }
    let folder = folder.ok_or(DataError::NoFolder { kind: "cifar" })?;
    let mut records = Records { variant, examples: Vec::new(), labels: Vec::new() };
    for file in cifar.train.unwrap_or_else(|| variant.train_files()) {
        records.read(&folder.join(file))?;
    }
    let given = records.labels.len();
    if test.is_none() {
        let file = cifar.test_file.unwrap_or_else(|| variant.test_file().to_owned());
        records.read(&folder.join(file))?;
    }
    let raw = RawData {
        name: name_of(folder),
        input: "red, green, blue 0..255".to_owned(),
        shape: SHAPE,
        given: Given::test_at_end(records.labels.len(), records.labels.len() - given),
        inputs: ["red", "green", "blue"].map(InputRecord::channel).to_vec(),
        notes: Vec::new(),
        examples: records.examples,
        targets: Targets::Classes {
            names: names(&folder.join(variant.names_file()), variant)?,
            labels: records.labels,
        },
    };
    preparation.finish(raw)
}

/// The records of all files that were read so far.
struct Records {
    variant: Variant,
    examples: Vec<f32>,
    labels: Vec<u32>,
}

impl Records {
    fn read(&mut self, path: &Path) -> Result<(), DataError> {
        let mut file = InputFile::open(path)?;
        let (before, size) = (self.variant.labels(), self.variant.labels() + PIXELS);
        let mut number = 0;
        loop {
            let record = file.up_to(size as u64)?;
            let place = || format!("record {number} (byte {})", number * size);
            if record.is_empty() && number > 0 {
                return Ok(());
            }
            if record.len() != size {
                let found = format!("the end of the file after {} of {size} bytes", record.len());
                let expected =
                    format!("whole records of {size} bytes, {before} for labels and {PIXELS} for pixels");
                return Err(file.content(place(), found, expected));
            }
            let label = record[self.variant.label()];
            if usize::from(label) >= self.variant.classes() {
                let expected = format!("a label below {}", self.variant.classes());
                return Err(file.content(place(), format!("label {label}"), expected));
            }
            if (self.examples.len() + PIXELS) as u64 > MAX_VALUES {
                return Err(file.content(
                    place(),
                    "more records",
                    format!("at most {MAX_VALUES} bytes in all"),
                ));
            }
            self.labels.push(label.into());
            self.examples.extend(record[before..].iter().map(|byte| f32::from(*byte)));
            number += 1;
        }
    }
}

/// Reads class names from the file next to the records. Without that file, the names are numbers.
fn names(path: &Path, variant: Variant) -> Result<Vec<String>, DataError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((0..variant.classes()).map(|class| class.to_string()).collect());
        }
        Err(source) => return Err(DataError::Read { path: path.to_owned(), source }),
    };
    let mut bytes = Vec::new();
    let read = file.take(NAMES_LIMIT).read_to_end(&mut bytes);
    read.map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    let text = String::from_utf8_lossy(&bytes);
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if names.len() == variant.classes() {
        return Ok(names);
    }
    Err(DataError::Content {
        path: path.to_owned(),
        place: format!("line {}", names.len().min(variant.classes()) + 1),
        found: format!("{} names", names.len()),
        expected: format!("{} names of classes, one a line", variant.classes()),
    })
}

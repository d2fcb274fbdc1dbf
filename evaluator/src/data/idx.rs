//! IDX files, the format of MNIST and its relatives: four files, plain or gzipped.
//!
//! Source: Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits", section "File formats".

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use kiln_space::{Settings, SettingsError, Shape};
use serde::Deserialize;

use super::registry::Common;
use super::{Augmentation, DataError, DataSet, RawData};

/// Larger files are refused: 4 GiB of pixels do not fit the way this reader works.
const MAX_BYTES: u64 = 1 << 32;
const MAX_CLASSES: usize = 1000;

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
    #[serde(default = "tenth")]
    validation: f64,
    #[serde(default)]
    split_seed: u64,
    #[serde(default)]
    augment: Augmentation,
    limit: Option<usize>,
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
const fn tenth() -> f64 {
    0.1
}

pub(super) fn open(settings: &Settings, folder: Option<&Path>) -> Result<DataSet, DataError> {
    let idx: Idx = settings.read()?;
    let common = Common {
        test: None,
        validation: idx.validation,
        split_seed: idx.split_seed,
        augment: idx.augment,
        limit: idx.limit,
    };
    common.check(settings)?;
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
    let count = train.labels.iter().chain(&test.labels).max().map_or(0, |label| *label as usize + 1);
    let classes = if idx.classes.is_empty() {
        (0..count).map(|class| class.to_string()).collect()
    } else if idx.classes.len() >= count {
        idx.classes
    } else {
        let expected = format!("{count} names, one for each label in the files");
        return Err(SettingsError::value(settings.key("classes"), idx.classes.len(), &expected).into());
    };
    let raw = RawData {
        name: folder.file_name().map_or_else(|| "idx".to_owned(), |name| name.to_string_lossy().into_owned()),
        input: "grey level 0..255".to_owned(),
        shape: train.shape,
        classes,
        test: test.labels.len(),
        examples: [train.pixels, test.pixels].concat(),
        labels: [train.labels, test.labels].concat(),
    };
    Ok(common.finish(raw))
}

struct Pair {
    shape: Shape,
    pixels: Vec<f32>,
    labels: Vec<u32>,
}

fn read_pair(images: &Path, labels: &Path) -> Result<Pair, DataError> {
    let ([count, height, width], pixels, path) = read_idx::<3>(images)?;
    let content = |path: &PathBuf, place: &str, found: String, expected: String| DataError::Content {
        path: path.clone(),
        place: place.to_owned(),
        found,
        expected,
    };
    if count == 0 || height == 0 || width == 0 || height > 1024 || width > 1024 {
        let found = format!("{count} images of {height}x{width}");
        return Err(content(&path, "header", found, "at least one image of 1x1 to 1024x1024".to_owned()));
    }
    let ([label_count], labels, label_path) = read_idx::<1>(labels)?;
    if label_count != count {
        let expected = format!("{count}, one for each image of {}", path.display());
        return Err(content(&label_path, "header", format!("{label_count} labels"), expected));
    }
    if let Some(at) = labels.iter().position(|label| usize::from(*label) >= MAX_CLASSES) {
        return Err(content(
            &label_path,
            &format!("label {at}"),
            labels[at].to_string(),
            "a class".to_owned(),
        ));
    }
    Ok(Pair {
        shape: Shape::new(1, height, width),
        pixels: pixels.into_iter().map(f32::from).collect(),
        labels: labels.into_iter().map(u32::from).collect(),
    })
}

/// Dimensions and bytes of an IDX file of unsigned bytes with `D` dimensions, and the path it was found at.
fn read_idx<const D: usize>(path: &Path) -> Result<([usize; D], Vec<u8>, PathBuf), DataError> {
    let (mut reader, path) = open_plain_or_gzip(path)?;
    let content = |place: String, found: String, expected: String| DataError::Content {
        path: path.clone(),
        place,
        found,
        expected,
    };
    let mut header = vec![0; 4 + 4 * D];
    if let Err(source) = reader.read_exact(&mut header) {
        if source.kind() == std::io::ErrorKind::UnexpectedEof {
            let expected = format!("an IDX header of {} bytes", header.len());
            return Err(content("header".to_owned(), "the end of the file".to_owned(), expected));
        }
        return Err(DataError::Read { path, source });
    }
    if header[..4] != [0, 0, 8, D as u8] {
        let found = format!("magic number {:02x?}", &header[..4]);
        return Err(content("byte 0".to_owned(), found, format!("{:02x?}", [0, 0, 8, D as u8])));
    }
    let mut dimensions = [0; D];
    for (dimension, bytes) in dimensions.iter_mut().zip(header[4..].chunks_exact(4)) {
        *dimension = u32::from_be_bytes(bytes.try_into().expect("chunks of four bytes")) as usize;
    }
    let size = dimensions.iter().try_fold(1_u64, |size, dimension| size.checked_mul(*dimension as u64));
    let Some(size) = size.filter(|size| *size <= MAX_BYTES) else {
        let expected = format!("at most {MAX_BYTES} bytes in all");
        return Err(content("header".to_owned(), format!("dimensions {dimensions:?}"), expected));
    };
    let mut bytes = Vec::new();
    let source = reader.take(size + 1).read_to_end(&mut bytes);
    source.map_err(|source| DataError::Read { path: path.clone(), source })?;
    if bytes.len() as u64 != size {
        let found = if bytes.len() as u64 > size {
            "more bytes".to_owned()
        } else {
            format!("{} bytes", bytes.len())
        };
        return Err(content(
            "after the header".to_owned(),
            found,
            format!("{size} bytes as the header says"),
        ));
    }
    Ok((dimensions, bytes, path))
}

fn open_plain_or_gzip(path: &Path) -> Result<(Box<dyn Read>, PathBuf), DataError> {
    let mut zipped = path.as_os_str().to_owned();
    zipped.push(".gz");
    for candidate in [path.to_owned(), PathBuf::from(zipped)] {
        match File::open(&candidate) {
            Ok(file) => {
                let reader = BufReader::new(file);
                let gzip = candidate.extension().is_some_and(|extension| extension == "gz");
                let reader: Box<dyn Read> =
                    if gzip { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };
                return Ok((reader, candidate));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(DataError::Read { path: candidate, source }),
        }
    }
    Err(DataError::Missing { path: path.to_owned() })
}

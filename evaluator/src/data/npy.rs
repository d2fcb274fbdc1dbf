//! Pairs of NumPy `.npy` files: an array of inputs and an array of targets.

mod archive;
mod array;
mod header;
mod targets;

use std::path::Path;

use kiln_export::{InputRecord, Preprocessing};
use kiln_space::{SettingsError, Shape};
use serde::Deserialize;

use self::array::{Array, Content};
use self::targets::TaskKind;
use super::input_file::name_of;
use super::labels::Labeled;
use super::preparation::{self, FIFTH, Offer, Preparation};
use super::{
    DataError, DataPart, DataSample, DataSet, Example, Given, NewExamples, Opening, RawData, ReadingRules,
    Split, examples, offsets,
};

/// `[data]` with `kind = "npy"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Npy {
    /// Inputs: `[n, features]`, `[n, height, width]` or `[n, channels, height, width]`.
    #[serde(default = "x")]
    x: String,
    /// Targets: labels or names `[n]` or `[n, 1]`, one-hot rows `[n, classes]`, or values `[n]` or `[n,
    /// values]`.
    #[serde(default = "y")]
    y: String,
    /// Inputs and targets of the validation split, both or neither.
    validation_x: Option<String>,
    validation_y: Option<String>,
    /// Inputs and targets of the test split, both or neither.
    test_x: Option<String>,
    test_y: Option<String>,
    #[serde(default)]
    task: TaskKind,
    /// Position of the channel axis in four-dimensional inputs.
    #[serde(default)]
    channels: Channels,
    /// Names of the classes or values. By default, the names are numbers.
    #[serde(default)]
    names: Vec<String>,
}

/// Position of the channel axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Channels {
    /// `[n, channels, height, width]`.
    #[default]
    First,
    /// `[n, height, width, channels]`.
    Last,
}

fn x() -> String {
    "x.npy".to_owned()
}
fn y() -> String {
    "y.npy".to_owned()
}

/// The registry entry of this kind of data set.
pub(super) const PART: DataPart = DataPart::new("arrays of NumPy", open)
    .with_keys(&[preparation::KEYS, preparation::TEST_KEYS, preparation::AUGMENT_KEYS, KEYS])
    .tested_with(DataSample { settings: "{}", files: sample });

/// Schema of the settings that only this kind of data set has.
const KEYS: &str = include_str!("npy/keys.toml");

/// Returns the files of a small data set, with which tests check the laws of data sets.
fn sample() -> Vec<(String, Vec<u8>)> {
    let array = |kind: &str, shape: &str, bytes: Vec<u8>| {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
        // The values begin at a multiple of 64 bytes. Magic number and length take the first ten bytes.
        let header = format!("{header:<117}\n");
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &bytes].concat()
    };
    let inputs = (0..60 * 4).flat_map(|value| (value as f32 * 0.25).to_le_bytes()).collect();
    let labels = (0..60).map(|example| example % 3).collect();
    vec![
        ("x.npy".to_owned(), array("<f4", "60, 4", inputs)),
        ("y.npy".to_owned(), array("|u1", "60,", labels)),
    ]
}

fn open(opening: &Opening<'_>) -> Result<DataSet, DataError> {
    let Opening { settings, folder, .. } = *opening;
    let offer = Offer { test: true, augment: true, validation: FIFTH };
    let (read, mut preparation): (Npy, _) = Preparation::read(opening, offer)?;
    let pair = |split: &str, x: &Option<String>, y: &Option<String>, share: Option<f64>| match (x, y, share) {
        (Some(x), Some(y), None) => Ok(Some((x.clone(), y.clone()))),
        (None, None, _) => Ok(None),
        _ => {
            let expected =
                format!("`{split}_x` and `{split}_y`, or `{split}`, a share to hold out, or none of them");
            Err(SettingsError::value(settings.key(&format!("{split}_x")), "some of them", &expected))
        }
    };
    let validation_files =
        pair("validation", &read.validation_x, &read.validation_y, preparation.stated_validation)?;
    let test_files = pair("test", &read.test_x, &read.test_y, preparation.test)?;
    if test_files.is_none() {
        preparation.hold_out();
    }
    let folder = folder.ok_or(DataError::NoFolder { kind: "npy" })?;
    let train = Pair::read(folder, ("x", &read.x), ("y", &read.y))?;
    let shape = shape(&train.x, read.channels)?;
    let is_interleaved = train.x.dimensions.len() == 4 && read.channels == Channels::Last;
    let mut splits = vec![None; train.x.count()];
    let mut pairs = vec![train];
    let given = [
        (validation_files, ["validation_x", "validation_y"], Split::Validation),
        (test_files, ["test_x", "test_y"], Split::Test),
    ];
    for (files, [key_x, key_y], split) in given {
        let Some((x, y)) = files else { continue };
        let held = Pair::read(folder, (key_x, &x), (key_y, &y))?;
        held.x.check_like(&pairs[0].x)?;
        held.y.check_like(&pairs[0].y)?;
        splits.resize(splits.len() + held.x.count(), Some(split));
        pairs.push(held);
    }
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    for Pair { x, y } in pairs {
        inputs.push(x);
        outputs.push(y);
    }
    let Labeled { targets, notes } = targets::read(read.task, &read.names, outputs, opening)?;
    let (mut examples, offsets) = numbers(inputs, shape, opening.rules)?;
    if is_interleaved {
        examples = planes(&examples, shape);
    }
    let given = Given { splits, ..Given::default() };
    let input = "a value of the input array".to_owned();
    let name = name_of(folder);
    let inputs = (0..shape.channels).map(|channel| InputRecord {
        offset: offsets.get(channel).copied().unwrap_or_default(),
        ..InputRecord::channel(channel.to_string())
    });
    let inputs = inputs.collect();
    preparation.finish(RawData { name, input, shape, examples, inputs, targets, given, notes })
}

/// Appends the rows of an array of inputs.
pub(super) fn read_new(
    file: &Path,
    preprocessing: &Preprocessing,
    shape: Shape,
    read: &mut NewExamples,
) -> Result<(), DataError> {
    let array = Array::read(Path::new(""), ("FILES", &file.to_string_lossy()))?;
    let channels: Channels = examples::setting(preprocessing, "channels", file)?;
    let found = self::shape(&array, channels)?;
    if found != shape {
        let expected = format!("rows of {shape}, as the network takes them");
        return Err(array.refused("shape", format!("rows of {found}"), expected));
    }
    let is_interleaved = array.dimensions.len() == 4 && channels == Channels::Last;
    let rows = array.count() as u64;
    let offset = |channel: usize| preprocessing.inputs.get(channel).map_or(0.0, |input| input.offset);
    let values = array.into_numbers()?;
    let channel = |index: usize| {
        if is_interleaved { index % shape.channels } else { index / shape.positions() % shape.channels }
    };
    let mut values: Vec<f32> = values
        .into_iter()
        .enumerate()
        .map(|(index, value)| (value - offset(channel(index))) as f32)
        .collect();
    if is_interleaved {
        values = planes(&values, shape);
    }
    read.values.extend(values);
    read.examples.extend((1..=rows).map(|row| Example { file: file.to_owned(), place: Some(row) }));
    Ok(())
}

/// Converts the values of all arrays to single precision, minus the offset of each channel. Only feature
/// arrays have offsets. Their columns are the channels.
fn numbers(arrays: Vec<Array>, shape: Shape, rules: ReadingRules) -> Result<(Vec<f32>, Vec<f64>), DataError> {
    let is_single = arrays.iter().all(|array| matches!(array.content, Content::Single(_)));
    if is_single {
        let values = arrays.into_iter().flat_map(|array| match array.content {
            Content::Single(values) => values,
            Content::Double(_) | Content::Text(_) => Vec::new(),
        });
        return Ok((values.collect(), Vec::new()));
    }
    let mut values = Vec::new();
    for array in arrays {
        values.extend(array.into_numbers()?);
    }
    if shape.positions() == 1 {
        return Ok(offsets::to_single(&values, shape.channels, rules));
    }
    Ok((values.into_iter().map(|value| value as f32).collect(), Vec::new()))
}

/// Converts examples from interleaved channels to one plane per channel.
fn planes(examples: &[f32], shape: Shape) -> Vec<f32> {
    let of_example = |example: &[f32]| -> Vec<f32> {
        (0..shape.channels).flat_map(|c| example.iter().skip(c).step_by(shape.channels).copied()).collect()
    };
    examples.chunks_exact(shape.elements()).flat_map(of_example).collect()
}

/// An array of inputs with its array of targets.
struct Pair {
    x: Array,
    y: Array,
}

impl Pair {
    fn read(folder: &Path, x: (&str, &str), y: (&str, &str)) -> Result<Self, DataError> {
        let (x, y) = (Array::read(folder, x)?, Array::read(folder, y)?);
        if x.count() == y.count() {
            return Ok(Self { x, y });
        }
        let expected = format!("{} rows, one for each of `{}`", x.count(), x.path.display());
        Err(y.refused("shape", format!("{} rows", y.count()), expected))
    }
}

/// Shape of one example.
fn shape(x: &Array, channels: Channels) -> Result<Shape, DataError> {
    match (x.dimensions.as_slice(), channels) {
        ([_, features], _) => Ok(Shape::vector(*features)),
        ([_, height, width], _) => Ok(Shape::new(1, *height, *width)),
        ([_, channels, height, width], Channels::First) | ([_, height, width, channels], Channels::Last) => {
            Ok(Shape::new(*channels, *height, *width))
        }
        _ => {
            let expected = "`(n, features)`, `(n, height, width)` or `(n, channels, height, width)`";
            Err(x.refused("shape", format!("{:?}", x.dimensions), expected))
        }
    }
}

//! Pairs of NumPy's `.npy` files: an array of inputs and an array of targets.

mod array;
mod header;

use std::path::Path;

use kiln_space::{Settings, SettingsError, Shape};
use serde::Deserialize;

use self::array::Array;
use super::input_file::{MAX_CLASSES, name_of};
use super::preparation::{FIFTH, Offer, Preparation};
use super::{DataError, DataSet, RawData, Targets};

/// `[data]` with `kind = "npy"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Npy {
    /// Inputs: `[n, features]`, `[n, height, width]` or `[n, channels, height, width]`.
    #[serde(default = "x")]
    x: String,
    /// Targets: labels `[n]` from 0 on, or values `[n]` or `[n, values]`.
    #[serde(default = "y")]
    y: String,
    /// Inputs and targets of the test split, both or neither.
    test_x: Option<String>,
    test_y: Option<String>,
    #[serde(default)]
    task: TaskKind,
    /// Where the channels of four-dimensional inputs are.
    #[serde(default)]
    channels: Channels,
    /// Names of the classes or values; numbers unless stated.
    #[serde(default)]
    names: Vec<String>,
}

/// What the targets are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TaskKind {
    /// Labels.
    #[default]
    Classification,
    /// Numbers.
    Regression,
}

/// Which axis of four counts channels.
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

pub(super) fn open(settings: &Settings, folder: Option<&Path>) -> Result<DataSet, DataError> {
    let offer = Offer { test: true, augment: true, validation: FIFTH };
    let (read, mut preparation): (Npy, _) = Preparation::read(settings, offer)?;
    let test_files = match (&read.test_x, &read.test_y, preparation.test) {
        (Some(x), Some(y), None) => Some((x, y)),
        (None, None, _) => None,
        _ => {
            let expected = "`test_x` and `test_y`, or `test`, a share to hold out, or none of them";
            return Err(SettingsError::value(settings.key("test_x"), "some of them", expected).into());
        }
    };
    if test_files.is_none() {
        preparation.hold_out();
    }
    let folder = folder.ok_or(DataError::NoFolder { kind: "npy" })?;
    let train = Pair::read(folder, &read.x, &read.y)?;
    let shape = shape(&train.x, read.channels)?;
    let mut pairs = vec![train];
    if let Some((x, y)) = test_files {
        let test = Pair::read(folder, x, y)?;
        test.x.check_like(&pairs[0].x)?;
        test.y.check_like(&pairs[0].y)?;
        pairs.push(test);
    }
    let targets = targets(&read, settings, &pairs)?;
    let test = pairs.get(1).map_or(0, |test| test.x.count());
    let mut examples = Vec::with_capacity(pairs.iter().map(|pair| pair.x.values.len()).sum());
    for Pair { x, .. } in pairs {
        if x.dimensions.len() == 4 && read.channels == Channels::Last {
            examples.extend(x.values.chunks_exact(shape.elements()).flat_map(|example| {
                (0..shape.channels).flat_map(move |c| example.iter().skip(c).step_by(shape.channels).copied())
            }));
        } else {
            examples.extend(x.values);
        }
    }
    let input = "a value of the input array".to_owned();
    preparation.finish(RawData { name: name_of(folder), input, shape, examples, targets, test })
}

/// An array of inputs and its targets.
struct Pair {
    x: Array,
    y: Array,
}

impl Pair {
    fn read(folder: &Path, x: &str, y: &str) -> Result<Self, DataError> {
        let (x, y) = (Array::read(&folder.join(x))?, Array::read(&folder.join(y))?);
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

fn targets(read: &Npy, settings: &Settings, pairs: &[Pair]) -> Result<Targets, DataError> {
    let y = &pairs[0].y;
    let count = match (y.dimensions.as_slice(), read.task) {
        ([_], TaskKind::Classification) => {
            let mut most = 0;
            for Pair { y, .. } in pairs {
                let label = |value: &f32| {
                    value.fract().abs() < f32::EPSILON && (0.0..MAX_CLASSES as f32).contains(value)
                };
                if let Some(index) = y.values.iter().position(|value| !label(value)) {
                    let expected = format!("a label: a whole number from 0 to {}", MAX_CLASSES - 1);
                    return Err(y.refused(
                        &format!("element {index}"),
                        y.values[index].to_string(),
                        expected,
                    ));
                }
                most = y.values.iter().fold(most, |most, value| most.max(*value as usize));
            }
            if most == 0 {
                return Err(y.refused(
                    "all elements",
                    "one class".to_owned(),
                    "labels of at least two classes",
                ));
            }
            most + 1
        }
        ([_], TaskKind::Regression) => 1,
        ([_, values], TaskKind::Regression) if *values <= MAX_CLASSES => *values,
        (_, TaskKind::Classification) => {
            return Err(y.refused(
                "shape",
                format!("{:?}", y.dimensions),
                "`(n,)`: one label for each example",
            ));
        }
        (_, TaskKind::Regression) => {
            return Err(y.refused("shape", format!("{:?}", y.dimensions), "`(n,)` or `(n, values)`"));
        }
    };
    let names = if read.names.is_empty() {
        (0..count).map(|number| number.to_string()).collect()
    } else if read.names.len() == count {
        read.names.clone()
    } else {
        let expected = format!("{count} names, one for each class or value in the files");
        return Err(SettingsError::value(
            settings.key("names"),
            format!("{} names", read.names.len()),
            &expected,
        )
        .into());
    };
    let values = pairs.iter().flat_map(|pair| pair.y.values.iter().copied());
    Ok(match read.task {
        TaskKind::Classification => {
            Targets::Classes { names, labels: values.map(|value| value as u32).collect() }
        }
        TaskKind::Regression => Targets::Values { names, values: values.collect() },
    })
}

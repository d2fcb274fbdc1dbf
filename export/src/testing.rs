//! Checks the laws of exporters, on trained networks with random weights (feature `testing`).

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};

use kiln_space::{Architecture, LayerId, NumberFormat, Precision};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::{
    Array, Calibration, Calibrator, ExportError, Exporter, Grid, InputRecord, MetricRecord, ModelCard,
    Prediction, Preprocessing, QuantizationOptions, QuantizationPlan, QuantizedNetwork, TrainedModel,
    expected_arrays, reference, with_codebooks, with_narrow_weights,
};

mod blocks;
mod random;
mod samples;

pub use crate::onnx::text::graph_text;
pub use blocks::{pruned, random_blocks, random_units};
pub use random::random_model;
pub use samples::{perceptron, sample_models};

/// The single-precision arrays in an ONNX file, by name.
///
/// # Panics
/// When the bytes are not an ONNX file with a graph, or two initializers share a name.
#[must_use]
pub fn read_onnx(bytes: &[u8]) -> BTreeMap<String, Array> {
    crate::onnx::arrays::arrays(bytes)
}

/// The arrays in a safetensors file, by name.
///
/// # Panics
/// When the bytes are not a safetensors file, or contain an array that is not in single precision.
#[must_use]
pub fn read_safetensors(bytes: &[u8]) -> BTreeMap<String, Array> {
    crate::safetensors::read_back::arrays(bytes)
}

/// Checks that every exporter obeys these laws for every model:
/// - The arrays that are read back equal those of [`Exporter::written`] bit for bit.
/// - Two exports produce equal bytes.
/// - An invalid model is refused before anything is written.
/// - If the writer fails, its error is returned.
///
/// `read` returns the arrays of an exported file by name. The file may contain more arrays than the model
/// has.
///
/// # Panics
/// When a law is broken. The message names the law and the model.
pub fn check_exporter(
    exporter: &dyn Exporter,
    read: impl Fn(&[u8]) -> BTreeMap<String, Array>,
    models: &BTreeMap<String, TrainedModel>,
) {
    check_extension(exporter);
    for (name, model) in models {
        let export = |model: &TrainedModel| {
            let mut bytes = Vec::new();
            exporter.export(model, &mut bytes).map(|()| bytes.clone()).map_err(|error| (error, bytes))
        };
        let bytes = export(model).unwrap_or_else(|(error, _)| panic!("{name}: {error}"));
        assert_eq!(Some(&bytes), export(model).ok().as_ref(), "{name}: two exports differ");
        check_arrays(name, &exporter.written(model), &read(&bytes));
        for damaged in damaged(model) {
            let Err((_, bytes)) = export(&damaged) else { panic!("{name}: a damaged model was exported") };
            assert!(bytes.is_empty(), "{name}: something was written before the damage was noticed");
        }
        let mut full: [u8; 16] = [0; 16];
        let result = exporter.export(model, &mut full.as_mut_slice());
        assert!(matches!(result, Err(ExportError::Write(_))), "{name}: a full disk went unnoticed");
        let mut trickle = Trickle(Vec::new());
        exporter.export(model, &mut trickle).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(trickle.0, bytes, "{name}: a writer that takes little at once got something else");
    }
}

/// Checks that an exporter to a folder obeys these laws for every model:
/// - The arrays that are read back equal the model's arrays bit for bit.
/// - Two exports are equal.
/// - An invalid model is refused.
/// - Every path stays inside the folder.
///
/// # Panics
/// When a law is broken. The message names the law and the model.
pub fn check_folder_exporter(
    exporter: &dyn Exporter,
    read: impl Fn(&BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Array>,
    models: &BTreeMap<String, TrainedModel>,
) {
    check_extension(exporter);
    for (name, model) in models {
        let folder = |model: &TrainedModel| exporter.folder(model);
        let files = folder(model).unwrap_or_else(|error| panic!("{name}: {error}"));
        let files = files.unwrap_or_else(|| panic!("{name}: the format is no folder"));
        assert_eq!(Some(&files), folder(model).ok().flatten().as_ref(), "{name}: two exports differ");
        for path in files.keys() {
            let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
            assert!(inside && !path.is_empty(), "{name}: `{path}` is no path inside the folder");
        }
        check_arrays(name, &exporter.written(model), &read(&files));
        for damaged in damaged(model) {
            assert!(folder(&damaged).is_err(), "{name}: a damaged model was exported");
        }
    }
}

fn check_extension(exporter: &dyn Exporter) {
    let extension = exporter.extension();
    assert!(
        !extension.is_empty() && extension.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()),
        "`{extension}` is no file extension in lower case without a dot"
    );
}

fn check_arrays(name: &str, model: &TrainedModel, found: &BTreeMap<String, Array>) {
    for (array, shape) in expected_arrays(&model.architecture) {
        let found = found.get(&array).unwrap_or_else(|| panic!("{name}: `{array}` is not in the file"));
        assert_eq!(found.shape, shape, "{name}: shape of `{array}`");
        let bits = |array: &Array| array.data.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(found), bits(&model.arrays[&array]), "{name}: values of `{array}`");
    }
}

/// Returns invalid variants of the model: with a missing array, an array of another shape, a NaN, another
/// number of classes, or inconsistent layers.
fn damaged(model: &TrainedModel) -> Vec<TrainedModel> {
    let mut all = Vec::new();
    let mut damage = |change: &dyn Fn(&mut TrainedModel)| {
        let mut model = model.clone();
        change(&mut model);
        all.push(model);
    };
    for name in expected_arrays(&model.architecture).into_keys() {
        let array = |model: &mut TrainedModel| model.arrays.remove(&name).expect("the model is whole");
        damage(&|model| drop(array(model)));
        damage(&|model| {
            let mut array = array(model);
            array.shape.push(1);
            model.arrays.insert(name.clone(), array);
        });
        damage(&|model| {
            let mut array = array(model);
            array.data[0] = f32::NAN;
            model.arrays.insert(name.clone(), array);
        });
    }
    damage(&|model| model.card.classes.push("one more".to_owned()));
    damage(&|model| model.card.preprocessing.deviation[0] = 0.0);
    damage(&|model| model.architecture.input.channels += 1);
    all
}

/// A writer that accepts one byte per call.
struct Trickle(Vec<u8>);

impl io::Write for Trickle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend(bytes.first());
        Ok(bytes.len().min(1))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Creates a model with random arrays and a matching card. The card has one class per output.
///
/// # Panics
/// When the architecture's output is not a vector.
#[must_use]
pub fn model(architecture: Architecture, seed: u64) -> TrainedModel {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut arrays = BTreeMap::new();
    for (name, shape) in expected_arrays(&architecture) {
        let fan_in: usize = shape.iter().skip(1).product();
        let (low, high) = match name.rsplit('.').next() {
            Some("weight") => (-(3.0 / fan_in as f32).sqrt(), (3.0 / fan_in as f32).sqrt()),
            Some("scale" | "variance") => (0.5, 1.5),
            _ => (-0.5, 0.5),
        };
        let data = (0..shape.iter().product()).map(|_| rng.random_range(low..high)).collect();
        arrays.insert(name, Array { shape, data });
    }
    let channels = architecture.input.channels;
    let counts = architecture.counts();
    let card = ModelCard {
        name: format!("samples/{seed}"),
        decisions: BTreeMap::from([("width".to_owned(), "8".to_owned())]),
        genotype: "0-1".to_owned(),
        parameters: counts.parameters,
        macs: counts.macs,
        predicts: Prediction::Classes,
        classes: (0..architecture.output().channels).map(|class| format!("class {class}")).collect(),
        data: "random numbers".to_owned(),
        training: "none: random weights".to_owned(),
        preprocessing: Preprocessing {
            input: "grey level 0..255".to_owned(),
            mean: (0..channels).map(|_| rng.random_range(90.0..160.0)).collect(),
            deviation: (0..channels).map(|_| rng.random_range(40.0..80.0)).collect(),
            inputs: (0..channels).map(|channel| InputRecord::channel(format!("channel {channel}"))).collect(),
            target_offsets: Vec::new(),
            reading: BTreeMap::new(),
            reading_rules: 2,
        },
        metrics: vec![MetricRecord {
            name: "test_accuracy_percent".to_owned(),
            value: 10.25,
            how: "test split, 100 examples".to_owned(),
            predicted_by: None,
        }],
        seed,
        versions: BTreeMap::from([("kiln".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
        ..ModelCard::default()
    };
    TrainedModel { architecture, arrays, quantization: BTreeMap::new(), weight_codes: BTreeMap::new(), card }
}

/// Returns the network with all layers in 8 bits, except the layers named in `but`. The quantization grids
/// are calibrated on random inputs.
///
/// # Panics
/// When a value is not finite.
#[must_use]
pub fn quantized(model: &TrainedModel, but: &[&str]) -> TrainedModel {
    const EXAMPLES: usize = 8;
    let mut int8 = model.clone();
    for layer in &mut int8.architecture.layers {
        if !but.contains(&layer.name.as_str()) {
            layer.precision = Precision::uniform(NumberFormat::Int8);
        }
    }
    let plan = QuantizationPlan::new(&int8.architecture);
    let mut ranges: BTreeMap<LayerId, (f32, f32)> = BTreeMap::new();
    let raw = raw_input(&model.architecture, EXAMPLES, 77);
    for example in raw.chunks_exact(model.architecture.input.elements()) {
        let values = reference::layer_values(model, &QuantizedNetwork::default(), example);
        for owner in plan.owners() {
            let (min, max) = ranges.entry(owner).or_default();
            *min = values[owner.0].iter().copied().fold(*min, f32::min);
            *max = values[owner.0].iter().copied().fold(*max, f32::max);
        }
    }
    for (owner, (min, max)) in ranges {
        let grid = Grid::covering(min, max).expect("values of samples are finite");
        int8.quantization.insert(int8.architecture.layer(owner).name.clone(), grid);
    }
    int8
}

/// Returns the network rounded to integers with these options. The statistics come from random inputs.
///
/// # Panics
/// When a value is not finite, or a layer to keep does not exist.
#[must_use]
pub fn calibrated(model: &TrainedModel, options: &QuantizationOptions) -> TrainedModel {
    let prepared = options.prepared(model).expect("the layers to keep exist");
    let raw = raw_input(&model.architecture, 8, 77);
    options.quantized(&prepared, &calibration(&prepared, &raw)).expect("values of samples are finite")
}

/// Returns the statistics of a network in single precision on raw inputs.
#[must_use]
pub fn calibration(model: &TrainedModel, raw: &[f32]) -> Calibration {
    let mut calibration = Calibration::default();
    for example in raw.chunks_exact(model.architecture.input.elements()) {
        let values = reference::layer_values(model, &QuantizedNetwork::default(), example);
        for id in Calibration::layers(&model.architecture) {
            calibration.add(id, &values[id.0], model.architecture.layer(id).output.channels, 1);
        }
    }
    calibration
}

/// Returns the network in every narrow format, by the name of the format: 8 and 4 bits with symmetric
/// activations, bias correction or equalization, weights alone in 8 and 4 bits and in half precision, and
/// codebooks if they make a layer smaller.
///
/// # Panics
/// When a value is not finite.
#[must_use]
pub fn narrow(model: &TrainedModel) -> Vec<(&'static str, TrainedModel)> {
    let plain = QuantizationOptions::default;
    let int4 = QuantizationOptions { weights: NumberFormat::Int4, bias_correction: true, ..plain() };
    let symmetric = QuantizationOptions { symmetric: true, calibration: Calibrator::Entropy, ..plain() };
    let equal =
        QuantizationOptions { equalization: true, calibration: Calibrator::MeanSquaredError, ..plain() };
    let alone = |format| with_narrow_weights(model, format).expect("weights of samples are small");
    let mut all = vec![
        ("int4", calibrated(model, &int4)),
        ("symmetric", calibrated(model, &symmetric)),
        ("equalized", calibrated(model, &equal)),
        ("f16-weights", alone(NumberFormat::F16)),
        ("int8-weights", alone(NumberFormat::Int8)),
        ("int4-weights", alone(NumberFormat::Int4)),
    ];
    let codebooks = [("codebook-2", 2), ("codebook-4", 4), ("codebook-16", 16), ("codebook-256", 256)];
    for (name, values) in codebooks {
        all.extend(with_codebooks(model, values).ok().map(|model| (name, model)));
    }
    all
}

/// Returns the network with about half of its layers in 8 bits. The layers are chosen at random.
#[must_use]
pub fn half_quantized(model: &TrainedModel, seed: u64) -> TrainedModel {
    let mut rng = Pcg64::seed_from_u64(seed);
    let layers = model.architecture.layers.iter().filter(|_| rng.random());
    let but: Vec<&str> = layers.map(|layer| layer.name.as_str()).collect();
    quantized(model, &but)
}

/// Returns random raw values for a batch.
#[must_use]
pub fn raw_input(architecture: &Architecture, batch: usize, seed: u64) -> Vec<f32> {
    let mut rng = Pcg64::seed_from_u64(seed);
    (0..batch * architecture.input.elements()).map(|_| rng.random_range(0.0..255.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Onnx;

    /// An exporter that changes a value of the first array.
    struct Careless;

    impl Exporter for Careless {
        fn extension(&self) -> &'static str {
            "onnx"
        }

        fn export(&self, model: &TrainedModel, out: &mut dyn io::Write) -> Result<(), ExportError> {
            let mut model = model.clone();
            if let Some(array) = model.arrays.values_mut().next() {
                array.data[0] += 1.0;
            }
            Onnx.export(&model, out)
        }
    }

    #[test]
    #[should_panic(expected = "values of `head.bias`")]
    fn check_exporter_finds_changed_value() {
        check_exporter(&Careless, read_onnx, &BTreeMap::from([("perceptron".to_owned(), perceptron())]));
    }
}

//! Teachers of distillation: the network before the compression, the largest subnet of a supernet, or the
//! file of a finished network.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use kiln_export::TrainedModel;
use kiln_space::{Architecture, LayerId};

use super::error::CompressionError;
use super::recipe::Teaching;
use crate::data::{DataSet, Split};
use crate::deploy::frozen::Frozen;
use crate::deploy::inference;
use crate::deploy::matching::Matched;
use crate::deploy::target_scale;
use crate::judging::judgement::Judgement;
use crate::network::weights::Weights;
use crate::training::distillation::{Distillation, Teacher, feature_layer};

/// The setting `teacher` that names the network before the compression.
pub(super) const UNCOMPRESSED: &str = "uncompressed";
/// The setting `teacher` that names the largest subnet of the study's supernet.
pub(super) const SUPERNET: &str = "supernet";

/// Reads a network from a file.
type Reader = fn(&Path) -> Result<TrainedModel, CompressionError>;

/// File name extensions of networks that can teach. A new kind of file is one line.
const READERS: [(&str, Reader); 2] =
    [("kiln", |path| Ok(TrainedModel::load(path)?)), ("onnx", |path| Ok(TrainedModel::load_onnx(path)?))];

/// The shared weights of a study, and the largest architecture that they serve.
pub(crate) trait SharedTeacher: Send + Sync {
    /// Returns the largest subnet and its weights on `device`.
    ///
    /// # Errors
    /// [`CompressionError`] when the weights are not trained yet and cannot be.
    fn largest(&self, device: &Device) -> Result<(Architecture, Weights), CompressionError>;
}

/// A network that teaches in the form in which it runs.
struct FrozenTeacher {
    frozen: Frozen,
    features: Option<LayerId>,
}

impl Teacher for FrozenTeacher {
    fn taught(&self, images: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
        if let Some(layer) = self.features {
            let (outputs, features) = self.frozen.layer_output(images, layer);
            return (outputs, features.flatten(1, 3));
        }
        let (batch, device) = (images.dims()[0], images.device());
        let outputs = self.frozen.outputs(std::iter::once(images));
        let width = outputs.len() / batch.max(1);
        let outputs = Tensor::from_data(TensorData::new(outputs, [batch, width]), &device);
        (outputs, Tensor::zeros([batch, 1], &device))
    }
}

/// A teacher, and how good it is on the validation split. `None` if an output is not finite.
pub(super) struct Prepared {
    pub(super) distillation: Distillation,
    pub(super) judged: Option<Judgement>,
}

/// Prepares the teacher that `teaching` names. `model` is the network before the compression. A teacher that
/// observes no features runs faster.
///
/// # Errors
/// [`CompressionError`] when the file cannot be read, when the network has other classes or inputs, or when
/// the study has no supernet.
pub(super) fn prepare(
    teaching: &Teaching,
    (model, supernet): (&TrainedModel, Option<&dyn SharedTeacher>),
    data: &DataSet,
    calibration: usize,
    device: &Device,
) -> Result<Prepared, CompressionError> {
    let (frozen, architecture) = if teaching.teacher == SUPERNET {
        let (architecture, weights) = supernet.ok_or(CompressionError::NoSupernet)?.largest(device)?;
        let frozen = Frozen::new(&architecture, &weights, data, calibration, device)
            .ok_or(CompressionError::NotFinite { split: "training" })?;
        (frozen, architecture)
    } else {
        let mut model = match teaching.teacher.as_str() {
            UNCOMPRESSED => model.clone(),
            path => read(Path::new(path), data)?,
        };
        target_scale::in_deviations(&mut model, data);
        (Frozen::of(&model, device), model.architecture)
    };
    let features = feature_layer(&architecture).filter(|_| teaching.features > 0.0);
    let Teaching { temperature, share, features: weight, .. } = *teaching;
    let judged = inference::judge(&frozen, data, Split::Validation, device);
    let teacher = Box::new(FrozenTeacher { frozen, features });
    let distillation = Distillation { teacher, temperature, share, features: weight };
    Ok(Prepared { distillation, judged })
}

/// Reads a network that can teach on these data.
fn read(path: &Path, data: &DataSet) -> Result<TrainedModel, CompressionError> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let unreadable = || CompressionError::TeacherFile { path: PathBuf::from(path) };
    let (_, reader) = READERS.iter().find(|(known, _)| *known == extension).ok_or_else(unreadable)?;
    let model = reader(path)?;
    let teacher = || format!("{}", path.display());
    let matched = Matched::new(&model, data)
        .map_err(|mismatch| CompressionError::Teacher { teacher: teacher(), mismatch })?;
    let in_order = matched.outputs().iter().copied().eq(0..data.targets().names().len());
    if !in_order || model.card.classes.len() != data.targets().names().len() {
        let mismatch = crate::deploy::matching::Mismatch::Outputs {
            gives: model.card.classes.join(", "),
            has: data.targets().names().join(", "),
        };
        return Err(CompressionError::Teacher { teacher: teacher(), mismatch });
    }
    let (mean, deviation) = data.normalization();
    let preprocessing = &model.card.preprocessing;
    if preprocessing.mean != mean || preprocessing.deviation != deviation {
        return Err(CompressionError::TeacherInputs { teacher: teacher() });
    }
    Ok(model)
}

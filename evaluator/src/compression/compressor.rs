//! Applies combinations of recipes to finished networks, measures the results and writes them.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use kiln_export::{
    ExportError, ExporterRegistry, GraphOptimization, MetricRecord, TrainedModel, write_files,
};
use kiln_files::{WholeFolder, make_folder};
use kiln_search::{CostSet, EvalError, Progress};

use super::draft::Draft;
use super::error::CompressionError;
use super::grammar::Combination;
use super::record::Compressed;
use super::sensitivity::{self, LayerSensitivity};
use super::teachers::{self, SharedTeacher};
use super::workshop::{Workshop, error_of};
use crate::data::{DataSet, Split};
use crate::deploy::matching::Matched;
use crate::deploy::provenance;
use crate::deploy::trained::{predict, score};
use crate::judging::metrics::Score;
use crate::training::settings::TrainingSettings;

/// Name of the model file in a network's folder.
const MODEL: &str = "model.kiln";
/// Name of the card in a network's folder.
const CARD: &str = "card.json";

/// Compresses finished networks of one study.
pub struct Compressor {
    pub(crate) data: Arc<DataSet>,
    /// Whether retrainings use the validation split too.
    pub(crate) train_on_validation: bool,
    pub(crate) training: TrainingSettings,
    pub(crate) calibration: usize,
    pub(crate) device: Device,
    /// Device class, for model cards.
    pub(crate) device_class: String,
    pub(crate) seed: u64,
    /// Text that describes the settings, the data, the seed and the device class.
    pub(crate) conditions: String,
    pub(crate) exporters: ExporterRegistry,
    pub(crate) formats: Vec<String>,
    pub(crate) costs: CostSet,
    pub(crate) supernet: Option<Arc<dyn SharedTeacher>>,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").field("formats", &self.formats).finish_non_exhaustive()
    }
}

impl Compressor {
    /// Compresses a finished network by a combination of recipes, measures it on the test split, and writes
    /// its files into the folder `place`, which appears as a whole. If the folder already has the same
    /// network, returns its record. Checkpoints are written to `training`, which is removed at the end. An
    /// interrupted call that is repeated gives the same bytes as an uninterrupted one.
    ///
    /// # Errors
    /// [`CompressionError`]; then nothing is written to `place`.
    pub fn compress(
        &self,
        model: &TrainedModel,
        combination: &Combination,
        (place, training): (&Path, &Path),
        progress: &dyn Progress,
    ) -> Result<Compressed, CompressionError> {
        let text = self.identity(model, combination)?;
        let identity = blake3::hash(text.as_bytes()).to_hex().to_string();
        if let Some(found) = Compressed::found(place, &identity) {
            return Ok(found);
        }
        let matched = self.check_data(model)?;
        let compressed = self.apply(model, combination, (&text, &identity), training, progress)?;
        let record = self.write(compressed, &matched, combination, &identity, place, progress)?;
        match fs::remove_dir_all(training) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                let path = training.to_owned();
                Err(EvalError::File { path, action: "remove checkpoints", source }.into())
            }
            _ => Ok(record),
        }
    }

    /// Measures what rounding each layer alone to 8 bits costs and saves.
    ///
    /// # Errors
    /// [`CompressionError`] when the network has no single-precision layer with weights, does not fit the
    /// data, or gives values that are not finite.
    pub fn sensitivity(
        &self,
        model: &TrainedModel,
        progress: &dyn Progress,
    ) -> Result<Vec<LayerSensitivity>, CompressionError> {
        self.check_data(model)?;
        let draft = Draft::new(model, &self.data);
        let workshop = self.workshop("sensitivity", "", (0, Path::new("")), (None, false), progress);
        sensitivity::measure(&draft, &workshop)
    }

    /// Measures a finished network on the test split, as its model card states it.
    ///
    /// # Errors
    /// [`CompressionError`] when the network does not fit the data, or gives values that are not finite.
    pub fn measure(&self, model: &TrainedModel) -> Result<Score, CompressionError> {
        let matched = self.check_data(model)?;
        self.score(model, &matched)
    }

    fn score(&self, model: &TrainedModel, matched: &Matched) -> Result<Score, CompressionError> {
        let examples = self.data.split(Split::Test);
        let raw: Vec<f32> =
            examples.iter().flat_map(|index| matched.input(self.data.example(*index))).collect();
        let outputs = predict(model, &raw);
        score(&outputs, &self.data, Split::Test, matched).ok_or(CompressionError::NotFinite { split: "test" })
    }

    /// Refuses data that differ from the network's training data.
    fn check_data(&self, model: &TrainedModel) -> Result<Matched, CompressionError> {
        let matched = Matched::new(model, &self.data)?;
        let (mean, deviation) = self.data.normalization();
        let preprocessing = &model.card.preprocessing;
        if preprocessing.mean != mean || preprocessing.deviation != deviation {
            return Err(CompressionError::OtherData);
        }
        Ok(matched)
    }

    /// Describes everything that the compressed network depends on.
    fn identity(&self, model: &TrainedModel, combination: &Combination) -> Result<String, CompressionError> {
        let mut bytes = Vec::new();
        // The date and the machine in the card do not change the network.
        let mut model = model.clone();
        model.card.date = String::new();
        model.card.machine = String::new();
        model.write(&mut bytes)?;
        let (calibration, versions) = (self.calibration.to_string(), combination.versions());
        let formats = self.formats.join(",");
        let hash = blake3::hash(&bytes).to_hex();
        let mut parts =
            vec!["compressed", &self.conditions, &formats, &calibration, combination.text(), hash.as_str()];
        if !versions.is_empty() {
            parts.push(&versions);
        }
        Ok(parts.join("\n"))
    }

    fn examples(&self) -> Vec<u32> {
        let mut examples = self.data.split(Split::Train).to_vec();
        if self.train_on_validation {
            examples.extend_from_slice(self.data.split(Split::Validation));
        }
        examples
    }

    fn workshop<'a>(
        &'a self,
        recipe: &'a str,
        identity: &'a str,
        (seed, folder): (u64, &Path),
        (teacher, others_train): (Option<crate::training::distillation::Distillation>, bool),
        progress: &'a dyn Progress,
    ) -> Workshop<'a> {
        Workshop {
            recipe,
            data: &self.data,
            examples: self.examples(),
            training: &self.training,
            calibration: self.calibration,
            device: &self.device,
            costs: &self.costs,
            seed,
            identity,
            folder: folder.to_owned(),
            teacher,
            others_train,
            progress,
        }
    }

    /// Applies the recipes one after another. The result of each recipe except the last is kept in the folder
    /// of checkpoints, so that it is not computed twice.
    fn apply(
        &self,
        model: &TrainedModel,
        combination: &Combination,
        (text, identity): (&str, &str),
        training: &Path,
        progress: &dyn Progress,
    ) -> Result<TrainedModel, CompressionError> {
        let teacher = combination.teaching().map(|teaching| {
            let supernet = self.supernet.as_deref();
            teachers::prepare(teaching, (model, supernet), &self.data, self.calibration, &self.device)
        });
        let seed = blake3::hash(
            format!("{}\n{}\n{}", self.seed, model.card.genotype, combination.text()).as_bytes(),
        );
        let seed = u64::from_le_bytes(*seed.as_bytes().first_chunk().expect("a hash has 32 bytes"));
        let others_train = combination
            .recipes
            .iter()
            .any(|(_, recipe)| recipe.teaching().is_none() && recipe.epochs(self.training.epochs) > 0);
        let prepared = teacher.transpose()?;
        let judged = prepared.as_ref().and_then(|prepared| prepared.judged.as_ref().map(error_of));
        let teacher = (prepared.map(|prepared| prepared.distillation), others_train);
        let workshop = self.workshop(combination.text(), text, (seed, training), teacher, progress);
        let mut draft = Draft::new(model, &self.data);
        if let Some(teacher) = judged {
            let own = workshop.validation_error(&draft.model)?;
            if teacher > own {
                progress.warn(&format!(
                    "{}: on the validation split, the teacher is worse than the network that it teaches: \
                     error {teacher:.4} against {own:.4}",
                    combination.text()
                ));
            }
        }
        for (stage, (_, recipe)) in combination.recipes.iter().enumerate() {
            workshop.check_stop()?;
            let kept = training.join(format!("stage-{stage}-{}.kiln", &identity[..16]));
            if let Ok(model) = TrainedModel::load(&kept) {
                draft = Draft { model, stage: stage + 1 };
                continue;
            }
            draft = recipe.apply(draft, &workshop)?;
            draft.stage = stage + 1;
            if stage + 1 < combination.recipes.len() {
                make_folder(training)?;
                draft.model.save(&kept)?;
            }
        }
        Ok(draft.finished(&self.data))
    }

    /// Returns what optimizing the graph saves in each format that has a graph and can represent the network.
    fn optimization(
        &self,
        model: &TrainedModel,
    ) -> Result<BTreeMap<String, GraphOptimization>, CompressionError> {
        let mut all = BTreeMap::new();
        for format in &self.formats {
            match self.exporters.build(format)?.optimization(model) {
                Ok(saved) => all.extend(saved.map(|saved| (format.clone(), saved))),
                Err(ExportError::Unsupported { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(all)
    }

    /// Measures a compressed network and writes its files.
    fn write(
        &self,
        mut model: TrainedModel,
        matched: &Matched,
        combination: &Combination,
        identity: &str,
        place: &Path,
        progress: &dyn Progress,
    ) -> Result<Compressed, CompressionError> {
        model.check()?;
        let score = self.score(&model, matched)?;
        let counts = model.architecture.counts();
        let tested = self.data.split(Split::Test).len();
        let how =
            format!("{tested} examples of the test split, measured after the recipe {}", combination.text());
        let card = &mut model.card;
        card.name = format!("{} ({})", card.name, combination.text());
        card.parameters = counts.parameters;
        card.macs = counts.macs;
        // Costs that were predicted for the network before do not hold for this one.
        card.metrics = score
            .metrics
            .iter()
            .map(|(name, value)| MetricRecord {
                name: (*name).to_owned(),
                value: *value,
                how: how.clone(),
                predicted_by: None,
            })
            .collect();
        card.test = Some(score.results.clone());
        card.compressed.clear();
        card.date = provenance::today();
        card.machine = provenance::machine(&self.device_class);
        model.card.optimization = self.optimization(&model)?;
        if let Some(parent) = place.parent() {
            make_folder(parent)?;
        }
        let folder = WholeFolder::create(place)?;
        let mut files: Vec<PathBuf> = Vec::new();
        let mut first = None;
        for format in &self.formats {
            let exporter = self.exporters.build(format)?;
            let name = match exporter.folder(&model) {
                Ok(Some(_)) => format.clone(),
                Ok(None) => format!("model.{}", exporter.extension()),
                Err(error @ ExportError::Unsupported { .. }) => {
                    progress.warn(&format!("{} is not written as `{format}`: {error}", combination.text()));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let written = write_files(exporter.as_ref(), &model, &folder.path().join(&name), false);
            match written {
                Ok(written) => {
                    let bytes = written.iter().map(|file| size(file)).sum::<Result<u64, _>>()?;
                    first = first.or(Some((name, bytes)));
                    files.extend(written);
                }
                Err(ExportError::Unwritable { source, .. })
                    if matches!(*source, ExportError::Unsupported { .. }) =>
                {
                    progress.warn(&format!("{} is not written as `{format}`: {source}", combination.text()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        model.save(&folder.path().join(MODEL))?;
        model.card.save(&folder.path().join(CARD))?;
        files.extend([MODEL, CARD].map(|name| folder.path().join(name)));
        let (file, file_bytes) = first.unzip();
        let mut record = Compressed {
            recipe: combination.text().to_owned(),
            identity: identity.to_owned(),
            metrics: score.metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            file,
            file_bytes,
            weight_bytes: model.weight_bytes(),
            macs: counts.macs,
            files: BTreeMap::new(),
        };
        record.write(folder.path(), &files)?;
        folder.finish_over()?;
        Ok(record)
    }
}

fn size(file: &Path) -> Result<u64, CompressionError> {
    let failed = |source| EvalError::File { path: file.to_owned(), action: "read", source };
    Ok(fs::metadata(file).map_err(failed)?.len())
}

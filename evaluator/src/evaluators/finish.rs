//! The finish stage trains a network of the Pareto front, measures it once on the test split, and writes its
//! files.

mod card;
pub(crate) mod outside;
mod recipes;
mod settings;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use kiln_export::{ExportError, GraphOptimization, QuantizationPlan, TrainedModel, write_files};
use kiln_search::{EvalError, Finished, Finisher, Progress, RunPaths, Trial};
use kiln_space::{Architecture, Settings, SettingsError};

use self::outside::{OutsideTraining, Returned};
use self::settings::{FinishSettings, Mode};
use crate::compression::compressor::Compressor;
use crate::compression::grammar::Combination;
use crate::compression::teachers::SharedTeacher;
use crate::data::Split;
use crate::deploy::frozen::Frozen;
use crate::deploy::{arrays, inference, random, target_scale};
use crate::devices::pool::Devices;
use crate::evaluators::context::Context;
use crate::evaluators::fingerprint;
use crate::evaluators::workload::Effort;
use crate::judging::metrics::{Asked, Score};
use crate::network::stand_alone::stand_alone;
use crate::network::statistics::Statistics;
use crate::network::weights::Weights;
use crate::training::form::How;
use crate::training::one_network::{Stopped, Training};
use crate::training::settings::TrainingSettings;
use crate::training::state::Kept;

/// A source of initial weights for a network, such as a trained supernet. Its largest subnet can teach.
pub(crate) trait Inheritance: SharedTeacher {
    /// Copies the architecture's part of the shared weights to `device`.
    fn inherit(&self, architecture: &Architecture, device: &Device) -> Weights;

    /// Returns the hash of the shared weights.
    fn hash(&self) -> String;
}

struct NetworkFinisher {
    settings: FinishSettings,
    training: TrainingSettings,
    /// Optional metrics that an objective or the setting `metrics` names.
    asked: Asked,
    /// Number of epochs of a full training in the evaluator.
    full_epochs: u32,
    context: Context,
    device: Device,
    /// Device class, for model cards.
    device_class: String,
    /// Text that describes everything a training depends on, except the trial and the shared weights.
    conditions: String,
    source: Option<Arc<dyn Inheritance>>,
    /// What trains networks instead of this process.
    outside: Option<Arc<dyn OutsideTraining>>,
    compressor: Arc<Compressor>,
    /// Recipes by which each network is compressed.
    recipes: Vec<Combination>,
}

/// What finishes networks, and what compresses finished networks.
pub(crate) struct Finishing {
    pub(crate) finisher: Arc<dyn Finisher>,
    pub(crate) compressor: Arc<Compressor>,
    /// Amount of computation for each network.
    pub(crate) effort: Effort,
}

/// Builds the finisher and the compressor of networks that are trained outside of this process. The settings
/// of training are those of recipes that train again.
pub(crate) fn build_outside(
    settings: &Settings,
    inherited: &TrainingSettings,
    context: Context,
    devices: &Devices,
    outside: Arc<dyn OutsideTraining>,
) -> Result<Finishing, SettingsError> {
    let has_examples = context.data.has_examples();
    let recipes = settings.table().get("recipes").and_then(|recipes| recipes.as_array());
    if !has_examples && recipes.is_some_and(|recipes| !recipes.is_empty()) {
        let expected = "a table `[data]` beside it: recipes need examples";
        return Err(SettingsError::value(settings.key("recipes"), "recipes", expected));
    }
    let (mut finisher, effort) =
        finisher(settings, inherited, Asked::default(), context, devices, None, Some(&outside))?;
    finisher.outside = Some(outside);
    let compressor = Arc::clone(&finisher.compressor);
    Ok(Finishing { finisher: Arc::new(finisher), compressor, effort })
}

/// Builds the finisher and the compressor. `inherited` contains the training settings of `[evaluator]`.
/// `source` contains the evaluator's shared weights if there are any. `asked` contains the optional metrics.
pub(crate) fn build(
    settings: &Settings,
    inherited: &TrainingSettings,
    asked: Asked,
    context: Context,
    devices: &Devices,
    source: Option<Arc<dyn Inheritance>>,
) -> Result<Finishing, SettingsError> {
    let (finisher, effort) = finisher(settings, inherited, asked, context, devices, source, None)?;
    let compressor = Arc::clone(&finisher.compressor);
    Ok(Finishing { finisher: Arc::new(finisher), compressor, effort })
}

fn finisher(
    settings: &Settings,
    inherited: &TrainingSettings,
    asked: Asked,
    context: Context,
    devices: &Devices,
    source: Option<Arc<dyn Inheritance>>,
    outside: Option<&Arc<dyn OutsideTraining>>,
) -> Result<(NetworkFinisher, Effort), SettingsError> {
    let full_epochs = inherited.epochs;
    let (read, training) = FinishSettings::read(settings, inherited, source.is_some(), &context.data)?;
    target_scale::check(settings, context.space.as_ref(), &context.data)?;
    for (index, format) in read.formats.iter().enumerate() {
        if read.formats[..index].contains(format) {
            let key = settings.key(&format!("formats[{index}]"));
            return Err(SettingsError::value(key, format!("`{format}` again"), "each format once"));
        }
        if let Err(unknown) = context.exporters.find(format) {
            return Err(unknown.at(settings.key(&format!("formats[{index}]"))));
        }
    }
    let recipes = recipes::read(&read.recipes, settings, source.is_some())?;
    let data = &context.data;
    let validation = if read.train_on_validation { data.split(Split::Validation).len() } else { 0 };
    let retrained: u32 = recipes.iter().map(|recipe| recipe.epochs(training.epochs)).sum();
    let test = data.split(Split::Test).len();
    let effort = Effort {
        trained: u64::from(training.epochs.saturating_add(retrained))
            * (data.split(Split::Train).len() + validation) as u64,
        judged: (read.calibration.saturating_add(test)).saturating_mul(1 + recipes.len()) as u64,
    };
    let mut conditions = fingerprint::conditions(&read.identity(&training), devices, &context);
    if let Some(outside) = outside {
        conditions = format!("{conditions}\n{}", outside.fingerprint());
    }
    let device = devices.main().clone();
    let compressor = Arc::new(Compressor {
        data: Arc::clone(&context.data),
        train_on_validation: read.train_on_validation,
        training: training.clone(),
        calibration: read.calibration,
        device: device.clone(),
        device_class: devices.class().to_owned(),
        seed: context.seed,
        conditions: conditions.clone(),
        exporters: context.exporters.clone(),
        formats: read.formats.clone(),
        costs: context.costs.clone(),
        supernet: source.clone().map(|source| source as Arc<dyn SharedTeacher>),
    });
    let finisher = NetworkFinisher {
        settings: read,
        training,
        asked,
        full_epochs,
        context,
        device,
        device_class: devices.class().to_owned(),
        conditions,
        source,
        outside: None,
        compressor,
        recipes,
    };
    Ok((finisher, effort))
}

impl Finisher for NetworkFinisher {
    fn finish(&self, trial: &Trial, into: &Path, progress: &dyn Progress) -> Result<Finished, EvalError> {
        let genotype = &trial.proposal.genotype;
        let shared = self
            .context
            .space
            .decode(genotype)
            .map_err(|source| EvalError::Space { what: "a network to finish", source })?;
        let (architecture, _) = stand_alone(&shared);
        let data = &self.context.data;
        let Start { weights, statistics, reported } = self.start(&shared, &architecture, trial, progress)?;
        let diverged = || EvalError::Diverged {
            what: "finished network",
            step: u64::from(self.training.epochs),
            loss: f64::NAN,
        };
        let freeze = |weights: &Weights| {
            let count = self.settings.calibration;
            let frozen = match &statistics {
                Some(known) => {
                    Frozen::with_statistics(&architecture, weights, known, (data, count), &self.device)
                }
                None => Frozen::new(&architecture, weights, data, count, &self.device),
            };
            frozen.ok_or_else(diverged)
        };
        let frozen = freeze(&weights)?;
        let score = if data.has_examples() {
            let outputs = inference::outputs(&frozen, data, Split::Test, &self.device);
            Some(Score::of(&outputs, data, Split::Test).ok_or_else(diverged)?)
        } else {
            None
        };
        let frozen = if data.is_regression() {
            freeze(&target_scale::in_own_units(&architecture, &weights, data, &self.device))?
        } else {
            frozen
        };
        let mut model = frozen.into_model(self.card(trial, &architecture, score.as_ref(), &reported));
        let mut metrics: BTreeMap<String, f64> = match &score {
            Some(score) => {
                score.asked(&self.asked, data).map(|(name, value)| (name.to_owned(), value)).collect()
            }
            None => reported,
        };
        let compressed = recipes::apply(
            (&self.compressor, &self.recipes),
            &model,
            (&self.context.folder, trial.id),
            into,
            progress,
        )?;
        let first = score.as_ref().and_then(|score| score.metrics.first()).map_or("", |(name, _)| *name);
        for (folder, record) in &compressed.records {
            model.card.compressed.push(recipes::entry(folder, record));
            if let Some(value) = record.metrics.get(first) {
                metrics.insert(format!("{first}@{}", record.recipe), *value);
            }
        }
        let files = self.write(&model, trial, into, progress)?;
        let files = files.into_iter().chain(compressed.files).map(Into::into).collect();
        Ok(Finished { trial: trial.id, metrics, files })
    }
}

/// The weights of a network before it is frozen.
struct Start {
    weights: Weights,
    /// Batch-norm statistics, if the network was trained outside of this process.
    statistics: Option<Statistics>,
    /// Metrics that another program reported.
    reported: BTreeMap<String, f64>,
}

impl NetworkFinisher {
    /// Trains the network, or has it trained.
    fn start(
        &self,
        shared: &Architecture,
        own: &Architecture,
        trial: &Trial,
        progress: &dyn Progress,
    ) -> Result<Start, EvalError> {
        let Some(outside) = &self.outside else {
            let weights = self.train(shared, own, trial, progress)?;
            return Ok(Start { weights, statistics: None, reported: BTreeMap::new() });
        };
        if !self.context.data.has_examples() && !QuantizationPlan::new(own).is_empty() {
            let problem = "8-bit layers need examples to find their ranges; add a table `[data]`".to_owned();
            return Err(EvalError::Untrained { problem });
        }
        let Returned { arrays, metrics } = outside.trained(trial, shared, progress)?;
        // The program need not return arrays that the output does not depend on.
        let mut all = random::initial(own, "", 0).arrays;
        all.extend(arrays);
        let (weights, statistics) = arrays::weights_and_statistics(own, &all, &self.device);
        Ok(Start { weights, statistics: Some(statistics), reported: metrics })
    }

    fn train(
        &self,
        shared: &Architecture,
        own: &Architecture,
        trial: &Trial,
        progress: &dyn Progress,
    ) -> Result<Weights, EvalError> {
        let autodiff = self.device.clone().autodiff();
        let seed = self.context.seed ^ trial.id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let weights = match &self.source {
            Some(source) if self.settings.mode != Some(Mode::Scratch) => source.inherit(shared, &autodiff),
            _ => Weights::initialize(&stand_alone(shared).1, seed, &autodiff),
        };
        let data = &self.context.data;
        let mut examples = data.split(Split::Train).to_vec();
        if self.settings.train_on_validation {
            examples.extend_from_slice(data.split(Split::Validation));
        }
        let training = Training {
            architecture: own,
            data,
            examples: &examples,
            settings: &self.training,
            seed,
            calibration: self.settings.calibration,
            device: &self.device,
            how: How::default(),
        };
        let folder = RunPaths::new(&self.context.folder).training(trial.id);
        let mut kept = Kept::new(folder.join(""), &self.identity(trial));
        match training.run(weights, self.training.epochs, &mut kept, "network", progress) {
            Ok(weights) => Ok(weights),
            Err(Stopped::Ended(error)) => Err(error),
            Err(Stopped::Diverged { epoch, loss }) => {
                Err(EvalError::Diverged { what: "finished network", step: u64::from(epoch), loss })
            }
        }
    }

    /// Returns a text that describes everything that the weights of the finished network depend on.
    fn identity(&self, trial: &Trial) -> String {
        let parts = [
            "network".to_owned(),
            self.conditions.clone(),
            trial.id.to_string(),
            trial.proposal.genotype.to_string(),
            self.source.as_ref().map(|source| source.hash()).unwrap_or_default(),
        ];
        parts.join("\n")
    }

    /// Returns what optimizing the graph saves in each format that has a graph and can represent the network.
    fn optimization(&self, model: &TrainedModel) -> Result<BTreeMap<String, GraphOptimization>, ExportError> {
        let mut all = BTreeMap::new();
        for format in &self.settings.formats {
            match self.context.exporters.build(format)?.optimization(model) {
                Ok(saved) => all.extend(saved.map(|saved| (format.clone(), saved))),
                // A format that cannot represent the network is skipped when it is written.
                Err(ExportError::Unsupported { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// Writes the network in every format, with its model file and its model card. If a format cannot
    /// represent the network, it is skipped with a warning. Kiln cannot refuse such a format earlier, because
    /// number formats of layers are known only after the search.
    fn write(
        &self,
        model: &TrainedModel,
        trial: &Trial,
        into: &Path,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, EvalError> {
        let failed = |source| EvalError::Export { trial: trial.id, source: Box::new(source) };
        let mut files = Vec::new();
        let mut model = model.clone();
        model.card.optimization = self.optimization(&model).map_err(failed)?;
        let model = &model;
        for format in &self.settings.formats {
            let exporter = self.context.exporters.build(format).map_err(failed)?;
            let is_folder = match exporter.folder(model) {
                Ok(folder) => folder.is_some(),
                Err(error @ ExportError::Unsupported { .. }) => {
                    progress.warn(&format!("trial {} is not written as `{format}`: {error}", trial.id));
                    continue;
                }
                Err(error) => return Err(failed(error)),
            };
            let name = if is_folder { format.clone() } else { format!("model.{}", exporter.extension()) };
            let written = write_files(exporter.as_ref(), model, &into.join(name), false).map_err(failed)?;
            files.extend(written.iter().map(|file| file.strip_prefix(into).unwrap_or(file).to_owned()));
        }
        let mut files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        model.save(&into.join("model.kiln")).map_err(failed)?;
        model.card.save(&into.join("card.json")).map_err(failed)?;
        files.extend(["model.kiln".to_owned(), "card.json".to_owned()]);
        Ok(files)
    }
}

//! Evaluates subnets with shared weights.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use burn::tensor::Device;
use kiln_files::Checked;
use kiln_search::{
    EvalError, Evaluator, Fidelities, Fidelity, OpenAnchor, Outcome, Progress, Request, SupernetHealth,
};
use kiln_space::{Architecture, Genotype, Samples, Settings, SettingsError};

use super::anchors::Anchors;
use super::correction::FEWEST_POINTS;
use super::corrections::Corrections;
use super::extremes::{self, Extreme};
use super::saved::Saved;
use super::settings::SupernetSettings;
use super::trained::Trained;
use super::{anchors, training};
use crate::compression::error::CompressionError;
use crate::compression::teachers::SharedTeacher;
use crate::data::Split;
use crate::deploy::frozen::Frozen;
use crate::deploy::inference;
use crate::devices::pool::Devices;
use crate::evaluators::context::{Built, Context, EvaluatorPart};
use crate::evaluators::fingerprint;
use crate::evaluators::finish::{self, Inheritance};
use crate::evaluators::workload::{Effort, Workload};
use crate::judging::metrics;
use crate::network::stand_alone::stand_alone;
use crate::network::weights::Weights;
use crate::training::settings::TrainingSettings;

/// Reads a network's weights from a trained supernet, freezes the network, and measures it on the validation
/// split. With anchors, it returns the metrics that the network would be expected to have after the same
/// training as the anchors.
pub(crate) struct SupernetEvaluator {
    settings: SupernetSettings,
    devices: Devices,
    context: Context,
    /// The supernet of another run that is used instead of training a new one, and its folder.
    saved: Option<(Checked<Saved>, PathBuf)>,
    /// The trained supernet of this run, as its folder has it.
    loaded: OnceLock<Trained>,
    ready: OnceLock<Ready>,
}

/// Trained shared weights, copied to each device.
struct Ready {
    weights: Vec<Weights>,
    hash: String,
    /// Hash of the anchors' metrics, or `None` without anchors.
    anchors: Option<String>,
    corrections: Option<Corrections>,
}

/// The registry entry of the evaluator `supernet`.
pub(crate) const PART: EvaluatorPart =
    EvaluatorPart::new("trains shared weights once; every network reads its own from them", build)
        .with_keys(&[Devices::KEYS, TrainingSettings::KEYS, SupernetSettings::KEYS])
        .tested_with(SAMPLES);

/// Settings under which tests check the laws of evaluators.
const SAMPLES: Samples = &[r#"{
    "epochs": 30, "batch": 16, "calibration": 64,
    "optimizer": { "kind": "sgd", "learning_rate": 0.05, "weight_decay": 0.0 }
}"#];

/// Builds the evaluator and its finisher.
fn build(settings: &Settings, finish: Option<&Settings>, context: Context) -> Result<Built, SettingsError> {
    let read = SupernetSettings::read(settings)?.of_data(settings, &context.data, &context.objectives)?;
    let devices = Devices::read(read.device.as_deref(), &read.devices, settings)?;
    let saved = read.supernet.as_deref().map(|run| Saved::read(run, &context)).transpose();
    let saved = saved.map_err(|problem| {
        let advice = "name the run folder of a study of the same space on the same data";
        SettingsError::rule(settings.key("supernet"), format!("{problem}; {advice}"))
    })?;
    if read.anchors.is_some() {
        let drawn = anchors::draw(context.space.as_ref(), FEWEST_POINTS, context.seed).len();
        if drawn < FEWEST_POINTS {
            let expected = format!("a space of at least {FEWEST_POINTS}");
            let found = format!("a space of {drawn} networks");
            return Err(SettingsError::value(settings.key("anchors"), found, &expected));
        }
    }
    let training = read.training();
    let trains = saved.is_none();
    let evaluator = Arc::new(SupernetEvaluator {
        settings: read,
        devices,
        context: context.clone(),
        saved,
        loaded: OnceLock::new(),
        ready: OnceLock::new(),
    });
    let source = Arc::clone(&evaluator) as Arc<dyn Inheritance>;
    let (data, devices) = (Arc::clone(&context.data), &evaluator.devices);
    let anchors = evaluator.settings.anchors.as_ref();
    let calibration = evaluator.settings.calibration;
    let alone = anchors.map(|anchors| anchors::effort(anchors, calibration, &context)).unwrap_or_default();
    let anchored = anchors.map_or(0, |anchors| anchors::examples_in_memory(anchors, &evaluator.devices));
    let finisher = finish
        .map(|finish| {
            let asked = evaluator.settings.metrics.clone();
            finish::build(finish, &training, asked, context, devices, Some(source))
        })
        .transpose()?;
    let network = finisher.as_ref().map(|finishing| finishing.effort);
    let (finisher, compressor) = finisher.map(|finishing| (finishing.finisher, finishing.compressor)).unzip();
    let settings = &evaluator.settings;
    let epochs = if trains { u64::from(settings.epochs) } else { 0 };
    let steps = epochs * training.steps_per_epoch(data.split(Split::Train).len());
    let each_step = training.step_examples() * settings.subnets;
    let judged = settings.calibration.saturating_add(data.split(Split::Validation).len()) as u64;
    let workload = Workload {
        prepare: Effort {
            trained: steps.saturating_mul(each_step as u64).saturating_add(alone.trained),
            judged: alone.judged,
        },
        trial: Effort { trained: 0, judged },
        network: network.unwrap_or_default(),
        examples_in_memory: (settings.batch * settings.subnets).max(anchored),
    };
    let (metrics, optional) = (settings.metrics.names(&data), metrics::optional_names(&data));
    Ok(Built { evaluator, finisher, compressor, workload, metrics, optional })
}

impl SupernetEvaluator {
    fn ready(&self) -> &Ready {
        self.ready.get().expect("`prepare` comes before judging")
    }

    /// Returns the supernet that this run has trained, if it is in the run folder.
    fn loaded(&self) -> Option<&Trained> {
        if self.loaded.get().is_none() {
            let loaded = training::load(&self.settings, &self.devices, &self.context)?;
            // Two overlapping calls load the same weights.
            self.loaded.set(loaded).ok();
        }
        self.loaded.get()
    }

    fn anchors(&self) -> Option<Anchors<'_>> {
        let settings = self.settings.anchors.as_ref()?;
        let (calibration, devices) = (self.settings.calibration, &self.devices);
        Some(Anchors { settings, calibration, devices, context: &self.context })
    }

    /// Measures a subnet with these weights.
    fn judge(&self, architecture: &Architecture, weights: &Weights, device: &Device) -> Outcome {
        let data = &self.context.data;
        let frozen = Frozen::new(architecture, weights, data, self.settings.calibration, device);
        inference::measured(frozen.as_ref(), &self.settings.metrics, data, device)
    }

    /// Trains the anchors, and fits corrections to the errors that shared weights make on them.
    fn learn_corrections(
        &self,
        weights: &[Weights],
        progress: &dyn Progress,
    ) -> Result<Option<(Corrections, String)>, EvalError> {
        let Some(settings) = &self.settings.anchors else { return Ok(None) };
        let (context, devices) = (&self.context, &self.devices);
        let trained = anchors::train(settings, self.settings.calibration, devices, context, progress)?;
        let guess = |index: usize, genotype: &&Genotype, device: &Device| {
            let architecture = context.space.decode(genotype);
            architecture
                .map(|architecture| self.judge(&architecture, &weights[index % weights.len()], device))
        };
        let genotypes: Vec<&Genotype> = trained.iter().map(|anchor| &anchor.genotype).collect();
        let guesses = devices.map_whole(&genotypes, guess).into_iter().collect::<Result<Vec<Outcome>, _>>();
        let broken = |source| EvalError::Space { what: "an anchor of the supernet", source };
        let guesses = guesses.map_err(broken)?;
        let corrections =
            Corrections::learned(context, &self.settings.metrics, (&trained, &guesses), progress)?;
        Ok(Some((corrections, anchors::hash(&trained))))
    }
}

impl Evaluator for SupernetEvaluator {
    fn prepare(&self, progress: &dyn Progress) -> Result<(), EvalError> {
        if self.ready.get().is_none() {
            let (other, new);
            let trained = match &self.saved {
                Some((saved, folder)) => {
                    if !saved.is_checked {
                        progress.warn(&format!(
                            "{}: an older build described the supernet without a hash, so the description \
                             is not checked",
                            folder.display()
                        ));
                    }
                    other = saved.content.load(folder, &self.context, self.devices.main())?;
                    &other
                }
                None => {
                    if let Some(loaded) = self.loaded() {
                        training::report_end(&self.settings, &self.context, progress);
                        loaded
                    } else {
                        new = training::train(&self.settings, &self.devices, &self.context, progress)?;
                        &new
                    }
                }
            };
            let Trained { weights, hash } = trained;
            let hash = hash.clone();
            let weights: Vec<Weights> = self.devices.all().iter().map(|device| weights.on(device)).collect();
            let (corrections, anchors) = self.learn_corrections(&weights, progress)?.unzip();
            // Two overlapping calls of `prepare` compute the same weights, so the second result can be
            // dropped.
            self.ready.set(Ready { weights, hash, anchors, corrections }).ok();
        }
        Ok(())
    }

    fn fingerprint(&self) -> String {
        let settings = serde_json::to_string(&self.settings).expect("settings are plain data");
        let Ready { hash, anchors, .. } = self.ready();
        let learned: Vec<&str> =
            [Some(hash), anchors.as_ref()].into_iter().flatten().map(String::as_str).collect();
        fingerprint::fingerprint("supernet", &settings, &self.devices, &self.context, &learned)
    }

    fn fingerprint_start(&self) -> String {
        fingerprint::start("supernet", &self.devices)
    }

    /// Shared weights yield only one estimate for a subnet, so there are no lower fidelities except the
    /// proxy.
    fn fidelities(&self) -> Fidelities {
        Fidelities::full_only().with_proxy()
    }

    fn health(&self, progress: &dyn Progress) -> Result<Option<SupernetHealth>, EvalError> {
        let weights = &self.ready().weights;
        super::health::check(&self.settings, &self.devices, &self.context, weights, progress).map(Some)
    }

    fn open_supernet(&self) -> Option<String> {
        let is_there = self.saved.is_some() || self.ready.get().is_some() || self.loaded().is_some();
        (!is_there).then(|| training::identity(&self.settings, &self.devices, &self.context))
    }

    fn train_supernet(&self, conditions: &str, progress: &dyn Progress) -> Result<(), EvalError> {
        // It may be trained by now.
        if let Some(open) = self.open_supernet() {
            if open != conditions {
                return Err(EvalError::OtherSupernet { conditions: conditions.to_owned() });
            }
            training::train(&self.settings, &self.devices, &self.context, progress)?;
        }
        Ok(())
    }

    fn open_anchors(&self, progress: &dyn Progress) -> Result<Vec<OpenAnchor>, EvalError> {
        Ok(self.anchors().map_or_else(Vec::new, |anchors| anchors.open(progress)))
    }

    fn train_anchor(&self, anchor: &OpenAnchor, progress: &dyn Progress) -> Result<Outcome, EvalError> {
        let none = || EvalError::NoAnchor { genotype: anchor.genotype.clone() };
        self.anchors().ok_or_else(none)?.train_one(anchor, progress)
    }

    fn keep_anchor(&self, anchor: &OpenAnchor, outcome: &Outcome) -> Result<(), EvalError> {
        let none = || EvalError::NoAnchor { genotype: anchor.genotype.clone() };
        self.anchors().ok_or_else(none)?.keep(anchor, outcome)
    }

    fn evaluate(&self, request: &Request<'_>) -> Result<Outcome, EvalError> {
        self.fidelities().check(request.fidelity)?;
        let lease = self.devices.lease();
        if request.fidelity == Fidelity::Proxy {
            let score =
                |device: &Device| self.settings.proxy.outcome(request.architecture, &self.context, device);
            return Ok(lease.run(score));
        }
        let Ready { weights, corrections, .. } = self.ready();
        let judged = lease.run(|device| self.judge(request.architecture, &weights[lease.index], device));
        match corrections {
            Some(corrections) => corrections.corrected(&self.context, request.genotype, judged),
            None => Ok(judged),
        }
    }
}

impl SharedTeacher for SupernetEvaluator {
    fn largest(&self, device: &Device) -> Result<(Architecture, Weights), CompressionError> {
        let ready = self.ready.get().ok_or(CompressionError::NoSupernet)?;
        let space = self.context.space.as_ref();
        let architecture = space.decode(&extremes::find(space, Extreme::Largest))?;
        let weights = ready.weights[0].inherit(&architecture, device);
        Ok((stand_alone(&architecture).0, weights))
    }
}

impl Inheritance for SupernetEvaluator {
    fn inherit(&self, architecture: &Architecture, device: &Device) -> Weights {
        self.ready().weights[0].inherit(architecture, device)
    }

    fn hash(&self) -> String {
        self.ready().hash.clone()
    }
}

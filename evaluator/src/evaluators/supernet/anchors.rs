//! Anchors are a few networks that are trained briefly on their own. Their results correct the estimates of
//! all networks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use burn::tensor::Device;
use kiln_files::{Checked, optional, read_document, write_document};
use kiln_search::{EvalError, OpenAnchor, Outcome, Progress, RunPaths};
use kiln_space::{Genotype, SearchSpace, Settings, SettingsError, variation};
use serde::{Deserialize, Serialize};

use super::correction::FEWEST_POINTS;
use crate::data::Split;
use crate::devices::pool::Devices;
use crate::evaluators::context::Context;
use crate::evaluators::fingerprint;
use crate::evaluators::stand_alone::StandAlone;
use crate::evaluators::workload::Effort;
use crate::judging::metrics::Asked;
use crate::seed;
use crate::training::class_weights::ClassWeights;
use crate::training::optimizer_settings::OptimizerSettings;
use crate::training::settings::TrainingSettings;
use crate::training::state::Kept;

/// Name of the file in the run folder.
pub(super) const FILE: &str = "anchors.json";
const VERSION: u32 = 2;
/// The oldest file version that Kiln reads. Files of this version do not contain the hash `check`.
const OLDEST: u32 = 1;
/// Maximum file size in bytes that Kiln reads. The files that it writes are smaller.
const LONGEST_BYTES: u64 = 16 << 20;
/// Maximum number of anchors.
const MOST: usize = 1024;
/// Maximum number of draws for each anchor.
const ATTEMPTS: usize = 100;
/// Steps between checkpoints of each training.
const CHECKPOINT_STEPS: u64 = 1000;

/// `[evaluator.anchors]`: the number of anchors, and how each is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnchorSettings {
    pub(crate) networks: usize,
    #[serde(default = "epochs")]
    pub(crate) epochs: u32,
    #[serde(default = "batch")]
    pub(crate) batch: usize,
    #[serde(default)]
    pub(crate) optimizer: OptimizerSettings,
    /// The supernet's `clip_norm`, if the task is a regression.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) clip_norm: Option<f64>,
    /// The supernet's setting.
    #[serde(skip_deserializing, skip_serializing_if = "ClassWeights::is_equal")]
    pub(crate) class_weights: ClassWeights,
    /// The supernet's setting.
    #[serde(skip_deserializing, skip_serializing_if = "Asked::is_empty")]
    pub(crate) metrics: Asked,
}

const fn epochs() -> u32 {
    1
}
const fn batch() -> usize {
    64
}

impl AnchorSettings {
    pub(super) fn training(&self) -> TrainingSettings {
        TrainingSettings {
            clip_norm: self.clip_norm,
            class_weights: self.class_weights.clone(),
            checkpoint_steps: CHECKPOINT_STEPS,
            ..TrainingSettings::plain(self.epochs, self.batch, self.optimizer)
        }
    }

    /// Checks that all values are in range. `settings` is the evaluator's table.
    pub(super) fn check(&self, settings: &Settings) -> Result<(), SettingsError> {
        let own = Settings::empty(settings.key("anchors"));
        if self.networks < FEWEST_POINTS || self.networks > MOST {
            let expected = format!("between {FEWEST_POINTS} and {MOST}");
            return Err(SettingsError::value(own.key("networks"), self.networks, &expected));
        }
        self.training().check(&own)
    }
}

/// A network that was trained on its own to correct the estimates of other networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The network.
    pub genotype: Genotype,
    /// Metrics of the network after its own training.
    pub trained: Outcome,
}

/// The content of the anchors file: the anchors that have been trained so far.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    /// Hash of everything that the anchors' trainings depend on.
    identity: String,
    anchors: Vec<Anchor>,
}

/// Reads the anchors of a run folder, in the order in which they were drawn. The list is empty if the folder
/// has no such file.
///
/// # Errors
/// [`EvalError::Files`] when the file cannot be read or was not written by Kiln, [`EvalError::Data`] when its
/// version is unknown.
pub fn anchors(run: &Path) -> Result<Checked<Vec<Anchor>>, EvalError> {
    Ok(match read(run)? {
        Some(Checked { content, is_checked }) => Checked { content: content.anchors, is_checked },
        None => Checked { content: Vec::new(), is_checked: true },
    })
}

fn read(run: &Path) -> Result<Option<Checked<Document>>, EvalError> {
    let path = run.join(FILE);
    let Some(read) = optional(read_document::<Document>(&path, LONGEST_BYTES))? else { return Ok(None) };
    let version = read.content.version;
    if !(OLDEST..=VERSION).contains(&version) {
        let problem = format!("version {version} is unknown to this program, which writes version {VERSION}");
        return Err(EvalError::Data { path, problem });
    }
    Ok(Some(read.required(&path, version > OLDEST)?))
}

/// The anchors file of a run folder. Each write replaces the whole file.
struct Place {
    path: PathBuf,
    identity: String,
}

impl Place {
    fn write(&self, anchors: &[Anchor]) -> Result<(), EvalError> {
        let document =
            Document { version: VERSION, identity: self.identity.clone(), anchors: anchors.to_vec() };
        Ok(write_document(&self.path, &document)?)
    }
}

/// Draws distinct networks from a space. The same seed always yields the same list of networks. A smaller
/// `wanted` yields the beginning of the same list.
pub(super) fn draw(space: &dyn SearchSpace, wanted: usize, seed: u64) -> Vec<Genotype> {
    let mut rng = seed::generator(seed, "anchors", &[]);
    let mut known = BTreeSet::new();
    let mut drawn = Vec::new();
    for _ in 0..ATTEMPTS * wanted {
        if drawn.len() == wanted {
            break;
        }
        let genotype = variation::sample(space, &mut rng);
        if known.insert(genotype.clone()) {
            drawn.push(genotype);
        }
    }
    drawn
}

/// What anchors are trained with, in a study.
pub(super) struct Anchors<'a> {
    pub(super) settings: &'a AnchorSettings,
    /// Number of training images for batch-norm statistics.
    pub(super) calibration: usize,
    pub(super) devices: &'a Devices,
    pub(super) context: &'a Context,
}

impl Anchors<'_> {
    fn place(&self) -> Place {
        let Self { settings, calibration, devices, context } = *self;
        let identity = identity(settings, calibration, devices, context);
        Place { path: context.folder.join(FILE), identity }
    }

    /// Returns the anchors that are not trained yet.
    pub(super) fn open(&self, progress: &dyn Progress) -> Vec<OpenAnchor> {
        let place = self.place();
        let wanted = draw(self.context.space.as_ref(), self.settings.networks, self.context.seed);
        let before = trained_before(&place, self.context, progress);
        let is_open = |genotype: &Genotype| before.iter().all(|anchor| anchor.genotype != *genotype);
        let open = wanted.into_iter().filter(is_open);
        open.map(|genotype| OpenAnchor { genotype, conditions: place.identity.clone() }).collect()
    }

    /// Trains an anchor on its own.
    pub(super) fn train_one(
        &self,
        anchor: &OpenAnchor,
        progress: &dyn Progress,
    ) -> Result<Outcome, EvalError> {
        let place = self.place();
        let genotype = &anchor.genotype;
        let wanted = draw(self.context.space.as_ref(), self.settings.networks, self.context.seed);
        if place.identity != anchor.conditions || !wanted.contains(genotype) {
            return Err(EvalError::NoAnchor { genotype: genotype.clone() });
        }
        self.devices.lease().run(|device| self.train_at(&place, genotype, device, progress))
    }

    fn train_at(
        &self,
        place: &Place,
        genotype: &Genotype,
        device: &Device,
        progress: &dyn Progress,
    ) -> Result<Outcome, EvalError> {
        let Self { settings, calibration, context, .. } = *self;
        let what = "an anchor of the supernet";
        let architecture =
            context.space.decode(genotype).map_err(|source| EvalError::Space { what, source })?;
        let seed = kiln_search::seed::derive(context.seed, "anchor", &[genotype.genes()]);
        let (training, metrics) = (&settings.training(), &settings.metrics);
        let alone = StandAlone { settings: training, calibration, metrics, context, device };
        let kept = kept(place, genotype, context);
        alone.measure(&architecture, (seed, settings.epochs), kept, progress)
    }

    /// Adds an anchor that was trained elsewhere to the file.
    pub(super) fn keep(&self, anchor: &OpenAnchor, trained: &Outcome) -> Result<(), EvalError> {
        let place = self.place();
        if place.identity != anchor.conditions {
            return Err(EvalError::NoAnchor { genotype: anchor.genotype.clone() });
        }
        let mut all = match read(&self.context.folder) {
            Ok(Some(before)) if before.content.identity == place.identity => before.content.anchors,
            _ => Vec::new(),
        };
        all.retain(|known| known.genotype != anchor.genotype);
        all.push(Anchor { genotype: anchor.genotype.clone(), trained: trained.clone() });
        place.write(&all)
    }
}

/// Trains the missing anchors in parallel, and writes each of them to the run folder.
pub(super) fn train(
    settings: &AnchorSettings,
    calibration: usize,
    devices: &Devices,
    context: &Context,
    progress: &dyn Progress,
) -> Result<Vec<Anchor>, EvalError> {
    let wanted = draw(context.space.as_ref(), settings.networks, context.seed);
    let anchors = Anchors { settings, calibration, devices, context };
    let place = anchors.place();
    let before = trained_before(&place, context, progress);
    let is_open = |genotype: &&Genotype| before.iter().all(|anchor| anchor.genotype != **genotype);
    let open: Vec<&Genotype> = wanted.iter().filter(is_open).collect();
    let total = wanted.len() as u64;
    let left = AtomicUsize::new(open.len());
    progress.report("anchors", total - open.len() as u64, total, "");
    let (all, has_failed) = (Mutex::new(before), AtomicBool::new(false));
    let train = |genotype: &Genotype, device: &Device| -> Result<(), EvalError> {
        if progress.stop_requested() {
            return Err(EvalError::Interrupted);
        }
        let trained = anchors.train_at(&place, genotype, device, &Quiet(progress))?;
        let mut all = all.lock().expect("no holder panics");
        all.push(Anchor { genotype: genotype.clone(), trained });
        let left = left.fetch_sub(1, Ordering::Relaxed) - 1;
        progress.report("anchors", total - left as u64, total, "");
        place.write(&all)
    };
    let results = devices.map_whole(&open, |_, genotype, device| {
        // After a failure, no other training starts. The training that failed reports the error.
        if has_failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        train(genotype, device).inspect_err(|_| has_failed.store(true, Ordering::Relaxed))
    });
    results.into_iter().collect::<Result<(), EvalError>>()?;
    // `remove_dir` removes the folder only if it is empty. Other trainings of the study may still have
    // checkpoints there.
    let _ = fs::remove_dir(RunPaths::new(&context.folder).trainings());
    let mut all = all.into_inner().expect("no holder panics");
    // Trainings end in any order, so sort the anchors in the order in which they were drawn. The file may
    // contain more anchors than this study uses. Additional anchors are sorted to the end.
    let place_of = |anchor: &Anchor| wanted.iter().position(|genotype| *genotype == anchor.genotype);
    all.sort_by_key(|anchor| place_of(anchor).unwrap_or(usize::MAX));
    let is_written = |before: &Checked<Document>| before.is_checked && before.content.anchors == all;
    if !matches!(read(&context.folder), Ok(Some(before)) if is_written(&before)) {
        place.write(&all)?;
    }
    all.truncate(wanted.len());
    Ok(all)
}

/// Returns the anchors that were already trained under the same conditions. If the file cannot be used, the
/// anchors are trained again.
fn trained_before(place: &Place, context: &Context, progress: &dyn Progress) -> Vec<Anchor> {
    match read(&context.folder) {
        Ok(Some(before)) if before.content.identity == place.identity => {
            if !before.is_checked {
                let path = place.path.display();
                progress
                    .warn(&format!("{path}: an older build wrote it without a hash, so it is not checked"));
            }
            before.content.anchors
        }
        Ok(None) => Vec::new(),
        Ok(Some(_)) => {
            let path = place.path.display();
            progress.warn(&format!(
                "{path}: made under other settings, data, build or device; the anchors are trained again"
            ));
            Vec::new()
        }
        Err(error) => {
            progress.warn(&format!("{error}; the anchors are trained again"));
            Vec::new()
        }
    }
}

/// Returns the folder for the checkpoints of an anchor's training.
fn kept(place: &Place, genotype: &Genotype, context: &Context) -> Kept {
    let identity = format!("anchor\n{}\n{genotype}", place.identity);
    Kept::new(RunPaths::new(&context.folder).trainings().join("anchor-"), &identity)
}

/// Hashes the anchors' metrics. The fingerprint includes this hash, because corrected estimates depend on
/// these metrics.
pub(super) fn hash(anchors: &[Anchor]) -> String {
    let text = serde_json::to_vec(anchors).expect("anchors are plain data");
    blake3::hash(&text).to_hex().to_string()
}

/// Hash of everything that the trainings depend on, except the number of anchors.
fn identity(settings: &AnchorSettings, calibration: usize, devices: &Devices, context: &Context) -> String {
    let mut deciding = settings.clone();
    // A longer list of anchors begins with the same anchors, so their number does not matter.
    deciding.networks = 0;
    let deciding = serde_json::to_string(&deciding).expect("settings are plain data");
    let conditions = fingerprint::conditions(&format!("{deciding}\n{calibration}"), devices, context);
    blake3::hash(conditions.as_bytes()).to_hex().to_string()
}

/// Returns how much computation it takes to train and evaluate the anchors.
pub(super) fn effort(settings: &AnchorSettings, calibration: usize, context: &Context) -> Effort {
    let networks = settings.networks as u64;
    let of = |split: Split| context.data.split(split).len() as u64;
    // Each anchor is evaluated twice: with its own weights and with the shared weights.
    let judged = (calibration as u64).saturating_add(of(Split::Validation)).saturating_mul(2);
    Effort {
        trained: networks * u64::from(settings.epochs) * of(Split::Train),
        judged: networks.saturating_mul(judged),
    }
}

/// Number of examples whose activations are in memory at the same time.
pub(super) fn examples_in_memory(settings: &AnchorSettings, devices: &Devices) -> usize {
    let side_by_side = match devices.all() {
        [one] if kiln_kernels::runs_on(one) => thread::available_parallelism().map_or(1, usize::from),
        several => several.len(),
    };
    settings.batch * settings.networks.min(side_by_side)
}

/// A progress callback that reports no steps, because many trainings run in parallel. It stops when the user
/// interrupts the study.
struct Quiet<'a>(&'a dyn Progress);

impl Progress for Quiet<'_> {
    fn report(&self, _stage: &str, _done: u64, _total: u64, _note: &str) {}

    fn stop_requested(&self) -> bool {
        self.0.stop_requested()
    }
}

//! Evaluates each architecture by training it on its own.

use std::sync::Arc;

use burn::tensor::Device;
use kiln_search::{
    EvalError, Evaluator, Fidelities, Fidelity, Outcome, Progress, Request, RunPaths, Silent, Watch,
};
use kiln_space::{Settings, SettingsError};
use serde::{Deserialize, Serialize};

use crate::data::Split;
use crate::devices::pool::Devices;
use crate::evaluators::context::{Built, Context, EvaluatorPart};
use crate::evaluators::proxy::Proxy;
use crate::evaluators::stand_alone::StandAlone;
use crate::evaluators::workload::{Effort, Workload};
use crate::evaluators::{fingerprint, finish};
use crate::judging::metrics::{self, Asked};
use crate::training::class_weights::ClassWeights;
use crate::training::clip_norm::ClipNorm;
use crate::training::milestones::Milestones;
use crate::training::optimizer_settings::OptimizerSettings;
use crate::training::settings::{TrainingSettings, accumulate};
use crate::training::state::Kept;

/// `[evaluator]` with `kind = "scratch"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScratchSettings {
    // Outcomes do not depend on which device of a class is used, so the fingerprint leaves the device out.
    #[serde(skip_serializing)]
    device: Option<String>,
    #[serde(default, skip_serializing)]
    devices: Vec<String>,
    epochs: u32,
    #[serde(default = "batch")]
    batch: usize,
    #[serde(default)]
    optimizer: OptimizerSettings,
    #[serde(default)]
    warmup_epochs: u32,
    #[serde(default)]
    label_smoothing: f64,
    /// Number of training images from which batch-norm statistics are computed after training.
    #[serde(default = "calibration")]
    calibration: usize,
    #[serde(default = "accumulate")]
    accumulate: usize,
    /// The largest norm of a gradient. If the config does not contain the setting, the task's default is
    /// filled in before the fingerprint is computed.
    #[serde(default)]
    clip_norm: ClipNorm,
    ema: Option<f64>,
    patience: Option<u32>,
    /// Weight of each class in the loss. The fingerprint includes the weights only if classes have different
    /// weights.
    #[serde(default, skip_serializing_if = "ClassWeights::is_equal")]
    class_weights: ClassWeights,
    /// Optional metrics that the config requests.
    #[serde(default, skip_serializing_if = "Asked::is_empty")]
    metrics: Asked,
    /// The score that is returned if a strategy requests a proxy.
    #[serde(default)]
    proxy: Proxy,
    /// Steps between checkpoints of each training.
    #[serde(default = "checkpoint_steps", skip_serializing)]
    checkpoint_steps: u64,
}

const fn batch() -> usize {
    64
}
const fn calibration() -> usize {
    2048
}
/// Small networks take thousands of steps in seconds, and writing a checkpoint blocks the training.
const fn checkpoint_steps() -> u64 {
    1000
}

struct ScratchEvaluator {
    settings: ScratchSettings,
    training: TrainingSettings,
    devices: Devices,
    context: Context,
}

/// The registry entry of the evaluator `scratch`.
pub(crate) const PART: EvaluatorPart =
    EvaluatorPart::new("trains each network on its own, from new weights", build)
        .with_keys(&[Devices::KEYS, TrainingSettings::KEYS])
        .tested_with(&[r#"{ "epochs": 3, "batch": 16 }"#]);

/// Builds the evaluator and its finisher.
fn build(settings: &Settings, finish: Option<&Settings>, context: Context) -> Result<Built, SettingsError> {
    let mut read: ScratchSettings = settings.read()?;
    read.clip_norm = read.clip_norm.resolved(context.data.is_regression());
    read.class_weights = read.class_weights.resolved(settings, &context.data)?;
    read.metrics = read.metrics.resolved(settings, &context.objectives, &context.data)?;
    let training = TrainingSettings {
        epochs: read.epochs,
        batch: read.batch,
        optimizer: read.optimizer,
        warmup_epochs: read.warmup_epochs,
        label_smoothing: read.label_smoothing,
        accumulate: read.accumulate,
        clip_norm: read.clip_norm.norm(),
        ema: read.ema,
        patience: read.patience,
        class_weights: read.class_weights.clone(),
        checkpoint_steps: read.checkpoint_steps,
    };
    training.check(settings)?;
    let devices = Devices::read(read.device.as_deref(), &read.devices, settings)?;
    let finisher = finish.map(|finish| {
        finish::build(finish, &training, read.metrics.clone(), context.clone(), &devices, None)
    });
    let finisher = finisher.transpose()?;
    let network = finisher.as_ref().map(|finishing| finishing.effort);
    let (finisher, compressor) = finisher.map(|finishing| (finishing.finisher, finishing.compressor)).unzip();
    let data = Arc::clone(&context.data);
    let trial = Effort {
        trained: u64::from(training.epochs) * data.split(Split::Train).len() as u64,
        judged: read.calibration.saturating_add(data.split(Split::Validation).len()) as u64,
    };
    let workload = Workload {
        prepare: Effort::default(),
        trial,
        network: network.unwrap_or_default(),
        examples_in_memory: training.batch,
    };
    let (metrics, optional) = (read.metrics.names(&data), metrics::optional_names(&data));
    let evaluator = Arc::new(ScratchEvaluator { settings: read, training, devices, context });
    Ok(Built { evaluator, finisher, compressor, workload, metrics, optional })
}

impl Evaluator for ScratchEvaluator {
    fn prepare(&self, _progress: &dyn Progress) -> Result<(), EvalError> {
        Ok(())
    }

    fn fingerprint(&self) -> String {
        let settings = serde_json::to_string(&self.settings).expect("settings are plain data");
        fingerprint::fingerprint("scratch", &settings, &self.devices, &self.context, &[])
    }

    fn fingerprint_start(&self) -> String {
        fingerprint::start("scratch", &self.devices)
    }

    fn fidelities(&self) -> Fidelities {
        Fidelities::of_schedule(self.training.epochs).with_proxy()
    }

    fn evaluate(&self, request: &Request<'_>) -> Result<Outcome, EvalError> {
        self.evaluate_watched(request, Watch { trial: None, progress: &Silent })
    }

    fn evaluate_watched(&self, request: &Request<'_>, watch: Watch<'_>) -> Result<Outcome, EvalError> {
        self.fidelities().check(request.fidelity)?;
        let progress = ToTheEnd(watch.progress);
        self.devices.lease().run(|device| self.evaluate_on(device, request, &progress))
    }
}

impl ScratchEvaluator {
    fn evaluate_on(
        &self,
        device: &Device,
        request: &Request<'_>,
        progress: &dyn Progress,
    ) -> Result<Outcome, EvalError> {
        let full = self.training.epochs;
        let epochs = match request.fidelity {
            Fidelity::Proxy => {
                return Ok(self.settings.proxy.outcome(request.architecture, &self.context, device));
            }
            Fidelity::Epochs(epochs) => epochs,
            Fidelity::Full => full,
        };
        let (settings, calibration) = (&self.training, self.settings.calibration);
        let (metrics, context) = (&self.settings.metrics, &self.context);
        let alone = StandAlone { settings, calibration, metrics, context, device };
        alone.measure(request.architecture, (request.seed, epochs), self.kept(request, epochs), progress)
    }
}

impl ScratchEvaluator {
    /// Returns the folder for a training's checkpoints. Each fidelity has its own folder, because trainings
    /// of one network at several fidelities may run at the same time. All fidelities begin with the same
    /// epochs, so a training may start from the final state of a shorter one.
    fn kept(&self, request: &Request<'_>, epochs: u32) -> Kept {
        let settings = serde_json::to_string(&self.settings).expect("settings are plain data");
        let network = [
            self.fingerprint(),
            fingerprint::conditions(&settings, &self.devices, &self.context),
            request.genotype.to_string(),
            format!("{:?}", request.architecture),
            request.seed.to_string(),
        ];
        let network = network.join("\n");
        let training = format!("{network}\n{:?}\n{epochs}", request.fidelity);
        let trainings = RunPaths::new(&self.context.folder).trainings();
        let milestones = Milestones::new(trainings.join("milestones"), network, epochs, self.training.epochs);
        Kept::new(trainings.join("trial-"), &training).beginning_at(milestones)
    }
}

/// Passes the progress of a training on. An evaluation runs to its end even if the study stops, so that its
/// work is not lost.
struct ToTheEnd<'a>(&'a dyn Progress);

impl Progress for ToTheEnd<'_> {
    fn report(&self, stage: &str, done: u64, total: u64, note: &str) {
        self.0.report(stage, done, total, note);
    }

    fn stop_requested(&self) -> bool {
        false
    }

    fn warn(&self, message: &str) {
        self.0.warn(message);
    }
}

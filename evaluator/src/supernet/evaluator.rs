//! Judging subnets with shared weights.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use burn::tensor::Device;
use kiln_search::{EvalError, Evaluator, FailureKind, Fidelity, Measurement, Outcome, Progress, Request};
use kiln_space::{Settings, SettingsError};

use super::saved::Saved;
use super::settings::SupernetSettings;
use super::training::{self, Trained};
use crate::data::{DataSet, Split};
use crate::devices::Devices;
use crate::finish::{self, Inheritance};
use crate::frozen::Frozen;
use crate::inference;
use crate::judgement::{self, Judgement};
use crate::weights::Weights;
use crate::{Built, Context, Effort, Workload, fingerprint};

/// Reads each architecture's weights from a trained supernet, freezes it (with batch-norm statistics of its own, and zeros and
/// 8 bits where it has them), and measures it on the validation split.
pub(crate) struct SupernetEvaluator {
    settings: SupernetSettings,
    devices: Devices,
    context: Context,
    /// What is taken over instead of training, and its folder.
    saved: Option<(Saved, PathBuf)>,
    ready: OnceLock<Ready>,
}

/// Trained shared weights, on each device.
struct Ready {
    weights: Vec<Weights>,
    hash: String,
}

/// Builds the evaluator and its finisher.
pub(crate) fn build(
    settings: &Settings,
    finish: Option<&Settings>,
    context: Context,
) -> Result<Built, SettingsError> {
    let read = SupernetSettings::read(settings)?;
    let devices = Devices::read(read.device.as_deref(), &read.devices, settings)?;
    let saved = read.supernet.as_deref().map(|run| Saved::read(run, &context)).transpose();
    let saved = saved.map_err(|problem| SettingsError {
        key: settings.key("supernet"),
        problem: format!("{problem}; name the run folder of a study of the same space on the same data"),
    })?;
    let training = read.training();
    let trains = saved.is_none();
    let evaluator = Arc::new(SupernetEvaluator {
        settings: read,
        devices,
        context: context.clone(),
        saved,
        ready: OnceLock::new(),
    });
    let source = Arc::clone(&evaluator) as Arc<dyn Inheritance>;
    let device = evaluator.devices.main().clone();
    let data = Arc::clone(&context.data);
    let finisher =
        finish.map(|finish| finish::build(finish, training, context, device, Some(source))).transpose()?;
    let (finisher, network) = finisher.unzip();
    let settings = &evaluator.settings;
    let epochs = if trains { u64::from(settings.epochs) } else { 0 };
    let steps = epochs * training.steps_per_epoch(data.split(Split::Train).len());
    let each_step = training.step_examples() * settings.subnets;
    let judged = (settings.calibration + data.split(Split::Validation).len()) as u64;
    let workload = Workload {
        prepare: Effort { trained: steps * each_step as u64, judged: 0 },
        trial: Effort { trained: 0, judged },
        network: network.unwrap_or_default(),
        examples_in_memory: settings.batch * settings.subnets,
    };
    Ok(Built { evaluator, finisher, workload, metrics: judgement::metrics(&data) })
}

impl SupernetEvaluator {
    fn ready(&self) -> &Ready {
        self.ready.get().expect("`prepare` comes before judging")
    }
}

impl Evaluator for SupernetEvaluator {
    fn prepare(&self, progress: &dyn Progress) -> Result<(), EvalError> {
        if self.ready.get().is_none() {
            let Trained { weights, hash } = match &self.saved {
                Some((saved, folder)) => saved.load(folder, &self.context, self.devices.main())?,
                None => training::train(&self.settings, &self.devices, &self.context, progress)?,
            };
            let weights = self.devices.all().iter().map(|device| weights.on(device)).collect();
            // A second `prepare` at the same time would have trained the same weights.
            self.ready.set(Ready { weights, hash }).ok();
        }
        Ok(())
    }

    fn fingerprint(&self) -> String {
        let settings = serde_json::to_string(&self.settings).expect("settings are plain data");
        let hash = &self.ready().hash;
        fingerprint::fingerprint("supernet", &settings, &self.devices, &self.context, Some(hash))
    }

    fn evaluate(&self, request: &Request<'_>) -> Result<Outcome, EvalError> {
        let lease = self.devices.lease();
        if request.fidelity == Fidelity::Proxy {
            let score =
                |device: &Device| self.settings.proxy.outcome(request.architecture, &self.context, device);
            return Ok(lease.run(score));
        }
        let (weights, data) = (&self.ready().weights[lease.index], &self.context.data);
        let architecture = request.architecture;
        let judged = lease.run(|device| {
            let frozen = Frozen::new(architecture, weights, data, self.settings.calibration, device)?;
            inference::judge(&frozen, data, Split::Validation, device)
        });
        Ok(outcome(judged, data))
    }
}

impl Inheritance for SupernetEvaluator {
    fn inherit(&self, architecture: &kiln_space::Architecture, device: &Device) -> Weights {
        self.ready().weights[0].inherit(architecture, device)
    }

    fn hash(&self) -> String {
        self.ready().hash.clone()
    }
}

/// A judgement as the search sees it.
pub(crate) fn outcome(judged: Option<Judgement>, data: &DataSet) -> Outcome {
    let measurement = judged.and_then(|judged| {
        let metrics: BTreeMap<String, f64> =
            judgement::metrics(data).into_iter().zip(judged.values()).collect();
        Measurement::new(metrics).ok()
    });
    measurement.map_or_else(
        || Outcome::Failed {
            kind: FailureKind::Diverged,
            reason: "the network gives outputs that are not finite".to_owned(),
        },
        Outcome::Measured,
    )
}

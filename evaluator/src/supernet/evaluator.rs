//! Judging subnets with shared weights.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use burn::tensor::Device;
use kiln_search::{EvalError, Evaluator, FailureKind, Fidelity, Measurement, Outcome, Progress, Request};
use kiln_space::{Settings, SettingsError};

use super::settings::SupernetSettings;
use super::training::{self, Trained};
use crate::data::{DataSet, Split};
use crate::finish::{self, Inheritance};
use crate::frozen::Frozen;
use crate::inference;
use crate::judgement::{self, Judgement};
use crate::weights::Weights;
use crate::{Built, Context, Effort, Workload, device, fingerprint};

/// Reads each architecture's weights from a trained supernet, freezes it (with batch-norm statistics of its own, and zeros and
/// 8 bits where it has them), and measures it on the validation split.
pub(crate) struct SupernetEvaluator {
    settings: SupernetSettings,
    device: Device,
    context: Context,
    trained: OnceLock<Trained>,
}

/// Builds the evaluator and its finisher.
pub(crate) fn build(
    settings: &Settings,
    finish: Option<&Settings>,
    context: Context,
) -> Result<Built, SettingsError> {
    let read = SupernetSettings::read(settings)?;
    let device = device::parse(&read.device, settings)?;
    let training = read.training();
    let evaluator = Arc::new(SupernetEvaluator {
        settings: read,
        device,
        context: context.clone(),
        trained: OnceLock::new(),
    });
    let source = Arc::clone(&evaluator) as Arc<dyn Inheritance>;
    let device = evaluator.device.clone();
    let data = Arc::clone(&context.data);
    let finisher =
        finish.map(|finish| finish::build(finish, training, context, device, Some(source))).transpose()?;
    let (finisher, network) = finisher.unzip();
    let settings = &evaluator.settings;
    let steps = u64::from(settings.epochs) * training.steps_per_epoch(data.split(Split::Train).len());
    let each_step = settings.batch * settings.subnets;
    let judged = (settings.calibration + data.split(Split::Validation).len()) as u64;
    let workload = Workload {
        prepare: Effort { trained: steps * each_step as u64, judged: 0 },
        trial: Effort { trained: 0, judged },
        network: network.unwrap_or_default(),
        examples_in_memory: each_step,
    };
    Ok(Built { evaluator, finisher, workload, metrics: judgement::metrics(&data) })
}

impl SupernetEvaluator {
    fn trained(&self) -> &Trained {
        self.trained.get().expect("`prepare` comes before judging")
    }
}

impl Evaluator for SupernetEvaluator {
    fn prepare(&self, progress: &dyn Progress) -> Result<(), EvalError> {
        if self.trained.get().is_none() {
            let trained = training::train(&self.settings, &self.device, &self.context, progress)?;
            // A second `prepare` at the same time would have trained the same weights.
            self.trained.set(trained).ok();
        }
        Ok(())
    }

    fn fingerprint(&self) -> String {
        let settings = serde_json::to_string(&self.settings).expect("settings are plain data");
        let hash = &self.trained().hash;
        fingerprint::fingerprint("supernet", &settings, &self.settings.device, &self.context, Some(hash))
    }

    fn evaluate(&self, request: &Request<'_>) -> Result<Outcome, EvalError> {
        if request.fidelity == Fidelity::Proxy {
            return Ok(self.settings.proxy.outcome(request.architecture, &self.context, &self.device));
        }
        let (weights, data) = (&self.trained().weights, &self.context.data);
        let architecture = request.architecture;
        let frozen = Frozen::new(architecture, weights, data, self.settings.calibration, &self.device);
        let judged =
            frozen.and_then(|frozen| inference::judge(&frozen, data, Split::Validation, &self.device));
        Ok(outcome(judged, data))
    }
}

impl Inheritance for SupernetEvaluator {
    fn inherit(&self, architecture: &kiln_space::Architecture, device: &Device) -> Weights {
        self.trained().weights.inherit(architecture, device)
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

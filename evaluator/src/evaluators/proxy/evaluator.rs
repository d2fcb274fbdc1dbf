//! Evaluates architectures with a zero-cost proxy only.

use std::sync::Arc;

use burn::tensor::Device;
use kiln_search::{EvalError, Evaluator, Outcome, Progress, Request};
use kiln_space::{Settings, SettingsError};
use serde::Deserialize;

use super::{Proxy, naswot};
use crate::data::DataSet;
use crate::devices::pool::Devices;
use crate::evaluators::context::{Built, Context, EvaluatorPart};
use crate::evaluators::workload::{Effort, Workload};
use crate::evaluators::{fingerprint, finish};
use crate::judging::metrics::Asked;
use crate::training::clip_norm::ClipNorm;
use crate::training::optimizer_settings::OptimizerSettings;
use crate::training::settings::TrainingSettings;

/// The table `[evaluator]` with `kind = "naswot"` or `kind = "synflow"`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProxySettings {
    device: Option<String>,
    #[serde(default)]
    devices: Vec<String>,
}

struct ProxyEvaluator {
    proxy: Proxy,
    devices: Devices,
    context: Context,
}

/// The registry entry of the evaluator `naswot`.
pub(crate) const NASWOT: EvaluatorPart = EvaluatorPart::new(
    "a score without training: how differently images activate a network",
    |settings, finish, context| build(Proxy::Naswot, settings, finish, context),
)
.with_keys(&[Devices::KEYS]);

/// The registry entry of the evaluator `synflow`.
pub(crate) const SYNFLOW: EvaluatorPart = EvaluatorPart::new(
    "a score without training: how much flows through all weights",
    |settings, finish, context| build(Proxy::Synflow, settings, finish, context),
)
.with_keys(&[Devices::KEYS]);

/// Builds the evaluator and its finisher.
fn build(
    proxy: Proxy,
    settings: &Settings,
    finish: Option<&Settings>,
    context: Context,
) -> Result<Built, SettingsError> {
    let read: ProxySettings = settings.read()?;
    let devices = Devices::read(read.device.as_deref(), &read.devices, settings)?;
    let finisher = finish
        .map(|finish| {
            // This evaluator trains nothing, so `[finish]` cannot inherit a number of epochs from it.
            if !finish.table().contains_key("epochs") {
                let expected = "the epochs that a finished network is trained for";
                return Err(SettingsError::value(finish.key("epochs"), "nothing", expected));
            }
            let (context, asked) = (context.clone(), Asked::default());
            finish::build(finish, &training(&context.data), asked, context, &devices, None)
        })
        .transpose()?;
    let network = finisher.as_ref().map(|finishing| finishing.effort);
    let (finisher, compressor) = finisher.map(|finishing| (finishing.finisher, finishing.compressor)).unzip();
    let judged = if proxy == Proxy::Naswot { naswot::IMAGES as u64 } else { 1 };
    let workload = Workload {
        prepare: Effort::default(),
        trial: Effort { trained: 0, judged },
        network: network.unwrap_or_default(),
        examples_in_memory: naswot::IMAGES,
    };
    let evaluator = Arc::new(ProxyEvaluator { proxy, devices, context });
    let metrics = vec![proxy.metric().to_owned()];
    Ok(Built { evaluator, finisher, compressor, workload, metrics, optional: Vec::new() })
}

/// The training settings that `[finish]` inherits by default.
fn training(data: &DataSet) -> TrainingSettings {
    TrainingSettings {
        clip_norm: ClipNorm::Unstated.resolved(data.is_regression()).norm(),
        ..TrainingSettings::plain(1, 64, OptimizerSettings::default())
    }
}

impl Evaluator for ProxyEvaluator {
    fn prepare(&self, _progress: &dyn Progress) -> Result<(), EvalError> {
        Ok(())
    }

    fn fingerprint(&self) -> String {
        fingerprint::fingerprint(self.proxy.metric(), "", &self.devices, &self.context, &[])
    }

    fn fingerprint_start(&self) -> String {
        fingerprint::start(self.proxy.metric(), &self.devices)
    }

    fn evaluate(&self, request: &Request<'_>) -> Result<Outcome, EvalError> {
        // The score is this evaluator's only result, so the score counts as full fidelity. The evaluator does
        // not support proxy fidelity, because the result would be the same score.
        self.fidelities().check(request.fidelity)?;
        let outcome = |device: &Device| self.proxy.outcome(request.architecture, &self.context, device);
        Ok(self.devices.lease().run(outcome))
    }
}

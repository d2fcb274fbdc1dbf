//! Judging architectures by a proxy alone.

use std::sync::Arc;

use burn::tensor::Device;
use kiln_search::{EvalError, Evaluator, Outcome, Progress, Request};
use kiln_space::{Settings, SettingsError};
use serde::{Deserialize, Serialize};

use super::{Proxy, naswot};
use crate::optimizer::OptimizerSettings;
use crate::training::TrainingSettings;
use crate::{Built, Context, Effort, Workload, device, fingerprint, finish};

/// `[evaluator]` with `kind = "naswot"` or `kind = "synflow"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProxySettings {
    #[serde(default = "cpu")]
    device: String,
}

fn cpu() -> String {
    "cpu".to_owned()
}

struct ProxyEvaluator {
    proxy: Proxy,
    settings: ProxySettings,
    device: Device,
    context: Context,
}

/// Builds the evaluator `naswot`, and its finisher.
pub(crate) fn build_naswot(
    settings: &Settings,
    finish: Option<&Settings>,
    context: Context,
) -> Result<Built, SettingsError> {
    build(Proxy::Naswot, settings, finish, context)
}

/// Builds the evaluator `synflow`, and its finisher.
pub(crate) fn build_synflow(
    settings: &Settings,
    finish: Option<&Settings>,
    context: Context,
) -> Result<Built, SettingsError> {
    build(Proxy::Synflow, settings, finish, context)
}

fn build(
    proxy: Proxy,
    settings: &Settings,
    finish: Option<&Settings>,
    context: Context,
) -> Result<Built, SettingsError> {
    let read: ProxySettings = settings.read()?;
    let device = device::parse(&read.device, settings)?;
    let finisher = finish
        .map(|finish| {
            // Nothing is trained before, so there is nothing to take the number of epochs from.
            if !finish.table().contains_key("epochs") {
                let expected = "the epochs that a finished network is trained for";
                return Err(SettingsError::value(finish.key("epochs"), "nothing", expected));
            }
            finish::build(finish, training(), context.clone(), device.clone(), None)
        })
        .transpose()?;
    let (finisher, network) = finisher.unzip();
    let judged = if proxy == Proxy::Naswot { naswot::IMAGES as u64 } else { 1 };
    let workload = Workload {
        prepare: Effort::default(),
        trial: Effort { trained: 0, judged },
        network: network.unwrap_or_default(),
        examples_in_memory: naswot::IMAGES,
    };
    let evaluator = Arc::new(ProxyEvaluator { proxy, settings: read, device, context });
    Ok(Built { evaluator, finisher, workload, metrics: vec![proxy.metric().to_owned()] })
}

/// What `[finish]` falls back on.
fn training() -> TrainingSettings {
    TrainingSettings {
        epochs: 1,
        batch: 64,
        optimizer: OptimizerSettings::default(),
        warmup_epochs: 0,
        label_smoothing: 0.0,
    }
}

impl Evaluator for ProxyEvaluator {
    fn prepare(&self, _progress: &dyn Progress) -> Result<(), EvalError> {
        Ok(())
    }

    fn fingerprint(&self) -> String {
        let settings = serde_json::to_string(&self.settings).expect("settings are plain data");
        let kind = self.proxy.metric();
        fingerprint::fingerprint(kind, &settings, &self.settings.device, &self.context, None)
    }

    fn evaluate(&self, request: &Request<'_>) -> Result<Outcome, EvalError> {
        Ok(self.proxy.outcome(request.architecture, &self.context, &self.device))
    }
}

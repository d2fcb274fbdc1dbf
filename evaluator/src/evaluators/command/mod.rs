//! The evaluator `command`: a program of the user trains and judges each network.
//!
//! `settings` reads the config, `description` and `message` are the two sides of the protocol, `training`
//! runs the program in a `work` folder, `course` decides what its epochs mean, and `kept` holds what later
//! trainings need. `docs/guide/src/command.md` is the protocol.

mod course;
mod description;
mod evaluator;
mod kept;
mod message;
mod settings;
#[cfg(test)]
mod tests;
mod training;
mod weights;
mod work;

use std::sync::Arc;

use kiln_space::{Settings, SettingsError, Task};

use self::evaluator::CommandEvaluator;
use self::settings::CommandSettings;
use self::training::Command;
use crate::devices::pool::Devices;
use crate::evaluators::context::{Built, Context, EvaluatorPart};
use crate::evaluators::finish;
use crate::evaluators::workload::Workload;
use crate::training::clip_norm::ClipNorm;
use crate::training::optimizer_settings::OptimizerSettings;
use crate::training::settings::TrainingSettings;

/// The registry entry of the evaluator `command`.
pub(crate) const PART: EvaluatorPart =
    EvaluatorPart::new("a program of yours trains and judges each network", build)
        .with_keys(&[include_str!("keys.toml")])
        .tested_with(&[r#"{ "command": ["sh", "-c", "echo '{\"error_percent\": 50}'", "{architecture}"],
            "metrics": ["error_percent"] }"#]);

/// Returns the shape and the number of outputs that the settings of an evaluator state instead of data: the
/// keys `input` and `outputs`.
#[must_use]
pub fn stated_task(settings: &Settings) -> Option<Task> {
    CommandSettings::stated_task(settings)
}

/// Builds the evaluator and its finisher.
fn build(settings: &Settings, finish: Option<&Settings>, context: Context) -> Result<Built, SettingsError> {
    let (read, arguments, depends) = CommandSettings::read(settings, &context.data)?;
    let metrics = read.metrics.clone();
    let epochs = read.epochs;
    let returns_weights = arguments.mentions("weights");
    let evaluator = Arc::new(CommandEvaluator {
        command: Command { settings: read, arguments },
        depends,
        context,
        keeps_weights: finish.is_some() && returns_weights,
    });
    let finishing = finish.map(|finish| {
        let context = &evaluator.context;
        if !returns_weights {
            let expected = "no such table, or `{weights}` in `evaluator.command`: Kiln finishes only \
                            networks whose weights the program returns";
            return Err(SettingsError::value(finish.path(), "a table", expected));
        }
        let training = TrainingSettings {
            clip_norm: ClipNorm::Unstated.resolved(context.data.is_regression()).norm(),
            ..TrainingSettings::plain(epochs, 64, OptimizerSettings::default())
        };
        let devices = Devices::read(None, &[], finish)?;
        finish::build_outside(finish, &training, context.clone(), &devices, Arc::clone(&evaluator) as _)
    });
    let finishing = finishing.transpose()?;
    let (finisher, compressor) = finishing.map(|all| (all.finisher, all.compressor)).unzip();
    // Without examples, nothing can be compressed.
    let compressor = compressor.filter(|_| evaluator.context.data.has_examples());
    // How much another program computes is not known.
    let (workload, optional) = (Workload::default(), Vec::new());
    Ok(Built { evaluator, finisher, compressor, workload, metrics, optional })
}

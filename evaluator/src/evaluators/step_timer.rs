//! Times single training steps and evaluation batches. Steps and batches run the same code as in a search.
//! The data are random noise.

use std::time::{Duration, Instant};

use burn::tensor::Device;
use kiln_export::InputRecord;
use kiln_space::{Architecture, ParameterSpec, Settings, SettingsError};
use rand::RngExt;
use serde_json::json;

use crate::data::{Augmentation, Batcher, DataError, DataSet, Given, RawData, Sizes, Split, Targets};
use crate::deploy::frozen::Frozen;
use crate::devices::pool::Devices;
use crate::evaluators::supernet::{StepGradients, SupernetSettings};
use crate::network::weights::Weights;
use crate::seed;
use crate::training::form::How;
use crate::training::learner::Learner;
use crate::training::one_network::Training;

/// Number of batches in the training split.
const BATCHES: usize = 4;

/// Number of epochs of the schedule, which is so long that no measurement reaches its end.
const EPOCHS: u32 = 100_000;

/// Times steps of one network, or of several subnets with shared weights, on the CPU. The data are random
/// noise.
pub struct StepTimer {
    subnets: Vec<Architecture>,
    data: DataSet,
    settings: SupernetSettings,
    devices: Devices,
    learner: Option<Learner>,
    frozen: Option<Frozen>,
}

impl StepTimer {
    /// Draws weights for `parameters`. A single architecture is trained like a stand-alone network, and
    /// several are trained like the subnets of one supernet step. `optimizer` is a name from configs: `sgd`
    /// or `adamw`.
    ///
    /// # Errors
    /// [`SettingsError`] for another optimizer, or for a batch size that configs do not allow.
    ///
    /// # Panics
    /// When there is no architecture, an architecture reads a parameter that `parameters` does not declare,
    /// or inputs and outputs of the architectures differ.
    pub fn new(
        subnets: Vec<Architecture>,
        parameters: &[ParameterSpec],
        batch: usize,
        optimizer: &str,
    ) -> Result<Self, SettingsError> {
        let table = json!({
            "epochs": EPOCHS,
            "batch": batch,
            "sampling": "single_path",
            "subnets": subnets.len(),
            "optimizer": { "kind": optimizer, "learning_rate": 1e-3, "weight_decay": 1e-4 },
        });
        let table = table.as_object().cloned().unwrap_or_default();
        let settings = Settings::new("step_timer", table);
        let (read, devices) = (SupernetSettings::read(&settings)?, Devices::read(None, &[], &settings)?);
        let data = noise(&subnets[0], batch)
            .map_err(|error| SettingsError::rule(settings.key("batch"), error.to_string()))?;
        let weights = Weights::initialize(parameters, 1, &devices.main().clone().autodiff());
        let learner = Learner::new(weights, &read.training(), data.split(Split::Train).len(), devices.main());
        Ok(Self { subnets, data, settings: read, devices, learner: Some(learner), frozen: None })
    }

    /// Times one training step: drawing a batch, forward and backward pass, and optimizer step.
    ///
    /// # Panics
    /// When an earlier call panicked.
    pub fn train(&mut self) -> Duration {
        let mut learner = self.learner.take().expect("the learner is put back");
        let examples = self.data.split(Split::Train);
        let start = Instant::now();
        let from = (learner.step as usize % BATCHES) * self.settings.batch;
        let chosen = &examples[from..from + self.settings.batch];
        let autodiff = self.devices.main().clone().autodiff();
        let batcher = Batcher::new(&self.data, autodiff, 1);
        let gradients = if let [architecture] = self.subnets.as_slice() {
            let training = Training {
                architecture,
                data: &self.data,
                examples,
                settings: &self.settings.training(),
                seed: 1,
                calibration: self.settings.batch,
                device: self.devices.main(),
                how: How::default(),
            };
            training.gradients(&learner, &batcher, chosen).0
        } else {
            let batch = batcher.training(chosen, learner.step);
            let mut gradients = StepGradients::new(&self.devices);
            gradients.add(&self.settings, &self.devices, &self.subnets, &learner.weights, (&batch, 1.0));
            gradients.finish(&self.devices, &learner.weights).0
        };
        learner = learner.advance(gradients);
        let passed = start.elapsed();
        self.learner = Some(learner);
        passed
    }

    /// Times the evaluation of one batch with the first architecture, which is frozen first.
    ///
    /// # Panics
    /// When an earlier call panicked, or training has diverged.
    pub fn judge(&mut self) -> Duration {
        let device: &Device = self.devices.main();
        if self.frozen.is_none() {
            let weights = self.learner.as_ref().expect("the learner is put back").current();
            self.frozen = Frozen::new(&self.subnets[0], &weights, &self.data, self.settings.batch, device);
        }
        let frozen = self.frozen.as_ref().expect("single precision has no ranges to take");
        let start = Instant::now();
        let examples = &self.data.split(Split::Train)[..self.settings.batch];
        let batch = Batcher::new(&self.data, device.clone(), 1).plain(examples);
        let outputs = frozen.outputs(std::iter::once(batch.images));
        let passed = start.elapsed();
        assert!(outputs.iter().all(|output| output.is_finite()), "the training has diverged");
        passed
    }
}

/// Builds a data set of noise with a network's input shape, and as many classes as the network has outputs.
fn noise(architecture: &Architecture, batch: usize) -> Result<DataSet, DataError> {
    let mut rng = seed::generator(1, "noise", &[]);
    let classes = architecture.output().channels;
    // Each data set also needs examples for validation and test.
    let count = (BATCHES + 1) * batch + 20 * classes;
    let raw = RawData {
        name: "noise".to_owned(),
        input: "a number".to_owned(),
        shape: architecture.input,
        examples: (0..count * architecture.input.elements()).map(|_| rng.random_range(-1.0..1.0)).collect(),
        targets: Targets::Classes {
            names: (0..classes).map(|class| class.to_string()).collect(),
            labels: (0..count).map(|example| (example % classes) as u32).collect(),
        },
        inputs: (0..architecture.input.channels).map(|i| InputRecord::channel(i.to_string())).collect(),
        given: Given::test_at_end(count, classes),
        notes: Vec::new(),
    };
    let sizes = Sizes { test: 0.0, validation: 0.1, seed: 1, limit: None };
    DataSet::new(raw, &sizes, Augmentation::default())
}

#[cfg(test)]
mod tests {
    use kiln_space::{ArchitectureBuilder, Shape};

    use super::*;

    fn network(width: usize) -> Architecture {
        let mut b = ArchitectureBuilder::new(Shape::new(2, 4, 4));
        let x = b.conv("conv", b.input(), width, 3, 1, 1).unwrap();
        let x = b.batch_norm("norm", x).unwrap();
        let x = b.global_pool("pool", x).unwrap();
        b.linear("head", x, 3).unwrap();
        b.finish().unwrap()
    }

    #[test]
    fn training_steps_change_the_weights() {
        let whole = network(4);
        let specs = ParameterSpec::covering([&whole]);
        for subnets in [vec![whole.clone()], vec![network(4), network(2)]] {
            let mut timer = StepTimer::new(subnets, &specs, 8, "sgd").unwrap();
            let before = timer.learner.as_ref().unwrap().weights.values("head.weight").data;
            assert!(timer.train() + timer.judge() > Duration::ZERO);
            let after = timer.learner.as_ref().unwrap().weights.values("head.weight").data;
            assert!(before.iter().zip(&after).any(|(before, after)| before.to_bits() != after.to_bits()));
        }
    }

    #[test]
    fn unknown_optimizer_is_refused() {
        let whole = network(4);
        let refused = StepTimer::new(vec![whole.clone()], &ParameterSpec::covering([&whole]), 8, "magic");
        let error = refused.err().unwrap().to_string();
        assert!(error.contains("optimizer") && error.contains("magic"), "{error}");
    }
}

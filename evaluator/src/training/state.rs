//! The state of the training of one network, and the folder that stores it. An interrupted training resumes
//! from this state and produces the same bits.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use kiln_search::EvalError;

use crate::training::checkpoint::{self, Checkpoint, Checkpoints};
use crate::training::checkpoint_error::CheckpointError;
use crate::training::learner::Learner;
use crate::training::milestones::Milestones;
use crate::training::pruning::Pruning;

/// Name of the checkpoint part that stores the epoch's loss.
const LOSS: &str = "epoch loss";

/// State of a training between two steps: the learner, its masks, and the loss of the epoch so far.
pub(crate) struct NetworkState {
    pub(crate) learner: Learner,
    pub(crate) pruning: Pruning,
    /// Sum of the losses of this epoch's steps so far.
    pub(crate) loss: f64,
}

/// The folder with the checkpoints of a training, and the step of the last checkpoint. Only this training
/// uses the folder. It locks the folder before it reads or writes there.
pub(crate) struct Kept {
    checkpoints: Checkpoints,
    folder: PathBuf,
    held: Option<File>,
    saved: u64,
    milestones: Option<Milestones>,
}

impl Kept {
    /// Opens the folder whose name begins with `place` and ends with a hash of `identity`. `identity`
    /// describes everything that the training depends on.
    pub(crate) fn new(place: PathBuf, identity: &str) -> Self {
        let mut folder = place.into_os_string();
        folder.push(&blake3::hash(identity.as_bytes()).to_hex()[..16]);
        let folder = PathBuf::from(folder);
        let checkpoints = Checkpoints::new(folder.clone(), identity);
        Self { checkpoints, folder, held: None, saved: 0, milestones: None }
    }

    /// Adds milestones, so that the training can start from the final state of a shorter training of the same
    /// network.
    pub(crate) fn beginning_at(self, milestones: Milestones) -> Self {
        Self { milestones: Some(milestones), ..self }
    }

    /// Returns the newest known state with at most `steps` steps: a checkpoint, or the final state of a
    /// shorter training. Returns `fresh` if there is none.
    ///
    /// # Errors
    /// [`EvalError::Held`] when another process writes checkpoints here, [`EvalError::File`] when checkpoints
    /// cannot be read, [`EvalError::Data`] when an intact checkpoint does not fit.
    pub(crate) fn restored(&mut self, fresh: NetworkState, steps: u64) -> Result<NetworkState, EvalError> {
        if self.folder.exists() {
            self.hold()?;
        }
        let own = self.checkpoints.latest(steps).map_err(|source| self.failed("read checkpoints", source))?;
        let done = own.as_ref().map_or(0, |checkpoint| checkpoint.step);
        let earlier = self.milestones.as_ref().and_then(|milestones| milestones.latest(steps));
        let earlier = earlier.filter(|checkpoint| checkpoint.step > done);
        let how =
            if earlier.is_some() { "beginning where a shorter training ended," } else { "going on from" };
        let Some(checkpoint) = earlier.or(own) else { return Ok(fresh) };
        let step = checkpoint.step;
        self.saved = step;
        let unfit = |error: CheckpointError| EvalError::Data {
            path: self.folder.clone(),
            problem: error.to_string(),
        };
        let state = fresh.restored(checkpoint).map_err(unfit)?;
        tracing::info!("{}: {how} step {step}", self.folder.display());
        Ok(state)
    }

    fn hold(&mut self) -> Result<(), EvalError> {
        if self.held.is_none() {
            self.held = Some(checkpoint::hold(&self.folder)?);
        }
        Ok(())
    }

    /// Writes a checkpoint, unless this state was read from a checkpoint or is already written.
    ///
    /// # Errors
    /// [`EvalError::Held`] when another process writes checkpoints here, [`EvalError::File`] when the
    /// checkpoint cannot be written.
    pub(crate) fn save(&mut self, state: &NetworkState) -> Result<(), EvalError> {
        let step = state.learner.step;
        if step != self.saved {
            self.hold()?;
            self.checkpoints.save(&state.checkpoint())?;
            self.saved = step;
        }
        Ok(())
    }

    /// Stores the final state of the training, so that longer trainings can start from it.
    pub(crate) fn end(&self, state: &NetworkState) {
        if let Some(milestones) = &self.milestones {
            milestones.end(|| state.checkpoint());
        }
    }

    /// Removes the checkpoints of a training that is over.
    ///
    /// # Errors
    /// [`EvalError::File`] when the checkpoints cannot be removed.
    pub(crate) fn clear(self) -> Result<(), EvalError> {
        // If the folder was never locked, nothing was written to it.
        if self.held.is_none() {
            return Ok(());
        }
        match fs::remove_dir_all(&self.folder) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("remove checkpoints", source))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, action: &'static str, source: io::Error) -> EvalError {
        EvalError::File { path: self.folder.clone(), action, source }
    }
}

impl NetworkState {
    fn checkpoint(&self) -> Checkpoint {
        let mut checkpoint = self.learner.checkpoint();
        checkpoint.parts.insert(LOSS.to_owned(), self.loss.to_le_bytes().to_vec());
        checkpoint.parts.extend(self.pruning.parts());
        checkpoint
    }

    /// Restores the state of a checkpoint into a state with the same settings.
    fn restored(mut self, mut checkpoint: Checkpoint) -> Result<Self, CheckpointError> {
        let loss = checkpoint.parts.remove(LOSS).ok_or(CheckpointError::MissingPart { name: LOSS })?;
        let loss: [u8; 8] = loss.try_into().map_err(|_| CheckpointError::Loss)?;
        self.loss = f64::from_le_bytes(loss);
        self.pruning.restore(&mut checkpoint.parts, &self.learner.weights)?;
        self.learner = self.learner.restored(checkpoint)?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use kiln_space::{ArchitectureBuilder, ParameterKind, ParameterSpec, Shape};

    use super::*;
    use crate::network::weights::Weights;
    use crate::training::optimizer_settings::OptimizerSettings;
    use crate::training::pruning::PruningRules;
    use crate::training::settings::TrainingSettings;

    /// Returns the state of a small network after `step` steps.
    fn state(step: u64) -> NetworkState {
        let mut b = ArchitectureBuilder::new(Shape::vector(3));
        b.linear("head", b.input(), 2).unwrap();
        let kind = ParameterKind::Linear { outputs: 2, inputs: 3, bias: true };
        let specs = [ParameterSpec { key: "head".to_owned(), kind }];
        let device = Device::flex();
        let settings = TrainingSettings::plain(9, 2, OptimizerSettings::default());
        let weights = Weights::initialize(&specs, step, &device.clone().autodiff());
        let mut learner = Learner::new(weights, &settings, 20, &device);
        learner.step = step;
        NetworkState {
            learner,
            pruning: Pruning::new(&b.finish().unwrap(), 9, PruningRules::default()),
            loss: 0.5,
        }
    }

    fn kept(folder: &std::path::Path, epochs: u32) -> Kept {
        let milestones = Milestones::new(folder.join("milestones"), "a".to_owned(), epochs, 9);
        Kept::new(folder.join("trial-"), &format!("a for {epochs} epochs")).beginning_at(milestones)
    }

    #[test]
    fn newest_checkpoint_or_milestone_within_the_steps_is_restored() {
        let folder = tempfile::tempdir().unwrap();
        let restored = |epochs: u32| {
            let state = kept(folder.path(), epochs).restored(state(0), 10 * u64::from(epochs)).unwrap();
            let weights = state.learner.weights.values("head.weight").data;
            (state.learner.step, weights)
        };
        let weights = |step: u64| (step, state(step).learner.weights.values("head.weight").data);
        assert_eq!(restored(3), weights(0));
        kept(folder.path(), 1).end(&state(10));
        assert_eq!((restored(1), restored(3)), (weights(10), weights(10)));
        kept(folder.path(), 3).save(&state(7)).unwrap();
        assert_eq!(restored(3), weights(10), "the milestone has more steps than the checkpoint");
        kept(folder.path(), 3).save(&state(17)).unwrap();
        assert_eq!((restored(3), restored(9)), (weights(17), weights(10)));
        // A longer training left this state in the folder. A shorter training must not use it.
        kept(folder.path(), 3).save(&state(60)).unwrap();
        assert_eq!(restored(3), weights(17));
    }
}

//! State of the training of one network: what is learned, its zeros, the loss of the epoch so far; and where it is kept, so that
//! a training which is interrupted goes on as if nothing had happened.

use std::path::PathBuf;
use std::{fs, io};

use kiln_search::EvalError;

use crate::checkpoint::{Checkpoint, Checkpoints};
use crate::learner::Learner;
use crate::pruning::Pruning;

/// Name of the part that holds the epoch's loss.
const LOSS: &str = "epoch loss";

/// State of a training between two steps.
pub(crate) struct NetworkState {
    pub(crate) learner: Learner,
    pub(crate) pruning: Pruning,
    /// Sum of the losses of the epoch's steps so far.
    pub(crate) loss: f64,
}

/// Where the checkpoints of a training are, and how far it was when the last one was written.
pub(crate) struct Kept {
    checkpoints: Checkpoints,
    folder: PathBuf,
    saved: u64,
}

impl Kept {
    /// `identity` says all that the training depends on.
    pub(crate) fn new(folder: PathBuf, identity: &str) -> Self {
        Self { checkpoints: Checkpoints::new(folder.clone(), identity), folder, saved: 0 }
    }

    /// The state of the newest whole checkpoint, or `fresh` where there is none.
    ///
    /// # Errors
    /// [`EvalError::File`] when checkpoints cannot be read, [`EvalError::Data`] when one is whole and yet does not fit.
    pub(crate) fn restored(&mut self, fresh: NetworkState) -> Result<NetworkState, EvalError> {
        let found = self.checkpoints.latest().map_err(|source| self.failed("read checkpoints", source))?;
        let Some(checkpoint) = found else { return Ok(fresh) };
        self.saved = checkpoint.step;
        let step = checkpoint.step;
        let state = fresh.restored(checkpoint);
        let state = state.map_err(|problem| EvalError::Data { path: self.folder.clone(), problem })?;
        tracing::info!("{}: going on from step {step}", self.folder.display());
        Ok(state)
    }

    /// Writes a checkpoint, unless this state has been read from one or written.
    ///
    /// # Errors
    /// [`EvalError::File`] when it cannot be written.
    pub(crate) fn save(&mut self, state: &NetworkState) -> Result<(), EvalError> {
        let step = state.learner.step;
        if step != self.saved {
            self.checkpoints.save(&state.checkpoint())?;
            self.saved = step;
        }
        Ok(())
    }

    /// Removes the checkpoints of a training that is over.
    ///
    /// # Errors
    /// [`EvalError::File`] when they cannot be removed.
    pub(crate) fn clear(self) -> Result<(), EvalError> {
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

    /// The state of a checkpoint, put into one with the same settings.
    fn restored(mut self, mut checkpoint: Checkpoint) -> Result<Self, String> {
        let loss = checkpoint.parts.remove(LOSS).ok_or("the checkpoint has no loss")?;
        let loss: [u8; 8] = loss.try_into().map_err(|_| "the loss is not a number".to_owned())?;
        self.loss = f64::from_le_bytes(loss);
        self.pruning.restore(&mut checkpoint.parts, &self.learner.weights)?;
        self.learner = self.learner.restored(checkpoint)?;
        Ok(self)
    }
}

//! The contracts of judging an architecture and of finishing the best ones.

use std::path::{Path, PathBuf};

use kiln_space::{Architecture, Genotype};
use thiserror::Error;

use super::finished::Finished;
use super::supernet_health::SupernetHealth;
use crate::trials::{Fidelities, Fidelity, Outcome, Trial, UnansweredFidelity};

/// One evaluation: what to judge, how hard, and the seed to use for everything random in it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The canonical genotype.
    pub genotype: &'a Genotype,
    /// What it decodes to.
    pub architecture: &'a Architecture,
    /// Effort.
    pub fidelity: Fidelity,
    /// Derived from the study's seed and the genotype: the same at every fidelity.
    pub seed: u64,
}

/// Where long work reports how far it is, and asks whether it should stop.
pub trait Progress: Send + Sync {
    /// `done` of `total` steps of `stage` are through; `note` is for people (a loss, a file name).
    fn report(&self, stage: &str, done: u64, total: u64, note: &str);

    /// Whether the user asked to stop. Long work then saves what it has and returns [`EvalError::Interrupted`].
    fn stop_requested(&self) -> bool;

    /// Says what a person should know although the work goes on.
    fn warn(&self, message: &str) {
        tracing::warn!("{message}");
    }
}

/// The environment is broken, or the user stopped. Architectures that fail are outcomes, not errors.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The user asked to stop; state is saved.
    #[error("interrupted; run the same command again to go on")]
    Interrupted,
    /// Data cannot be read.
    #[error("{}: {problem}", path.display())]
    Data {
        /// File.
        path: PathBuf,
        /// What is wrong and where.
        problem: String,
    },
    /// A file of the run folder cannot be read or written.
    #[error("{}: cannot {action}", path.display())]
    File {
        /// File.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A whole file cannot be read or written, or is not what was written.
    #[error(transparent)]
    Files(#[from] kiln_files::FileError),
    /// The checkpoints of a training are being written by somebody else.
    #[error(
        "{}: another training writes its checkpoints there; wait until it has ended, or end it, and run this \
         again",
        path.display()
    )]
    Held {
        /// Folder of the checkpoints.
        path: PathBuf,
    },
    /// A device is missing or stopped working.
    #[error("device `{device}`: {problem}")]
    Device {
        /// Device.
        device: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Preparing trained something that gave no finite numbers.
    #[error(
        "training of the {what} diverged at step {step} (loss {loss}); lower `learning_rate`, or set \
         `clip_norm` or `warmup_epochs`"
    )]
    Diverged {
        /// What was trained.
        what: &'static str,
        /// Step at which it was noticed.
        step: u64,
        /// The loss there.
        loss: f64,
    },
    /// The space gives an architecture that does not hold together, where none should.
    #[error("{what} cannot be built")]
    Space {
        /// What was to be built.
        what: &'static str,
        /// Why it cannot.
        source: kiln_space::SpaceError,
    },
    /// A table of results does not know a genotype.
    #[error("{}: no entry for `{entry}`", path.display())]
    MissingEntry {
        /// Table.
        path: PathBuf,
        /// Key that is not there.
        entry: String,
    },
    /// A fidelity that the evaluator does not state: it is never replaced by another.
    #[error("{}", UnansweredFidelity { fidelity: *fidelity, answered: *answered })]
    Fidelity {
        /// What was asked for.
        fidelity: Fidelity,
        /// What is answered.
        answered: Fidelities,
    },
    /// Exporting failed.
    #[error("cannot export trial {trial}")]
    Export {
        /// The trial.
        trial: u64,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<UnansweredFidelity> for EvalError {
    fn from(UnansweredFidelity { fidelity, answered }: UnansweredFidelity) -> Self {
        Self::Fidelity { fidelity, answered }
    }
}

/// Judges architectures. Shared by all workers.
pub trait Evaluator: Send + Sync {
    /// Loads data, trains a supernet, or whatever else is needed once. Checkpointed and resumable.
    ///
    /// # Errors
    /// [`EvalError`] when the environment is broken or the user stopped.
    fn prepare(&self, progress: &dyn Progress) -> Result<(), EvalError>;

    /// Identifies everything that an outcome depends on besides genotype and fidelity; valid after `prepare`.
    fn fingerprint(&self) -> String;

    /// How the fingerprint begins, as far as that is known before `prepare`. With it a study that was begun
    /// with other results, or on another class of device, is refused before anything is trained for it.
    fn fingerprint_start(&self) -> String {
        String::new()
    }

    /// The fidelities that it answers, and how long its whole schedule is. Known before `prepare`, and always
    /// the same: a study refuses a strategy that asks for others, and plans and counts effort by it. Unless
    /// stated, [`Fidelity::Full`] alone.
    fn fidelities(&self) -> Fidelities {
        Fidelities::full_only()
    }

    /// Checks for seconds whether what was prepared can order networks; `None` where nothing is estimated. It
    /// changes no outcome. The study asks once after `prepare` and keeps the answer in its journal.
    ///
    /// # Errors
    /// [`EvalError`] when the environment is broken or the user stopped.
    fn health(&self, progress: &dyn Progress) -> Result<Option<SupernetHealth>, EvalError> {
        let _ = progress;
        Ok(None)
    }

    /// Judges one architecture. Pure: equal requests give equal outcomes. A panic is caught and becomes an outcome, so what
    /// evaluations share must stay usable after one.
    ///
    /// # Errors
    /// [`EvalError::Fidelity`] for a fidelity that it does not state ([`Fidelities::check`]): one that
    /// answers with another effort than was asked for misleads. Other [`EvalError`]s when the environment is
    /// broken; an architecture that fails is an [`Outcome`].
    fn evaluate(&self, request: &Request<'_>) -> Result<Outcome, EvalError>;
}

/// Turns a trial of the front into a trained, exported network.
pub trait Finisher: Send + Sync {
    /// Trains on or anew, measures once on the test split, and writes files into the folder `into` (which
    /// exists). The study syncs the files, journals their content, and moves the folder to its place.
    ///
    /// # Errors
    /// [`EvalError`] when the environment is broken or the user stopped.
    fn finish(&self, trial: &Trial, into: &Path, progress: &dyn Progress) -> Result<Finished, EvalError>;
}

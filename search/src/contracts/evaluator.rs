//! The traits for evaluating architectures and for finishing the best ones.

use std::path::{Path, PathBuf};

use kiln_space::{Architecture, Genotype};
use thiserror::Error;

use super::finished::Finished;
use super::supernet_health::SupernetHealth;
use crate::trials::{Fidelities, Fidelity, Outcome, Trial, TrialId, UnansweredFidelity};

/// A request for one evaluation: what to evaluate, the fidelity, and the seed of all random numbers.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The canonical genotype.
    pub genotype: &'a Genotype,
    /// The architecture that `genotype` decodes to.
    pub architecture: &'a Architecture,
    /// The fidelity of the evaluation.
    pub fidelity: Fidelity,
    /// Seed derived from the study's seed and the genotype. It is the same at every fidelity.
    pub seed: u64,
}

/// For whom a network is evaluated. No outcome depends on it.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// The trial of the study, to display it.
    pub trial: Option<TrialId>,
    /// Receives the progress of the evaluation. An evaluation runs to its end even if this requests a stop,
    /// so that its work is not lost.
    pub progress: &'a dyn Progress,
}

/// Receives progress reports of long work, and can request that the work stops.
pub trait Progress: Send + Sync {
    /// Reports that `done` of `total` steps of `stage` are done. `note` is a text to display, such as a loss
    /// or a file name.
    fn report(&self, stage: &str, done: u64, total: u64, note: &str);

    /// Reports a number of a running stage to the observers, such as the learning rate at step `step` of a
    /// training. The number is not written to the journal.
    fn number(&self, stage: &str, step: u64, name: &str, value: f64) {
        let _ = (stage, step, name, value);
    }

    /// Whether the user has requested a stop. Long work then saves its state and returns
    /// [`EvalError::Interrupted`].
    fn stop_requested(&self) -> bool;

    /// Warns the user of something. The work continues.
    fn warn(&self, message: &str) {
        tracing::warn!("{message}");
    }
}

/// Receives progress and does nothing with it. Never requests a stop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _stage: &str, _done: u64, _total: u64, _note: &str) {}

    fn stop_requested(&self) -> bool {
        false
    }

    fn warn(&self, message: &str) {
        tracing::warn!("{message}");
    }
}

/// An error of an evaluator: the environment is broken, or the user stopped the work. If an architecture
/// fails, the failure is an [`Outcome`], not an error.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The user requested a stop. The state of the work is saved.
    #[error("interrupted; run the same command again to go on")]
    Interrupted,
    /// Data cannot be read.
    #[error("{}: {problem}", path.display())]
    Data {
        /// Path of the file.
        path: PathBuf,
        /// The problem and its position in the file.
        problem: String,
    },
    /// A file of the run folder cannot be read or written.
    #[error("{}: cannot {action}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The action that failed.
        action: &'static str,
        /// The cause of the failure.
        source: std::io::Error,
    },
    /// A file cannot be read or written as a whole, or its content was changed after it was written.
    #[error(transparent)]
    Files(#[from] kiln_files::FileError),
    /// Another training is writing checkpoints to the same folder.
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
        /// Name of the device.
        device: String,
        /// The problem and how to fix it.
        problem: String,
    },
    /// A machine of a cluster cannot work for the study.
    #[error("machine `{machine}`: {problem}")]
    Machine {
        /// Name of the machine.
        machine: String,
        /// The problem and how to fix it.
        problem: &'static str,
    },
    /// A training during `prepare` produced numbers that are not finite.
    #[error(
        "training of the {what} diverged at step {step} (loss {loss}); lower `learning_rate`, or set \
         `clip_norm` or `warmup_epochs`"
    )]
    Diverged {
        /// Name of the trained network.
        what: &'static str,
        /// Step at which the divergence was noticed.
        step: u64,
        /// The loss at that step.
        loss: f64,
    },
    /// The space decodes a genotype to an architecture that cannot be built.
    #[error("{what} cannot be built")]
    Space {
        /// Description of the architecture.
        what: &'static str,
        /// The reason why the architecture cannot be built.
        source: kiln_space::SpaceError,
    },
    /// A table of results has no entry for a genotype.
    #[error("{}: no entry for `{entry}`", path.display())]
    MissingEntry {
        /// Path of the table.
        path: PathBuf,
        /// The missing key.
        entry: String,
    },
    /// The program that evaluates networks cannot be run.
    #[error("the command of `[evaluator]`: {source}")]
    Program {
        /// Why it cannot be run.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The program that evaluates networks did not return a network that can be finished.
    #[error("the command of `[evaluator]` did not return the trained network: {problem}")]
    Untrained {
        /// The problem.
        problem: String,
    },
    /// The evaluator does not support the requested fidelity. It never evaluates at a different fidelity
    /// instead.
    #[error("{}", UnansweredFidelity { fidelity: *fidelity, answered: *answered })]
    Fidelity {
        /// The requested fidelity.
        fidelity: Fidelity,
        /// The supported fidelities.
        answered: Fidelities,
    },
    /// A job that does work of the study could not do it.
    #[error("{}: the job failed: {problem}", path.display())]
    Job {
        /// Folder of the job.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// The evaluator does not train this supernet.
    #[error("the evaluator does not train the supernet with the conditions {conditions}")]
    OtherSupernet {
        /// Hash of everything that the training depends on.
        conditions: String,
    },
    /// The evaluator does not train this network on its own.
    #[error("the evaluator does not train the network {genotype} on its own")]
    NoAnchor {
        /// The network.
        genotype: Genotype,
    },
    /// Exporting failed.
    #[error("cannot export trial {trial}")]
    Export {
        /// The trial whose network was exported.
        trial: u64,
        /// The cause of the failure.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<UnansweredFidelity> for EvalError {
    fn from(UnansweredFidelity { fidelity, answered }: UnansweredFidelity) -> Self {
        Self::Fidelity { fidelity, answered }
    }
}

/// Evaluates architectures. All workers share it.
pub trait Evaluator: Send + Sync {
    /// Does the work that is needed once, such as loading data and training a supernet. Long work saves
    /// checkpoints and can be resumed.
    ///
    /// # Errors
    /// [`EvalError`] if the environment is broken or the user stopped the work.
    fn prepare(&self, progress: &dyn Progress) -> Result<(), EvalError>;

    /// Returns a text that identifies everything that affects an outcome, except genotype and fidelity. The
    /// text is valid after `prepare`.
    fn fingerprint(&self) -> String;

    /// Returns the beginning of the fingerprint, which is known before `prepare`. The study compares this
    /// beginning with the journal before anything is trained. So a study is refused immediately if the
    /// results version or the device class differs.
    fn fingerprint_start(&self) -> String {
        String::new()
    }

    /// Returns the fidelities that the evaluator supports, and the number of epochs in its whole schedule.
    /// Both are known before `prepare` and never change. The study uses them to plan and count effort. It
    /// refuses a strategy that requests other fidelities. By default only [`Fidelity::Full`] is supported.
    fn fidelities(&self) -> Fidelities {
        Fidelities::full_only()
    }

    /// Checks, within seconds, whether the prepared supernet can rank networks. Returns `None` if there is no
    /// supernet. The check changes no outcome. The study calls this once after `prepare` and writes the
    /// result to its journal.
    ///
    /// # Errors
    /// [`EvalError`] if the environment is broken or the user stopped the work.
    fn health(&self, progress: &dyn Progress) -> Result<Option<SupernetHealth>, EvalError> {
        let _ = progress;
        Ok(None)
    }

    /// Evaluates one architecture. Equal requests must return equal outcomes. The study catches a panic and
    /// records it as an outcome, so state that evaluations share must stay usable after a panic.
    ///
    /// # Errors
    /// [`EvalError::Fidelity`] for a fidelity that the evaluator does not support ([`Fidelities::check`]),
    /// because a result at another fidelity would mislead the strategy. Other variants of [`EvalError`] if
    /// the environment is broken. If the architecture fails, the failure is an [`Outcome`].
    fn evaluate(&self, request: &Request<'_>) -> Result<Outcome, EvalError>;

    /// Evaluates one architecture, like [`Evaluator::evaluate`], and reports the progress. By default no
    /// progress is reported.
    ///
    /// # Errors
    /// The errors of [`Evaluator::evaluate`].
    fn evaluate_watched(&self, request: &Request<'_>, watch: Watch<'_>) -> Result<Outcome, EvalError> {
        let _ = watch;
        self.evaluate(request)
    }

    /// Returns the conditions of the supernet that [`Evaluator::prepare`] would train. `None` if there is no
    /// supernet or if it is trained. The training can be done elsewhere before, and leaves its result in the
    /// run folder. By default there is no supernet.
    fn open_supernet(&self) -> Option<String> {
        None
    }

    /// Trains the supernet of [`Evaluator::open_supernet`]. `prepare` is not called before. Long work saves
    /// checkpoints and can be resumed.
    ///
    /// # Errors
    /// [`EvalError`] if the environment is broken, if the user stopped the work, or for another supernet.
    fn train_supernet(&self, conditions: &str, progress: &dyn Progress) -> Result<(), EvalError> {
        let (conditions, _) = (conditions.to_owned(), progress);
        Err(EvalError::OtherSupernet { conditions })
    }

    /// Returns the networks that [`Evaluator::prepare`] would train on their own and that are not trained
    /// yet. Such a training depends on nothing that `prepare` does, so it can be done elsewhere before. By
    /// default there are none.
    ///
    /// # Errors
    /// [`EvalError`] if the environment is broken.
    fn open_anchors(&self, progress: &dyn Progress) -> Result<Vec<OpenAnchor>, EvalError> {
        let _ = progress;
        Ok(Vec::new())
    }

    /// Trains one of the networks of [`Evaluator::open_anchors`]. `prepare` is not called before.
    ///
    /// # Errors
    /// [`EvalError`] if the environment is broken, or for another network.
    fn train_anchor(&self, anchor: &OpenAnchor, progress: &dyn Progress) -> Result<Outcome, EvalError> {
        let _ = progress;
        Err(EvalError::NoAnchor { genotype: anchor.genotype.clone() })
    }

    /// Keeps the outcome of [`Evaluator::train_anchor`] for `prepare`, which then does not train the network
    /// again.
    ///
    /// # Errors
    /// [`EvalError`] if the outcome cannot be stored.
    fn keep_anchor(&self, anchor: &OpenAnchor, outcome: &Outcome) -> Result<(), EvalError> {
        let _ = outcome;
        Err(EvalError::NoAnchor { genotype: anchor.genotype.clone() })
    }

    /// Evaluates one architecture to show the user what happens, outside a study. Returns the outcome, and
    /// lines that describe the evaluation. By default there are no such lines.
    ///
    /// # Errors
    /// The errors of [`Evaluator::evaluate`].
    fn try_out(&self, request: &Request<'_>) -> Result<(Outcome, Vec<String>), EvalError> {
        self.evaluate(request).map(|outcome| (outcome, Vec::new()))
    }
}

/// A network that is trained on its own before the search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAnchor {
    /// The network.
    pub genotype: Genotype,
    /// Hash of everything else that the training depends on.
    pub conditions: String,
}

/// Turns a trial of the front into a trained, exported network.
pub trait Finisher: Send + Sync {
    /// Announces the trials that will be finished, in this order. A finisher that works elsewhere may begin
    /// with several of them. By default this does nothing.
    fn announce(&self, trials: &[&Trial]) {
        let _ = trials;
    }

    /// Trains the network, measures it once on the test split, and writes files into the existing folder
    /// `into`. The study then syncs the files, writes their hashes to the journal, and moves the folder to
    /// its final path.
    ///
    /// # Errors
    /// [`EvalError`] if the environment is broken or the user stopped the work.
    fn finish(&self, trial: &Trial, into: &Path, progress: &dyn Progress) -> Result<Finished, EvalError>;
}

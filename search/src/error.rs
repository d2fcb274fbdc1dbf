//! The errors that stop a study or prevent it from starting.

mod faults;
mod journal_line;
mod wording;

use std::io;
use std::path::{Path, PathBuf};

use kiln_space::{Genotype, SettingsError};
use thiserror::Error;

pub use self::faults::{Contradiction, ProposalFault, StoreDamage, Unfinishable};
pub use self::journal_line::{ChainBreak, Implausible, LineDamage};
use self::wording::{Changed, Holder, List, Otherwise, Refused};
use crate::contracts::{EvalError, SupernetHealth};
use crate::domain::Rejections;
use crate::trials::objectives::UnknownObjective;
use crate::trials::{CommonReason, Fidelities, Fidelity, TrialId};

/// An error of a study, its journal, its store or its run folder. Finished trials stay in the journal.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StudyError {
    /// A setting has an invalid value.
    #[error("`{key}` is {found}, expected {expected}")]
    Setting {
        /// Name of the setting.
        key: &'static str,
        /// The value found.
        found: String,
        /// The accepted values.
        expected: &'static str,
    },
    /// A strategy requests a fidelity that the evaluator does not support.
    #[error(
        "the strategy asks for the fidelity `{fidelity}`, and the evaluator answers {answered}; give the \
         strategy rungs among these, or choose another evaluator"
    )]
    Fidelity {
        /// The fidelity that the strategy requests.
        fidelity: Fidelity,
        /// The fidelities that the evaluator supports.
        answered: Fidelities,
    },
    /// A budget is used up before the first network is evaluated with full fidelity.
    #[error(
        "`{key}` is {found}, expected at least {needed}: before that, with {in_flight} trials in flight, the \
         strategy judges no network with full effort"
    )]
    Budget {
        /// Name of the budget.
        key: &'static str,
        /// Size of the budget.
        found: u64,
        /// Size of the budget that the strategy needs.
        needed: u64,
        /// Number of proposals that are evaluated at the same time.
        in_flight: usize,
    },
    /// The strategy never evaluates a network with full fidelity.
    #[error(
        "the strategy never judges a network with full effort; give it fewer rungs, or a smaller `reduction`"
    )]
    NeverFull,
    /// A constraint limits a cost that none of the study's cost models computes.
    #[error("there is no cost `{cost}` to constrain; known: {}", List(known))]
    UnknownCost {
        /// Name of the unknown cost.
        cost: String,
        /// Names of the study's costs.
        known: Vec<String>,
    },
    /// An objective is neither a measured metric nor a cost.
    #[error("trial {trial} has no value for objective `{objective}`; known: {}", List(known))]
    UnknownObjective {
        /// Id of the trial.
        trial: TrialId,
        /// Name of the objective.
        objective: String,
        /// Names of the trial's metrics and costs.
        known: Vec<String>,
    },
    /// A file of the run folder cannot be read or written.
    #[error("{}: cannot {action}", path.display())]
    File {
        /// Path of the file or folder.
        path: PathBuf,
        /// The action that failed.
        action: &'static str,
        /// The cause of the failure.
        source: io::Error,
    },
    /// A file cannot be read or written as a whole, or its content was changed after it was written.
    #[error(transparent)]
    Files(#[from] kiln_files::FileError),
    /// Another process is using the run folder.
    #[error(
        "{}: in use by {}; wait for it, stop it, or choose another name for the study",
        path.display(), Holder(*pid)
    )]
    Held {
        /// Path of the run folder.
        path: PathBuf,
        /// Id of the process that locks the folder, if it is known.
        pid: Option<u32>,
    },
    /// The run folder of this process was removed, moved or replaced. Another process may be using a new
    /// folder at this path.
    #[error(
        "{}: the run folder was removed, moved or replaced while the study ran (`{}` is not what it was), so \
         nothing more is written; put it back where it was, then run the same command again",
        path.display(), what.display()
    )]
    Displaced {
        /// Path of the run folder.
        path: PathBuf,
        /// The file or folder that is missing or replaced.
        what: PathBuf,
    },
    /// The store is damaged and cannot be rebuilt.
    #[error(
        "{}: the store is damaged ({damage}), and it cannot be removed to be rebuilt from the journal",
        path.display()
    )]
    Unmended {
        /// Folder of the store.
        path: PathBuf,
        /// The damage.
        damage: StoreDamage,
        /// The reason why the store cannot be removed.
        source: io::Error,
    },
    /// A config text is not valid TOML.
    #[error("{}: not a valid config", path.display())]
    Config {
        /// Path of the file.
        path: PathBuf,
        /// The parser's message.
        source: Box<toml::de::Error>,
    },
    /// The config differs from the config of the existing run folder in a key that must not change.
    #[error(
        "{}: `{key}` was {before} when this study began and is now {after}; put it back, or choose another \
         name for the study", path.display()
    )]
    Changed {
        /// Path of the config in the run folder.
        path: PathBuf,
        /// Dotted name of the key.
        key: String,
        /// Value in the run folder, or `not set`.
        before: String,
        /// Value in the config of this run, or `not set`.
        after: String,
    },
    /// The config in the run folder was changed after Kiln wrote it.
    #[error(
        "{}: damaged (it was changed since Kiln wrote it: `{key}` is {before} there, and {after} in the config \
         that is run; put it back)", path.display()
    )]
    KeptConfig {
        /// Path of the config in the run folder.
        path: PathBuf,
        /// Dotted name of the key.
        key: String,
        /// Value in the run folder, or `not set`.
        before: String,
        /// Value in the config of this run, or `not set`.
        after: String,
    },
    /// A file or a broken link has the path where a folder is needed.
    #[error(
        "{}: is no folder, and a run folder is needed there; move it, or choose another folder with `--runs`",
        path.display()
    )]
    NotAFolder {
        /// Path of the file or link.
        path: PathBuf,
    },
    /// An entry of the run folder has the wrong kind, such as a folder with the name of a file.
    #[error("{}: is no {kind}, and the study has one there; move it away", path.display())]
    Misplaced {
        /// Path of the entry.
        path: PathBuf,
        /// The expected kind: `file` or `folder`.
        kind: &'static str,
    },
    /// An entry of the run folder is a link.
    #[error(
        "{}: is a link, and a study writes through none in its run folder; put what it leads to in its place \
         (the run folder itself may be a link)", path.display()
    )]
    Linked {
        /// Path of the link.
        path: PathBuf,
    },
    /// A folder is not a run folder.
    #[error("{}: not a run folder ({missing} is missing)", path.display())]
    NotARun {
        /// Path of the folder.
        path: PathBuf,
        /// Name of the missing file, which every run folder contains.
        missing: &'static str,
    },
    /// A line of a journal differs from the line that was written.
    #[error(
        "{}:{line}: damaged ({damage}); restore the file from a copy, or cut it before this line and run \
         the study again, which goes on from there", path.display()
    )]
    JournalLine {
        /// Path of the journal.
        path: PathBuf,
        /// Line number, starting at 1.
        line: u64,
        /// The damage of the line.
        damage: LineDamage,
    },
    /// A newer version of Kiln wrote the file or folder.
    #[error(
        "{}: written in version {version} of its format, which this program does not know; use a newer one",
        path.display()
    )]
    Newer {
        /// File or folder.
        path: PathBuf,
        /// Version of the format.
        version: u32,
    },
    /// The store failed.
    #[error("{}: the store failed; remove the folder to have it rebuilt from the journal", path.display())]
    Store {
        /// Folder of the store.
        path: PathBuf,
        /// The cause of the failure.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A record of the store differs from the record that was written.
    #[error("{}: damaged record; remove the folder to have it rebuilt from the journal", path.display())]
    StoreRecord {
        /// Folder of the store.
        path: PathBuf,
    },
    /// The store contradicts a journal line that has no check. It is not possible to determine which of the
    /// two is right.
    #[error(
        "{}: the store says `{store}` of trial {trial}, and the journal `{journal}`, on a line without a \
         check; one of them is damaged: restore it from a copy, or remove the store's folder to go by the \
         journal", path.display()
    )]
    Contradiction {
        /// Folder of the store.
        path: PathBuf,
        /// The trial.
        trial: TrialId,
        /// Outcome in the journal, as JSON.
        journal: String,
        /// Outcome in the store, as JSON.
        store: String,
    },
    /// Two trials of a journal have the same genotype and fidelity but different outcomes.
    #[error(
        "trials {} and {} judged the same network with the same effort, and the journal says `{}` and `{}`; \
         one of the lines is damaged: restore the journal from a copy",
        trials[0], trials[1], outcomes[0], outcomes[1]
    )]
    Inconsistent {
        /// Ids of the trials.
        trials: [TrialId; 2],
        /// Outcome of each trial in the journal, as JSON.
        outcomes: [String; 2],
    },
    /// The evaluator's fingerprint differs from the fingerprint in the journal.
    #[error(
        "the trials in the journal were judged by `{before}`, this evaluator is `{after}`; {}",
        Otherwise(before, after)
    )]
    Fingerprint {
        /// Fingerprint in the journal.
        before: String,
        /// Fingerprint of the evaluator now.
        after: String,
    },
    /// The strategy's proposal differs from the trial in the journal.
    #[error(
        "trial {trial} is `{genotype}` ({fidelity}) now, but `{journaled}` ({journaled_fidelity}) in the \
         journal; {}: use the same ones, or choose another name for the study", Changed(*has_rungs)
    )]
    Replay {
        /// Id of the trial.
        trial: TrialId,
        /// Genotype that the strategy proposed.
        genotype: Genotype,
        /// Fidelity that the strategy proposed.
        fidelity: Fidelity,
        /// Genotype in the journal.
        journaled: Genotype,
        /// Fidelity in the journal.
        journaled_fidelity: Fidelity,
        /// Whether the journal contains trials with less than full fidelity.
        has_rungs: bool,
    },
    /// A strategy broke its contract: its proposal is infeasible, not canonical, or not in the space.
    #[error("the strategy proposed `{genotype}` as trial {trial}, which is {fault}")]
    Proposal {
        /// Id of the trial.
        trial: TrialId,
        /// The proposed genotype.
        genotype: Genotype,
        /// The broken rule.
        fault: ProposalFault,
    },
    /// A strategy's settings do not fit the space or the limits.
    #[error(transparent)]
    Strategy(SettingsError),
    /// A strategy broke its contract: it waits although no trial is running.
    #[error("the strategy waits after {trials} trials although nothing is running")]
    Stuck {
        /// Number of trials that were reported to the strategy.
        trials: u64,
    },
    /// The strategy proposed no genotype, although there are feasible candidates.
    #[error("the strategy proposed nothing")]
    NothingProposed,
    /// No candidate meets the constraints.
    #[error("no architecture meets the constraints: {}", Refused(rejections, limits))]
    NothingFeasible {
        /// Statistics of the candidates.
        rejections: Box<Rejections>,
        /// The constraints: name and maximum value of each cost.
        limits: Vec<(String, f64)>,
    },
    /// Too many evaluations in a row panicked.
    #[error(
        "{count} evaluations in a row panicked, the last one was trial {trial} ({reason}); when the cause is \
         mended, go on with failed trials retried"
    )]
    Panics {
        /// Number of evaluations in a row that panicked.
        count: u32,
        /// Id of the last trial that panicked.
        trial: TrialId,
        /// Panic message of the last trial.
        reason: String,
    },
    /// The program that evaluates networks failed too many times in a row.
    #[error(
        "{count} evaluations in a row failed, the last one was trial {trial}; {common}; `kiln check CONFIG \
         --try` runs one trial alone, and `--retry-failed` repeats them when the cause is mended"
    )]
    Failing {
        /// Number of evaluations in a row that failed.
        count: u32,
        /// Id of the last trial that failed.
        trial: TrialId,
        /// What the failures have in common.
        common: CommonReason,
    },
    /// The health check of the shared weights failed, and the setting `strict` requires the study to stop in
    /// this case.
    #[error(
        "{}; stopped before the search, as `--strict` asks; without it the same command goes on",
        health.message()
    )]
    Unhealthy {
        /// Result of the health check.
        health: Box<SupernetHealth>,
    },
    /// A finished network lacks one of its files.
    #[error("finishing trial {trial} gave no file `{file}`")]
    MissingFile {
        /// Id of the trial.
        trial: TrialId,
        /// The file, relative to the network's folder.
        file: String,
    },
    /// The search has not ended, so no network can be finished.
    #[error("{}: the search has not ended; go on with `kiln search` first", path.display())]
    NotEnded {
        /// Path of the run folder.
        path: PathBuf,
    },
    /// A trial cannot be finished because it does not exist or failed.
    #[error("trial {trial} cannot be finished: {reason}")]
    NotATrial {
        /// Id of the trial.
        trial: TrialId,
        /// The reason.
        reason: Unfinishable,
    },
    /// The evaluator trains no networks.
    #[error("the evaluator of this study trains no networks, so that none can be finished")]
    NoFinisher,
    /// The environment of the evaluator is broken.
    #[error(transparent)]
    Eval(#[from] EvalError),
}

impl From<UnknownObjective> for StudyError {
    fn from(UnknownObjective { trial, objective, known }: UnknownObjective) -> Self {
        Self::UnknownObjective { trial, objective, known }
    }
}

impl StudyError {
    /// Returns a function that converts an I/O error into a [`StudyError`] about `action` on `path`.
    pub(crate) fn file(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, action, source }
    }

    /// Returns the error's message and the messages of all its sources, on one line.
    #[must_use]
    pub fn said(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |cause| cause.source());
        causes.fold(self.to_string(), |text, cause| format!("{text}: {cause}"))
    }
}

//! Reads and writes the file that describes a trained supernet. The file is stored next to the supernet's
//! checkpoints. Another study can use the supernet if it has this file and a checkpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kiln_files::{Checked, FileError, read, read_document, seal_document, write};
use kiln_search::EvalError;
use serde::{Deserialize, Serialize};

use super::saved_error::{SavedError, Unfit};
use super::trained::Trained;
use crate::evaluators::context::Context;
use crate::network::weights::Weights;
use crate::training::checkpoint::Checkpoints;
use crate::training::learner;

const FILE: &str = "trained.json";
const VERSION: u32 = 2;
/// The oldest file version that Kiln reads. Files of this version do not contain the hash `check`.
const OLDEST: u32 = 1;
/// Maximum file size in bytes that Kiln reads. The files that it writes are smaller.
const LONGEST_BYTES: u64 = 64 << 20;

/// The content of the file. It is written when the training of a supernet ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saved {
    version: u32,
    /// Hash of everything that the training depends on. The checkpoints store the same hash.
    identity: String,
    /// Step of the checkpoint that contains the weights.
    step: u64,
    /// Hash of the weights with which subnets are evaluated.
    weights: String,
    /// Hash of the data set and its splits.
    data: String,
    /// Shape of each shared parameter.
    parameters: BTreeMap<String, Vec<usize>>,
}

impl Saved {
    pub(super) fn new(trained: &Trained, step: u64, checkpoints: &Checkpoints, context: &Context) -> Self {
        Self {
            version: VERSION,
            identity: blake3::Hash::from(checkpoints.identity()).to_hex().to_string(),
            step,
            weights: trained.hash.clone(),
            data: context.data.hash().to_owned(),
            parameters: Weights::declared(&context.space.parameters()),
        }
    }

    /// Replaces the whole file, unless it already has this content.
    pub(super) fn write(&self, folder: &Path) -> Result<(), FileError> {
        let path = folder.join(FILE);
        let text = seal_document(self);
        if read(&path, LONGEST_BYTES).is_ok_and(|before| before == text) {
            return Ok(());
        }
        write(&path, &text)
    }

    /// Reads the file in the folder of a training. `None` if the training has not ended.
    pub(super) fn of(folder: &Path, checkpoints: &Checkpoints) -> Option<Self> {
        let identity = blake3::Hash::from(checkpoints.identity()).to_hex().to_string();
        let path = folder.join(FILE);
        let saved: Checked<Self> = read_document(&path, LONGEST_BYTES).ok()?;
        let is_required = saved.content.version > OLDEST;
        let saved = saved.required(&path, is_required).ok()?;
        Some(saved.content).filter(|saved| saved.identity == identity && checkpoints.has(saved.step))
    }

    /// Reads the file in a run folder, or in its subfolder `supernet`, and checks that the supernet fits the
    /// study.
    ///
    /// # Errors
    /// [`SavedError`] when there is no such file, the file cannot be read, or the supernet does not fit the
    /// study.
    pub(super) fn read(run: &Path, context: &Context) -> Result<(Checked<Self>, PathBuf), SavedError> {
        let folders = [run.join("supernet"), run.to_owned()];
        let Some(folder) = folders.iter().find(|folder| folder.join(FILE).is_file()) else {
            let [inside, _] = folders;
            return Err(SavedError::Missing { path: inside.join(FILE) });
        };
        let path = folder.join(FILE);
        let saved: Checked<Self> = read_document(&path, LONGEST_BYTES).map_err(SavedError::File)?;
        let checked = saved.content.check(context);
        checked.map_err(|unfit| SavedError::Unfit { path: path.clone(), unfit })?;
        let is_required = saved.content.version > OLDEST;
        let saved = saved.required(&path, is_required).map_err(SavedError::File)?;
        Ok((saved, folder.clone()))
    }

    fn check(&self, context: &Context) -> Result<(), Unfit> {
        if !(OLDEST..=VERSION).contains(&self.version) {
            return Err(Unfit::Version { found: self.version, written: VERSION });
        }
        if self.data != context.data.hash() {
            return Err(Unfit::Data);
        }
        let wanted = Weights::declared(&context.space.parameters());
        let mut names = wanted.keys().chain(self.parameters.keys());
        match names.find(|name| wanted.get(*name) != self.parameters.get(*name)) {
            None => Ok(()),
            Some(name) => Err(Unfit::Space {
                parameter: name.clone(),
                there: self.parameters.get(name).cloned(),
                here: wanted.get(name).cloned(),
            }),
        }
    }

    /// Reads the weights from the checkpoint in this folder.
    pub(super) fn load(
        &self,
        folder: &Path,
        context: &Context,
        device: &Device,
    ) -> Result<Trained, EvalError> {
        let failed = |problem: String| EvalError::Data { path: folder.to_owned(), problem };
        let identity = blake3::Hash::from_hex(&self.identity)
            .map_err(|error| failed(format!("`{FILE}`: `identity`: {error}")))?;
        let checkpoints = Checkpoints::of(folder.to_owned(), *identity.as_bytes());
        let latest = checkpoints.latest(self.step).map_err(|source| EvalError::File {
            path: folder.to_owned(),
            action: "read checkpoints",
            source,
        })?;
        let checkpoint = latest
            .filter(|checkpoint| checkpoint.step == self.step)
            .ok_or_else(|| failed(format!("the checkpoint of step {} is missing or damaged", self.step)))?;
        let like = Weights::initialize(&context.space.parameters(), 0, device);
        let weights = learner::result(like, checkpoint).map_err(|error| failed(error.to_string()))?;
        let trained = Trained::new(weights);
        if trained.hash != self.weights {
            return Err(failed(format!("the weights are not those that `{FILE}` describes")));
        }
        Ok(trained)
    }
}

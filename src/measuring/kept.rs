//! The measurements of finished networks so far. They are written whole after each visit, so that an
//! interrupted measuring goes on.

use std::path::{Path, PathBuf};

use kiln_files::{Content, optional, read_document, write_document};
use kiln_hw_models::measuring::Visit;
use kiln_search::{EvalError, MeasuredUnder, NetworkToMeasure, TrialId};
use serde::{Deserialize, Serialize};

use super::MODEL;

/// Maximum size of the file in bytes.
const LIMIT: u64 = 16 << 20;
/// Version of the format.
const VERSION: u32 = 1;

/// Measurements and what they belong to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    version: u32,
    conditions: MeasuredUnder,
    networks: Vec<KeptNetwork>,
    pub(super) visits: Vec<Visit>,
}

/// A network, identified by its model file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptNetwork {
    trial: TrialId,
    model: Content,
}

impl Kept {
    /// Goes on from the measurements in a folder. Begins anew if there are none, if they are damaged, or if
    /// they are of other networks or conditions.
    pub(super) fn open(
        state: &Path,
        conditions: &MeasuredUnder,
        networks: &[NetworkToMeasure],
    ) -> Result<Self, EvalError> {
        let wanted: Vec<KeptNetwork> = networks
            .iter()
            .map(|network| {
                let model = Content::of_file(&network.folder.join(MODEL))?;
                Ok(KeptNetwork { trial: network.trial, model })
            })
            .collect::<Result<_, EvalError>>()?;
        let path = path(state);
        let read = optional(read_document::<Self>(&path, LIMIT)).ok().flatten();
        let read = read.filter(|read| read.is_checked).map(|read| read.content);
        let usable = |kept: &Self| {
            kept.version == VERSION
                && kept.conditions == *conditions
                && kept.networks.iter().all(|network| wanted.contains(network))
                && kept.visits.iter().all(|visit| visit.is_plausible(kept.networks.len()))
        };
        let begin = || Self {
            version: VERSION,
            conditions: conditions.clone(),
            networks: Vec::new(),
            visits: Vec::new(),
        };
        let mut kept = read.filter(usable).unwrap_or_else(begin);
        // Visits refer to networks by position, so new ones come last.
        for network in wanted {
            if !kept.networks.contains(&network) {
                kept.networks.push(network);
            }
        }
        Ok(kept)
    }

    /// The networks in the order to which visits refer.
    pub(super) fn order<'a>(&self, networks: &'a [NetworkToMeasure]) -> Vec<&'a NetworkToMeasure> {
        let find = |trial: TrialId| networks.iter().find(|network| network.trial == trial);
        self.networks.iter().filter_map(|network| find(network.trial)).collect()
    }

    /// The trials of the networks, in the same order.
    pub(super) fn trials(&self) -> Vec<TrialId> {
        self.networks.iter().map(|network| network.trial).collect()
    }

    /// Writes the measurements into the folder.
    pub(super) fn write(&self, state: &Path) -> Result<(), EvalError> {
        Ok(write_document(&path(state), self)?)
    }
}

fn path(state: &Path) -> PathBuf {
    state.join("measuring.json")
}

//! The measurements so far, in a folder beside the device file. They are written whole after each visit, so
//! that a killed command goes on.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use kiln_evaluator::today;
use kiln_files::{FileError, make_folder, optional, read_document, write_document};
use kiln_hw_models::measuring::{Surroundings, Visit};
use kiln_space::Architecture;
use serde::{Deserialize, Serialize};

use crate::exit::Failure;
use crate::output;

/// Maximum size of a journal in bytes.
const LIMIT: u64 = 64 << 20;
/// Version of the format.
const VERSION: u32 = 1;

/// The folder of a device file's measurements.
#[derive(Clone, Debug)]
pub(super) struct Place(PathBuf);

impl Place {
    /// `laptop.measured` beside `laptop.toml`.
    pub(super) fn beside(out: &Path) -> Self {
        Self(out.with_extension("measured"))
    }

    /// The folder of its kernels, inside that of its networks.
    pub(super) fn kernels(&self) -> Self {
        Self(self.0.join("kernels"))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// The measurements, for `kiln hw fit`.
    pub(super) fn table(&self) -> PathBuf {
        self.0.join("measurements.csv")
    }

    fn journal(&self) -> PathBuf {
        self.0.join("measuring.json")
    }
}

/// What latencies depend on besides the network. Measurements under other conditions are not mixed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Conditions {
    pub(super) runtime: String,
    pub(super) runtime_version: String,
    /// Hash of the commands and of the unit that they print.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) commands: Option<String>,
    pub(super) batch: u64,
    pub(super) threads: u64,
    /// Seed of the choice of networks and of their weights.
    pub(super) seed: u64,
}

/// Measurements and what they belong to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Journal {
    version: u32,
    pub(super) conditions: Conditions,
    /// Day on which the measuring began.
    pub(super) date: String,
    /// Clock governors that were seen.
    pub(super) governors: Vec<String>,
    /// Highest load that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) load: Option<f64>,
    /// Genotypes of the networks.
    pub(super) networks: Vec<String>,
    pub(super) visits: Vec<Visit>,
}

impl Journal {
    /// Reads the journal in a folder. `None` if there is none, or one of other conditions with `force`.
    pub(super) fn read(place: &Place, conditions: &Conditions, force: bool) -> Result<Option<Self>, Failure> {
        let path = place.journal();
        let shown = output::path_shown(&path);
        let read = optional(read_document::<Self>(&path, LIMIT))
            .and_then(|read| read.map(|read| read.required(&path, true)).transpose());
        let journal = match read {
            Ok(None) => return Ok(None),
            Ok(Some(read)) => read.content,
            Err(_) if force => return Ok(None),
            Err(error) => {
                return Err(Failure::wrong(anyhow!(
                    "{error}; remove the folder, or begin anew with `--force`"
                )));
            }
        };
        let is_plausible = journal.visits.iter().all(|visit| visit.is_plausible(journal.networks.len()));
        let problem = if journal.version != VERSION {
            format!("has version {}, expected {VERSION}", journal.version)
        } else if !is_plausible || journal.load.is_some_and(|load| !load.is_finite()) {
            "holds numbers that no measurement gives".to_owned()
        } else if let Some(other) = journal.conditions.difference(conditions) {
            format!("was measured with {other}")
        } else {
            return Ok(Some(journal));
        };
        if force {
            return Ok(None);
        }
        Err(Failure::wrong(anyhow!("{shown}: {problem}; name another `--out`, or begin anew with `--force`")))
    }

    /// Goes on from an earlier journal, or begins one.
    pub(super) fn of(
        earlier: Option<Self>,
        conditions: Conditions,
        probes: &[(impl Display, Architecture)],
        place: &Place,
    ) -> Result<Self, Failure> {
        let networks: Vec<String> = probes.iter().map(|(name, _)| name.to_string()).collect();
        let Some(mut journal) = earlier else {
            let (governors, visits) = (Vec::new(), Vec::new());
            return Ok(Self {
                version: VERSION,
                conditions,
                date: today(),
                governors,
                load: None,
                networks,
                visits,
            });
        };
        if !networks.starts_with(&journal.networks) {
            let path = output::path_shown(&place.journal());
            return Err(Failure::wrong(anyhow!(
                "{path}: holds measurements of another space; name another `--out`, or remove the folder"
            )));
        }
        journal.networks = networks;
        Ok(journal)
    }

    /// Notes the governors and the load of a moment.
    pub(super) fn hear(&mut self, now: &Surroundings) {
        let new = now.governors.iter().filter(|name| !self.governors.contains(name));
        self.governors = self.governors.iter().chain(new).cloned().collect();
        self.load = match (self.load, now.load) {
            (Some(known), Some(now)) => Some(known.max(now)),
            (known, now) => known.or(now),
        };
    }

    pub(super) fn write(&self, place: &Place) -> Result<(), Failure> {
        let written = make_folder(place.folder()).and_then(|()| write_document(&place.journal(), self));
        written.map_err(refused)
    }
}

impl Conditions {
    /// What differs first, in the words of these conditions.
    fn difference(&self, other: &Self) -> Option<String> {
        let Self { runtime, runtime_version, commands, batch, threads, seed } = self;
        let differences = [
            (*runtime != other.runtime, format!("the runtime `{runtime}`")),
            (
                *runtime_version != other.runtime_version,
                format!("version `{runtime_version}` of the runtime"),
            ),
            (*commands != other.commands, "another command".to_owned()),
            (*batch != other.batch, format!("a batch of {batch}")),
            (*threads != other.threads, format!("{threads} threads")),
            (*seed != other.seed, format!("seed {seed}")),
        ];
        differences.into_iter().find(|(differs, _)| *differs).map(|(_, what)| what)
    }
}

/// The error for a file that cannot be written.
pub(super) fn refused(error: FileError) -> Failure {
    if error.is_callers() { Failure::wrong(error) } else { Failure::unwritable(error) }
}

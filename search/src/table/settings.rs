//! Settings that define the meaning of the columns in a table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_space::spaces::NasBench201;
use kiln_space::{Genotype, Settings, SettingsError, SpaceError};
use serde::Deserialize;

/// The notation of architectures in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyFormat {
    /// The official cell string of NAS-Bench-201.
    Nasbench201,
    /// Option indices joined by `-`.
    Genotype,
    /// Option indices below 10, one digit each.
    Digits,
}

/// Whether larger or smaller values of a column are better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Larger values are better, as for an accuracy in percent.
    #[default]
    Maximize,
    /// Smaller values are better.
    Minimize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableSettings {
    file: PathBuf,
    pub(super) key: String,
    pub(super) key_format: KeyFormat,
    pub(super) signal: String,
    #[serde(default)]
    pub(super) direction: Direction,
    #[serde(default = "error_percent")]
    pub(super) metric: String,
    #[serde(default)]
    pub(super) report: BTreeMap<String, String>,
}

fn error_percent() -> String {
    "error_percent".to_owned()
}

impl TableSettings {
    pub(super) fn read(settings: &Settings) -> Result<Self, SettingsError> {
        let read: Self = settings.read()?;
        if read.report.contains_key(&read.metric) {
            let key = settings.key(&format!("report.{}", read.metric));
            return Err(SettingsError::value(key, "the name of the signal's metric", "another name"));
        }
        Ok(read)
    }

    pub(super) fn path(
        &self,
        settings: &Settings,
        data_dir: Option<&Path>,
    ) -> Result<PathBuf, SettingsError> {
        match data_dir {
            _ if self.file.is_absolute() => Ok(self.file.clone()),
            Some(folder) => Ok(folder.join(&self.file)),
            None => {
                let found = format!("`{}`", self.file.display());
                Err(SettingsError::value(
                    settings.key("file"),
                    found,
                    "a data folder to find it in (`--data`)",
                ))
            }
        }
    }

    /// Returns the fingerprint, which depends on the file's content and on these settings.
    pub(super) fn fingerprint(&self, hash: &blake3::Hash) -> String {
        let Self { file: _, key, key_format, signal, direction, metric, report } = self;
        let reading = format!("{key:?} {key_format:?} {signal:?} {direction:?} {metric:?} {report:?}");
        let reading = blake3::hash(reading.as_bytes()).to_hex();
        format!("table/{}/{}", &hash.to_hex()[..32], &reading[..16])
    }
}

impl KeyFormat {
    pub(super) const fn expected(self) -> &'static str {
        match self {
            Self::Nasbench201 => "a cell like `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`",
            Self::Genotype => "option indices joined by `-`, such as `0-2-1`",
            Self::Digits => "option indices as digits, such as `021`",
        }
    }

    /// Returns the genotype of a key. The error contains details, if there are any.
    pub(super) fn parse(self, text: &str) -> Result<Genotype, Option<SpaceError>> {
        match self {
            Self::Nasbench201 => NasBench201::genotype_from_arch(text).map_err(Some),
            Self::Genotype => {
                let genes: Result<Vec<u8>, _> = text.split('-').map(str::parse).collect();
                genes.map(Genotype::new).map_err(|_| None)
            }
            Self::Digits => {
                let genes: Option<Vec<u8>> =
                    text.chars().map(|digit| digit.to_digit(10).map(|digit| digit as u8)).collect();
                genes.filter(|genes| !genes.is_empty()).map(Genotype::new).ok_or(None)
            }
        }
    }

    /// Returns the key of a genotype.
    pub(super) fn write(self, genotype: &Genotype) -> String {
        match self {
            Self::Nasbench201 => NasBench201::arch_string(genotype).unwrap_or_else(|_| genotype.to_string()),
            Self::Genotype => genotype.to_string(),
            Self::Digits => genotype.genes().iter().map(u8::to_string).collect(),
        }
    }
}

impl Direction {
    pub(super) fn minimized(self, value: f64) -> f64 {
        match self {
            Self::Maximize => 100.0 - value,
            Self::Minimize => value,
        }
    }
}

//! Stores an audit's result in a file in the run folder. `kiln report` shows this result without training
//! anything.

use std::path::Path;

use kiln_files::{Checked, FileError, optional, parse_document, read, write_document};
use kiln_search::RunPaths;
use serde::{Deserialize, Serialize};

use super::{Audit, AuditDamage, AuditError};

/// Name of the result file.
const FILE: &str = "audit.json";
/// Version of the result file's format.
const VERSION: u32 = 3;
/// Oldest format version that Kiln can read. Files with this version have no `check`.
const OLDEST: u32 = 2;
/// Size limit of the result file in bytes.
const LONGEST_BYTES: u64 = 64 << 20;

/// Largest accepted tau: 1, with a tolerance for rounding errors.
const LARGEST_TAU: f64 = 1.0 + 1e-9;

/// Content of the result file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    /// Number of epochs of each training. `None` means the epochs in `[finish]`.
    epochs: Option<u32>,
    audit: Audit,
}

impl Audit {
    /// Writes the result to `audit.json` in the run folder.
    pub(super) fn save(&self, paths: &RunPaths, epochs: Option<u32>) -> Result<(), AuditError> {
        let document = Document { version: VERSION, epochs, audit: self.clone() };
        Ok(write_document(&paths.root().join(FILE), &document)?)
    }

    /// Reads the result of a run's last audit. Returns `None` if the run was never audited. Result files of
    /// older builds contain no hash.
    ///
    /// # Errors
    /// [`AuditError::Files`] if the file cannot be read, [`AuditError::Damaged`] if the file is damaged.
    pub fn load(paths: &RunPaths) -> Result<Option<Checked<Self>>, AuditError> {
        let path = paths.root().join(FILE);
        let bytes = optional(read(&path, LONGEST_BYTES))?;
        bytes.map(|bytes| Self::parse(&bytes, &path)).transpose()
    }

    /// Parses the bytes of a result file.
    fn parse(bytes: &[u8], path: &Path) -> Result<Checked<Self>, AuditError> {
        let damaged = |damage| AuditError::Damaged { path: path.to_owned(), damage };
        let as_damage = |error| match error {
            FileError::Damaged { problem, .. } => damaged(AuditDamage::Text(problem)),
            error => error.into(),
        };
        let read: Checked<Document> = parse_document(path, bytes).map_err(as_damage)?;
        let version = read.content.version;
        if !(OLDEST..=VERSION).contains(&version) {
            return Err(damaged(AuditDamage::Version(version)));
        }
        let Checked { content, is_checked } = read.required(path, version > OLDEST).map_err(as_damage)?;
        content.audit.check(path)?;
        Ok(Checked { content: content.audit, is_checked })
    }

    /// Checks that the numbers are in their valid ranges.
    fn check(&self, path: &Path) -> Result<(), AuditError> {
        let damaged = |damage| Err(AuditError::Damaged { path: path.to_owned(), damage });
        if self.predictors.is_empty() {
            return damaged(AuditDamage::NoPredictor);
        }
        for predictor in &self.predictors {
            if let Some(found) = predictor.correlation
                && ![found.tau, found.low, found.high].iter().all(|tau| tau.abs() <= LARGEST_TAU)
            {
                return damaged(AuditDamage::Tau { predictor: predictor.name.clone() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use kiln_search::{Outcome, RankCorrelation};
    use kiln_space::Genotype;

    use super::super::{AuditedNetwork, Predictor};
    use super::*;

    fn audit() -> Audit {
        let measured = |value: f64| Outcome::from_metrics([("error_percent".to_owned(), value)].into());
        let network = |gene: u8| AuditedNetwork {
            genotype: Genotype::new([gene]),
            trained: vec![measured(f64::from(gene))],
            short: BTreeMap::new(),
            estimated: measured(0.5 + f64::from(gene)),
            rivals: None,
            proxy: measured(-1.0),
            parameters: 10,
            macs: 20,
        };
        let correlation = Some(RankCorrelation { tau: 1.0, low: 0.25, high: 1.0 });
        let predictors = vec![
            Predictor { name: "supernet error_percent".to_owned(), correlation },
            Predictor { name: "macs".to_owned(), correlation: None },
        ];
        Audit { metric: "error_percent".to_owned(), networks: (1..5).map(network).collect(), predictors }
    }

    #[test]
    fn audit_round_trips_through_file() {
        let folder = tempfile::tempdir().unwrap();
        let paths = RunPaths::new(folder.path());
        assert_eq!(Audit::load(&paths).unwrap(), None);
        audit().save(&paths, Some(3)).unwrap();
        let read = Audit::load(&paths).unwrap();
        assert_eq!(read, Some(Checked { content: audit(), is_checked: true }));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn damaged_audit_error_names_file() {
        let folder = tempfile::tempdir().unwrap();
        let paths = RunPaths::new(folder.path());
        audit().save(&paths, None).unwrap();
        let path = folder.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        let old = text.replace("\"version\": 3", "\"version\": 2");
        let (body, _) = old.split_once(",\n  \"check\"").unwrap();
        let old = format!("{body}\n}}\n");
        fs::write(&path, &old).unwrap();
        assert_eq!(Audit::load(&paths).unwrap(), Some(Checked { content: audit(), is_checked: false }));
        let unchecked = old.replace("\"version\": 2", "\"version\": 3");
        for (text, problem) in [
            (text.replace("\"macs\": 20", "\"macs\": 21"), "does not match its `check`"),
            (unchecked, "its `check` is missing"),
        ] {
            fs::write(&path, text).unwrap();
            let said = Audit::load(&paths).unwrap_err().to_string();
            assert!(said.contains("audit.json: damaged") && said.contains(problem), "{said}");
        }
        let text = old;
        for (text, problem) in [
            (text[..text.len() / 2].to_owned(), "EOF"),
            (text.replace("\"version\": 2", "\"version\": 9"), "version 9"),
            (text.replace("\"macs\": 20", "\"macs\": -20"), "u64"),
            (text.replace("0.25", "-1.25"), "not between -1 and 1"),
            (text.replace("0.25", "1e300"), "not between -1 and 1"),
            (text.replace("\"epochs\"", "\"epoch\""), "unknown field"),
            (String::new(), "EOF"),
        ] {
            fs::write(&path, text).unwrap();
            let error = Audit::load(&paths).unwrap_err();
            assert!(error.is_callers());
            let said = error.to_string();
            assert!(said.contains("audit.json: damaged") && said.contains(problem), "{said}");
        }
        fs::write(&path, vec![b' '; LONGEST_BYTES as usize + 1]).unwrap();
        assert!(Audit::load(&paths).unwrap_err().to_string().contains("at most"));
    }

    #[test]
    fn damaged_audits_do_not_panic() {
        let folder = tempfile::tempdir().unwrap();
        audit().save(&RunPaths::new(folder.path()), None).unwrap();
        let bytes = fs::read(folder.path().join(FILE)).unwrap();
        kiln_damage::check_damaged(&[bytes], |bytes| drop(Audit::parse(bytes, Path::new(FILE))));
    }
}

//! Runs a study's work in jobs, and does the work of one job.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln_engines::{
    BuiltEngine, EngineEvaluator, EngineFinisher, Handle, JobError, JobFolder, JobRecord, Pool, PoolStudy,
    Work, Worker, finish_study,
};
use kiln_evaluator::Built;
use kiln_files::FileError;
use kiln_search::{
    EvalError, Evaluator, Finished, OpenAnchor, Outcome, Progress, Request, RunPaths, Study, Watch,
};
use kiln_space::{Architecture, Genotype, Settings};
use serde_json::{Map, Value};

use crate::assembly::{Assembly, Registries};
use crate::audit;
use crate::config::{ConfigError, Document, FinishTable, RunConfig};

/// The hidden command of the program that does the work of a job.
const WORK: &str = "work";

/// What jobs need to know about the study of this process.
#[derive(Clone, Debug)]
pub struct JobSetup<'a> {
    /// Paths of the run folder, which this process has locked.
    pub paths: &'a RunPaths,
    /// Folder of data sets and tables, if the user named one.
    pub data: Option<&'a Path>,
    /// The settings of `[finish]` that are in effect. `None` if no network is finished.
    pub finish: Option<&'a Settings>,
    /// Whether attempts of earlier processes do not count, because failed evaluations are repeated.
    pub forgets_attempts: bool,
    /// The program of a job and its first arguments. The path of the job's folder follows them. That program
    /// calls [`work`]. By default this is `kiln work`, of the program that runs now.
    pub program: Option<Vec<OsString>>,
}

/// Opens the jobs of a run folder. Jobs of an earlier process that still run are taken over.
///
/// # Errors
/// [`FileError`] if a file of the jobs cannot be read or written.
pub fn open(built: BuiltEngine, setup: JobSetup<'_>) -> Result<Arc<Pool>, FileError> {
    let full = |path: &Path| {
        std::path::absolute(path).map_err(|source| FileError::Io {
            path: path.to_owned(),
            action: "find the full path",
            source,
        })
    };
    let program = match setup.program {
        Some(program) => program,
        None => this_program().map_err(|source| FileError::Io {
            path: PathBuf::from("kiln"),
            action: "find this program",
            source,
        })?,
    };
    let study = PoolStudy {
        run: full(setup.paths.root())?,
        data: setup.data.map(full).transpose()?,
        finish: setup.finish.map(|finish| finish.table().clone()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        forgets_attempts: setup.forgets_attempts,
    };
    Ok(Arc::new(Pool::open(built, study, program)?))
}

fn this_program() -> io::Result<Vec<OsString>> {
    Ok(vec![std::env::current_exe()?.into_os_string(), WORK.into()])
}

/// Lets jobs evaluate and finish the networks of a study. The trajectory of the study stays the same.
pub fn attach(study: &mut Study, pool: &Arc<Pool>, finish: Option<&Settings>) {
    study.settings.workers = pool.jobs();
    let evaluator = Arc::new(EngineEvaluator::new(Arc::clone(&study.evaluator), Arc::clone(pool)));
    let settings = finish_text(finish.map(Settings::table));
    if study.finisher.is_some() {
        let inner = Arc::clone(&evaluator) as Arc<dyn Evaluator>;
        study.finisher = Some(Arc::new(EngineFinisher::new(inner, Arc::clone(pool), settings)));
    }
    study.evaluator = evaluator;
}

fn finish_text(finish: Option<&Map<String, Value>>) -> String {
    finish.map(|table| Value::Object(table.clone()).to_string()).unwrap_or_default()
}

/// Does the work of one job: evaluates or finishes networks of the study that started it. Ends when there is
/// no more work.
///
/// # Errors
/// [`JobError`]. It is also recorded in the job's folder, where the study reads it.
pub fn work(registries: &Registries, folder: &Path) -> Result<(), JobError> {
    kiln_engines::end_first_without_memory();
    let (folder, record) = JobFolder::open(folder)?;
    let handle = own_handle(registries, &record);
    kiln_engines::work(&folder, handle, || StudyWorker::open(registries, &record))
}

/// Returns the engine's name for the job of this process. `None` if the config cannot be read, which the job
/// says later.
fn own_handle(registries: &Registries, record: &JobRecord) -> Option<Handle> {
    let built = engine(registries, &config_of(record).ok()?).ok()??;
    built.engine.own_handle()
}

fn config_of(record: &JobRecord) -> Result<RunConfig, Box<dyn Error + Send + Sync>> {
    let paths = RunPaths::new(&record.run);
    let text = paths.read_config()?;
    Ok(RunConfig::from_document(Document::parse(&paths.config(), &text)?, None)?)
}

/// Evaluates and finishes networks in the process of a job.
struct StudyWorker<'a> {
    registries: &'a Registries,
    assembly: Assembly,
    /// The settings of `[finish]` as text.
    finish: String,
    is_prepared: bool,
    /// What trains networks for audits, by number of epochs.
    audits: BTreeMap<Option<u32>, Built>,
}

impl<'a> StudyWorker<'a> {
    fn open(registries: &'a Registries, record: &JobRecord) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut config = config_of(record)?;
        config.finish = record.finish.clone().map(|table| FinishTable {
            networks: 1,
            measure: None,
            settings: Settings::new("finish", table),
        });
        let finish = finish_text(record.finish.as_ref());
        let assembly = registries.build_at(config, record.data.as_deref(), RunPaths::new(&record.run))?;
        Ok(Self { registries, assembly, finish, is_prepared: false, audits: BTreeMap::new() })
    }

    fn prepare(&mut self, progress: &dyn Progress) -> Result<(), EvalError> {
        if !self.is_prepared {
            // The study has trained the supernet before. Without this check, each job would train it again.
            kiln_engines::wait_for_supernet(self.assembly.evaluator.as_ref(), progress)?;
            self.assembly.evaluator.prepare(progress)?;
            self.is_prepared = true;
        }
        Ok(())
    }

    fn decode(&self, genotype: &Genotype) -> Result<Architecture, EvalError> {
        let what = "a network of the study";
        self.assembly.space.decode(genotype).map_err(|source| EvalError::Space { what, source })
    }

    fn audit(&mut self, epochs: Option<u32>) -> Result<&Built, EvalError> {
        if !self.audits.contains_key(&epochs) {
            let trainer = audit::trainer(self.registries, &self.assembly, epochs);
            let built = trainer.map_err(|error| EvalError::Job {
                path: self.assembly.paths.root().to_owned(),
                problem: error.to_string(),
            })?;
            self.audits.insert(epochs, built);
        }
        Ok(&self.audits[&epochs])
    }
}

impl Worker for StudyWorker<'_> {
    fn study(&mut self, work: &Work, progress: &dyn Progress) -> Result<String, EvalError> {
        match work {
            Work::Trial { .. } => {
                self.prepare(progress)?;
                Ok(self.assembly.evaluator.fingerprint())
            }
            Work::Finish { .. } => {
                self.prepare(progress)?;
                Ok(finish_study(&self.assembly.evaluator.fingerprint(), &self.finish))
            }
            // These trainings compare the conditions themselves.
            Work::Supernet { conditions } => Ok(format!("{}{conditions}", self.study_start(work))),
            Work::Anchor { conditions, .. } => Ok(conditions.clone()),
            Work::Audit { epochs, .. } => Ok(self.audit(*epochs)?.evaluator.fingerprint()),
        }
    }

    fn study_start(&self, work: &Work) -> String {
        match work {
            Work::Supernet { .. } | Work::Trial { .. } | Work::Finish { .. } => {
                self.assembly.evaluator.fingerprint_start()
            }
            Work::Anchor { .. } | Work::Audit { .. } => String::new(),
        }
    }

    fn train_supernet(&mut self, conditions: &str, progress: &dyn Progress) -> Result<(), EvalError> {
        self.assembly.evaluator.train_supernet(conditions, progress)
    }

    fn evaluate(&mut self, work: &Work, progress: &dyn Progress) -> Result<Outcome, EvalError> {
        let watch = Watch { trial: work.trial(), progress };
        match work {
            Work::Trial { genotype, fidelity, seed, .. } => {
                let architecture = self.decode(genotype)?;
                let (fidelity, seed) = (*fidelity, *seed);
                let request = Request { genotype, architecture: &architecture, fidelity, seed };
                self.assembly.evaluator.evaluate_watched(&request, watch)
            }
            Work::Anchor { genotype, conditions } => {
                let (genotype, conditions) = (genotype.clone(), conditions.clone());
                self.assembly.evaluator.train_anchor(&OpenAnchor { genotype, conditions }, progress)
            }
            Work::Audit { genotype, epochs, seed, .. } => {
                let architecture = self.decode(genotype)?;
                let (fidelity, seed) = (kiln_search::Fidelity::Full, *seed);
                let request = Request { genotype, architecture: &architecture, fidelity, seed };
                self.audit(*epochs)?.evaluator.evaluate_watched(&request, watch)
            }
            Work::Supernet { .. } | Work::Finish { .. } => {
                let problem = format!("{} has no outcome", work.label());
                Err(EvalError::Job { path: self.assembly.paths.root().to_owned(), problem })
            }
        }
    }

    fn finish(&mut self, work: &Work, into: &Path, progress: &dyn Progress) -> Result<Finished, EvalError> {
        if let (Work::Finish { trial }, Some(finisher)) = (work, &self.assembly.finisher) {
            return finisher.finish(trial, into, progress);
        }
        let problem = "its study finishes no networks".to_owned();
        Err(EvalError::Job { path: self.assembly.paths.root().to_owned(), problem })
    }
}

/// Builds the engine of a config. `None` if the config has no table `[engine]`.
///
/// # Errors
/// [`ConfigError`] for an unknown kind or impossible settings.
pub(crate) fn engine(
    registries: &Registries,
    config: &RunConfig,
) -> Result<Option<BuiltEngine>, ConfigError> {
    let Some(part) = &config.engine else { return Ok(None) };
    let built = registries.engines.build(&part.kind, &part.settings);
    built.map(Some).map_err(|error| config.document.explain(&error))
}

//! `kiln work`: does the work of a job. The process of a study starts it.

use std::path::Path;

use anyhow::anyhow;
use kiln::assembly::Registries;
use kiln::jobs;

use crate::exit::{Exit, Failure};
use crate::logging;

pub(crate) fn run(job: &Path) -> Result<Exit, Failure> {
    if job.join("job.json").is_file() {
        logging::to_file(&job.join("kiln.log"))?;
    }
    match jobs::work(&Registries::builtin(), job) {
        Ok(()) => Ok(Exit::Done),
        Err(kiln_engines::JobError::Files(error)) if error.is_callers() => Err(Failure::wrong(error)),
        Err(error) => Err(anyhow!(error).into()),
    }
}

//! Opens the jobs of a study whose config has a table `[engine]`.

use std::sync::Arc;

use kiln::config::RunConfig;
use kiln::jobs::{self, JobSetup};
use kiln_engines::{BuiltEngine, Pool};
use kiln_search::{RunPaths, Study};

use crate::cli::Common;
use crate::exit::Failure;
use crate::output;

/// Opens the jobs of a run folder that this process has locked. Returns `None` without an engine. `is_retry`
/// says that failed evaluations are repeated.
pub(crate) fn open(
    engine: Option<BuiltEngine>,
    config: &RunConfig,
    (paths, is_retry): (&RunPaths, bool),
    common: &Common,
) -> Result<Option<Arc<Pool>>, Failure> {
    let Some(engine) = engine else { return Ok(None) };
    let finish = config.finish.as_ref().map(|finish| &finish.settings);
    let setup =
        JobSetup { paths, data: common.data.as_deref(), finish, forgets_attempts: is_retry, program: None };
    Ok(Some(jobs::open(engine, setup).map_err(anyhow::Error::from)?))
}

/// Returns the engine of a run folder's config, if it may be used. That config may come from anyone, so an
/// engine that runs more than this program is used only if the user asks for that.
pub(crate) fn permitted(engine: Option<BuiltEngine>, is_asked: bool) -> Option<BuiltEngine> {
    let engine = engine?;
    if is_asked || engine.engine.runs_only_this_program() {
        return Some(engine);
    }
    output::say("no jobs are started; `--engine` starts them as the run folder's config says");
    None
}

/// Lets the jobs evaluate and finish the networks of a study.
pub(crate) fn attach(study: &mut Study, pool: Option<&Arc<Pool>>, config: &RunConfig) {
    if let Some(pool) = pool {
        jobs::attach(study, pool, config.finish.as_ref().map(|finish| &finish.settings));
    }
}

/// Ends the jobs, when the study has ended.
pub(crate) fn end(pool: Option<&Arc<Pool>>) -> Result<(), Failure> {
    Ok(pool.map_or(Ok(()), |pool| pool.end()).map_err(anyhow::Error::from)?)
}

//! Runs evaluations that only wait as jobs of any engine, to try out an engine without training anything.
//!
//! `waiting RUN KIND SETTINGS TRIALS SECONDS` evaluates that many trials with the engine `KIND`, whose
//! settings are JSON. `waiting work FOLDER` is the program of a job. If it is killed, the same command goes
//! on.
#![allow(clippy::print_stdout, reason = "the results")]

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use kiln_engines::{EngineRegistry, Handle, JobFolder, Pool, PoolStudy, Work, Worker};
use kiln_search::{EvalError, Finished, Outcome, Progress};
use kiln_space::{Genotype, Settings};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["work", folder] => {
            let (folder, _) = JobFolder::open(Path::new(folder))?;
            // The engine `ray` tells a job its name on the cluster.
            let handle = env::var("KILN_RAY_JOB").ok().map(Handle);
            Ok(kiln_engines::work(&folder, handle, || Ok::<_, Failure>(Waiting))?)
        }
        [run, kind, settings, trials, seconds] => {
            controller(Path::new(run), kind, settings, trials.parse()?, seconds.parse()?)
        }
        _ => Err("expected RUN KIND SETTINGS TRIALS SECONDS".into()),
    }
}

/// Waits for as many milliseconds as the number of epochs says.
struct Waiting;

fn asked(work: &Work) -> Result<(u64, u32), EvalError> {
    match work {
        Work::Audit { seed, epochs: Some(milliseconds), .. } => Ok((*seed, *milliseconds)),
        _ => Err(EvalError::Job { path: PathBuf::new(), problem: "this is other work".to_owned() }),
    }
}

impl Worker for Waiting {
    fn study(&mut self, work: &Work, _: &dyn Progress) -> Result<String, EvalError> {
        asked(work).map(|_| "waiting".to_owned())
    }

    fn train_supernet(&mut self, _: &str, _: &dyn Progress) -> Result<(), EvalError> {
        Err(EvalError::Interrupted)
    }

    fn evaluate(&mut self, work: &Work, _: &dyn Progress) -> Result<Outcome, EvalError> {
        let (seed, milliseconds) = asked(work)?;
        thread::sleep(Duration::from_millis(milliseconds.into()));
        Ok(Outcome::from_metrics(BTreeMap::from([("error_percent".to_owned(), seed as f64)])))
    }

    fn finish(&mut self, work: &Work, _: &Path, _: &dyn Progress) -> Result<Finished, EvalError> {
        asked(work)?;
        Err(EvalError::Interrupted)
    }
}

fn controller(run: &Path, kind: &str, settings: &str, trials: u64, seconds: f64) -> Result<(), Failure> {
    let settings = Settings::new("engine", serde_json::from_str(settings)?);
    let built = EngineRegistry::builtin().build(kind, &settings)?;
    let jobs = built.plan.jobs;
    let study = PoolStudy {
        run: std::path::absolute(run)?,
        data: None,
        finish: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        forgets_attempts: false,
    };
    let pool = Pool::open(built, study, vec![env::current_exe()?.into(), "work".into()])?;
    let (next, failed) = (Mutex::new(0..trials), Mutex::new(None));
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let Some(seed) = next.lock().ok().and_then(|mut next| next.next()) else { return };
                    let began = Instant::now();
                    let milliseconds = Some((1000.0 * seconds) as u32);
                    match pool.audit(Genotype::new([0, 1]), milliseconds, seed, "waiting") {
                        Ok(outcome) => println!("{seed} {:.3} {outcome:?}", began.elapsed().as_secs_f64()),
                        Err(error) => {
                            // No further trial begins.
                            if let (Ok(mut next), Ok(mut failed)) = (next.lock(), failed.lock()) {
                                *next = 0..0;
                                *failed = Some(error);
                            }
                            return;
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = failed.into_inner().ok().flatten() {
        return Err(error.into());
    }
    println!("all {trials} trials");
    Ok(())
}

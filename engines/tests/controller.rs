//! A study with many trials and 200 running jobs: how much processor time and memory it takes itself.
//!
//! The engine is a double: another process of this program does the work of all jobs in its threads, with the
//! code that real jobs use, and each evaluation only waits. `KILN_CONTROLLER=10000x40` evaluates that many
//! trials of that many seconds each, and holds the study to the stated limit of processor time.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is a test")]

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io::{Write, stdin};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kiln_engines::{
    BuiltEngine, Engine, EngineError, Handle, JobFolder, JobState, Launch, Plan, Pool, PoolStudy, Work,
    Worker,
};
use kiln_search::{EvalError, Finished, Outcome, Progress};
use kiln_space::Genotype;

const JOBS: usize = 200;
/// Trials and seconds of each, without `KILN_CONTROLLER`. Short trials need more processor time than long
/// ones, because each of them has several files.
const SHORT: (u64, f64) = (1000, 2.0);
/// Limits of the processor time, as shares of a core: for trials of a second or two, and for those that
/// `KILN_CONTROLLER` asks for.
const SHORT_SHARE: f64 = 0.5;
const SHARE: f64 = 0.05;
/// Largest growth of the memory between a quarter of the trials and all of them.
const GROWTH_MAX: u64 = 8 << 20;
/// Argument with which this program does the work of the jobs.
const CLUSTER: &str = "cluster";

fn main() {
    if env::args().nth(1).as_deref() == Some(CLUSTER) {
        cluster();
    } else if cfg!(target_os = "linux") {
        controller();
    } else {
        println!("not run: processor time and memory are read as Linux shows them");
    }
}

/// Evaluates by waiting. The outcome depends on the seed, so a wrong answer would be noticed.
struct Waiting(Duration);

impl Worker for Waiting {
    fn study(&mut self, work: &Work, _: &dyn Progress) -> Result<String, EvalError> {
        let Work::Audit { reference, .. } = work else { panic!("{work:?}") };
        Ok(reference.clone())
    }

    fn train_supernet(&mut self, _: &str, _: &dyn Progress) -> Result<(), EvalError> {
        Err(EvalError::Interrupted)
    }

    fn evaluate(&mut self, work: &Work, _: &dyn Progress) -> Result<Outcome, EvalError> {
        let Work::Audit { seed, .. } = work else { panic!("{work:?}") };
        thread::sleep(self.0);
        Ok(outcome(*seed))
    }

    fn finish(&mut self, work: &Work, _: &Path, _: &dyn Progress) -> Result<Finished, EvalError> {
        panic!("{work:?}")
    }
}

fn outcome(seed: u64) -> Outcome {
    Outcome::from_metrics(BTreeMap::from([("error_percent".to_owned(), seed as f64)]))
}

/// Does the work of jobs. Reads the time of each evaluation, and then the folders of the jobs.
fn cluster() {
    let mut lines = stdin().lines();
    let work = Duration::try_from_secs_f64(lines.next().unwrap().unwrap().parse().unwrap()).unwrap();
    for folder in lines {
        let folder = folder.unwrap();
        thread::Builder::new()
            .stack_size(256 << 10)
            .spawn(move || {
                let (job, _) = JobFolder::open(Path::new(&folder)).unwrap();
                let prepare = || Ok::<_, Box<dyn Error + Send + Sync>>(Waiting(work));
                kiln_engines::work(&job, Some(Handle(folder)), prepare).unwrap();
            })
            .unwrap();
    }
}

struct Double(Mutex<ChildStdin>);

/// The engine of a training that no study of this test has.
struct NoEngine;

impl Engine for NoEngine {
    fn submit(&self, launch: &Launch<'_>) -> Result<Handle, EngineError> {
        Err(EngineError::Unknown(launch.name.to_owned()))
    }

    fn status(&self, handle: &Handle) -> Result<JobState, EngineError> {
        Err(EngineError::Unknown(handle.0.clone()))
    }

    fn cancel(&self, handle: &Handle) -> Result<(), EngineError> {
        Err(EngineError::Unknown(handle.0.clone()))
    }

    fn own_handle(&self) -> Option<Handle> {
        None
    }
}

impl Engine for Double {
    fn submit(&self, launch: &Launch<'_>) -> Result<Handle, EngineError> {
        let folder = launch.arguments.last().unwrap().to_str().unwrap();
        writeln!(self.0.lock().unwrap(), "{folder}").unwrap();
        Ok(Handle(folder.to_owned()))
    }

    fn status(&self, _: &Handle) -> Result<JobState, EngineError> {
        Ok(JobState::Running)
    }

    fn cancel(&self, _: &Handle) -> Result<(), EngineError> {
        Ok(())
    }

    fn own_handle(&self) -> Option<Handle> {
        None
    }
}

/// Processor time of this process in seconds, without its children.
fn processor_s() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // User and system time, in ticks of a hundredth of a second.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Memory of this process in bytes.
fn memory() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn started(seconds: f64) -> (Child, Double) {
    let mut child =
        Command::new(env::current_exe().unwrap()).arg(CLUSTER).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{seconds}").unwrap();
    (child, Double(Mutex::new(input)))
}

fn controller() {
    let asked = env::var("KILN_CONTROLLER").ok();
    let (trials, seconds): (u64, f64) = asked.as_ref().map_or(SHORT, |text| {
        let (trials, seconds) = text.split_once('x').unwrap();
        (trials.parse().unwrap(), seconds.parse().unwrap())
    });
    let run = tempfile::tempdir().unwrap();
    let (mut child, double) = started(seconds);
    let training = serde_json::Map::new();
    let plan = Plan { jobs: JOBS, trials_per_job: None, attempts: 3, start_warning_s: 600, training };
    let study = PoolStudy {
        run: run.path().to_owned(),
        data: None,
        finish: None,
        version: "test".to_owned(),
        forgets_attempts: false,
    };
    let built = BuiltEngine { engine: Box::new(double), training: Box::new(NoEngine), plan };
    let pool = Pool::open(built, study, vec![OsString::from("double")]).unwrap();
    let (next, quarter) = (AtomicU64::new(0), AtomicU64::new(0));
    let began = Instant::now();
    let before = processor_s();
    thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= trials {
                        return;
                    }
                    if seed == trials / 4 {
                        quarter.store(memory(), Ordering::Relaxed);
                    }
                    let genotype = Genotype::new([0, 1, 2]);
                    assert_eq!(pool.audit(genotype, None, seed, "reference").unwrap(), outcome(seed));
                }
            });
        }
    });
    let (wall_s, spent_s) = (began.elapsed().as_secs_f64(), processor_s() - before);
    let (share, end, quarter) = (spent_s / wall_s, memory(), quarter.into_inner());
    pool.end().unwrap();
    drop(pool);
    assert!(child.wait().unwrap().success(), "every job did its work");
    let grown = end.saturating_sub(quarter);
    println!(
        "{trials} trials of {seconds} s in {JOBS} jobs: {wall_s:.1} s, {:.2} % of a core, {:.2} ms of \
         processor time for each trial, {:.1} MB, grown by {:.1} MB since a quarter of the trials",
        100.0 * share,
        1000.0 * spent_s / trials as f64,
        end as f64 / 1e6,
        grown as f64 / 1e6
    );
    let limit = if asked.is_some() { SHARE } else { SHORT_SHARE };
    assert!(share <= limit, "{share} of a core, expected at most {limit}");
    assert!(grown <= GROWTH_MAX, "the memory grew by {grown} bytes");
}

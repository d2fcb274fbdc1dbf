//! The engine `local`: each job is a process of its own on this machine.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Mutex, PoisonError};
use std::thread;

use kiln_processes::{Detached, Exit, Identity, Started, boot, can_measure_memory};
use kiln_space::{Settings, SettingsError};
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, EngineError, EnginePart, Handle, JobEnd, JobState, Launch};
use crate::plan::{KEYS, Plan};

/// Environment variable that limits the threads of a process.
const THREADS: &str = "RAYON_NUM_THREADS";

/// `[engine]` with `kind = "local"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LocalSettings {
    #[serde(default)]
    memory_max_bytes: Option<u64>,
    #[serde(default)]
    threads: Option<u32>,
}

/// Descriptions of the settings.
const OWN_KEYS: &str = r##"
[memory_max_bytes]
"$ref" = "#/$defs/count"
description = "Limit of the memory of each job. A job above it is ended, and its evaluation is tried again."

[threads]
"$ref" = "#/$defs/count"
description = "Threads of each job; unless stated, the cores of the machine are shared among the jobs."
"##;

/// The registry entry of the engine.
pub(crate) const PART: EnginePart =
    EnginePart::new("runs each job as a process of its own on this machine", build)
        .with_keys(&[KEYS, OWN_KEYS])
        .tested_with(&["{}", r#"{ "jobs": 2, "threads": 1 }"#]);

fn build(settings: &Settings, plan: &Plan) -> Result<Box<dyn Engine>, SettingsError> {
    let read: LocalSettings = settings.read()?;
    let refuse = |key: &str, found: &str, expected: &str| {
        Err(SettingsError::value(settings.key(key), found, expected))
    };
    if read.memory_max_bytes == Some(0) {
        return refuse("memory_max_bytes", "0", "at least 1");
    }
    if read.threads == Some(0) {
        return refuse("threads", "0", "at least 1");
    }
    if read.memory_max_bytes.is_some() && !can_measure_memory() {
        let expected = "no such key: this system does not say how much memory a program uses";
        return refuse("memory_max_bytes", "a limit", expected);
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = read.threads.map_or_else(|| (cores / plan.jobs).max(1), |threads| threads as usize);
    Ok(Box::new(Local { threads, memory_max: read.memory_max_bytes, children: Mutex::default() }))
}

/// Runs jobs as processes.
struct Local {
    threads: usize,
    memory_max: Option<u64>,
    /// The jobs that this process started, by handle.
    children: Mutex<BTreeMap<Handle, Child>>,
}

/// A job that this process started.
enum Child {
    Running(Started),
    Ended(JobEnd),
}

fn handle(identity: Identity) -> Handle {
    let started = identity.started.unwrap_or_default();
    Handle(format!("{}:{started}:{}", identity.id, boot().unwrap_or_default()))
}

/// Returns the process of a handle. `None` if it ran before the machine was started again.
fn identity(handle: &Handle) -> Result<Option<Identity>, EngineError> {
    let unknown = || EngineError::Unknown(handle.0.clone());
    let mut parts = handle.0.splitn(3, ':');
    let mut next = || parts.next().ok_or_else(unknown);
    let id = next()?.parse().map_err(|_| unknown())?;
    let started = next()?.parse().map_err(|_| unknown())?;
    let booted = next()?;
    let is_same = boot().unwrap_or_default() == booted;
    Ok(is_same.then_some(Identity { id, started: Some(started) }))
}

impl Local {
    /// Looks at a job that this process started.
    fn look(&self, child: &mut Child) -> JobState {
        let Child::Running(started) = child else {
            let Child::Ended(end) = child else { return JobState::Running };
            return JobState::Ended(end.clone());
        };
        let end = match started.exit() {
            Ok(None) => match self.memory_max.and_then(|most| started.identity.memory_above(most)) {
                Some(bytes) => {
                    started.kill();
                    JobEnd::Memory { bytes: Some(bytes) }
                }
                None => return JobState::Running,
            },
            Ok(Some(Exit::Code(code))) => JobEnd::Exited { code },
            Ok(Some(Exit::Signal(signal))) => JobEnd::Killed { signal },
            Err(error) => {
                tracing::warn!("a job's process: {error}");
                return JobState::Running;
            }
        };
        *child = Child::Ended(end.clone());
        JobState::Ended(end)
    }
}

impl Engine for Local {
    fn submit(&self, launch: &Launch<'_>) -> Result<Handle, EngineError> {
        let environment = BTreeMap::from([(THREADS.to_owned(), OsString::from(self.threads.to_string()))]);
        let (arguments, output) = (launch.arguments.to_vec(), launch.log.to_owned());
        let started = Detached { arguments, environment, output }.start()?;
        let handle = handle(started.identity);
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        // The system keeps a process that ended until its parent asks for it.
        for child in children.values_mut() {
            let _ = self.look(child);
        }
        children.insert(handle.clone(), Child::Running(started));
        Ok(handle)
    }

    fn status(&self, handle: &Handle) -> Result<JobState, EngineError> {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(child) = children.get_mut(handle) {
            return Ok(self.look(child));
        }
        let Some(process) = identity(handle)?.filter(|process| process.is_running()) else {
            return Ok(JobState::Ended(JobEnd::Gone));
        };
        match self.memory_max.and_then(|most| process.memory_above(most)) {
            Some(bytes) => {
                let _ = process.end();
                Ok(JobState::Ended(JobEnd::Memory { bytes: Some(bytes) }))
            }
            None => Ok(JobState::Running),
        }
    }

    fn cancel(&self, handle: &Handle) -> Result<(), EngineError> {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        match children.get_mut(handle) {
            Some(Child::Running(started)) => started.kill(),
            Some(Child::Ended(_)) => {}
            None => {
                let _ = identity(handle)?.is_some_and(Identity::end);
            }
        }
        Ok(())
    }

    fn own_handle(&self) -> Option<Handle> {
        Some(handle(Identity::of_this_process()))
    }

    fn runs_only_this_program(&self) -> bool {
        true
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

    use std::path::Path;
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;

    fn engine(settings: serde_json::Value) -> Box<dyn Engine> {
        let serde_json::Value::Object(table) = settings else { panic!("a table") };
        let (plan, own) = Plan::read(&Settings::new("engine", table)).unwrap();
        build(&own, &plan).unwrap()
    }

    fn submit(engine: &dyn Engine, script: &str, folder: &Path) -> Handle {
        let arguments = ["sh", "-c", script].map(OsString::from);
        let log = folder.join("log");
        engine
            .submit(&Launch { name: "a", arguments: &arguments, log: &log, attempt: 1, avoid: &[] })
            .unwrap()
    }

    fn end(engine: &dyn Engine, handle: &Handle) -> JobEnd {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) {
            if let JobState::Ended(end) = engine.status(handle).unwrap() {
                return end;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the job ends");
    }

    #[test]
    fn job_is_told_how_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(json!({ "threads": 3 }));
        let one = submit(engine.as_ref(), "echo threads $RAYON_NUM_THREADS; exit 4", folder.path());
        assert_eq!(end(engine.as_ref(), &one), JobEnd::Exited { code: 4 });
        assert_eq!(engine.logs(&one, &folder.path().join("log")), "threads 3");
        let killed = submit(engine.as_ref(), "kill -9 $$", folder.path());
        assert_eq!(end(engine.as_ref(), &killed), JobEnd::Killed { signal: 9 });
        assert_eq!(end(engine.as_ref(), &one), JobEnd::Exited { code: 4 }, "the end is kept");
    }

    #[test]
    fn job_of_another_process_is_found_by_its_handle_and_can_be_cancelled() {
        if boot().is_none() {
            eprintln!("skipped: this system does not identify processes");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (engine(json!({})), engine(json!({})));
        let job = submit(first.as_ref(), "sleep 60", folder.path());
        assert_eq!(second.status(&job).unwrap(), JobState::Running);
        second.cancel(&job).unwrap();
        assert_eq!(second.status(&job).unwrap(), JobState::Ended(JobEnd::Gone));
        assert_eq!(end(first.as_ref(), &job), JobEnd::Killed { signal: 9 });
        let mut parts: Vec<&str> = job.0.split(':').collect();
        parts[2] = "another-start";
        let before = Handle(parts.join(":"));
        assert_eq!(second.status(&before).unwrap(), JobState::Ended(JobEnd::Gone));
        assert!(second.status(&Handle("x".to_owned())).is_err());
    }

    #[test]
    fn job_above_its_memory_is_ended() {
        if !can_measure_memory() {
            eprintln!("skipped: this system does not say how much memory a program uses");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(json!({ "memory_max_bytes": 32 << 20 }));
        let script = "(x=$(head -c 64000000 /dev/zero | tr '\\0' x); sleep 60)";
        let job = submit(engine.as_ref(), script, folder.path());
        let JobEnd::Memory { bytes: Some(bytes) } = end(engine.as_ref(), &job) else {
            panic!("the job is ended")
        };
        assert!(bytes > 32 << 20, "{bytes}");
    }

    #[test]
    fn cores_are_shared_among_jobs() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(json!({ "jobs": 10_000 }));
        let job = submit(engine.as_ref(), "echo $RAYON_NUM_THREADS", folder.path());
        end(engine.as_ref(), &job);
        assert_eq!(engine.logs(&job, &folder.path().join("log")), "1");
    }
}

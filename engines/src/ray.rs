//! The engine `ray`: each job is a job of a Ray cluster, over its Jobs REST interface.
//!
//! Kiln chooses the name of a job before it submits it. A request that was answered by an error, but
//! happened, is found again by that name, so nothing is started twice.

mod answer;
mod cluster;
mod entrypoint;
mod text;

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kiln_http::{Address, Request};
use kiln_space::{Settings, SettingsError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::answer::{Seen, is_name};
use self::cluster::{Cluster, Refusal};
use self::entrypoint::{JOB, command_line};
use self::text::one_line;
use crate::engine::{Engine, EngineError, EnginePart, Handle, JobEnd, JobState, Launch, tail};
use crate::plan::{KEYS, Plan};

/// The address of a cluster on this machine.
const ADDRESS: &str = "http://127.0.0.1:8265";
/// Interval between two lists of all jobs.
const LIST_EVERY: Duration = Duration::from_secs(2);
/// Time for which an address that has answered before is tried again when a job is submitted.
const SUBMIT_FOR: Duration = Duration::from_mins(2);
/// Number of times that an address that never answered is tried, and a request that the cluster refuses.
const TRIES: u32 = 3;
/// Interval between two tries.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// Interval between two requests to stop the same job.
const STOP_EVERY: Duration = Duration::from_secs(5);
/// Time after which a job that succeeded is removed from the cluster's list, which would grow otherwise.
const KEPT: Duration = Duration::from_secs(20);
/// Number of jobs that are removed after one list.
const REMOVED: usize = 20;
/// Number of lines that are shown of Ray's own log of a job.
const LINES: usize = 3;
/// Largest amount of memory that can be asked for.
const MEMORY_MAX: f64 = (1_u64 << 50) as f64;

/// `[engine]` with `kind = "ray"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RaySettings {
    #[serde(default = "address")]
    address: String,
    #[serde(default = "one")]
    cpus: f64,
    #[serde(default)]
    gpus: f64,
    #[serde(default)]
    memory_bytes: Option<u64>,
    #[serde(default = "one")]
    memory_growth: f64,
    #[serde(default)]
    resources: BTreeMap<String, f64>,
    #[serde(default)]
    runtime_env: Map<String, Value>,
    #[serde(default)]
    program: Option<String>,
    #[serde(default)]
    ca_file: Option<PathBuf>,
}

fn address() -> String {
    ADDRESS.to_owned()
}
const fn one() -> f64 {
    1.0
}

/// Descriptions of the settings.
const OWN_KEYS: &str = r##"
[address]
type = "string"
description = "Address of the dashboard. Default `http://127.0.0.1:8265`. A token is in `RAY_AUTH_TOKEN`."

[cpus]
type = "number"
exclusiveMinimum = 0
description = "Cores that Ray reserves for each job, and threads that the job uses. Default 1."

[gpus]
type = "number"
minimum = 0
description = "GPUs that Ray reserves for each job. Default 0."

[memory_bytes]
"$ref" = "#/$defs/count"
description = "Memory that Ray reserves for each job. It is no limit: it only decides where a job starts."

[memory_growth]
type = "number"
minimum = 1
description = "Factor of `memory_bytes` for each further attempt at an evaluation. Default 1."

[resources]
type = "object"
additionalProperties = { type = "number", exclusiveMinimum = 0 }
description = "Further resources that Ray reserves for each job, by their names in the cluster."

[runtime_env]
type = "object"
additionalProperties = {}
description = "Ray's `runtime_env` of each job, such as `{ env_vars = { NAME = \"value\" } }`."

[program]
type = "string"
description = "Path of `kiln` on the nodes; that of the program that runs the study unless stated."

[ca_file]
type = "string"
description = "PEM file of certificates to trust for `https://`; those of the system unless stated."
"##;

/// The registry entry of the engine.
pub(crate) const PART: EnginePart = EnginePart::new("runs each job as a job of a Ray cluster", build)
    .with_keys(&[KEYS, OWN_KEYS])
    .tested_with(&[
        "{}",
        r#"{ "address": "http://head:8265", "cpus": 0.5, "gpus": 1, "memory_bytes": 1000000000,
             "memory_growth": 1.5, "resources": { "a100": 1 },
             "runtime_env": { "env_vars": { "A": "b" } } }"#,
    ]);

fn build(settings: &Settings, _: &Plan) -> Result<Box<dyn Engine>, SettingsError> {
    let read: RaySettings = settings.read()?;
    let refuse = |key: &str, found: String, expected: &str| {
        Err(SettingsError::value(settings.key(key), found, expected))
    };
    let address = Address::parse(&read.address, ADDRESS)
        .map_err(|wrong| SettingsError::value(settings.key("address"), wrong.found, &wrong.expected))?;
    let is_amount = |amount: f64| amount > 0.0 && amount <= 1e9;
    if !is_amount(read.cpus) {
        return refuse("cpus", read.cpus.to_string(), "a positive number");
    }
    if read.gpus != 0.0 && !is_amount(read.gpus) {
        return refuse("gpus", read.gpus.to_string(), "at least 0");
    }
    if read.memory_bytes == Some(0) {
        return refuse("memory_bytes", "0".to_owned(), "at least 1");
    }
    if !(1.0..=16.0).contains(&read.memory_growth) {
        return refuse("memory_growth", read.memory_growth.to_string(), "1 to 16");
    }
    if read.memory_growth > 1.0 && read.memory_bytes.is_none() {
        return refuse(
            "memory_growth",
            read.memory_growth.to_string(),
            "`memory_bytes`, which it multiplies",
        );
    }
    for (name, amount) in &read.resources {
        // Ray has keys of its own for these.
        if matches!(name.as_str(), "CPU" | "GPU" | "memory") {
            return refuse("resources", format!("`{name}`"), "`cpus`, `gpus` or `memory_bytes` for it");
        }
        if !is_amount(*amount) {
            return refuse("resources", format!("`{name}` = {amount}"), "a positive number");
        }
    }
    if read.ca_file.is_some() && !address.is_secure() {
        return refuse("ca_file", "a file".to_owned(), "an `address` that begins with `https://`");
    }
    let cluster = Cluster::new(address, read.ca_file.clone());
    // The file need not exist on the machines of the jobs, which make no request.
    let is_job = env::var_os(JOB).is_some();
    if let (false, Err(Refusal::Certificates(path, problem))) = (is_job, cluster.check()) {
        return refuse("ca_file", format!("`{}`: {problem}", path.display()), "a file with certificates");
    }
    Ok(Box::new(Ray { settings: read, cluster, jobs: Mutex::default() }))
}

/// Runs jobs on a Ray cluster.
struct Ray {
    settings: RaySettings,
    cluster: Cluster,
    jobs: Mutex<Jobs>,
}

/// What this process knows about the jobs of the cluster.
#[derive(Default)]
struct Jobs {
    /// The jobs of the last list, by name.
    listed: BTreeMap<String, Seen>,
    /// The jobs that this process submitted or was asked about.
    own: BTreeMap<String, Own>,
    /// Whether a thread asks for a list at this moment.
    is_asking: bool,
    /// When a list was asked for.
    asked: Option<Instant>,
    /// When the last list was asked for that was answered.
    answered: Option<Instant>,
}

#[derive(Default)]
struct Own {
    submitted: Option<Instant>,
    stopped: Option<Instant>,
    succeeded: Option<Instant>,
}

/// Returns a name that no other job has. No result depends on it.
fn new_name(name: &str, log: &Path) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let parts = (log, std::process::id(), since.as_nanos(), COUNT.fetch_add(1, Ordering::Relaxed));
    let hash = blake3::hash(format!("{parts:?}").as_bytes()).to_hex();
    let name: String = name.strip_prefix("kiln-").unwrap_or(name).chars().take(100).collect();
    format!("kiln-{name}-{}", &hash[..16])
}

fn checked(handle: &Handle) -> Result<&str, EngineError> {
    // A run folder may come from anyone.
    if is_name(&handle.0) { Ok(&handle.0) } else { Err(EngineError::Unknown(handle.0.clone())) }
}

impl Ray {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, refusal: &Refusal) -> EngineError {
        EngineError::Answer(format!("Ray at `{}`: {refusal}", self.cluster.address))
    }

    /// Returns the body of the request that submits a job.
    fn request(&self, name: &str, launch: &Launch<'_>) -> Result<Value, EngineError> {
        let settings = &self.settings;
        let mut arguments = launch.arguments.to_vec();
        if let (Some(program), Some(first)) = (&settings.program, arguments.first_mut()) {
            *first = program.into();
        }
        let threads = settings.cpus.floor().max(1.0) as usize;
        let entrypoint = command_line(name, threads, &arguments, launch.log)?;
        let folder = launch.log.parent().unwrap_or(launch.log).to_string_lossy();
        let mut body = json!({
            "submission_id": name,
            "entrypoint": entrypoint,
            // Ray's default is 0, and then it starts all jobs at once, on the head node.
            "entrypoint_num_cpus": settings.cpus,
            "entrypoint_num_gpus": settings.gpus,
            "entrypoint_resources": settings.resources,
            "metadata": { "kiln_job": folder, "attempt": launch.attempt.to_string() },
            "runtime_env": settings.runtime_env,
        });
        if let Some(bytes) = settings.memory_bytes {
            let factor = settings.memory_growth.powi(launch.attempt.saturating_sub(1).min(64) as i32);
            body["entrypoint_memory"] = json!((bytes as f64 * factor).min(MEMORY_MAX) as u64);
        }
        Ok(body)
    }

    /// Asks for one job. `None` if the cluster does not know it.
    fn ask(&self, name: &str) -> Result<Option<Seen>, Refusal> {
        match self.cluster.send(Request::Get(&format!("/api/jobs/{name}"))) {
            Ok(value) => Ok(Some(answer::job(&value).ok_or(Refusal::Unexpected)?.1)),
            Err(Refusal::Status(404, _)) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Asks for all jobs, and removes those of this process that succeeded a while ago.
    fn list(&self) -> Result<(), Refusal> {
        let began = Instant::now();
        let answer = self.cluster.send(Request::Get("/api/jobs/"));
        let listed = answer.and_then(|value| {
            let all = value.as_array().ok_or(Refusal::Unexpected)?;
            Ok(all.iter().filter_map(answer::job).collect())
        });
        let mut jobs = self.jobs();
        jobs.is_asking = false;
        jobs.listed = listed?;
        jobs.answered = Some(began);
        let Jobs { listed, own, .. } = &mut *jobs;
        let mut old = Vec::new();
        for (name, own) in own {
            let state = listed.get(name).map(|seen| &seen.state);
            if state == Some(&JobState::Ended(JobEnd::Exited { code: 0 })) {
                let since = own.succeeded.get_or_insert(began);
                if began.duration_since(*since) >= KEPT && old.len() < REMOVED {
                    old.push(name.clone());
                }
            }
        }
        drop(jobs);
        for name in old {
            match self.cluster.send(Request::Delete(&format!("/api/jobs/{name}"))) {
                Ok(_) | Err(Refusal::Status(404, _)) => {
                    let mut jobs = self.jobs();
                    jobs.own.remove(&name);
                    jobs.listed.remove(&name);
                }
                Err(refusal) => tracing::debug!("Ray's job {name} cannot be removed: {refusal}"),
            }
        }
        Ok(())
    }

    /// Submits a request until the cluster has the job.
    fn post(&self, name: &str, body: &Value) -> Result<(), Refusal> {
        let began = Instant::now();
        for tried in 1_u32.. {
            let Err(refusal) = self.cluster.send(Request::Post("/api/jobs/", Some(body))) else {
                return Ok(());
            };
            let may_have_happened = matches!(refusal, Refusal::Unreachable(_) | Refusal::Status(..));
            if !may_have_happened {
                return Err(refusal);
            }
            // The answer may be lost or wrong. If the cluster knows the name, it has the job.
            if let Ok(Some(_)) = self.ask(name) {
                return Ok(());
            }
            let has_answered = self.jobs().answered.is_some();
            let is_patient = has_answered && matches!(refusal, Refusal::Unreachable(_));
            if if is_patient { began.elapsed() >= SUBMIT_FOR } else { tried >= TRIES } {
                return Err(refusal);
            }
            if tried == 1 {
                tracing::warn!("Ray at `{}`: {refusal}; trying again", self.cluster.address);
            }
            thread::sleep(TRY_EVERY);
        }
        Err(Refusal::Unexpected)
    }
}

impl Engine for Ray {
    fn submit(&self, launch: &Launch<'_>) -> Result<Handle, EngineError> {
        let name = new_name(launch.name, launch.log);
        let body = self.request(&name, launch)?;
        self.post(&name, &body).map_err(|refusal| self.error(&refusal))?;
        let own = Own { submitted: Some(Instant::now()), ..Own::default() };
        self.jobs().own.insert(name.clone(), own);
        Ok(Handle(name))
    }

    fn status(&self, handle: &Handle) -> Result<JobState, EngineError> {
        let name = checked(handle)?;
        let mut jobs = self.jobs();
        jobs.own.entry(name.to_owned()).or_default();
        // Other threads do not wait for the answer.
        if !jobs.is_asking && jobs.asked.is_none_or(|asked| asked.elapsed() >= LIST_EVERY) {
            (jobs.is_asking, jobs.asked) = (true, Some(Instant::now()));
            drop(jobs);
            self.list().map_err(|refusal| self.error(&refusal))?;
            jobs = self.jobs();
        }
        if let Some(seen) = jobs.listed.get(name) {
            return Ok(seen.state.clone());
        }
        let submitted = jobs.own.get(name).and_then(|own| own.submitted);
        if submitted.is_some() && submitted >= jobs.answered {
            return Ok(JobState::Waiting);
        }
        drop(jobs);
        let seen = self.ask(name).map_err(|refusal| self.error(&refusal))?;
        Ok(match seen {
            Some(seen) => {
                let state = seen.state.clone();
                self.jobs().listed.insert(name.to_owned(), seen);
                state
            }
            // The cluster was started again.
            None => JobState::Ended(JobEnd::Gone),
        })
    }

    fn cancel(&self, handle: &Handle) -> Result<(), EngineError> {
        let name = checked(handle)?;
        let mut jobs = self.jobs();
        let own = jobs.own.entry(name.to_owned()).or_default();
        if own.stopped.is_some_and(|stopped| stopped.elapsed() < STOP_EVERY) {
            return Ok(());
        }
        own.stopped = Some(Instant::now());
        drop(jobs);
        match self.cluster.send(Request::Post(&format!("/api/jobs/{name}/stop"), None)) {
            Ok(_) | Err(Refusal::Status(404, _)) => Ok(()),
            Err(refusal) => Err(self.error(&refusal)),
        }
    }

    /// The job's own log is in the run folder. If it is empty, Ray may know why the job did not begin.
    fn logs(&self, handle: &Handle, log: &Path) -> String {
        let mut text = tail(log);
        if let (true, Ok(name)) = (text.is_empty(), checked(handle)) {
            let told = self.jobs().listed.get(name).map(|seen| seen.message.clone()).unwrap_or_default();
            let path = format!("/api/jobs/{name}/logs");
            let answer = self.cluster.send(Request::Get(&path)).unwrap_or_default();
            let said = answer::own_lines(answer["logs"].as_str().unwrap_or_default());
            let lines = kiln_processes::last_lines(&said, LINES);
            text = if lines.is_empty() { told } else { one_line(&lines.join(" | ")) };
        }
        kiln_processes::without_secrets(&text).into_owned()
    }

    fn own_handle(&self) -> Option<Handle> {
        env::var(JOB).ok().filter(|name| is_name(name)).map(Handle)
    }
}

#[cfg(test)]
mod tests;

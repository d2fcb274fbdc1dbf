//! What Ray says about jobs.
//!
//! Source: Ray 2.60, `JobDetails` of the Jobs REST interface.

use serde::Deserialize;
use serde_json::Value;

use super::entrypoint::NO_FOLDER;
use super::text::one_line;
use crate::engine::{JobEnd, JobState};

/// Longest name of a job.
const NAME_MAX: usize = 200;

/// What the cluster says about a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) state: JobState,
    /// The end of Ray's message, on one line.
    pub(super) message: String,
}

/// The fields of `JobDetails` that Kiln reads.
#[derive(Debug, Deserialize)]
struct Details {
    submission_id: Option<String>,
    status: String,
    message: Option<String>,
    error_type: Option<String>,
    driver_exit_code: Option<i32>,
    driver_agent_http_address: Option<String>,
}

/// Whether a text can be a name of a job that [`super::Ray`] chose. Names become parts of addresses.
pub(super) fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.starts_with("kiln-") && text.len() <= NAME_MAX && text.bytes().all(is_plain)
}

/// Reads one job. `None` for a job that this engine did not submit.
pub(super) fn job(value: &Value) -> Option<(String, Seen)> {
    let details = Details::deserialize(value).ok()?;
    let name = details.submission_id.clone().filter(|name| is_name(name))?;
    let message = details.message.as_deref().unwrap_or_default();
    let state = match details.status.as_str() {
        "PENDING" => JobState::Waiting,
        "RUNNING" => JobState::Running,
        "SUCCEEDED" => JobState::Ended(JobEnd::Exited { code: 0 }),
        "STOPPED" => JobState::Ended(JobEnd::Cancelled),
        "FAILED" => JobState::Ended(failure(&details, message)),
        _ => return None,
    };
    let message = one_line(&kiln_processes::last_lines(&own_lines(message), 1).concat());
    Some((name, Seen { state, message }))
}

/// Returns a log of Ray without the lines that Ray writes at the start of every job.
pub(super) fn own_lines(log: &str) -> String {
    let is_usual = |line: &&str| {
        line.starts_with("Running entrypoint for job ") || line.ends_with("Runtime env is setting up.")
    };
    let lines: Vec<&str> = log.lines().filter(|line| !is_usual(line)).collect();
    lines.join("\n")
}

/// Tells apart why a job failed.
fn failure(details: &Details, message: &str) -> JobEnd {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match (details.driver_exit_code, details.error_type.as_deref()) {
        (Some(NO_FOLDER), _) => {
            let said = kiln_processes::last_line(message);
            let problem =
                format!("{}; a study on Ray needs a run folder that all nodes share", one_line(said));
            JobEnd::Failed { problem }
        }
        (Some(code), _) if code < 0 => JobEnd::Killed { signal: code.saturating_neg() },
        (Some(code), _) => JobEnd::Exited { code },
        (None, Some("RUNTIME_ENV_SETUP_FAILURE")) => {
            JobEnd::Failed { problem: format!("Ray cannot set up `runtime_env`: {}", one_line(message)) }
        }
        (
            None,
            Some(
                "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"
                | "JOB_SUPERVISOR_ACTOR_START_FAILURE"
                | "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE",
            ),
        ) => JobEnd::NotStarted,
        // The process of Ray that looks after the job died, and the job with it.
        (None, _) if says(&["OUT_OF_MEMORY", "OutOfMemory", "running low on memory"]) => {
            JobEnd::Memory { bytes: None }
        }
        (None, _) if says(&["PREEMPT", "preempt"]) => JobEnd::Preempted,
        (None, _) if says(&["node has died", "node died", "node was terminated", "NODE_DIED"]) => {
            JobEnd::NodeLost { node: node(details.driver_agent_http_address.as_deref()) }
        }
        (None, _) => JobEnd::Killed { signal: 9 },
    }
}

/// Returns the host of a node's address, such as `10.0.0.2` of `http://10.0.0.2:52365`.
fn node(address: Option<&str>) -> String {
    let host = address.and_then(|address| address.split("//").nth(1)).and_then(|rest| rest.rsplit_once(':'));
    host.map_or_else(|| "unknown".to_owned(), |(host, _)| one_line(host))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "calls are shorter")]
    fn ended(more: Value) -> JobEnd {
        let mut details = json!({ "submission_id": "kiln-1", "status": "FAILED", "type": "SUBMISSION" });
        details.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        match job(&details).unwrap().1.state {
            JobState::Ended(end) => end,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn states_are_those_of_ray() {
        for (status, expected) in [
            ("PENDING", JobState::Waiting),
            ("RUNNING", JobState::Running),
            ("STOPPED", JobState::Ended(JobEnd::Cancelled)),
            ("SUCCEEDED", JobState::Ended(JobEnd::Exited { code: 0 })),
        ] {
            let seen = job(&json!({ "submission_id": "kiln-0001-ab", "status": status, "message": "m" }));
            assert_eq!(
                seen,
                Some(("kiln-0001-ab".to_owned(), Seen { state: expected, message: "m".into() }))
            );
        }
        for other in
            [json!({ "status": "RUNNING" }), json!({ "submission_id": "raysubmit_1", "status": "RUNNING" })]
        {
            assert_eq!(job(&other), None, "a job of somebody else");
        }
        assert!(!is_name("kiln-../../x") && !is_name("kiln-a b") && !is_name("kiln-a?x=1"));
    }

    /// The messages are those of Ray 2.60.
    #[test]
    fn ends_are_told_apart() {
        assert_eq!(ended(json!({ "driver_exit_code": -9 })), JobEnd::Killed { signal: 9 });
        assert_eq!(ended(json!({ "driver_exit_code": 3 })), JobEnd::Exited { code: 3 });
        let lost = ended(json!({
            "error_type": "JOB_SUPERVISOR_ACTOR_DIED",
            "message": "Job supervisor actor died: The actor died unexpectedly before finishing this task.\n\
                        The actor died because its node has died. Node Id: 1f\n\tthe actor's node was \
                        terminated unexpectedly: health check failed due to missing too many heartbeats",
            "driver_agent_http_address": "http://10.0.0.2:52365",
        }));
        assert_eq!(lost, JobEnd::NodeLost { node: "10.0.0.2".to_owned() });
        let memory = ended(json!({
            "error_type": "JOB_SUPERVISOR_ACTOR_DIED",
            "message": "Worker exit type: NODE_OUT_OF_MEMORY Worker exit detail: Task was killed due to the \
                        node running low on memory.",
        }));
        assert_eq!(memory, JobEnd::Memory { bytes: None });
        let worker = json!({
            "error_type": "JOB_SUPERVISOR_ACTOR_DIED",
            "message": "The actor is dead because its worker process has died. Worker exit type: \
                        SYSTEM_ERROR (1) the process was killed by the OOM killer due to high memory usage",
        });
        assert_eq!(ended(worker), JobEnd::Killed { signal: 9 });
        let waited = json!({ "error_type": "JOB_SUPERVISOR_ACTOR_START_TIMEOUT", "message": "m" });
        assert_eq!(ended(waited), JobEnd::NotStarted);
        let JobEnd::Failed { problem } = ended(json!({
            "driver_exit_code": NO_FOLDER,
            "message": "Job entrypoint command failed with exit code 72, last available logs (truncated to \
                        20,000 chars):\nnode-b does not see /x/jobs/0001\n",
        })) else {
            panic!("a reason")
        };
        assert!(problem.starts_with("node-b does not see /x/jobs/0001; a study on Ray needs"), "{problem}");
    }

    #[test]
    fn lines_that_every_job_has_are_left_out() {
        let log = "2026-11-30 08:34:00,1 INFO job_manager.py:1 -- Runtime env is setting up.\n\
                   Running entrypoint for job kiln-1: test -d '/x'\nnode-b does not see /x\n";
        assert_eq!(own_lines(log), "node-b does not see /x");
    }
}

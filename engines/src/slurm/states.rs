//! Reads what Slurm's programs print about jobs.

use std::collections::BTreeMap;

use crate::engine::{JobEnd, JobState};
use crate::slurm::script::NO_FOLDER;

/// What Slurm gives as signal when it cannot open the output of a job.
const CANNOT_OPEN: i32 = 53;

/// A job in a list of `squeue --format=%A|%T|%k`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Number of the job.
    pub(crate) id: u64,
    /// What it does. `None` if it ended.
    pub(crate) state: Option<JobState>,
}

/// A job as `scontrol` or `sacct` describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Described {
    /// State, such as `NODE_FAIL`.
    pub(crate) state: String,
    /// Exit code and signal.
    pub(crate) exit: (i32, i32),
    /// Its machine.
    pub(crate) node: String,
}

/// Returns the job of a state that is not an end. `None` for an end.
fn state(name: &str) -> Option<JobState> {
    match name {
        "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD" | "RESV_DEL_HOLD"
        | "SPECIAL_EXIT" => Some(JobState::Waiting),
        "RUNNING" | "COMPLETING" | "SUSPENDED" | "STOPPED" | "SIGNALING" | "STAGE_OUT" | "RESIZING" => {
            Some(JobState::Running)
        }
        _ => None,
    }
}

/// Reads a list of jobs, by their comments. Lines of other jobs are skipped.
pub(crate) fn listed(text: &str) -> BTreeMap<String, Listed> {
    let job = |line: &str| {
        let mut parts = line.trim().splitn(3, '|');
        let id = parts.next()?.parse().ok()?;
        let state = state(parts.next()?);
        Some((parts.next()?.to_owned(), Listed { id, state }))
    };
    text.lines().filter_map(job).collect()
}

/// Returns the value of a key in a line of `scontrol show job --oneliner`. The first one counts: values that
/// users choose, such as the path of the script, follow those that are read here.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

fn exit(text: &str) -> (i32, i32) {
    let (code, signal) = text.split_once(':').unwrap_or((text, "0"));
    (code.parse().unwrap_or(-1), signal.parse().unwrap_or(0))
}

impl Described {
    /// Reads the output of `scontrol show job --oneliner`. `None` if it describes no job with this comment.
    pub(crate) fn of_scontrol(text: &str, comment: &str) -> Option<Self> {
        // A path may contain a line break, but stands behind what is read here.
        let line = text.lines().next()?;
        if !text.contains(&format!(" Comment={comment} ")) {
            return None;
        }
        let node = value(line, "BatchHost").or_else(|| value(line, "NodeList")).unwrap_or("(null)");
        Some(Self {
            state: value(line, "JobState")?.to_owned(),
            exit: exit(value(line, "ExitCode").unwrap_or_default()),
            node: node.to_owned(),
        })
    }

    /// Reads a line of `sacct --format=State,ExitCode,NodeList --parsable2`.
    pub(crate) fn of_sacct(line: &str) -> Option<Self> {
        let mut parts = line.trim().splitn(3, '|');
        // A cancelled job is `CANCELLED by 1000`.
        let state = parts.next()?.split(' ').next()?.to_owned();
        let exit = exit(parts.next()?);
        let node = parts.next()?.to_owned();
        (!state.is_empty()).then_some(Self { state, exit, node })
    }

    /// Returns what the job does, or how it ended.
    pub(crate) fn job_state(&self) -> JobState {
        if let Some(state) = state(&self.state) {
            return state;
        }
        let node = || self.node.clone();
        JobState::Ended(match (self.state.as_str(), self.exit) {
            ("TIMEOUT" | "DEADLINE", _) => JobEnd::TimeLimit,
            ("OUT_OF_MEMORY", _) => JobEnd::Memory { bytes: None },
            ("NODE_FAIL" | "BOOT_FAIL", _) => JobEnd::NodeLost { node: node() },
            ("PREEMPTED", _) => JobEnd::Preempted,
            ("CANCELLED", _) => JobEnd::Cancelled,
            ("COMPLETED" | "FAILED", (NO_FOLDER, 0) | (_, CANNOT_OPEN)) => JobEnd::NoFolder { node: node() },
            ("COMPLETED" | "FAILED", (code, 0)) => JobEnd::Exited { code },
            ("COMPLETED" | "FAILED", (_, signal)) => JobEnd::Killed { signal },
            // Such as `REVOKED`: a sibling in another cluster runs.
            _ => JobEnd::Gone,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(state: &str, exit: &str) -> String {
        format!(
            "JobId=4 JobName=kiln-0001 UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=4 Nice=0 \
             JobState={state} Reason=None Requeue=0 BatchFlag=1 ExitCode={exit} RunTime=00:00:04 \
             ReqNodeList=(null) NodeList=n2 BatchHost=n2 Command=/a JobState=X ExitCode=9:9/ BatchHost=n9 \
             Comment=no/script.sh Comment=kilnabc  StdErr=/a Power= "
        )
    }

    #[test]
    fn ends_are_told_apart() {
        let node = || "n2".to_owned();
        for (state, exit, end) in [
            ("COMPLETED", "0:0", JobEnd::Exited { code: 0 }),
            ("FAILED", "7:0", JobEnd::Exited { code: 7 }),
            ("FAILED", "0:9", JobEnd::Killed { signal: 9 }),
            ("FAILED", "97:0", JobEnd::NoFolder { node: node() }),
            ("FAILED", "0:53", JobEnd::NoFolder { node: node() }),
            ("TIMEOUT", "0:15", JobEnd::TimeLimit),
            ("DEADLINE", "0:0", JobEnd::TimeLimit),
            ("OUT_OF_MEMORY", "0:125", JobEnd::Memory { bytes: None }),
            ("NODE_FAIL", "0:0", JobEnd::NodeLost { node: node() }),
            ("PREEMPTED", "0:15", JobEnd::Preempted),
            ("CANCELLED", "0:15", JobEnd::Cancelled),
            ("REVOKED", "0:0", JobEnd::Gone),
        ] {
            let described = Described::of_scontrol(&line(state, exit), "kilnabc").unwrap();
            assert_eq!(described.job_state(), JobState::Ended(end.clone()), "{state}");
            let text = format!("{state}{}|{exit}|n2", if state == "CANCELLED" { " by 0" } else { "" });
            assert_eq!(Described::of_sacct(&text), Some(described), "{state}");
        }
        let waits = Described::of_scontrol(&line("PENDING", "0:0"), "kilnabc").unwrap();
        assert_eq!(waits.job_state(), JobState::Waiting);
        let ends = Described::of_scontrol(&line("COMPLETING", "0:0"), "kilnabc").unwrap();
        assert_eq!(ends.job_state(), JobState::Running);
        let other = line("RUNNING", "0:0");
        assert_eq!(Described::of_scontrol(&other, "kilnab"), None, "the number belongs to another job");
        assert_eq!(Described::of_scontrol("slurm_load_jobs error: nothing", "kilnabc"), None);
        assert_eq!(Described::of_sacct(""), None);
    }

    #[test]
    fn lists_of_jobs_are_read() {
        let jobs =
            listed("12|RUNNING|kilna\n13|PENDING|kilnb\n14|FAILED|kilnc\n15|RUNNING\nwarning: x|y|z\n");
        let expected = [
            ("kilna", 12, Some(JobState::Running)),
            ("kilnb", 13, Some(JobState::Waiting)),
            ("kilnc", 14, None),
        ];
        let expected = expected.map(|(name, id, state)| (name.to_owned(), Listed { id, state }));
        assert_eq!(jobs, BTreeMap::from(expected));
    }
}

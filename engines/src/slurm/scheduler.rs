//! Talks to Slurm by its programs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use kiln_processes::{Ending, Program, last_lines, without_secrets};

use crate::engine::EngineError;
use crate::slurm::states::{Described, Listed, listed};

/// Limit of time of each program.
const TIME_MAX: Duration = Duration::from_mins(1);
/// Number of lines of a program's error that are shown.
const LINES: usize = 3;
/// What Slurm's programs say when the controller is busy or away for a while.
const AWAY: [&str; 8] = [
    "unable to contact slurm controller",
    "connect failure",
    "communication connection failure",
    "socket timed out",
    "temporarily unable",
    "temporarily unavailable",
    "zero bytes were transmitted",
    "connection refused",
];

/// Runs Slurm's programs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scheduler {
    /// Folder of the programs. `None` for those that the system finds.
    pub(crate) programs: Option<PathBuf>,
}

/// What a program of Slurm answered.
pub(crate) enum Answer {
    /// Its standard output.
    Text(String),
    /// It refused, for this reason.
    Refused(String),
    /// It could not reach the controller, or did not end in time.
    Away(String),
}

impl Answer {
    /// Returns the output, or the problem as an error.
    fn text(self) -> Result<String, EngineError> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Refused(problem) | Self::Away(problem) => Err(EngineError::Answer(problem)),
        }
    }
}

impl Scheduler {
    /// Runs a program to its end.
    pub(crate) fn run(&self, name: &str, arguments: &[OsString]) -> Result<Answer, EngineError> {
        let program = self.programs.as_ref().map_or_else(|| name.into(), |folder| folder.join(name).into());
        let all: Vec<OsString> = std::iter::once(program).chain(arguments.iter().cloned()).collect();
        let ran = Program::new(all, TIME_MAX).run(&AtomicBool::new(false), &mut ())?;
        let said = || {
            let err = String::from_utf8_lossy(&ran.err);
            let lines = last_lines(&without_secrets(&err), LINES).join(" | ");
            format!("`{name}`: {}", if lines.is_empty() { "it failed without a message" } else { &lines })
        };
        Ok(match ran.ending {
            Ending::Exited(status) if status.success() => {
                Answer::Text(String::from_utf8_lossy(&ran.out).into_owned())
            }
            Ending::Exited(_) => {
                let said = said();
                let lower = said.to_ascii_lowercase();
                let is_away = AWAY.iter().any(|text| lower.contains(text));
                if is_away { Answer::Away(said) } else { Answer::Refused(said) }
            }
            _ => Answer::Away(format!("`{name}` did not answer within {} s", TIME_MAX.as_secs())),
        })
    }

    /// Returns the jobs of this user that have not ended, by their comments.
    pub(crate) fn jobs(&self) -> Result<BTreeMap<String, Listed>, EngineError> {
        let arguments = ["--me", "--noheader", "--format=%A|%T|%k"].map(OsString::from);
        Ok(listed(&self.run("squeue", &arguments)?.text()?))
    }

    /// Returns what Slurm knows of a job. `None` if it does not know the job any more.
    pub(crate) fn job(
        &self,
        id: u64,
        comment: &str,
        has_accounting: bool,
    ) -> Result<Option<Described>, EngineError> {
        let arguments = ["show", "job", "--oneliner", &id.to_string()].map(OsString::from);
        let described = match self.run("scontrol", &arguments)? {
            Answer::Text(text) => Described::of_scontrol(&text, comment),
            Answer::Refused(problem) if problem.contains("Invalid job id") => None,
            other => return other.text().map(|_| None),
        };
        if described.is_some() || !has_accounting {
            return Ok(described);
        }
        let job = format!("--jobs={id}");
        let format = "--format=State,ExitCode,NodeList";
        let arguments = [&job, format, "--allocations", "--noheader", "--parsable2"].map(OsString::from);
        let text = self.run("sacct", &arguments)?.text()?;
        Ok(text.lines().next_back().and_then(Described::of_sacct))
    }

    /// Cancels a job. A job that ended stays ended.
    pub(crate) fn cancel(&self, id: u64) -> Result<(), EngineError> {
        match self.run("scancel", &[id.to_string().into()])? {
            Answer::Refused(problem) if problem.contains("Invalid job id") => Ok(()),
            answer => answer.text().map(drop),
        }
    }
}

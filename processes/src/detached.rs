//! Starts programs that go on when Kiln ends.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use crate::ProcessError;
use crate::group::Identity;

/// A program that goes on when Kiln ends or is killed.
#[derive(Clone, Debug)]
pub struct Detached {
    /// The program and its arguments.
    pub arguments: Vec<OsString>,
    /// Variables that are added to the environment of Kiln.
    pub environment: BTreeMap<String, OsString>,
    /// The file to which both outputs of the program are appended.
    pub output: PathBuf,
}

/// A program that was started and that this process can wait for.
#[derive(Debug)]
pub struct Started {
    child: Child,
    /// The program, in a form that can be stored.
    pub identity: Identity,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl Detached {
    /// Starts the program in a process group of its own, which Ctrl-C does not reach.
    ///
    /// # Errors
    /// [`ProcessError`] if the program cannot be started, or its output file not be opened.
    pub fn start(&self) -> Result<Started, ProcessError> {
        let (program, arguments) = self.arguments.split_first().ok_or(ProcessError::Empty)?;
        let failed = |source: io::Error| ProcessError::Start {
            program: program.to_string_lossy().into_owned(),
            source: Arc::new(source),
        };
        let output = OpenOptions::new().create(true).append(true).open(&self.output).map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        let mut command = Command::new(program);
        command.args(arguments).envs(&self.environment);
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(failed)?;
        Ok(Started { identity: Identity::of(&child), child })
    }
}

impl Started {
    /// Returns how the program ended, or `None` while it runs.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn exit(&mut self) -> io::Result<Option<Exit>> {
        Ok(self.child.try_wait()?.map(Exit::of))
    }

    /// Kills the program and what it started, and waits for its end.
    pub fn kill(&mut self) {
        crate::group::kill_group(self.child.id());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Exit {
    fn of(status: ExitStatus) -> Self {
        #[cfg(unix)]
        if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
            return Self::Signal(signal);
        }
        Self::Code(status.code().unwrap_or(-1))
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

    use std::thread;
    use std::time::Duration;

    use super::*;

    fn started(script: &str, output: PathBuf) -> Started {
        let arguments = ["sh", "-c", script].map(OsString::from).to_vec();
        let environment = BTreeMap::from([("KILN_WORD".to_owned(), OsString::from("a $b"))]);
        Detached { arguments, environment, output }.start().unwrap()
    }

    fn exit(started: &mut Started) -> Exit {
        for _ in 0..2000 {
            if let Some(exit) = started.exit().unwrap() {
                return exit;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the program ends");
    }

    #[test]
    fn outputs_are_appended_and_the_end_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        std::fs::write(&log, "before\n").unwrap();
        let mut one = started("echo \"$KILN_WORD\"; echo bad >&2; exit 3", log.clone());
        assert_eq!(exit(&mut one), Exit::Code(3));
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "before\na $b\nbad\n");
        let mut killed = started("kill -9 $$", log);
        assert_eq!(exit(&mut killed), Exit::Signal(9));
        assert!(!killed.identity.is_running());
    }

    #[test]
    fn running_program_is_recognized_by_its_identity() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = started("sleep 60", folder.path().join("log"));
        if one.identity.started.is_some() {
            assert!(one.identity.is_running());
            assert!(
                !Identity { started: Some(1), ..one.identity }.is_running(),
                "another program has the id"
            );
        }
        one.kill();
        assert!(!one.identity.is_running());
    }
}

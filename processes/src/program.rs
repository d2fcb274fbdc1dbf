//! Runs a program to its end, with limits.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::ProcessError;
use crate::group::{self, Identity};
use crate::output::Collected;

/// Interval between two looks at the program. It grows while the program runs, because a training of hours
/// does not need hundreds of looks each second.
const POLL: Duration = Duration::from_millis(2);
const POLL_MAX: Duration = Duration::from_millis(20);
/// Interval between two looks at the program's memory.
const MEMORY_POLL: Duration = Duration::from_millis(100);
/// Time that a program has to save its state after it was asked to end.
const GRACE: Duration = Duration::from_secs(10);

/// A program to run, with its limits.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program and its arguments.
    pub arguments: Vec<OsString>,
    /// The working folder. `None` for that of Kiln.
    pub folder: Option<PathBuf>,
    /// Variables that are added to the environment of Kiln.
    pub environment: BTreeMap<String, OsString>,
    /// Limit of time.
    pub time_max: Duration,
    /// Limit of memory of the program and all that it started, in bytes. It has no effect where
    /// [`can_measure_memory`](crate::can_measure_memory) is false.
    pub memory_max: Option<u64>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself.
    Exited(ExitStatus),
    /// The watcher asked it to end.
    Ended,
    /// Killed: it did not end in time.
    TimeOut,
    /// Killed: it used too much memory.
    Memory {
        /// The memory that it used, in bytes.
        bytes: u64,
    },
    /// Killed: the stop flag was set.
    Stopped,
}

/// A program that ran.
#[derive(Clone, Debug)]
pub struct Ran {
    /// How it ended.
    pub ending: Ending,
    /// The end of its standard output.
    pub out: Vec<u8>,
    /// The end of its error output.
    pub err: Vec<u8>,
}

/// What a watcher decides after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The program goes on.
    Continue,
    /// The program is asked to end (`SIGTERM`), and killed after ten seconds.
    End,
}

/// Watches a program while it runs.
pub trait Watcher {
    /// The program was started.
    fn started(&mut self, process: Identity) {
        let _ = process;
    }

    /// The program printed a line on standard output.
    fn line(&mut self, line: &str) -> Verdict {
        let _ = line;
        Verdict::Continue
    }
}

/// Watches nothing.
impl Watcher for () {}

impl Program {
    /// A program in Kiln's own folder and environment, without a limit of memory.
    #[must_use]
    pub const fn new(arguments: Vec<OsString>, time_max: Duration) -> Self {
        Self { arguments, folder: None, environment: BTreeMap::new(), time_max, memory_max: None }
    }

    /// Runs the program to its end. Setting `stop` kills it.
    ///
    /// # Errors
    /// [`ProcessError`] if it cannot be started, or if the system does not say whether it runs.
    pub fn run(&self, stop: &AtomicBool, watcher: &mut dyn Watcher) -> Result<Ran, ProcessError> {
        let (program, arguments) = self.arguments.split_first().ok_or(ProcessError::Empty)?;
        let shown = program.to_string_lossy().into_owned();
        let mut command = Command::new(program);
        command.args(arguments).envs(&self.environment);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        // A group of its own: what the program starts can be killed with it, and Ctrl-C reaches Kiln first.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command
            .spawn()
            .map_err(|source| ProcessError::Start { program: shown.clone(), source: Arc::new(source) })?;
        watcher.started(Identity::of(&child));
        let (lines, printed) = channel();
        let out = child.stdout.take().map(|out| Collected::of(out, Some(lines)));
        let err = child.stderr.take().map(|err| Collected::of(err, None));
        let ending = self.wait(&mut child, stop, &printed, watcher);
        if !matches!(ending, Ok(Ending::Exited(_))) {
            kill(&mut child);
        }
        let [out, err] = [out, err].map(|output| output.map(Collected::bytes).unwrap_or_default());
        let ending =
            ending.map_err(|source| ProcessError::Wait { program: shown, source: Arc::new(source) })?;
        if matches!(ending, Ending::Exited(_)) {
            // The output is closed by now, so these are the lines that arrived with the end.
            for line in printed.try_iter() {
                let _ = watcher.line(&line);
            }
        }
        Ok(Ran { ending, out, err })
    }

    fn wait(
        &self,
        child: &mut Child,
        stop: &AtomicBool,
        printed: &Receiver<String>,
        watcher: &mut dyn Watcher,
    ) -> std::io::Result<Ending> {
        let begin = Instant::now();
        let (mut poll, mut looked) = (POLL, begin);
        // When a program that was asked to end is killed.
        let mut asked: Option<Instant> = None;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(if asked.is_some() { Ending::Ended } else { Ending::Exited(status) });
            }
            if stop.load(Ordering::SeqCst) {
                return Ok(Ending::Stopped);
            }
            match asked {
                Some(asked) if asked.elapsed() >= GRACE => return Ok(Ending::Ended),
                None if begin.elapsed() >= self.time_max => return Ok(Ending::TimeOut),
                _ => {}
            }
            if let Some(limit) = self.memory_max.filter(|_| looked.elapsed() >= MEMORY_POLL) {
                looked = Instant::now();
                if let Some(bytes) = group::memory_above(child.id(), limit) {
                    return Ok(Ending::Memory { bytes });
                }
            }
            match printed.recv_timeout(poll) {
                Ok(line) => {
                    if asked.is_none() && watcher.line(&line) == Verdict::End {
                        group::terminate_group(child.id());
                        asked = Some(Instant::now());
                    }
                }
                Err(RecvTimeoutError::Timeout) => poll = (poll * 2).min(POLL_MAX),
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::sleep(poll);
                    poll = (poll * 2).min(POLL_MAX);
                }
            }
        }
    }
}

/// Kills a program and, where the system can, what it started.
fn kill(child: &mut Child) {
    group::kill_group(child.id());
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn shell(script: &str) -> Program {
        Program::new(["sh", "-c", script].map(OsString::from).to_vec(), LONG)
    }

    fn run(program: &Program, watcher: &mut dyn Watcher) -> Ran {
        program.run(&AtomicBool::new(false), watcher).unwrap()
    }

    /// Collects lines, and ends the program at one of them.
    #[derive(Default)]
    struct Lines(Vec<String>, Option<&'static str>, Option<Identity>);

    impl Watcher for Lines {
        fn started(&mut self, process: Identity) {
            self.2 = Some(process);
        }

        fn line(&mut self, line: &str) -> Verdict {
            self.0.push(line.to_owned());
            if self.1 == Some(line) { Verdict::End } else { Verdict::Continue }
        }
    }

    #[test]
    fn program_runs_in_its_folder_with_its_environment() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = shell("pwd -P; echo \"$KILN_WORD\"; echo bad >&2; exit 3");
        program.folder = Some(folder.path().to_owned());
        program.environment.insert("KILN_WORD".to_owned(), "a 'b' $c".into());
        let mut lines = Lines::default();
        let ran = run(&program, &mut lines);
        assert!(matches!(ran.ending, Ending::Exited(status) if status.code() == Some(3)));
        let place = folder.path().canonicalize().unwrap();
        assert_eq!(lines.0, [place.to_str().unwrap(), "a 'b' $c"]);
        assert_eq!(ran.err, b"bad\n");
    }

    #[test]
    fn every_line_reaches_the_watcher() {
        let mut lines = Lines::default();
        let ran = run(&shell("i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done"), &mut lines);
        assert!(matches!(ran.ending, Ending::Exited(_)));
        assert_eq!(lines.0, (0..500).map(|line| format!("line {line}")).collect::<Vec<_>>());
    }

    #[test]
    fn watcher_ends_a_program_which_may_save_its_state() {
        let folder = tempfile::tempdir().unwrap();
        let saved = folder.path().join("saved");
        let script = format!(
            "trap 'echo > \"{}\"; exit' TERM; echo one; echo two; while :; do sleep 0.05; done",
            saved.display()
        );
        let mut lines = Lines(Vec::new(), Some("two"), None);
        let begin = Instant::now();
        assert_eq!(run(&shell(&script), &mut lines).ending, Ending::Ended);
        assert!(saved.exists() && begin.elapsed() < GRACE, "{:?}", begin.elapsed());
    }

    #[test]
    fn hanging_program_is_killed_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let alive = folder.path().join("alive");
        let mut program = shell(&format!("(sleep 2; echo > '{}') & sleep 60", alive.display()));
        program.time_max = Duration::from_millis(300);
        assert_eq!(run(&program, &mut ()).ending, Ending::TimeOut);
        std::thread::sleep(Duration::from_millis(2500));
        assert!(!alive.exists());
    }

    #[test]
    fn program_above_its_memory_is_killed() {
        if !group::can_measure_memory() {
            eprintln!("skipped: this system does not say how much memory a program uses");
            return;
        }
        // The shell's variable takes 64 MB, in a child of the program.
        let script = "(x=$(head -c 64000000 /dev/zero | tr '\\0' x); sleep 60)";
        let mut program = shell(script);
        program.memory_max = Some(32 << 20);
        let Ending::Memory { bytes } = run(&program, &mut ()).ending else { panic!("the program is killed") };
        assert!(bytes > 32 << 20, "{bytes}");
        let mut small = shell("sleep 0.5");
        small.memory_max = Some(1 << 30);
        assert!(matches!(run(&small, &mut ()).ending, Ending::Exited(_)));
    }

    #[test]
    fn group_of_an_earlier_process_is_ended_by_its_identity() {
        if !group::can_measure_memory() {
            eprintln!("skipped: this system has no process table that can be read");
            return;
        }
        let mut lines = Lines::default();
        run(&shell("(sleep 60 >/dev/null 2>&1 &) ; echo started"), &mut lines);
        let process = lines.2.unwrap();
        assert!(process.end(), "the child of the program still runs");
        assert!(!process.end());
        assert!(!Identity { started: None, ..process }.end());
    }

    #[test]
    fn missing_program_is_an_error() {
        let program = Program::new(vec!["/no/such/program".into()], LONG);
        let error = program.run(&AtomicBool::new(false), &mut ()).unwrap_err().to_string();
        assert!(error.starts_with("`/no/such/program` cannot be started ("), "{error}");
        let stopped = shell("sleep 60").run(&AtomicBool::new(true), &mut ()).unwrap();
        assert_eq!(stopped.ending, Ending::Stopped);
    }
}

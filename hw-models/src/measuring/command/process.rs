//! Runs a program to its end, with a time limit.

use std::ffi::OsString;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::error::CommandError;
use super::output::{last_line, shortened};
use crate::measuring::runtime::RuntimeError;

/// Bytes of an output that are kept. The rest is read and dropped, so that the program does not wait.
const OUTPUT_MAX: usize = 1 << 20;
/// Interval between two looks at the program.
const POLL: Duration = Duration::from_millis(2);
/// Time that outputs may stay open after the program ended: a program that it started may hold them.
const OPEN_MAX: Duration = Duration::from_secs(1);

/// Runs a program with its arguments, and returns what it printed on standard output.
///
/// # Errors
/// [`RuntimeError::Unusable`] when the program cannot be started, [`RuntimeError::Network`] when it fails or
/// does not end in time, [`RuntimeError::Stopped`] when `stop` is set.
pub(super) fn run(
    arguments: &[OsString],
    limit: Duration,
    stop: &AtomicBool,
) -> Result<Vec<u8>, RuntimeError> {
    let (program, arguments) =
        arguments.split_first().ok_or_else(|| RuntimeError::unusable(CommandError::Empty))?;
    let shown = program.to_string_lossy().into_owned();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own: what the program starts can be killed with it, and Ctrl-C reaches Kiln first.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().map_err(|error| {
        RuntimeError::unusable(CommandError::Start { program: shown.clone(), source: Arc::new(error) })
    })?;
    let out = child.stdout.take().map(Collected::of);
    let err = child.stderr.take().map(Collected::of);
    let status = match wait(&mut child, limit, stop) {
        Ok(status) => status,
        Err(error) => {
            kill(&mut child);
            return Err(error.unwrap_or_else(|| {
                let seconds = limit.as_secs();
                RuntimeError::network(CommandError::TimeOut { program: shown, seconds })
            }));
        }
    };
    let [out, err] = [out, err].map(|output| output.map(Collected::bytes).unwrap_or_default());
    if status.success() {
        return Ok(out);
    }
    let texts = [err, out].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let said = texts.iter().map(|text| last_line(text)).find(|line| !line.is_empty()).unwrap_or_default();
    let (status, said) = (status.to_string(), shortened(said));
    Err(RuntimeError::network(CommandError::Failed { program: shown, status, said }))
}

/// Waits for the end. `Err(None)` when the limit has passed.
fn wait(child: &mut Child, limit: Duration, stop: &AtomicBool) -> Result<ExitStatus, Option<RuntimeError>> {
    let begin = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => {}
            Err(error) => return Err(Some(RuntimeError::network(error))),
        }
        if stop.load(Ordering::SeqCst) {
            return Err(Some(RuntimeError::Stopped));
        }
        if begin.elapsed() >= limit {
            return Err(None);
        }
        thread::sleep(POLL);
    }
}

/// Kills a program and, where the system can, what it started.
fn kill(child: &mut Child) {
    #[cfg(unix)]
    {
        // If the group is gone already, there is nothing to kill.
        let _ = rustix::process::kill_process_group(
            rustix::process::Pid::from_child(child),
            rustix::process::Signal::KILL,
        );
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// An output that a thread reads.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    end: Receiver<()>,
}

impl Collected {
    fn of(mut output: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (ended, end) = channel();
        let kept = Arc::clone(&bytes);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut piece) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let room = OUTPUT_MAX.saturating_sub(kept.len()).min(count);
                kept.extend_from_slice(&piece[..room]);
            }
            let _ = ended.send(());
        });
        Self { bytes, end }
    }

    /// What was printed until the output was closed, or soon after the program ended.
    fn bytes(self) -> Vec<u8> {
        let _ = self.end.recv_timeout(OPEN_MAX);
        std::mem::take(&mut self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

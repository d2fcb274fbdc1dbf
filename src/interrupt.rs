//! Handles signals. The first Ctrl-C stops the study after the current work is saved. The second Ctrl-C ends
//! the process immediately. With `--detach`, the first one already does. Exceeding a file size limit becomes
//! a write error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use crate::exit::Exit;
#[cfg(unix)]
use crate::inherited;
use crate::{output, tui};

/// A stop flag. The first Ctrl-C, `SIGTERM` or a key in the terminal UI sets the flag. A second signal ends
/// the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopFlag {
    is_set: Arc<AtomicBool>,
    /// Whether the first signal ends the process, and its jobs go on.
    detaches: bool,
}

impl StopFlag {
    /// Creates the flag and installs the signal handlers. Signals that were ignored when the process started
    /// stay ignored.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        Self::default().listening()
    }

    /// Like [`Self::listen`], but the first signal ends the process and leaves its jobs running.
    pub(crate) fn detaching() -> anyhow::Result<Self> {
        Self { detaches: true, ..Self::default() }.listening()
    }

    fn listening(self) -> anyhow::Result<Self> {
        let stop = self;
        #[cfg(unix)]
        stop.listen_to_signals().context("cannot listen for signals")?;
        #[cfg(unix)]
        if inherited::is_ignored(signal_hook::consts::SIGINT) {
            return Ok(stop);
        }
        let handler = stop.clone();
        let set = ctrlc::set_handler(move || handler.set()).map_err(|error| match error {
            // The cause remains an `io::Error`, so that `exit.rs` can find advice for it.
            ctrlc::Error::System(source) => source.into(),
            other => anyhow::Error::from(other),
        });
        set.context("cannot listen for Ctrl-C")?;
        Ok(stop)
    }

    /// Returns the flag that the study reads.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_set)
    }

    fn set(&self) {
        if self.is_set.swap(true, Ordering::SeqCst) || self.detaches {
            tui::restore();
            if self.detaches {
                output::begin_line();
                output::say("detached: jobs go on; run the same command again to take them over");
            }
            std::process::exit(i32::from(Exit::Interrupted.number()));
        }
        if !tui::is_shown() {
            output::begin_line();
            output::say("stopping: running work is finished and kept; interrupt again to stop at once");
        }
    }

    #[cfg(unix)]
    fn listen_to_signals(&self) -> std::io::Result<()> {
        use signal_hook::consts::{SIGHUP, SIGTERM};
        use signal_hook::iterator::Signals;

        let heard: Vec<i32> =
            [SIGTERM, SIGHUP].into_iter().filter(|signal| !inherited::is_ignored(*signal)).collect();
        if heard.is_empty() {
            return Ok(());
        }
        let mut signals = Signals::new(heard)?;
        let stop = self.clone();
        let listen = move || {
            for signal in signals.forever() {
                // A study with a terminal UI continues when its terminal is closed. `kiln watch` can show the
                // study later.
                if signal != SIGHUP || !tui::was_shown() {
                    stop.set();
                }
            }
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map(|_| ())
    }
}

/// Makes writes beyond the file size limit (`ulimit -f`) fail like writes to a full disk. Otherwise, the
/// signal `SIGXFSZ` would end the process during a write.
pub(crate) fn survive_long_files() {
    #[cfg(unix)]
    {
        use signal_hook::consts::SIGXFSZ;
        if !inherited::is_ignored(SIGXFSZ) {
            // If the handler cannot be installed, the signal ends the process. The next run then resumes the
            // study.
            let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
        }
    }
}

/// Returns a flag that is set when the terminal is closed. Commands that only show something use this flag.
pub(crate) fn hang_up() -> Arc<AtomicBool> {
    let closed = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    {
        use signal_hook::consts::SIGHUP;
        if !inherited::is_ignored(SIGHUP) {
            // If the handler cannot be installed, the signal ends the process. Ending this process is
            // harmless, because the process only reads.
            let _ = signal_hook::flag::register(SIGHUP, Arc::clone(&closed));
        }
    }
    closed
}

impl tui::Stop for StopFlag {
    fn request(&self) {
        self.set();
    }

    fn requested(&self) -> bool {
        self.is_set.load(Ordering::SeqCst)
    }
}

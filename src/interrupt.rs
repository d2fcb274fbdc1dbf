//! Ctrl-C: once stops the study in good order, twice at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use crate::exit::Exit;
use crate::{output, tui};

/// A flag that is set by the first Ctrl-C, `SIGTERM` or request of the screen; the second ends the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// A flag that signals set from now on.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let stop = Self::default();
        let handler = stop.clone();
        ctrlc::set_handler(move || handler.set()).context("cannot listen for Ctrl-C")?;
        #[cfg(unix)]
        stop.listen_to_signals().context("cannot listen for signals")?;
        Ok(stop)
    }

    /// What the study looks at.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    fn set(&self) {
        if self.0.swap(true, Ordering::SeqCst) {
            tui::restore();
            std::process::exit(i32::from(Exit::Interrupted.number()));
        }
        if !tui::is_shown() {
            output::say("\nstopping: what is running is finished and kept; once more to stop at once");
        }
    }

    #[cfg(unix)]
    fn listen_to_signals(&self) -> std::io::Result<()> {
        use signal_hook::consts::{SIGHUP, SIGTERM};
        use signal_hook::iterator::Signals;

        let mut signals = Signals::new([SIGTERM, SIGHUP])?;
        let stop = self.clone();
        let listen = move || {
            for signal in signals.forever() {
                // A study with a screen goes on when its terminal is closed: `kiln watch` shows it again.
                if signal != SIGHUP || !tui::was_shown() {
                    stop.set();
                }
            }
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map(|_| ())
    }
}

impl tui::Stop for StopFlag {
    fn request(&self) {
        self.set();
    }

    fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

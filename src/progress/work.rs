//! Progress of a command's own work, as lines.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kiln_export::plain_text;
use kiln_search::Progress;

use crate::output;

/// Minimum interval between two lines of one stage.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Prints a line when a stage begins, and then from time to time.
pub(crate) struct WorkLines {
    stop: Arc<AtomicBool>,
    said: Mutex<Option<(String, Instant)>>,
}

impl WorkLines {
    /// `stop` is set when the user interrupts the work.
    pub(crate) fn new(stop: Arc<AtomicBool>) -> Self {
        Self { stop, said: Mutex::new(None) }
    }
}

impl Progress for WorkLines {
    fn report(&self, stage: &str, done: u64, total: u64, note: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = match &*said {
            Some((last, at)) => last != stage || at.elapsed() >= LINE_EVERY,
            None => true,
        };
        if is_due && done < total {
            *said = Some((stage.to_owned(), Instant::now()));
            output::say(&format!("{}: {done} of {total}  {}", plain_text(stage), plain_text(note)));
        }
    }

    fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn warn(&self, message: &str) {
        output::say(&format!("warning: {}", plain_text(message)));
    }
}

//! The observer that turns a study's events into points and passes them to its trackers.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use kiln_search::{Event, JournalReader, Observer, Seconds};

use crate::point::Point;
use crate::series::{Gauge, Moment, Series, Source};
use crate::tracker::{Ending, TrackedStudy, Tracker, Warn};

/// Passes the points of a study to its trackers. Dropping it ends the tracking.
pub struct Tracking {
    series: Series,
    trackers: Vec<Box<dyn Tracker>>,
    /// When this process began, and how long earlier processes had run the study by then.
    began: Instant,
    before: Seconds,
    is_ended: bool,
}

impl Tracking {
    /// Begins to track a study whose run folder is locked. If the folder has a journal, trackers receive what
    /// earlier processes recorded there. So a tracker may also begin in the middle of a study.
    ///
    /// A tracker that cannot begin is left out, and `warn` states the reason.
    #[must_use]
    pub fn begin(
        trackers: Vec<Box<dyn Tracker>>,
        study: &TrackedStudy,
        gauge: Box<dyn Gauge>,
        warn: &Warn,
    ) -> Self {
        let mut begun = Vec::new();
        for mut tracker in trackers {
            match tracker.begin(study, warn) {
                Ok(()) => begun.push(tracker),
                Err(error) => warn(&format!("{}: {error}; the study goes on without it", tracker.name())),
            }
        }
        let mut tracking = Self {
            series: Series::new(&study.objectives, gauge),
            trackers: begun,
            began: Instant::now(),
            before: Seconds::default(),
            is_ended: false,
        };
        tracking.catch_up(study);
        tracking.began = Instant::now();
        tracking
    }

    /// Reads the journal of earlier processes. A journal that cannot be read stops the study itself, so its
    /// errors need no message here.
    fn catch_up(&mut self, study: &TrackedStudy) {
        let Ok(mut journal) = JournalReader::of_run(&study.paths) else { return };
        while let Ok(Some(entry)) = journal.next_entry() {
            let moment = Moment { unix_s: entry.unix_s.get(), elapsed: entry.elapsed_s };
            self.before = self.before.max(entry.elapsed_s);
            let points = self.series.see(&entry.event, moment, Source::Journal);
            self.pass(&points);
        }
    }

    fn pass(&mut self, points: &[Point]) {
        if points.is_empty() {
            return;
        }
        for tracker in &mut self.trackers {
            tracker.take(points);
        }
    }
}

/// Seconds since the Unix epoch.
fn unix_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

impl Observer for Tracking {
    fn on_event(&mut self, event: &Event) {
        match event {
            Event::Started { .. } => self.is_ended = false,
            Event::Ended => self.is_ended = true,
            _ => {}
        }
        let elapsed = self.before.saturating_add(self.began.elapsed().into());
        let points = self.series.see(event, Moment { unix_s: unix_s(), elapsed }, Source::Study);
        self.pass(&points);
    }

    fn on_number(&mut self, stage: &str, step: u64, name: &str, value: f64) {
        let points = self.series.number(stage, step, (name, value), unix_s());
        self.pass(&points);
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        let ending = if self.is_ended { Ending::Finished } else { Ending::Stopped };
        for tracker in &mut self.trackers {
            tracker.end(ending);
        }
    }
}

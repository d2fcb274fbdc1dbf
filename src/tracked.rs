//! Trackers of a study that this process runs: what they need from the program, and their warnings.

use std::sync::{Arc, Mutex, PoisonError};

use kiln::config::RunConfig;
use kiln_search::{Event, Observer, RunPaths, Study, Trial};
use kiln_trackers::{Gauge, TrackedStudy, Tracker, Tracking};

use crate::output;
use crate::volume::{self, Volume};

/// Warnings of trackers that were not shown yet. Trackers have threads of their own, and only the screen may
/// write to a terminal while it is open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn add(&self, message: &str) {
        tracing::warn!("{message}");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(message.to_owned());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Prints what was not shown. Call this when no screen is open.
    pub(crate) fn say(&self) {
        for message in self.take() {
            output::say(&format!("warning: {message}"));
        }
    }
}

/// Lets trackers observe a study whose run folder is locked. The observers that the study already has show
/// the trackers' warnings. Without trackers, this changes nothing.
pub(crate) fn track(
    study: &mut Study,
    trackers: Vec<Box<dyn Tracker>>,
    paths: &RunPaths,
    config: &RunConfig,
) -> Warnings {
    let warnings = Warnings::default();
    if trackers.is_empty() {
        return warnings;
    }
    for observer in std::mem::take(&mut study.observers) {
        study.observers.push(Box::new(Warned { warnings: warnings.clone(), observer }));
    }
    let tracked = TrackedStudy {
        name: config.study.name.clone(),
        paths: paths.clone(),
        config: config.document.root().clone(),
        config_text: config.document.to_toml(),
        objectives: study.objectives.clone(),
        version: env!("CARGO_PKG_VERSION"),
    };
    let gauge = Hypervolume(Volume::new(volume::limits(&study.objectives, &study.constraints)));
    let warn = warnings.clone();
    let warn: kiln_trackers::Warn = Arc::new(move |message: &str| warn.add(message));
    study.observers.push(Box::new(Tracking::begin(trackers, &tracked, Box::new(gauge), &warn)));
    warnings
}

/// Shows the warnings of trackers before the next event.
struct Warned {
    warnings: Warnings,
    observer: Box<dyn Observer>,
}

impl Observer for Warned {
    fn on_event(&mut self, event: &Event) {
        for message in self.warnings.take() {
            self.observer.on_event(&Event::Warning { message });
        }
        self.observer.on_event(event);
    }

    fn on_number(&mut self, stage: &str, step: u64, name: &str, value: f64) {
        self.observer.on_number(stage, step, name, value);
    }
}

/// The hypervolume that the screen and the report show.
struct Hypervolume(Volume);

impl Gauge for Hypervolume {
    fn see(&mut self, number: usize, trial: &Trial) {
        self.0.add(number, trial);
    }

    fn percent(&mut self) -> Option<f64> {
        self.0.share()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

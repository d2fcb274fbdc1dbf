//! How long a study has worked in each of its stages, over all processes.

use crate::{Event, StageSeconds};

/// Stages by name of their progress.
const SEARCH: &str = "search";
const FINISH: [&str; 2] = ["finish", "network"];

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    Prepare,
    Search,
    Finish,
}

/// Adds up the time between entries: it was spent in the stage of the later one.
#[derive(Debug, Default)]
pub(super) struct StageClock {
    stage: Stage,
    since: f64,
    pub(super) seconds: StageSeconds,
}

impl StageClock {
    /// An entry was written after so many seconds of work on the study.
    pub(super) fn pass(&mut self, elapsed_s: f64, event: &Event) {
        self.stage = match event {
            Event::Trial { .. } | Event::Searched { .. } => Stage::Search,
            Event::Finished { .. } => Stage::Finish,
            Event::Progress { stage, .. } if stage == SEARCH => Stage::Search,
            Event::Progress { stage, .. } if FINISH.contains(&stage.as_str()) => Stage::Finish,
            Event::Started { .. } | Event::Prepared { .. } | Event::Progress { .. } => Stage::Prepare,
            _ => self.stage,
        };
        let passed = elapsed_s - self.since;
        if passed > 0.0 && passed.is_finite() {
            *match self.stage {
                Stage::Prepare => &mut self.seconds.prepare,
                Stage::Search => &mut self.seconds.search,
                Stage::Finish => &mut self.seconds.finish,
            } += passed;
            self.since = elapsed_s;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_belongs_to_the_stage_of_the_entry_that_ends_it() {
        let progress =
            |stage: &str| Event::Progress { stage: stage.to_owned(), done: 1, total: 2, note: String::new() };
        let mut clock = StageClock::default();
        for (elapsed_s, event) in [
            (0.0, Event::Started { study: "a".to_owned(), resumed: 0, trials: Some(4) }),
            (2.0, progress("supernet")),
            (3.0, Event::Prepared { fingerprint: "f".to_owned(), full_epochs: 0 }),
            (7.0, progress("search")),
            (8.0, Event::Warning { message: String::new() }),
            (9.0, Event::Searched { trials: 4, front: Vec::new() }),
            (14.0, progress("network")),
            (15.0, Event::Ended),
            // A clock that went back, and one that never was.
            (12.0, Event::Ended),
            (f64::NAN, Event::Ended),
            (16.0, Event::Started { study: "a".to_owned(), resumed: 4, trials: Some(4) }),
        ] {
            clock.pass(elapsed_s, &event);
        }
        let StageSeconds { prepare, search, finish } = clock.seconds;
        assert!((prepare - 4.0).abs() < 1e-9 && (search - 6.0).abs() < 1e-9 && (finish - 6.0).abs() < 1e-9);
    }
}

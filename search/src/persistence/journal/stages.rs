//! The time that a study has spent in each of its stages, summed over all processes.

use serde::{Deserialize, Serialize};

use crate::contracts::Event;
use crate::trials::Seconds;

/// Names of the progress stages after the preparation.
const SEARCH: &str = "search";
const FINISH: [&str; 3] = ["finish", "network", "measure"];

/// Time spent in each stage of a study, summed over all processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageSeconds {
    /// Time of preparing data and supernet.
    pub prepare: Seconds,
    /// Time of searching.
    pub search: Seconds,
    /// Time of finishing networks.
    pub finish: Seconds,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Prepare,
    Search,
    Finish,
}

/// Adds up the time between entries. The time between two entries counts for the stage of the later entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageClock {
    stage: Stage,
    since: Seconds,
}

impl StageClock {
    /// Processes an entry that was written when the study had run for `elapsed`. Adds the time since the
    /// previous entry to `spent`.
    pub fn pass(&mut self, elapsed: Seconds, event: &Event, spent: &mut StageSeconds) {
        self.stage = match event {
            Event::Trial { .. } | Event::Searched { .. } => Stage::Search,
            Event::Finished { .. } | Event::Measured { .. } => Stage::Finish,
            Event::Progress { stage, .. } if stage == SEARCH => Stage::Search,
            Event::Progress { stage, .. } if FINISH.contains(&stage.as_str()) => Stage::Finish,
            Event::Started { .. }
            | Event::Prepared { .. }
            | Event::Health { .. }
            | Event::Progress { .. } => Stage::Prepare,
            _ => self.stage,
        };
        if elapsed > self.since {
            let spent = match self.stage {
                Stage::Prepare => &mut spent.prepare,
                Stage::Search => &mut spent.search,
                Stage::Finish => &mut spent.finish,
            };
            *spent = spent.saturating_add(elapsed.since(self.since));
            self.since = elapsed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_between_entries_belongs_to_the_stage_of_the_later_one() {
        let progress =
            |stage: &str| Event::Progress { stage: stage.to_owned(), done: 1, total: 2, note: String::new() };
        let (mut clock, mut spent) = (StageClock::default(), StageSeconds::default());
        for (elapsed_s, event) in [
            (0.0, Event::Started { study: "a".to_owned(), resumed: 0, trials: Some(4) }),
            (2.0, progress("supernet")),
            (3.0, Event::Prepared { fingerprint: "f".to_owned(), full_epochs: 0 }),
            (7.0, progress("search")),
            (8.0, Event::Warning { message: String::new() }),
            (9.0, Event::Searched { trials: 4, front: Vec::new() }),
            (14.0, progress("network")),
            (15.0, Event::Ended),
            // At this entry, the clock was set back.
            (12.0, Event::Ended),
            (16.0, Event::Started { study: "a".to_owned(), resumed: 4, trials: Some(4) }),
        ] {
            clock.pass(Seconds::saturating(elapsed_s), &event, &mut spent);
        }
        let StageSeconds { prepare, search, finish } = spent;
        assert_eq!([prepare, search, finish], [4.0, 6.0, 6.0].map(Seconds::saturating));
    }
}

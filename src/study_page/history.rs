//! Collects statistics from the journal entries that do not record trials. Entries are processed one by one,
//! because the entries of a long study do not fit in memory.

use std::collections::BTreeMap;

use kiln_search::{Event, JournalEntry, Seconds};

/// Number of stages: prepare, search, finish.
pub(super) const STAGES: usize = 3;
/// Names of the stages that report training losses.
pub(super) const TRAINING_STAGES: [&str; 2] = ["supernet", "network"];
/// Maximum number of warnings that are kept.
const WARNINGS: usize = 200;

/// Statistics from the journal entries that do not record trials.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct History {
    /// Working time of each stage.
    pub(super) stages: [Seconds; STAGES],
    /// The current stage, and the study's elapsed time at the last journal entry.
    at: (usize, Seconds),
    /// Number of candidate genotypes, and number of infeasible ones among them.
    pub(super) rejections: Option<(u64, u64)>,
    /// The first warnings in the journal, at most `WARNINGS`.
    pub(super) warnings: Vec<String>,
    /// Losses by the name of the reporting stage, in the order of the reports.
    pub(super) losses: BTreeMap<&'static str, Vec<Loss>>,
}

/// A loss that a training reported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Loss {
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) value: f64,
}

impl History {
    /// Processes the next entry.
    pub(crate) fn see(&mut self, entry: &JournalEntry) {
        let (stage, since) = &mut self.at;
        let now = entry.elapsed_s.max(*since);
        // The health check belongs to the stage `prepare`, although its entry follows the event `Prepared`.
        let spent_in = if matches!(entry.event, Event::Health { .. }) { 0 } else { *stage };
        self.stages[spent_in] = self.stages[spent_in].saturating_add(now.since(*since));
        *since = now;
        match &entry.event {
            Event::Started { .. } => *stage = 0,
            Event::Prepared { .. } => *stage = 1,
            Event::Searched { .. } => *stage = 2,
            Event::Rejections { candidates, rejected } => self.rejections = Some((*candidates, *rejected)),
            Event::Warning { message } if self.warnings.len() < WARNINGS => {
                self.warnings.push(message.clone());
            }
            Event::Progress { stage, done, total, note } => {
                let stage = TRAINING_STAGES.into_iter().find(|known| known == stage);
                if let (Some(stage), Some(value)) = (stage, loss(note)) {
                    self.losses.entry(stage).or_default().push(Loss { done: *done, total: *total, value });
                }
            }
            _ => {}
        }
    }
}

/// Parses the loss from a note such as `loss 0.1234`.
fn loss(note: &str) -> Option<f64> {
    let (_, rest) = note.split_once("loss ")?;
    rest.split([' ', ',']).next()?.parse().ok()
}

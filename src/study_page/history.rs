//! What the page needs of the journal's lines that are no trials. It is taken in line by line: a long study
//! has too many lines to keep.

use std::collections::BTreeMap;

use kiln_search::{Event, JournalEntry, Seconds};

/// Stages of a study: prepare, search, finish.
pub(super) const STAGES: usize = 3;
/// Stages that report losses.
pub(super) const TRAINING_STAGES: [&str; 2] = ["supernet", "network"];
/// Warnings that are kept.
const WARNINGS: usize = 200;

/// What happened beside the trials.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct History {
    /// Time that processes worked in each stage.
    pub(super) stages: [Seconds; STAGES],
    /// The stage at hand, and the study's time of the last entry.
    at: (usize, Seconds),
    /// Candidates looked at, and of them infeasible.
    pub(super) rejections: Option<(u64, u64)>,
    /// The first warnings.
    pub(super) warnings: Vec<String>,
    /// Losses that a stage reported, in order.
    pub(super) losses: BTreeMap<&'static str, Vec<Loss>>,
}

/// A loss while something trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Loss {
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) value: f64,
}

impl History {
    /// Takes in the next entry.
    pub(crate) fn see(&mut self, entry: &JournalEntry) {
        let (stage, since) = &mut self.at;
        let now = entry.elapsed_s.max(*since);
        // The check of shared weights belongs to preparing, and comes after `Prepared`.
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

/// The loss in a note such as `loss 0.1234`.
fn loss(note: &str) -> Option<f64> {
    let (_, rest) = note.split_once("loss ")?;
    rest.split([' ', ',']).next()?.parse().ok()
}

//! The series of a study: which numbers follow from its events.
//!
//! Points follow from events alone. A study that is resumed tells its trials again and so gives the same
//! points again.

mod thinning;

use std::collections::BTreeMap;

use kiln_search::{Event, Fidelity, Finished, Outcome, Seconds, StageClock, StageSeconds, Trial, TrialId};

pub(crate) use self::thinning::Detail;
use self::thinning::Thinning;
use crate::point::Point;

/// Stages of trainings, as evaluators report them.
const SUPERNET: &str = "supernet";
const NETWORK: &str = "network";
/// The stage that announces which network is finished next.
const FINISH: &str = "finish";

/// Measures the hypervolume of the trials so far.
pub trait Gauge: Send {
    /// Adds trial `number`, counted from 1 in the order in which trials are reported.
    fn see(&mut self, number: usize, trial: &Trial);

    /// Returns the hypervolume in percent. Returns `None` as long as there is none.
    fn percent(&mut self) -> Option<f64>;

    /// Forgets all trials.
    fn clear(&mut self);
}

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The journal of an earlier process. Its trials are not in the order in which they are reported, and
    /// the study reports them again.
    Journal,
    /// The running study.
    Study,
}

/// When an event happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Seconds since the Unix epoch.
    pub(crate) unix_s: f64,
    /// Time for which processes have run the study.
    pub(crate) elapsed: Seconds,
}

/// Turns events into points.
pub(crate) struct Series {
    objectives: Vec<String>,
    gauge: Box<dyn Gauge>,
    thinning: Thinning,
    /// Number of trials that were reported, and how many of these failed.
    told: u64,
    failed: u64,
    /// Lowest value of each objective among feasible trials of the highest fidelity.
    best: Vec<f64>,
    fidelity: Option<Fidelity>,
    /// When the trials in the journal ended, in seconds since the Unix epoch.
    times: BTreeMap<TrialId, f64>,
    clock: StageClock,
    spent: StageSeconds,
    /// How often the study was started.
    starts: u64,
    /// The trial whose network is being finished.
    finishing: Option<TrialId>,
    finished: BTreeMap<TrialId, Finished>,
    /// Number of finished networks, including those that were finished again.
    networks: u64,
}

impl Series {
    pub(crate) fn new(objectives: &[String], gauge: Box<dyn Gauge>) -> Self {
        Self {
            objectives: objectives.to_vec(),
            gauge,
            thinning: Thinning::default(),
            told: 0,
            failed: 0,
            best: Vec::new(),
            fidelity: None,
            times: BTreeMap::new(),
            clock: StageClock::default(),
            spent: StageSeconds::default(),
            starts: 0,
            finishing: None,
            finished: BTreeMap::new(),
            networks: 0,
        }
    }

    /// Returns the points that follow from the next event.
    pub(crate) fn see(&mut self, event: &Event, moment: Moment, source: Source) -> Vec<Point> {
        let unix_s = moment.unix_s;
        self.clock.pass(moment.elapsed, event, &mut self.spent);
        let StageSeconds { prepare, search, finish } = self.spent;
        match event {
            Event::Started { .. } => self.starts += 1,
            Event::Prepared { .. } => return self.seconds("seconds/prepare", prepare, unix_s),
            Event::Searched { .. } => {
                let seconds = self.seconds("seconds/search", search, unix_s);
                return [seconds, self.totals(unix_s, Detail::All)].concat();
            }
            Event::Ended => return self.seconds("seconds/finish", finish, unix_s),
            Event::Progress { stage, note, .. } if stage == FINISH => {
                self.finishing = note.strip_prefix("trial ").and_then(|trial| trial.parse().ok());
            }
            Event::Progress { stage, done, total, note } => {
                if let (Some(group), Some(loss)) = (self.group(stage), loss(note)) {
                    let detail = if done >= total { Detail::All } else { Detail::Fine };
                    return self.one(&format!("{group}/loss"), *done, loss, (unix_s, detail));
                }
            }
            Event::Trial { trial, .. } if source == Source::Journal => {
                self.times.insert(trial.id, unix_s);
            }
            Event::Trial { trial, known, .. } => {
                let then = self.times.get(&trial.id).copied().filter(|_| *known);
                self.count(trial);
                return self.totals(then.unwrap_or(unix_s), Detail::Fine);
            }
            Event::Rejections { candidates, rejected } if source == Source::Study && self.told > 0 => {
                let at = (unix_s, Detail::Fine);
                let candidates = self.one("search/candidates", self.told, *candidates as f64, at);
                return [candidates, self.one("search/rejected", self.told, *rejected as f64, at)].concat();
            }
            Event::Finished { finished, .. } => return self.network(finished, unix_s),
            Event::Retried { .. } => self.begin_again(),
            _ => {}
        }
        Vec::new()
    }

    /// Returns the point of a number that a training reported.
    pub(crate) fn number(
        &mut self,
        stage: &str,
        step: u64,
        (name, value): (&str, f64),
        unix_s: f64,
    ) -> Vec<Point> {
        let Some(group) = self.group(stage) else { return Vec::new() };
        self.one(&format!("{group}/{name}"), step, value, (unix_s, Detail::Fine))
    }

    /// Returns the group of series of a training. Networks that are finished have one group each.
    fn group(&self, stage: &str) -> Option<String> {
        match (stage, self.finishing) {
            (SUPERNET, _) => Some(SUPERNET.to_owned()),
            (NETWORK, Some(trial)) => Some(format!("network-{trial}")),
            _ => None,
        }
    }

    /// Returns the point of a series, if it is kept.
    fn one(&mut self, series: &str, step: u64, value: f64, (unix_s, detail): (f64, Detail)) -> Vec<Point> {
        let mut points = Points { thinning: &mut self.thinning, unix_s, found: Vec::new() };
        points.add(series, step, value, detail);
        points.found
    }

    fn seconds(&mut self, series: &str, seconds: Seconds, unix_s: f64) -> Vec<Point> {
        self.one(series, self.starts, seconds.get(), (unix_s, Detail::All))
    }

    /// Returns the points of a finished network. A resumed study reports its networks again.
    fn network(&mut self, finished: &Finished, unix_s: f64) -> Vec<Point> {
        if self.finished.get(&finished.trial) == Some(finished) {
            return Vec::new();
        }
        self.finished.insert(finished.trial, finished.clone());
        self.networks += 1;
        let mut points = Points { thinning: &mut self.thinning, unix_s, found: Vec::new() };
        points.add("finished/trial", self.networks, finished.trial as f64, Detail::All);
        for (name, value) in &finished.metrics {
            points.add(&format!("finished/{name}"), self.networks, *value, Detail::All);
        }
        points.found
    }

    fn count(&mut self, trial: &Trial) {
        self.told += 1;
        self.gauge.see(usize::try_from(self.told).unwrap_or(usize::MAX), trial);
        let values = &trial.objectives.0;
        if matches!(trial.outcome, Outcome::Failed { .. }) {
            self.failed += 1;
        } else if values.len() == self.objectives.len() && trial.violation <= 0.0 {
            // Values of different fidelities are not comparable.
            let fidelity = Some(trial.proposal.fidelity);
            if fidelity > self.fidelity {
                (self.fidelity, self.best) = (fidelity, values.clone());
            } else if fidelity == self.fidelity {
                for (best, value) in self.best.iter_mut().zip(values) {
                    *best = best.min(*value);
                }
            }
        }
    }

    /// Returns the points that summarize all trials so far.
    fn totals(&mut self, unix_s: f64, detail: Detail) -> Vec<Point> {
        let mut points = Points { thinning: &mut self.thinning, unix_s, found: Vec::new() };
        let told = self.told;
        if told == 0 {
            return Vec::new();
        }
        for (objective, best) in self.objectives.iter().zip(&self.best) {
            points.add(&format!("search/best_{objective}"), told, *best, detail);
        }
        points.add("search/failed_trials", told, self.failed as f64, detail);
        // With three or more objectives, a hypervolume takes long to compute.
        let volume = "search/hypervolume_percent";
        let of_volume =
            if detail == Detail::Fine && self.objectives.len() > 2 { Detail::Coarse } else { detail };
        if points.thinning.is_due(volume, told, of_volume)
            && let Some(percent) = self.gauge.percent()
        {
            points.add(volume, told, percent, of_volume);
        }
        points.found
    }

    /// Forgets all trials. Trackers keep the points of the trials before; the values of the repeated trials
    /// appear after these.
    fn begin_again(&mut self) {
        (self.told, self.failed, self.fidelity) = (0, 0, None);
        self.best.clear();
        self.times.clear();
        self.gauge.clear();
    }
}

/// The points of one event.
struct Points<'a> {
    thinning: &'a mut Thinning,
    unix_s: f64,
    found: Vec<Point>,
}

impl Points<'_> {
    fn add(&mut self, series: &str, step: u64, value: f64, detail: Detail) {
        if value.is_finite() && self.thinning.is_due(series, step, detail) {
            self.thinning.add(series, step);
            self.found.push(Point { series: series.to_owned(), step, value, unix_s: self.unix_s });
        }
    }
}

/// Parses the loss from a note such as `loss 0.1234`.
fn loss(note: &str) -> Option<f64> {
    note.strip_prefix("loss ")?.split([' ', ',']).next()?.parse().ok()
}

#[cfg(test)]
mod tests;

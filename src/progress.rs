//! Shows a study's progress on standard error. On a terminal, it shows a bar. Otherwise, it prints a line
//! from time to time. Both include the remaining time.

pub(crate) mod stage;
pub(crate) mod work;

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kiln_export::plain_text;
use kiln_search::{Event, Fidelity, JournalEntry, Observer, Outcome, Trial};

use self::stage::Stage;
use crate::units::{self, Numbers};
use crate::{measured, output};

/// Minimum interval between two lines of one stage, if there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows a study's events.
pub(crate) struct Screen {
    bar: Option<ProgressBar>,
    stage: Option<Stage>,
    clock: Clock,
    last_line: Duration,
    /// Name of the first objective.
    objective: String,
    /// Whether the values of the first objective are measured or estimated.
    numbers: Numbers,
    /// Lowest value of the first objective among the trials of the highest fidelity so far.
    best: Option<(Fidelity, f64)>,
    /// Number of epochs of a full training, if known.
    full_epochs: u32,
    failed: u64,
}

/// Source of the study's elapsed time.
#[derive(Clone, Copy, Debug)]
enum Clock {
    /// This process runs the study. It started at this instant.
    Runs(Instant),
    /// Another process runs the study. The study's journal states the elapsed time.
    Told(Duration),
}

impl Clock {
    fn now(self) -> Duration {
        match self {
            Self::Runs(since) => since.elapsed(),
            Self::Told(now) => now,
        }
    }
}

impl Screen {
    /// Prepares the display of a study with this first objective.
    pub(crate) fn new(objective: &str, numbers: Numbers) -> Self {
        let style = ProgressStyle::with_template("{prefix:<9} {wide_bar} {percent:>3} %  {msg}")
            .expect("the template is valid")
            .progress_chars("━╸ ");
        let bar = io::stderr().is_terminal().then(|| {
            ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10)).with_style(style)
        });
        Self {
            bar,
            stage: None,
            clock: Clock::Runs(Instant::now()),
            last_line: Duration::ZERO,
            objective: objective.to_owned(),
            numbers,
            best: None,
            full_epochs: 0,
            failed: 0,
        }
    }

    /// Shows an event of another process's study. Times come from the study's journal.
    pub(crate) fn on_entry(&mut self, entry: &JournalEntry) {
        let now = entry.elapsed_s.duration();
        self.clock = Clock::Told(now.max(match self.clock {
            Clock::Runs(_) => Duration::ZERO,
            Clock::Told(before) => before,
        }));
        self.on_event(&entry.event);
    }

    /// Prints a line above the bar.
    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::say(text)),
            None => output::say(text),
        }
    }

    fn advance(&mut self, name: &str, done: u64, total: u64, note: &str) {
        let now = self.clock.now();
        if !self.stage.as_ref().is_some_and(|stage| stage.covers(name)) {
            self.close();
            self.stage = Some(Stage::new(name, now));
            self.last_line = now;
        }
        let Some(stage) = &mut self.stage else { return };
        stage.update(name, done, total, note, now);
        let message = self.message(now);
        let Some(stage) = &self.stage else { return };
        if let Some(bar) = &self.bar {
            bar.set_length(stage.total());
            bar.set_prefix(plain_text(stage.name()).into_owned());
            bar.set_message(plain_text(&message).into_owned());
            bar.set_position(stage.done());
        } else if now.saturating_sub(self.last_line) >= LINE_EVERY {
            self.last_line = now;
            output::say(&format!("{}: {}, {message}", stage.name(), stage.progress()));
        }
    }

    fn message(&self, now: Duration) -> String {
        let Some(stage) = &self.stage else { return String::new() };
        let mut parts = Vec::new();
        parts.extend(stage.left(now).map(|left| format!("{} left", units::duration(left))));
        if stage.name() == "search" {
            parts.push(stage.trials());
            parts.extend(self.best.map(|(fidelity, best)| {
                let (heading, value) = self.numbers.shown(&self.objective, best);
                let qualifier = fidelity.qualifier(self.full_epochs);
                format!(
                    "best {heading} {value}{}",
                    qualifier.map(|said| format!(" {said}")).unwrap_or_default()
                )
            }));
            parts.extend((self.failed > 0).then(|| format!("{} failed", self.failed)));
        } else if !stage.note().is_empty() {
            parts.push(stage.note().to_owned());
        }
        parts.join(", ")
    }

    /// Updates the best value with a trial's value. Only values of the highest fidelity are compared.
    fn judge(&mut self, trial: &Trial, value: f64) {
        let fidelity = trial.proposal.fidelity;
        match self.best {
            Some((highest, best)) if highest > fidelity || (highest == fidelity && best <= value) => {}
            _ => self.best = Some((fidelity, value)),
        }
    }

    /// Ends the current stage and prints a line about the stage.
    fn close(&mut self) {
        let Some(stage) = self.stage.take() else { return };
        if let Some(bar) = &self.bar {
            bar.reset();
        }
        let took = units::duration(stage.elapsed(self.clock.now()));
        let end = if stage.is_done() { "done".to_owned() } else { stage.progress() };
        self.line(&format!("{}: {end} in {took}", stage.name()));
    }
}

impl Observer for Screen {
    fn on_event(&mut self, event: &Event) {
        match event {
            Event::Started { study, resumed, trials } => {
                self.line(&started(study, *resumed, *trials));
            }
            Event::Progress { stage, done, total, note } => self.advance(stage, *done, *total, note),
            Event::Trial { trial, known, .. } => {
                match (&trial.outcome, trial.objectives.0.first()) {
                    (Outcome::Failed { .. }, _) => self.failed += 1,
                    (Outcome::Measured(_), Some(value)) => self.judge(trial, *value),
                    (Outcome::Measured(_), None) => {}
                }
                let now = self.clock.now();
                if let Some(stage) = self.stage.as_mut().filter(|_| *known) {
                    stage.discount(now);
                }
            }
            Event::SearchEnd { end } => {
                self.close();
                self.line(&format!("the search ended early: {end}"));
            }
            Event::Searched { trials, front } => {
                self.close();
                let qualifier = self.best.and_then(|(fidelity, _)| fidelity.qualifier(self.full_epochs));
                let judged = qualifier.map(|said| format!(", judged {said}")).unwrap_or_default();
                self.line(&format!("front: {} networks out of {trials} trials{judged}", front.len()));
            }
            Event::Finished { finished, seconds } => {
                let metrics = finished.metrics.iter().map(|(name, value)| {
                    let (heading, value) = units::shown(name, *value);
                    format!("{heading} {value}")
                });
                let metrics = metrics.collect::<Vec<_>>().join(", ");
                let took = units::duration(seconds.duration());
                self.line(&format!("finished trial {}: {metrics} ({took})", finished.trial));
            }
            Event::Measured { measured, .. } => {
                self.close();
                self.line(&measured::said(measured));
            }
            Event::Prepared { full_epochs, .. } => {
                self.full_epochs = *full_epochs;
                self.close();
            }
            Event::Ended => self.close(),
            Event::Health { health } => {
                self.close();
                let warning = if health.healthy { "" } else { "warning: " };
                self.line(&format!("{warning}{}", health.message()));
            }
            Event::Warning { message } => self.line(&format!("warning: {message}")),
            Event::Retried { trials } => {
                self.line(&format!("{} trials that panicked are tried again", trials.len()));
            }
            Event::Rejections { .. } => {}
        }
    }
}

/// Returns the message for the start or resumption of a study.
pub(crate) fn started(study: &str, resumed: u64, trials: Option<u64>) -> String {
    match (resumed, trials) {
        (0, None) => format!("{study}: as many trials as there is time for"),
        (0, Some(trials)) => format!("{study}: {trials} trials"),
        (resumed, None) => format!("{study}: resuming with {resumed} trials"),
        (resumed, Some(trials)) => format!("{study}: resuming with {resumed} of {trials} trials"),
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

//! The user's view: focused panel, order, filter, selection. Only keys change the view.

use std::cmp::Reverse;
use std::fmt;

use kiln_search::TrialId;

use super::groups::{group_of, groups};
use super::keys::Key;
use super::setup::{Role, Setup};
use super::state::{State, Told};
use crate::inspection::{Inspect, Inspection};
use crate::model_export::how_to_finish;

/// Number of rows by which page-up and page-down move the selection.
const PAGE: usize = 10;

/// A panel that can have the focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Panel {
    Front,
    Volume,
    Trials,
    Groups,
    Log,
}

impl Panel {
    pub(super) const ALL: [Self; 5] = [Self::Front, Self::Volume, Self::Trials, Self::Groups, Self::Log];

    pub(super) const fn number(self) -> usize {
        self as usize + 1
    }
}

/// A filter for the list of trials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    All,
    Front,
    Finished,
    Failed,
    /// The trials from this cluster or operator.
    Group(String),
}

/// The order of the listed trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The newest trial first.
    Trial,
    /// The trial with the lowest value of this objective first.
    Objective(usize),
    /// The trial with the longest evaluation first.
    Seconds,
}

/// The reason why an architecture cannot be shown, as a text for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unseen(String);

impl From<anyhow::Error> for Unseen {
    fn from(error: anyhow::Error) -> Self {
        Self(format!("{error:#}"))
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A trial whose details are open.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Opened {
    pub(super) trial: TrialId,
    /// The trial's architecture, or the reason why it cannot be shown.
    pub(super) inspection: Result<Inspection, Unseen>,
    /// Number of lines by which the user has scrolled down the details.
    pub(super) scrolled: usize,
}

/// A request from the user to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Stop the study. If another process runs the study, stop watching.
    Quit,
    /// Export a finished trial's network.
    Export(TrialId),
}

/// The user's view.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub(super) focus: Panel,
    /// Whether the focused panel fills the whole terminal.
    pub(super) zoomed: bool,
    pub(super) order: Order,
    pub(super) reversed: bool,
    pub(super) filter: Filter,
    pub(super) selected: Option<TrialId>,
    /// The group under the cursor.
    pub(super) group: usize,
    /// Number of log lines after the last visible line.
    pub(super) log_back: usize,
    pub(super) help: bool,
    pub(super) opened: Option<Opened>,
    /// The response to the last key.
    pub(super) message: Option<String>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            focus: Panel::Trials,
            zoomed: false,
            order: Order::Trial,
            reversed: false,
            filter: Filter::All,
            selected: None,
            group: 0,
            log_back: 0,
            help: false,
            opened: None,
            message: None,
        }
    }
}

impl View {
    /// Handles a key. Returns the user's request to the program, if the key makes one.
    pub(super) fn press(
        &mut self,
        key: Key,
        state: &State,
        setup: &Setup,
        inspect: &dyn Inspect,
    ) -> Option<Action> {
        self.message = None;
        match key {
            Key::Interrupt | Key::Char('q') => return Some(Action::Quit),
            Key::Char('?') => self.help = !self.help,
            Key::Escape => self.back(),
            _ if self.help => self.help = false,
            Key::Char('e') => match self.export(state, setup) {
                Ok(trial) => return Some(Action::Export(trial)),
                Err(why) => self.message = Some(why.to_string()),
            },
            _ if self.opened.is_some() => self.move_in_details(key, state, inspect),
            Key::Tab => self.turn(1),
            Key::BackTab => self.turn(Panel::ALL.len() - 1),
            Key::Char(digit @ '1'..='5') => self.go_to(digit),
            Key::Char('z') => self.zoomed = !self.zoomed,
            Key::Char('s') => self.order = self.next_order(setup),
            Key::Char('S') => self.reversed = !self.reversed,
            Key::Char('f') => self.filter = self.next_filter(),
            Key::Enter => self.enter(state, inspect),
            _ => self.step(key, state),
        }
        None
    }

    /// Returns the listed trials in the chosen order.
    pub(super) fn rows<'a>(&self, state: &'a State) -> Vec<&'a Told> {
        let mut rows: Vec<&Told> = state.trials.values().filter(|told| self.lists(told, state)).collect();
        match self.order {
            Order::Trial => rows.reverse(),
            Order::Objective(index) => {
                let of = |told: &Told| told.trial.objectives.0.get(index).copied().unwrap_or(f64::INFINITY);
                rows.sort_by(|a, b| of(a).total_cmp(&of(b)));
            }
            Order::Seconds => rows.sort_by_key(|told| Reverse(told.seconds)),
        }
        if self.reversed {
            rows.reverse();
        }
        rows
    }

    /// Returns the row of the selected trial. If the selected trial is not listed, returns the first row.
    pub(super) fn row(&self, rows: &[&Told]) -> usize {
        rows.iter().position(|told| Some(told.trial.id) == self.selected).unwrap_or(0)
    }

    fn lists(&self, told: &Told, state: &State) -> bool {
        let id = told.trial.id;
        match &self.filter {
            Filter::All => true,
            Filter::Front => state.front.contains(id),
            Filter::Finished => state.finished.contains_key(&id),
            Filter::Failed => told.trial.outcome.measurement().is_none(),
            Filter::Group(name) => group_of(told) == *name,
        }
    }

    fn back(&mut self) {
        if self.help {
            self.help = false;
        } else if self.opened.is_some() {
            self.opened = None;
        } else if self.zoomed {
            self.zoomed = false;
        } else {
            self.filter = Filter::All;
        }
    }

    fn turn(&mut self, by: usize) {
        self.focus = Panel::ALL[(self.focus as usize + by) % Panel::ALL.len()];
    }

    fn go_to(&mut self, digit: char) {
        if let Some(panel) =
            Panel::ALL.into_iter().find(|panel| digit.to_digit(10) == Some(panel.number() as u32))
        {
            self.focus = panel;
        }
    }

    fn next_order(&self, setup: &Setup) -> Order {
        match self.order {
            Order::Trial if !setup.objectives.is_empty() => Order::Objective(0),
            Order::Objective(index) if index + 1 < setup.objectives.len() => Order::Objective(index + 1),
            Order::Trial | Order::Objective(_) => Order::Seconds,
            Order::Seconds => Order::Trial,
        }
    }

    fn next_filter(&self) -> Filter {
        match self.filter {
            Filter::All => Filter::Front,
            Filter::Front => Filter::Finished,
            Filter::Finished => Filter::Failed,
            Filter::Failed | Filter::Group(_) => Filter::All,
        }
    }

    fn enter(&mut self, state: &State, inspect: &dyn Inspect) {
        match self.focus {
            Panel::Groups => {
                if let Some(group) = groups(state).get(self.group) {
                    self.filter = Filter::Group(group.name.clone());
                    self.focus = Panel::Trials;
                }
            }
            Panel::Log => self.zoomed = !self.zoomed,
            Panel::Front | Panel::Volume | Panel::Trials => self.open(state, inspect),
        }
    }

    fn open(&mut self, state: &State, inspect: &dyn Inspect) {
        let rows = self.rows(state);
        let Some(told) = rows.get(self.row(&rows)) else { return };
        let inspection = inspect.inspect(&told.trial).map_err(Unseen::from);
        self.selected = Some(told.trial.id);
        self.opened = Some(Opened { trial: told.trial.id, inspection, scrolled: 0 });
    }

    fn move_in_details(&mut self, key: Key, state: &State, inspect: &dyn Inspect) {
        let Some(opened) = &mut self.opened else { return };
        match key {
            Key::Enter => self.opened = None,
            Key::Char('n' | 'p') => {
                self.step(if key == Key::Char('n') { Key::Down } else { Key::Up }, state);
                self.open(state, inspect);
            }
            _ => {
                // The number of lines is not known before drawing. The drawing code limits the scroll
                // position.
                opened.scrolled = moved(opened.scrolled, key, usize::MAX);
            }
        }
    }

    fn step(&mut self, key: Key, state: &State) {
        match self.focus {
            Panel::Groups => self.group = moved(self.group, key, groups(state).len()),
            Panel::Log => {
                // The key `up` moves toward older lines.
                let lines = state.lines.iter().len();
                let from_start = lines.saturating_sub(self.log_back + 1);
                self.log_back = lines.saturating_sub(moved(from_start, key, lines) + 1);
            }
            Panel::Front | Panel::Volume | Panel::Trials => {
                let rows = self.rows(state);
                let row = moved(self.row(&rows), key, rows.len());
                // If the first row is selected, the selection follows the newest trial.
                let follows = row == 0 && self.order == Order::Trial && !self.reversed;
                self.selected = rows.get(row).map(|told| told.trial.id).filter(|_| !follows);
            }
        }
    }

    /// Returns the number of the trial to export.
    fn export(&self, state: &State, setup: &Setup) -> Result<TrialId, NoExport> {
        let rows = self.rows(state);
        let shown = self.opened.as_ref().map(|opened| opened.trial);
        let Some(id) = shown.or_else(|| rows.get(self.row(&rows)).map(|told| told.trial.id)) else {
            return Err(NoExport::NoTrial);
        };
        if state.finished.contains_key(&id) {
            return Ok(id);
        }
        let is_measured =
            state.trials.get(&id).is_some_and(|told| told.trial.outcome.measurement().is_some());
        Err(NoExport::NotFinished {
            trial: id,
            has_ended: state.ended,
            networks: setup.networks,
            advice: is_measured.then(|| how_to_finish(id, &setup.paths)),
        })
    }
}

/// Why no network can be exported, and advice for the user.
#[derive(Debug)]
enum NoExport {
    NoTrial,
    NotFinished {
        trial: TrialId,
        has_ended: bool,
        /// Number of networks that the study finishes after the search.
        networks: usize,
        /// Advice on how to finish this trial.
        advice: Option<String>,
    },
}

impl fmt::Display for NoExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::NotFinished { trial, has_ended, networks, advice } = self else {
            return f.write_str("there is no trial to export yet");
        };
        write!(f, "trial {trial} has no weights of its own to export: ")?;
        match networks {
            _ if *has_ended => f.write_str("it was not finished"),
            0 => f.write_str("the study has no `[finish]`"),
            1 => f.write_str(
                "the study will finish the network of the front that is best by the first objective",
            ),
            count => write!(
                f,
                "the study will finish the {count} networks of the front that are best by the first objective"
            ),
        }?;
        advice.iter().try_for_each(|advice| write!(f, "; {advice}"))
    }
}

/// Returns the new position among `count` rows after the user pressed a key.
fn moved(position: usize, key: Key, count: usize) -> usize {
    let last = count.saturating_sub(1);
    match key {
        Key::Up | Key::Char('k') => position.saturating_sub(1),
        Key::Down | Key::Char('j') => position.saturating_add(1),
        Key::PageUp => position.saturating_sub(PAGE),
        Key::PageDown => position.saturating_add(PAGE),
        Key::Home | Key::Char('g') => 0,
        Key::End | Key::Char('G') => last,
        _ => position,
    }
    .min(last)
}

/// Describes the effect of quitting.
pub(super) const fn quit_means(role: Role) -> &'static str {
    match role {
        Role::Runs => "stop the study in good order; twice: at once",
        Role::Watches => "leave; the study goes on",
    }
}

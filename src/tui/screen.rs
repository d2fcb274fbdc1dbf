//! The main loop of the terminal UI. The loop applies events, draws frames and responds to keys.

use std::io::{self, BufWriter};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel as results};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::{Backend, CrosstermBackend};

use super::draw::{Look, draw};
use super::exports::{Exports, Said};
use super::feed::{Feed, Tap, channel};
use super::follow::{Follow, Journal};
use super::jobs::Reader;
use super::keys::{Input, Keyboard, Keys};
use super::palette::Palette;
use super::setup::Setup;
use super::state::State;
use super::terminal;
use super::view::{Action, View};
use crate::inspection::Inspect;
use crate::model_export::Export;

/// Name of the drawing thread.
pub(super) const THREAD: &str = "screen";
/// Minimum interval between two frames, unless the user presses a key.
const FRAME: Duration = Duration::from_millis(100);
/// Maximum interval between two frames, so that the displayed times advance.
const TICK: Duration = Duration::from_secs(1);
/// Maximum time for which a study that has ended waits for a slow terminal.
const PATIENCE: Duration = Duration::from_secs(3);

/// Result of one call of [`Source::advance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct News {
    /// Whether a new frame must be drawn.
    pub(super) changed: bool,
    /// Whether no more events will follow.
    pub(super) over: bool,
}

/// A source of events.
pub(super) trait Source {
    /// Applies the events that arrived after the previous call.
    fn advance(&mut self, state: &mut State) -> News;
    /// Returns the current time on the events' clock.
    fn now(&self, state: &State) -> Duration;
}

impl Source for Tap {
    fn advance(&mut self, state: &mut State) -> News {
        let (events, over) = self.take();
        for (event, at) in &events {
            state.apply(event, *at);
        }
        News { changed: !events.is_empty(), over }
    }

    fn now(&self, _: &State) -> Duration {
        Self::now(self)
    }
}

/// Lets the terminal UI stop the study.
pub(crate) trait Stop: Send + Sync {
    /// Requests that the study stops. A second request ends the process.
    fn request(&self);
    /// Whether a stop was requested, by the terminal UI or in any other way.
    fn requested(&self) -> bool;
}

/// Why the main loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The event source ended.
    Over,
    /// The user quit.
    Left,
    /// The terminal is closed or otherwise unusable.
    Gone,
}

/// All inputs of the main loop besides the terminal and the keys.
pub(super) struct Parts<'a> {
    pub(super) setup: &'a Setup,
    pub(super) palette: Palette,
    pub(super) inspect: &'a dyn Inspect,
    pub(super) export: &'a dyn Export,
    /// The means to stop the study. `None` if another process runs the study.
    pub(super) stop: Option<&'a dyn Stop>,
    /// Whether the terminal UI still owns the terminal.
    pub(super) shown: &'a dyn Fn() -> bool,
}

/// Shows the events of a source until the source ends, the user quits, or the terminal is closed. Then waits
/// for running exports.
pub(super) fn show<B: Backend>(
    terminal: &mut Terminal<B>,
    keys: &mut dyn Keys,
    source: &mut dyn Source,
    state: &mut State,
    parts: &Parts<'_>,
) -> End {
    thread::scope(|scope| {
        let mut exports = Exports::new(scope, parts.export);
        let end = go_on(terminal, keys, source, state, &mut exports, parts);
        note(exports.wait(), state, source.now(state));
        end
    })
}

fn go_on<B: Backend>(
    terminal: &mut Terminal<B>,
    keys: &mut dyn Keys,
    source: &mut dyn Source,
    state: &mut State,
    exports: &mut Exports<'_, '_>,
    parts: &Parts<'_>,
) -> End {
    let mut view = View::default();
    let mut drawn: Option<Instant> = None;
    let mut jobs = Reader::new(parts.setup.jobs.as_ref());
    loop {
        let news = source.advance(state);
        if let Some(running) = jobs.look() {
            state.jobs = running;
        }
        let exported = note(exports.ended(), state, source.now(state));
        let due = drawn.is_none_or(|drawn| drawn.elapsed() >= TICK);
        if news.changed || news.over || exported.is_some() || due {
            view.message = exported.or(view.message);
            if !frame(terminal, source, state, &view, parts) {
                return End::Gone;
            }
            drawn = Some(Instant::now());
        }
        if news.over {
            return End::Over;
        }
        let mut wait = FRAME;
        loop {
            let Ok(input) = keys.next(wait) else { return End::Gone };
            let Some(input) = input else { break };
            let action = match input {
                Input::Key(key) => view.press(key, state, parts.setup, parts.inspect),
                Input::Resized => None,
            };
            match (action, parts.stop) {
                (Some(Action::Export(trial)), _) => view.message = Some(exports.begin(trial)),
                (Some(Action::Quit), Some(stop)) => stop.request(),
                (Some(Action::Quit), None) => return End::Left,
                (None, _) => {}
            }
            drawn = None;
            wait = Duration::ZERO;
        }
        if !(parts.shown)() {
            return End::Gone;
        }
    }
}

/// Writes the messages about exports into the log, and returns the last message.
fn note(said: Vec<Said>, state: &mut State, at: Duration) -> Option<String> {
    let last = said.last().map(|(_, message)| message.clone());
    for (level, message) in said {
        state.lines.push(at, level, message);
    }
    last
}

/// Draws one frame. Returns whether the terminal accepted the frame.
fn frame<B: Backend>(
    terminal: &mut Terminal<B>,
    source: &dyn Source,
    state: &State,
    view: &View,
    parts: &Parts<'_>,
) -> bool {
    let stopping = parts.stop.is_some_and(Stop::requested);
    let look = Look { setup: parts.setup, palette: parts.palette, now: source.now(state), stopping };
    (parts.shown)() && terminal.draw(|frame| draw(frame, state, view, &look)).is_ok()
}

/// The terminal UI of a study that this process runs. The terminal UI has its own thread.
pub(crate) struct Screen {
    state: Receiver<State>,
}

impl Screen {
    /// Takes over the terminal and starts to show the events from the feed.
    ///
    /// # Errors
    /// If the terminal cannot be switched to raw mode.
    pub(crate) fn start(
        setup: Setup,
        inspect: Arc<dyn Inspect>,
        export: Arc<dyn Export>,
        stop: Arc<dyn Stop>,
    ) -> io::Result<(Self, Feed)> {
        let (feed, mut tap) = channel();
        let (sender, state) = results();
        terminal::take()?;
        let drawing = move || {
            let mut state = State::new(&setup);
            let parts = Parts {
                setup: &setup,
                palette: palette(),
                inspect: inspect.as_ref(),
                export: export.as_ref(),
                stop: Some(stop.as_ref()),
                shown: &terminal::is_usable,
            };
            let end = show_here(&mut tap, &mut state, &parts).unwrap_or(End::Gone);
            terminal::restore();
            if end == End::Gone {
                tracing::warn!("the terminal was closed; the study continues without a screen");
            }
            // If the study panicked, nothing receives the state, so sending may fail.
            let _ = sender.send(state);
        };
        if let Err(error) = thread::Builder::new().name(THREAD.to_owned()).spawn(drawing) {
            terminal::restore();
            return Err(error);
        }
        Ok((Self { state }, feed))
    }

    /// Waits until the last frame is drawn and the terminal is restored. Drop the feed before you call this
    /// function. Returns the displayed warnings and the paths of exported files. If the terminal accepts no
    /// output, the function waits only briefly.
    pub(crate) fn finish(self) -> Vec<String> {
        match self.state.recv_timeout(PATIENCE) {
            Ok(state) => state.lines.to_keep(),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Vec::new(),
        }
    }
}

impl Drop for Screen {
    /// Restores the terminal during a panic.
    fn drop(&mut self) {
        if thread::panicking() {
            terminal::restore();
        }
    }
}

/// Shows a growing journal until the user quits, or until the flag `closed` is set because the terminal was
/// closed. Returns the displayed warnings and the paths of exported files.
///
/// # Errors
/// If the terminal cannot be used.
pub(crate) fn watch(
    setup: &Setup,
    follow: Follow,
    inspect: &dyn Inspect,
    export: &dyn Export,
    closed: &AtomicBool,
) -> io::Result<Vec<String>> {
    terminal::take()?;
    let shown = || terminal::is_usable() && !closed.load(Ordering::Relaxed);
    let parts = Parts { setup, palette: palette(), inspect, export, stop: None, shown: &shown };
    let mut state = State::new(setup);
    let mut journal = Journal::new(follow, setup.clone());
    let end = show_here(&mut journal, &mut state, &parts);
    terminal::restore();
    end.map(|_| state.lines.to_keep())
}

/// Shows the events of a source on this process's terminal, which the terminal UI already owns.
fn show_here(source: &mut dyn Source, state: &mut State, parts: &Parts<'_>) -> io::Result<End> {
    // A frame of any size is written with one system call.
    let out = BufWriter::with_capacity(1 << 20, io::stdout());
    // Dropping the terminal would show the cursor, and would panic if the terminal is closed. `restore`
    // already shows the cursor.
    let mut terminal = ManuallyDrop::new(Terminal::new(CrosstermBackend::new(out))?);
    Ok(show(&mut *terminal, &mut Keyboard, source, state, parts))
}

fn palette() -> Palette {
    Palette::detect(&|name| std::env::var(name).ok())
}

//! The loop of the screen: take in events, draw, answer keys.

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
use super::keys::{Input, Keyboard, Keys};
use super::palette::Palette;
use super::setup::Setup;
use super::state::State;
use super::terminal;
use super::view::{Action, View};
use crate::inspection::Inspect;
use crate::model_export::Export;

/// Name of the thread that draws.
pub(super) const THREAD: &str = "screen";
/// Frames are at least this far apart, unless a key is pressed.
const FRAME: Duration = Duration::from_millis(100);
/// Times on the screen move on at least this often.
const TICK: Duration = Duration::from_secs(1);
/// How long the end of a study waits for a slow terminal.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a source gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct News {
    /// Something to draw.
    pub(super) changed: bool,
    /// Nothing will come any more.
    pub(super) over: bool,
}

/// Where events come from.
pub(super) trait Source {
    /// Applies what happened since the last call.
    fn advance(&mut self, state: &mut State) -> News;
    /// Time by the clock that the events are told with.
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

/// What the screen can ask of the study.
pub(crate) trait Stop: Send + Sync {
    /// Asks the study to stop; at the second time, ends the process.
    fn request(&self);
    /// Whether it was asked, from here or elsewhere.
    fn requested(&self) -> bool;
}

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The source has no more.
    Over,
    /// The user left.
    Left,
    /// The terminal cannot be used any more.
    Gone,
}

/// Everything that the loop works with beside terminal and keys.
pub(super) struct Parts<'a> {
    pub(super) setup: &'a Setup,
    pub(super) palette: Palette,
    pub(super) inspect: &'a dyn Inspect,
    pub(super) export: &'a dyn Export,
    /// `None` for a screen that only watches.
    pub(super) stop: Option<&'a dyn Stop>,
    /// Whether the terminal is still the screen's.
    pub(super) shown: &'a dyn Fn() -> bool,
}

/// Shows a source until it is over, the user leaves, or the terminal goes; then waits for exports that have begun.
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
    loop {
        let news = source.advance(state);
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

/// Puts what came of exports into the log; gives the last of it.
fn note(said: Vec<Said>, state: &mut State, at: Duration) -> Option<String> {
    let last = said.last().map(|(_, message)| message.clone());
    for (level, message) in said {
        state.lines.push(at, level, message);
    }
    last
}

/// Draws one frame; says whether that was possible.
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

/// The screen of a study that this process runs, on a thread of its own.
pub(crate) struct Screen {
    state: Receiver<State>,
}

impl Screen {
    /// Takes the terminal, and begins to draw what the feed is told.
    ///
    /// # Errors
    /// When the terminal cannot be used so.
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
                tracing::warn!("the terminal has gone; the study goes on without a screen");
            }
            // Nobody waits for it when the study ended by a panic.
            let _ = sender.send(state);
        };
        if let Err(error) = thread::Builder::new().name(THREAD.to_owned()).spawn(drawing) {
            terminal::restore();
            return Err(error);
        }
        Ok((Self { state }, feed))
    }

    /// Waits until everything is drawn and the terminal is given back. The feed must be gone. Gives the warnings that
    /// were on the screen, and what was exported; a terminal that does not move is not waited for long.
    pub(crate) fn finish(self) -> Vec<String> {
        match self.state.recv_timeout(PATIENCE) {
            Ok(state) => state.lines.to_keep(),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Vec::new(),
        }
    }
}

impl Drop for Screen {
    /// Gives the terminal back while a panic unwinds.
    fn drop(&mut self) {
        if thread::panicking() {
            terminal::restore();
        }
    }
}

/// Shows a run folder's journal while it grows, until the user leaves or the terminal is `closed`. Returns
/// the warnings that were on the screen, and what was exported.
///
/// # Errors
/// When the terminal cannot be used.
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

/// Shows a source on the terminal of this process, which must have been taken.
fn show_here(source: &mut dyn Source, state: &mut State, parts: &Parts<'_>) -> io::Result<End> {
    // A frame is written at once, whatever its size.
    let out = BufWriter::with_capacity(1 << 20, io::stdout());
    // Not dropped: dropping shows the cursor, which is done elsewhere, and panics when the terminal has gone.
    let mut terminal = ManuallyDrop::new(Terminal::new(CrosstermBackend::new(out))?);
    Ok(show(&mut *terminal, &mut Keyboard, source, state, parts))
}

fn palette() -> Palette {
    Palette::detect(&|name| std::env::var(name).ok())
}

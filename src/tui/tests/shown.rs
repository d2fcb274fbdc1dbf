//! Tests the main loop with slow, closed and resized terminals, with quitting, and with a journal as the
//! source.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use kiln_search::{Journal, Observer};
use ratatui::Terminal;
use ratatui::backend::{Backend, ClearType, TestBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};

use super::{Small, best, progress, setup, told, whole};
use crate::model_export::{Export, Written};
use crate::tui::feed::channel;
use crate::tui::follow::{self, Follow};
use crate::tui::keys::{Input, Key, Keys};
use crate::tui::palette::{Depth, Palette};
use crate::tui::screen::{End, Parts, Stop, show};
use crate::tui::setup::{Role, Setup};
use crate::tui::state::{Level, State};

/// A terminal that blocks for a while, or that fails after a number of frames.
struct Difficult {
    inner: TestBackend,
    /// The terminal blocks until the channel's other end is dropped.
    gate: Option<Receiver<()>>,
    /// Number of frames after which the terminal fails.
    frames: u32,
    drawn: u32,
}

impl Difficult {
    fn terminal(gate: Option<Receiver<()>>, frames: u32) -> Terminal<Self> {
        Terminal::new(Self { inner: TestBackend::new(120, 40), gate, frames, drawn: 0 }).unwrap()
    }
}

#[allow(clippy::unnecessary_wraps, reason = "it turns one kind of error into another")]
fn sure<T>(result: Result<T, std::convert::Infallible>) -> io::Result<T> {
    Ok(result.unwrap_or_else(|never| match never {}))
}

impl Backend for Difficult {
    type Error = io::Error;

    fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(&mut self, content: I) -> io::Result<()> {
        if self.drawn == self.frames {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.drawn += 1;
        if let Some(gate) = self.gate.take() {
            gate.recv().expect_err("nobody sends anything");
        }
        sure(self.inner.draw(content))
    }
    fn hide_cursor(&mut self) -> io::Result<()> {
        sure(self.inner.hide_cursor())
    }
    fn show_cursor(&mut self) -> io::Result<()> {
        sure(self.inner.show_cursor())
    }
    fn get_cursor_position(&mut self) -> io::Result<Position> {
        sure(self.inner.get_cursor_position())
    }
    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        sure(self.inner.set_cursor_position(position))
    }
    fn clear(&mut self) -> io::Result<()> {
        sure(self.inner.clear())
    }
    fn clear_region(&mut self, region: ClearType) -> io::Result<()> {
        sure(self.inner.clear_region(region))
    }
    fn size(&self) -> io::Result<Size> {
        sure(self.inner.size())
    }
    fn window_size(&mut self) -> io::Result<WindowSize> {
        sure(self.inner.window_size())
    }
    fn flush(&mut self) -> io::Result<()> {
        sure(self.inner.flush())
    }
}

/// A keyboard on which these keys are pressed one after the other, and then no more keys.
struct Pressed(VecDeque<Input>);

impl Pressed {
    fn new(keys: &[Key]) -> Self {
        Self(keys.iter().map(|key| Input::Key(*key)).collect())
    }
}

impl Keys for Pressed {
    fn next(&mut self, wait: Duration) -> io::Result<Option<Input>> {
        let next = self.0.pop_front();
        if next.is_none() {
            thread::sleep(wait.min(Duration::from_millis(5)));
        }
        Ok(next)
    }
}

#[derive(Default)]
struct Requests(AtomicU32);

impl Stop for Requests {
    fn request(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

/// An exporter that can block, or that can have nothing to write.
#[derive(Default)]
struct Exporter {
    /// The exporter blocks until the channel's other end is dropped.
    gate: Mutex<Option<Receiver<()>>>,
    missing: bool,
    done: AtomicU32,
}

impl Export for Exporter {
    fn export(&self, trial: u64) -> anyhow::Result<Written> {
        if let Some(gate) = self.gate.lock().unwrap().take() {
            gate.recv_timeout(Duration::from_secs(20)).expect_err("nobody sends anything");
        }
        self.done.fetch_add(1, Ordering::SeqCst);
        anyhow::ensure!(!self.missing, "{trial}/model.kiln: not found");
        let files =
            vec![(format!("digits-{trial}.onnx").into(), 35_000), (format!("digits-{trial}").into(), 7)];
        Ok(Written { files, left_out: vec!["`x`: too small".to_owned()] })
    }
}

/// An exporter for tests that export nothing.
static NEVER: Exporter = Exporter { gate: Mutex::new(None), missing: true, done: AtomicU32::new(0) };

/// Presses `e` twice, unblocks the exporter after the terminal UI has responded, and quits after the terminal
/// UI has reported the export.
struct Exporting<'a> {
    keys: Pressed,
    exporter: &'a Exporter,
    gate: Option<mpsc::Sender<()>>,
    /// Number of inputs after the terminal UI reported the export.
    since: u32,
}

impl Keys for Exporting<'_> {
    fn next(&mut self, wait: Duration) -> io::Result<Option<Input>> {
        if !self.keys.0.is_empty() {
            return self.keys.next(wait);
        }
        // The gate stays closed until the exporter is blocked. Dropping the gate unblocks the exporter.
        if let Some(_gate) = self.gate.take() {
            assert_eq!(self.exporter.done.load(Ordering::SeqCst), 0, "the screen waited for the exporter");
        }
        let done = self.exporter.done.load(Ordering::SeqCst) > 0;
        self.since += u32::from(done);
        thread::sleep(Duration::from_millis(5));
        Ok((self.since > 20).then_some(Input::Key(Key::Char('q'))))
    }
}

fn parts<'a>(setup: &'a Setup, stop: Option<&'a dyn Stop>) -> Parts<'a> {
    Parts {
        setup,
        palette: Palette::new(Depth::True),
        inspect: &Small,
        export: &NEVER,
        stop,
        shown: &|| true,
    }
}

#[test]
fn slow_terminal_neither_slows_search_nor_loses_trials() {
    const TRIALS: u64 = 5000;
    let (mut feed, mut tap) = channel();
    let (let_draw, gate) = mpsc::channel();
    let screen = thread::spawn(move || {
        let setup = setup(Role::Runs);
        let mut state = State::new(&setup);
        let mut terminal = Difficult::terminal(Some(gate), u32::MAX);
        let end = show(&mut terminal, &mut Pressed::new(&[]), &mut tap, &mut state, &parts(&setup, None));
        (end, state)
    });
    // The terminal blocks until all events are sent. An observer that waits for a frame would therefore never
    // return.
    for id in 0..TRIALS {
        feed.on_event(&told(id));
        feed.on_event(&progress("search", id + 1, TRIALS, ""));
    }
    drop(feed);
    drop(let_draw);
    let (end, state) = screen.join().unwrap();
    assert_eq!((end, state.trials.len()), (End::Over, TRIALS as usize));
}

#[test]
fn broken_terminal_ends_screen_but_not_study() {
    let (mut feed, mut tap) = channel();
    let setup = setup(Role::Runs);
    let mut state = State::new(&setup);
    feed.on_event(&told(0));
    let mut terminal = Difficult::terminal(None, 1);
    let end = show(&mut terminal, &mut Pressed::new(&[Key::Tab]), &mut tap, &mut state, &parts(&setup, None));
    assert_eq!(end, End::Gone);
    drop(tap);
    for id in 1..1000 {
        feed.on_event(&told(id));
    }
}

#[test]
fn quitting_stops_study_and_shows_its_end() {
    let (mut feed, mut tap) = channel();
    let setup = setup(Role::Runs);
    let stop = Requests::default();
    let study = thread::scope(|scope| {
        let screen = scope.spawn(|| {
            let mut state = State::new(&setup);
            let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
            let mut keys = Pressed::new(&[Key::Char('q')]);
            let end = show(&mut terminal, &mut keys, &mut tap, &mut state, &parts(&setup, Some(&stop)));
            (end, state.trials.len(), terminal.backend().to_string())
        });
        let until = Instant::now() + Duration::from_secs(20);
        while !stop.requested() {
            assert!(Instant::now() < until, "the key was not seen");
            thread::sleep(Duration::from_millis(1));
        }
        // The terminal UI still reports the running export.
        feed.on_event(&told(0));
        drop(feed);
        screen.join().unwrap()
    });
    let (end, trials, frame) = study;
    assert_eq!((end, trials, stop.0.load(Ordering::SeqCst)), (End::Over, 1, 1));
    assert!(frame.contains("stopping"), "{frame}");
}

/// Exports the finished network in the terminal UI. Returns the last frame and the state, which contains the
/// log.
fn exporting(exporter: &Exporter, gate: Option<mpsc::Sender<()>>) -> (String, State) {
    let (_feed, mut tap) = channel();
    let setup = setup(Role::Watches);
    let mut state = super::state(&whole());
    let keys = Pressed::new(&[Key::Char('f'), Key::Char('f'), Key::Char('e'), Key::Char('e')]);
    let mut keys = Exporting { keys, exporter, gate, since: 0 };
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    let parts = Parts { export: exporter, ..parts(&setup, None) };
    assert_eq!(show(&mut terminal, &mut keys, &mut tap, &mut state, &parts), End::Left);
    (terminal.backend().to_string(), state)
}

#[test]
fn export_runs_beside_screen_and_is_reported() {
    let (sender, gate) = mpsc::channel();
    let exporter = Exporter { gate: Mutex::new(Some(gate)), ..Exporter::default() };
    let (frame, state) = exporting(&exporter, Some(sender));
    assert_eq!(exporter.done.load(Ordering::SeqCst), 1, "pressed twice, it is exported once");
    let trial = best(150);
    let said = format!(
        "exported trial {trial}: digits-{trial}.onnx (35.00 kB), digits-{trial} (7 B); not `x`: too small"
    );
    assert!(frame.contains(&format!("▸ exported trial {trial}: digits-{trial}.onnx")), "{frame}");
    let log = state.lines.iter().filter(|line| line.level == Level::Exported);
    assert_eq!(log.map(|line| line.message.as_str()).collect::<Vec<_>>(), [said.as_str()]);
    assert!(state.lines.to_keep().contains(&said));
}

#[test]
fn failed_export_is_reported() {
    let exporter = Exporter { missing: true, ..Exporter::default() };
    let (frame, state) = exporting(&exporter, None);
    let trial = best(150);
    let said = format!("trial {trial} was not exported: {trial}/model.kiln: not found");
    assert!(frame.contains(&format!("▸ {said}")), "{frame}");
    assert!(state.lines.to_keep().contains(&format!("warning: {said}")));
}

#[test]
fn resized_terminal_is_redrawn() {
    let (feed, mut tap) = channel();
    drop(feed);
    let setup = setup(Role::Runs);
    let mut state = super::state(&whole());
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
    for (width, height) in [(120, 40), (80, 24), (50, 10), (200, 50)] {
        terminal.backend_mut().resize(width, height);
        show(&mut terminal, &mut Pressed::new(&[]), &mut tap, &mut state, &parts(&setup, None));
        let buffer = terminal.backend().buffer();
        assert_eq!((buffer.area.width, buffer.area.height), (width, height));
        let text = terminal.backend().to_string();
        assert_eq!(text.contains("needs 60 x 16"), width == 50, "{text}");
    }
}

#[test]
fn journal_gives_same_screen_as_study() {
    let folder = tempfile::tempdir().unwrap();
    let paths = kiln_search::RunPaths::new(folder.path());
    let mut journal = Journal::open(&paths.journal()).unwrap().journal;
    let setup = setup(Role::Watches);
    let mut source = follow::Journal::new(Follow::open(&paths).unwrap(), setup.clone());
    let (mut watched, mut told) = (State::new(&setup), State::new(&setup));
    let files = || {
        let mut names: Vec<_> =
            folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = files();
    for part in whole().chunks(40) {
        for (event, at) in part {
            journal.append(event).unwrap();
            told.apply(event, *at);
        }
        journal.sync().unwrap();
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        let mut keys = Pressed::new(&[Key::Down, Key::Enter, Key::Char('q')]);
        let end = show(&mut terminal, &mut keys, &mut source, &mut watched, &parts(&setup, None));
        assert_eq!(end, End::Left);
        assert_eq!(watched.trials, told.trials);
    }
    assert_eq!((&watched.front, watched.best, watched.ended), (&told.front, told.best, true));
    assert_eq!(watched.volume, told.volume);
    assert_eq!(files(), before, "watching writes nothing");
}

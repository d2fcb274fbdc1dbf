//! Input from the keyboard.

use std::io;
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// An input event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// The user pressed a key.
    Key(Key),
    /// The terminal has a new size.
    Resized,
}

/// Keys that the terminal UI distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    /// Ctrl-C. In raw mode, Ctrl-C arrives as a key and causes no signal.
    Interrupt,
    Enter,
    Escape,
    Tab,
    BackTab,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
}

/// A source of input.
pub(super) trait Keys {
    /// Waits at most `wait` for the next input. Returns `None` if no input arrives in that time.
    ///
    /// # Errors
    /// If the terminal is closed.
    fn next(&mut self, wait: Duration) -> io::Result<Option<Input>>;
}

/// The keyboard of this process's terminal.
#[derive(Debug)]
pub(super) struct Keyboard;

impl Keys for Keyboard {
    fn next(&mut self, wait: Duration) -> io::Result<Option<Input>> {
        if !event::poll(wait)? {
            return Ok(None);
        }
        Ok(match event::read()? {
            Event::Key(event) if event.kind != KeyEventKind::Release => key(event).map(Input::Key),
            Event::Resize(..) => Some(Input::Resized),
            _ => None,
        })
    }
}

fn key(event: KeyEvent) -> Option<Key> {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    Some(match event.code {
        KeyCode::Char('c') if control => Key::Interrupt,
        KeyCode::Char(char) if !control => Key::Char(char),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}

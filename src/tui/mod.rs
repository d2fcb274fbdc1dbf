//! A terminal UI that shows a study. Events are applied to a state one by one, and each frame is a function
//! of this state. The events come from this process or from another process's journal. Only the two event
//! sources depend on which of the two it is.

mod draw;
mod exports;
mod feed;
mod follow;
mod groups;
mod jobs;
mod keys;
mod palette;
mod screen;
mod setup;
mod state;
mod terminal;
mod view;

#[cfg(test)]
mod tests;

pub(crate) use self::follow::{Follow, Step};
pub(crate) use self::screen::{Screen, Stop, watch};
pub(crate) use self::setup::{Role, Setup};
pub(crate) use self::terminal::{is_possible, is_shown, restore, was_shown};

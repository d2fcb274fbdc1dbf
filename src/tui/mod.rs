//! The screen of a study on a terminal. What is drawn is a function of the state, to which events are applied one by
//! one; where events come from (this process, or the journal of another one) is not known here to anything but the two
//! sources.

mod draw;
mod exports;
mod feed;
mod follow;
mod groups;
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

//! Rates candidates. Objectives that are costs are computed, and models predict the other objectives. An
//! acquisition function turns the predictions into a rating.

mod acquisition;
mod candidates;
mod failures;
mod model;
mod normal;
mod objective;
mod places;
mod points;
mod scale;
mod told;
mod update;
mod volume;

pub(super) use self::acquisition::Acquisition;
pub(super) use self::candidates::{Candidates, Parents};
pub(super) use self::model::Model;
pub(super) use self::objective::Surrogate;
pub(super) use self::told::{Features, Told};

//! What is expected of a candidate: for each objective its cost, where it is one, and what a model says otherwise; and which
//! candidate is the most promising by that.

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

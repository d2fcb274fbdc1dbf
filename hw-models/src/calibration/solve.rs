//! Minimizes an [`Objective`] with the simplex method of Nelder and Mead.

use std::error::Error as StdError;
use std::sync::Arc;

use argmin::core::{Error, Executor, State};
use argmin::solver::neldermead::NelderMead;

use super::objective::Objective;
use crate::HwError;

/// Edge length of the first simplex, in logarithms. It corresponds to a factor of about 1.6.
const EDGE: f64 = 0.5;
/// Maximum number of iterations of one simplex.
const STEPS_MAX: u64 = 4000;
/// A simplex has converged when the standard deviation of the objective over its corners is below this.
const REST: f64 = 1e-9;
/// Convergence threshold while comparing starting points, and minimum gain for another round.
const COARSE: f64 = 1e-3;
/// Maximum number of new simplexes around the best point. The formula takes a maximum, which creates ridges,
/// and a simplex can stall on a ridge.
const RESTARTS_MAX: usize = 20;
/// Minimum gain for another simplex.
const GAIN: f64 = 1e-6;

/// Logarithms of the factors that move a parameter away from a minimum.
const AWAY: [f64; 4] = [-3.0, -1.0, 1.0, 3.0];
/// Maximum number of rounds. Each round moves every parameter away from the minimum.
const ROUNDS_MAX: usize = 4;

/// Finds the lowest minimum and returns the logarithms of the parameters.
///
/// The formula takes the maximum of compute time and memory time. A parameter of the smaller time has no
/// effect until another parameter moves. The search therefore moves each parameter in turn away from the
/// minimum, descends again, and keeps lower minima.
///
/// # Errors
/// [`HwError::Solver`] when the solver fails.
pub(super) fn minimum(objective: &Objective<'_>) -> Result<Vec<f64>, HwError> {
    let mut lowest = descent(objective, objective.start())?;
    for _ in 0..ROUNDS_MAX {
        let before = lowest.1;
        for moved in 0..lowest.0.len() {
            for away in AWAY {
                let mut start = lowest.0.clone();
                start[moved] += away;
                let found = simplex(objective, &start, EDGE, COARSE)?;
                if found.1 < lowest.1 - GAIN {
                    lowest = found;
                }
            }
        }
        let found = descent(objective, &lowest.0)?;
        if found.1 < lowest.1 {
            lowest = found;
        }
        if before - lowest.1 < COARSE {
            break;
        }
    }
    Ok(lowest.0)
}

/// Descends from `start`. Returns the minimum and the value of the objective there.
fn descent(objective: &Objective<'_>, start: &[f64]) -> Result<(Vec<f64>, f64), HwError> {
    let mut lowest = simplex(objective, start, EDGE, REST)?;
    for restart in 0..RESTARTS_MAX {
        // Flip the direction at every restart; otherwise the new simplex could equal the old one.
        let edge = if restart % 2 == 0 { -EDGE } else { EDGE };
        let found = simplex(objective, &lowest.0, edge, REST)?;
        let gain = lowest.1 - found.1;
        if gain > 0.0 {
            lowest = found;
        }
        if gain < GAIN {
            break;
        }
    }
    Ok(lowest)
}

/// Runs one simplex with a corner at `start`. Returns its minimum and the value of the objective there.
///
/// Source: J. A. Nelder, R. Mead, A simplex method for function minimization, The Computer Journal 7(4),
/// 1965. The method suits this objective, which has kinks and few parameters and is cheap to evaluate.
fn simplex(
    objective: &Objective<'_>,
    start: &[f64],
    edge: f64,
    rest: f64,
) -> Result<(Vec<f64>, f64), HwError> {
    let failed =
        |error: Error| HwError::Solver { error: Arc::from(Box::<dyn StdError + Send + Sync>::from(error)) };
    let corner = |moved: usize| {
        start.iter().enumerate().map(|(i, log)| if i == moved { log + edge } else { *log }).collect()
    };
    let corners = std::iter::once(start.to_vec()).chain((0..start.len()).map(corner)).collect();
    let solver = NelderMead::new(corners).with_sd_tolerance(rest).map_err(failed)?;
    let executor =
        Executor::new(objective, solver).configure(|state| state.max_iters(STEPS_MAX)).timer(false);
    let result = executor.run().map_err(failed)?;
    let state = result.state();
    let best = state.get_best_param().map_or_else(|| start.to_vec(), Clone::clone);
    Ok((best, state.get_best_cost()))
}

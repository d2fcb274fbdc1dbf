//! Chooses how strongly each part of a network is pruned, so that the network meets a budget.

use super::PruningError;

/// Returns the budget that remains if a share of a cost is removed.
///
/// # Errors
/// [`PruningError`] when the share is negative, or 1 (100 %) or more, or the cost is not finite.
///
/// # Example
/// ```
/// assert_eq!(kiln_export::pruning::target(200.0, 0.25)?, 150.0);
/// assert!(kiln_export::pruning::target(200.0, 1.0).is_err());
/// # Ok::<(), kiln_export::pruning::PruningError>(())
/// ```
pub fn target(cost: f64, share: f64) -> Result<f64, PruningError> {
    if !(0.0..1.0).contains(&share) {
        return Err(PruningError::Share { found: share });
    }
    Ok(finite("cost", cost)? * (1.0 - share))
}

pub(super) fn finite(what: &'static str, found: f64) -> Result<f64, PruningError> {
    if found.is_finite() { Ok(found) } else { Err(PruningError::Number { what, found }) }
}

/// How strongly each item is pruned.
pub(super) struct Allocation {
    /// The level of each item.
    pub(super) levels: Vec<usize>,
    /// Cost at these levels.
    pub(super) cost: f64,
    /// Sum of the losses at these levels.
    pub(super) loss: f64,
}

/// Raises the levels of items until the cost is at most `target`. Each time, finds for each item the next
/// level that saves something, and raises the item that loses least for each unit of saved cost. If no item
/// alone saves anything, raises the item that loses least by one level, because several items together may
/// save something. Among equals, raises the first item.
///
/// `losses` has the loss of each item at each of its levels. Level 0 is the item as it is.
///
/// Returns the levels of lowest cost, and whether they meet the target.
///
/// # Errors
/// The errors of `cost`, and [`PruningError::Number`] when the target or a cost is not finite.
pub(super) fn allocate(
    losses: &[Vec<f64>],
    target: f64,
    mut cost: impl FnMut(&[usize]) -> Result<f64, PruningError>,
) -> Result<(Allocation, bool), PruningError> {
    finite("budget", target)?;
    let mut levels = vec![0; losses.len()];
    let mut cost = |levels: &[usize]| cost(levels).and_then(|cost| finite("cost", cost));
    let mut now = cost(&levels)?;
    let mut best = (levels.clone(), now);
    while now > target {
        let mut choice: Option<(f64, usize, usize, f64)> = None;
        for (item, losses) in losses.iter().enumerate() {
            let level = levels[item];
            for next in level + 1..losses.len() {
                levels[item] = next;
                let after = cost(&levels)?;
                if after < now {
                    let ratio = (losses[next] - losses[level]) / (now - after);
                    if choice.is_none_or(|(least, ..)| ratio.total_cmp(&least).is_lt()) {
                        choice = Some((ratio, item, next, after));
                    }
                    break;
                }
            }
            levels[item] = level;
        }
        let (item, next, after) = if let Some((_, item, next, after)) = choice {
            (item, next, after)
        } else {
            let Some(item) = least_lossy(losses, &levels) else { break };
            levels[item] += 1;
            (item, levels[item], cost(&levels)?)
        };
        levels[item] = next;
        now = after;
        if now < best.1 {
            best = (levels.clone(), now);
        }
    }
    let (levels, cost) = best;
    let loss = levels.iter().zip(losses).map(|(level, losses)| losses.get(*level).unwrap_or(&0.0)).sum();
    Ok((Allocation { levels, cost, loss }, cost <= target))
}

/// Returns the first item whose next level loses least.
fn least_lossy(losses: &[Vec<f64>], levels: &[usize]) -> Option<usize> {
    let next = |item: usize| losses[item].get(levels[item] + 1).map(|next| next - losses[item][levels[item]]);
    let items = (0..losses.len()).filter_map(|item| Some((next(item)?, item)));
    items.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, item)| item)
}

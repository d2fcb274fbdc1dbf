//! Rates the clusters, and chooses the cluster that proposes next.
//!
//! Source: Auer, Cesa-Bianchi, Fischer, Finite-time analysis of the multiarmed bandit problem, Machine
//! Learning 2002 (the bonus).

/// Returns the bonus of each cluster: `exploration * sqrt(ln(n + 1) / (n_c + 1))`. Here `n_c` is the number
/// of the cluster's trials, including running ones, and `n` is the sum over all clusters. `trials` contains
/// the numbers `n_c`.
pub(super) fn bonuses(trials: &[usize], exploration: f64) -> Vec<f64> {
    let all = (trials.iter().sum::<usize>() + 1) as f64;
    trials.iter().map(|&n| exploration * (all.ln() / (n + 1) as f64).sqrt()).collect()
}

/// Returns the value of each cluster as a source of parents. The value is the mean of the best and the
/// average value of the cluster's trials. Without trials, it is 1/2. `labels` and `values` have one element
/// for each trial.
pub(super) fn standings(labels: &[usize], values: &[f64], clusters: usize) -> Vec<f64> {
    let mut trials = vec![0_usize; clusters];
    let mut sums = vec![0.0; clusters];
    let mut best = vec![0.0_f64; clusters];
    for (&label, &value) in labels.iter().zip(values) {
        trials[label] += 1;
        sums[label] += value;
        best[label] = best[label].max(value);
    }
    let one = |c: usize| if trials[c] == 0 { 0.5 } else { 0.5 * (best[c] + sums[c] / trials[c] as f64) };
    (0..clusters).map(one).collect()
}

/// Returns the cluster with the largest sum of expected improvement and bonus. If several clusters are equal,
/// returns the first one. `lowest` contains the rating of the best candidate in each cluster. Lower ratings
/// are better.
///
/// Improvements are scaled to make them comparable with bonuses. The best rating of all clusters becomes 1.
/// A rating of 0 means that no improvement is expected. It becomes 0, unless the worst rating is above 0:
/// then the worst rating becomes 0 instead.
pub(super) fn turn(lowest: &[Option<f64>], bonuses: &[f64]) -> Option<usize> {
    let rated = || lowest.iter().flatten();
    let best = rated().copied().fold(f64::INFINITY, f64::min);
    // Ratings above 0 occur if no candidate is expected to improve the front. In that case, the candidate
    // closest to an improvement must win.
    let nothing = rated().copied().fold(0.0, f64::max);
    let score = |(cluster, lowest): (usize, &Option<f64>)| {
        let lowest = (*lowest)?;
        let improvement = if nothing > best { (nothing - lowest) / (nothing - best) } else { 1.0 };
        Some((cluster, improvement + bonuses[cluster]))
    };
    let scores = lowest.iter().enumerate().filter_map(score);
    scores.min_by(|a, b| b.1.total_cmp(&a.1)).map(|(cluster, _)| cluster)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standings_and_bonuses_by_hand() {
        // Cluster 0 has the values .9 and .5, cluster 1 has .1, and cluster 2 has no trial. One proposal of
        // cluster 1 is running.
        let standings = standings(&[0, 1, 0], &[0.9, 0.1, 0.5], 3);
        assert!(standings.iter().zip([0.8, 0.1, 0.5]).all(|(a, b)| (a - b).abs() < 1e-12), "{standings:?}");
        let bonuses = bonuses(&[2, 2, 0], 0.2);
        let expected = [3.0, 3.0, 1.0].map(|n| 0.2 * (5_f64.ln() / n).sqrt());
        assert!(bonuses.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{bonuses:?}");
    }

    #[test]
    fn turn_goes_to_highest_expected_improvement_plus_exploration_bonus() {
        // Improvements of 4, 3 and 1 are scaled to 1, 3/4 and 1/4.
        let lowest = [Some(-4.0), Some(-3.0), Some(-1.0), None];
        assert_eq!(turn(&lowest, &[0.0, 0.0, 0.0, 9.0]), Some(0));
        assert_eq!(turn(&lowest, &[0.0, 0.3, 0.3, 9.0]), Some(1));
        assert_eq!(turn(&lowest, &[0.0, 0.3, 0.9, 9.0]), Some(2));
        // No candidate is an improvement, so the one closest to an improvement wins.
        assert_eq!(turn(&[Some(2.0), Some(1.0), Some(4.0)], &[0.0; 3]), Some(1));
        assert_eq!(turn(&[Some(0.0), Some(0.0)], &[0.0, 0.1]), Some(1));
        assert_eq!(turn(&[None, None], &[0.0; 2]), None);
    }
}

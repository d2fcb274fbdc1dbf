//! Which cluster has its turn, by an upper confidence bound.
//!
//! Source: Auer, Cesa-Bianchi, Fischer, Finite-time analysis of the multiarmed bandit problem, Machine Learning 2002.
//! Differs: the value of a cluster is the mean of its best and its average trial.

/// Upper confidence bound of each cluster: `(best_c + mean_c) / 2 + exploration * sqrt(ln(n + 1) / (n_c + 1))`, 1/2 in place of the first term for a cluster without trials. `labels` and `values` are those of the trials, `running`
/// counts the proposals without an answer in each cluster.
pub(super) fn bounds(labels: &[usize], values: &[f64], running: &[usize], exploration: f64) -> Vec<f64> {
    let mut trials = vec![0_usize; running.len()];
    let mut sums = vec![0.0; running.len()];
    let mut best = vec![0.0_f64; running.len()];
    for (&label, &value) in labels.iter().zip(values) {
        trials[label] += 1;
        sums[label] += value;
        best[label] = best[label].max(value);
    }
    let all = labels.len() + running.iter().sum::<usize>();
    let bonus = |n: usize| exploration * (((all + 1) as f64).ln() / (n + 1) as f64).sqrt();
    (0..running.len())
        .map(|c| {
            let value = if trials[c] == 0 { 0.5 } else { 0.5 * (best[c] + sums[c] / trials[c] as f64) };
            value + bonus(trials[c] + running[c])
        })
        .collect()
}

/// The eligible cluster with the largest bound, the earliest of several.
pub(super) fn turn(bounds: &[f64], eligible: impl Fn(usize) -> bool) -> Option<usize> {
    let clusters = (0..bounds.len()).filter(|&cluster| eligible(cluster));
    clusters.min_by(|&a, &b| bounds[b].total_cmp(&bounds[a]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_by_hand() {
        // Cluster 0 holds values .9 and .5, cluster 1 holds .1, cluster 2 nothing; one proposal runs in cluster 1.
        let bounds = bounds(&[0, 1, 0], &[0.9, 0.1, 0.5], &[0, 1, 0], 0.2);
        let bonus = |n: f64| 0.2 * (5_f64.ln() / (n + 1.0)).sqrt();
        let expected = [0.8 + bonus(2.0), 0.1 + bonus(2.0), 0.5 + bonus(0.0)];
        assert!(bounds.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{bounds:?}");
        assert_eq!(turn(&bounds, |_| true), Some(0));
        assert_eq!(turn(&bounds, |cluster| cluster != 0), Some(2));
        assert_eq!(turn(&bounds, |_| false), None);
    }
}

//! Seeded, stratified splits: every class has the same share of each split.

use rand::seq::SliceRandom;

use crate::seed;

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Split {
    /// What networks are trained on.
    Train = 0,
    /// What the search judges them by.
    Validation = 1,
    /// What only finished networks are measured on, once.
    Test = 2,
}

/// Shares of the splits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    /// Share of all examples for testing; ignored when the data come with a test split.
    pub test: f64,
    /// Share of the other examples for validation.
    pub validation: f64,
    /// Seed of the shuffle; apart from the study's seed, so that studies with different seeds compare.
    pub seed: u64,
    /// At most this many examples outside the test split, if stated.
    pub limit: Option<usize>,
}

/// Ascending indices of training, validation and test examples; `labels` are the groups that each split has its share of.
/// Behind the examples that have labels here may follow a test split of `test` others, about which nothing else is known.
pub(crate) fn stratified(labels: &[u32], test: usize, sizes: &Sizes) -> [Vec<u32>; 3] {
    let given = labels.len();
    let classes = labels.iter().max().map_or(0, |label| *label as usize + 1);
    let mut by_class = vec![Vec::new(); classes];
    for (index, label) in labels.iter().enumerate() {
        by_class[*label as usize].push(index as u32);
    }
    let mut splits = [const { Vec::new() }; 3];
    splits[2].extend(given as u32..(given + test) as u32);
    for (class, mut members) in by_class.into_iter().enumerate() {
        members.shuffle(&mut seed::generator(sizes.seed, "split", &[class as u64]));
        if test == 0 {
            let kept = members.len() - share(members.len(), sizes.test);
            splits[2].extend(members.drain(kept..));
        }
        if let Some(limit) = sizes.limit {
            members.truncate((members.len() * limit).div_ceil(given.max(1)));
        }
        let kept = members.len() - share(members.len(), sizes.validation);
        splits[1].extend(members.drain(kept..));
        splits[0].extend(members);
    }
    for split in &mut splits {
        split.sort_unstable();
    }
    splits
}

fn share(count: usize, share: f64) -> usize {
    (count as f64 * share).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_disjoint_stratified_and_seeded() {
        let labels: Vec<u32> = (0..1000).map(|i| i % 10).collect();
        let sizes = Sizes { test: 0.2, validation: 0.25, seed: 7, limit: None };
        let splits = stratified(&labels, 0, &sizes);
        assert_eq!(splits.each_ref().map(Vec::len), [600, 200, 200]);
        let mut all: Vec<u32> = splits.iter().flatten().copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        for split in &splits {
            for class in 0..10 {
                let members = split.iter().filter(|i| labels[**i as usize] == class).count();
                assert_eq!(members * 10, split.len());
            }
        }
        assert_eq!(splits, stratified(&labels, 0, &sizes));
        assert_ne!(splits, stratified(&labels, 0, &Sizes { seed: 8, ..sizes }));
    }

    #[test]
    fn a_given_test_split_is_kept_and_the_limit_holds() {
        let labels: Vec<u32> = (0..80).map(|i| i % 2).collect();
        let splits = stratified(&labels, 20, &Sizes { test: 0.5, validation: 0.1, seed: 1, limit: Some(40) });
        assert_eq!(splits[2], (80..100).collect::<Vec<_>>());
        assert_eq!(splits[0].len() + splits[1].len(), 40);
    }
}

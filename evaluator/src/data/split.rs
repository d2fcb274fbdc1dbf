//! Seeded splits. The splits are stratified by class, unless the files or a column determine the splits.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use super::{ReadingRules, Targets};
use crate::seed;

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Split {
    /// The training split.
    Train = 0,
    /// The validation split, on which networks are evaluated during the search.
    Validation = 1,
    /// The test split, on which each finished network is measured once.
    Test = 2,
}

impl Split {
    /// Returns the split that a folder name or a column value denotes.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Self::Train),
            "val" | "valid" | "validation" | "dev" => Some(Self::Validation),
            "test" | "testing" => Some(Self::Test),
            _ => None,
        }
    }
}

/// A class with more examples than this number contributes to every split with the default fractions.
const MANY: usize = 50;

/// Sizes of the splits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    /// Test fraction of the examples that no file assigns to a split. Ignored if the files have a test split.
    pub test: f64,
    /// Validation fraction of the remaining examples. Ignored if the files have a validation split.
    pub validation: f64,
    /// Seed of the shuffle. It is independent of the study's seed, so that studies with different seeds are
    /// comparable.
    pub seed: u64,
    /// Maximum number of examples outside the given test split.
    pub limit: Option<usize>,
}

/// How to divide examples that no file assigns to a split.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Division {
    /// Randomly, with equal fractions of each class.
    #[default]
    Shares,
    /// Randomly, keeping each group together.
    Groups(Vec<u32>),
    /// By time: training is earliest, test is latest. Equal times stay together.
    Times(Vec<f64>),
}

/// Splits that the files specify, and the rule that divides all other examples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given {
    /// The split of each example, or `None` if the files do not specify the split of that example. The list
    /// is empty if the files specify no splits.
    pub splits: Vec<Option<Split>>,
    /// How to divide the examples that the files assign to no split.
    pub division: Division,
}

impl Given {
    /// Assigns the last `test` of `count` examples to the test split, and no other examples to a split.
    #[must_use]
    pub fn test_at_end(count: usize, test: usize) -> Self {
        let split = |index: usize| (index >= count - test).then_some(Split::Test);
        let splits = if test == 0 { Vec::new() } else { (0..count).map(split).collect() };
        Self { splits, division: Division::Shares }
    }

    /// The given split of an example.
    pub(crate) fn of(&self, index: usize) -> Option<Split> {
        self.splits.get(index).copied().flatten()
    }

    /// Whether the files assign any example to a split.
    pub(crate) fn has(&self, split: Split) -> bool {
        self.splits.contains(&Some(split))
    }
}

/// Returns advice for a split without examples, such as fractions that would assign examples to it.
pub(crate) fn advice(targets: &Targets, given: &Given) -> String {
    let few = "give more examples, or other shares `validation` and `test`".to_owned();
    let (Targets::Classes { labels, names }, Division::Shares) = (targets, &given.division) else {
        return few;
    };
    let mut counts = vec![0_usize; names.len()];
    for (_, label) in labels.iter().enumerate().filter(|(index, _)| given.of(*index).is_none()) {
        counts[*label as usize] += 1;
    }
    let largest = counts.iter().max().copied().unwrap_or_default();
    let asked = [("test", Split::Test), ("validation", Split::Validation)];
    let asked: Vec<&str> =
        asked.into_iter().filter(|(_, split)| !given.has(*split)).map(|(name, _)| name).collect();
    if largest > MANY || asked.is_empty() {
        return few;
    }
    // Each class contributes its rounded fraction to each split, and keeps at least one training example.
    if largest <= asked.len() {
        return format!(
            "no shares are possible: each split takes its share of every class, and the largest class has \
             {largest} examples; give classes of at least {} examples, or files of your own for the splits",
            asked.len() + 1
        );
    }
    let least = |(before, name): (usize, &&str)| {
        let share = (500.0 / (largest - before) as f64).ceil() / 1000.0;
        format!("`{name} = {share}`")
    };
    let shares: Vec<String> = asked.iter().enumerate().map(least).collect();
    format!(
        "each split takes its share of every class, and the largest class has {largest} examples: shares are \
         possible from {} on; or give more examples",
        shares.join(" and ")
    )
}

/// Splits examples with these targets.
pub(crate) fn divide_targets(
    targets: &Targets,
    given: &Given,
    sizes: &Sizes,
    rules: ReadingRules,
) -> [Vec<u32>; 3] {
    let examples = 0..targets.len() as u32;
    let free: Vec<u32> = examples.filter(|index| given.of(*index as usize).is_none()).collect();
    divide(&targets.strata(&free), given, sizes, rules)
}

/// Returns ascending indices of training, validation and test examples. `labels` contains the class of every
/// example, or in a regression the stratum. Each split gets a fraction of each class. Labels of examples with
/// a given split are ignored.
pub(crate) fn divide(labels: &[u32], given: &Given, sizes: &Sizes, rules: ReadingRules) -> [Vec<u32>; 3] {
    let mut splits = [const { Vec::new() }; 3];
    let mut free = Vec::new();
    for index in 0..labels.len() {
        match given.of(index) {
            Some(split) => splits[split as usize].push(index as u32),
            None => free.push(index as u32),
        }
    }
    // If the files define a split, it gets no fraction of the other examples.
    let test = if given.has(Split::Test) { 0.0 } else { sizes.test };
    let validation = if given.has(Split::Validation) { 0.0 } else { sizes.validation };
    let drawn = match &given.division {
        Division::Shares => by_class(labels, &free, [validation, test], sizes, rules),
        Division::Groups(groups) => by_group(groups, limited(labels, free, sizes), [validation, test], sizes),
        Division::Times(times) => by_time(times, limited(labels, free, sizes), [validation, test]),
    };
    for (split, drawn) in splits.iter_mut().zip(drawn) {
        split.extend(drawn);
        split.sort_unstable();
    }
    splits
}

/// Shuffles each class and cuts the test and validation fractions off its end.
fn by_class(
    labels: &[u32],
    free: &[u32],
    [validation, test]: [f64; 2],
    sizes: &Sizes,
    rules: ReadingRules,
) -> [Vec<u32>; 3] {
    let mut splits = [const { Vec::new() }; 3];
    let mut classes = shuffled_classes(labels, free, sizes.seed);
    for members in &mut classes {
        let kept = members.len() - share(members.len(), test);
        splits[2].extend(members.drain(kept..));
    }
    if let Some(limit) = sizes.limit {
        let counts: Vec<usize> = classes.iter().map(Vec::len).collect();
        let most = match rules {
            ReadingRules::First => {
                counts.iter().map(|count| (count * limit).div_ceil(free.len().max(1))).collect()
            }
            ReadingRules::Second => apportioned(&counts, limit),
        };
        for (members, most) in classes.iter_mut().zip(most) {
            members.truncate(most);
        }
    }
    for mut members in classes {
        let kept = members.len() - share(members.len(), validation);
        splits[1].extend(members.drain(kept..));
        splits[0].extend(members);
    }
    splits
}

/// The members of each class in a seeded random order.
fn shuffled_classes(labels: &[u32], members: &[u32], seed: u64) -> Vec<Vec<u32>> {
    let label = |index: &u32| labels[*index as usize];
    let classes = members.iter().map(label).max().map_or(0, |label| label as usize + 1);
    let mut by_class = vec![Vec::new(); classes];
    for index in members {
        by_class[label(index) as usize].push(*index);
    }
    for (class, members) in by_class.iter_mut().enumerate() {
        members.shuffle(&mut seed::generator(seed, "split", &[class as u64]));
    }
    by_class
}

/// Selects at most `limit` of the examples, proportionally from each class.
fn limited(labels: &[u32], free: Vec<u32>, sizes: &Sizes) -> Vec<u32> {
    let Some(limit) = sizes.limit.filter(|limit| *limit < free.len()) else { return free };
    let mut classes = shuffled_classes(labels, &free, sizes.seed);
    let counts: Vec<usize> = classes.iter().map(Vec::len).collect();
    for (members, most) in classes.iter_mut().zip(apportioned(&counts, limit)) {
        members.truncate(most);
    }
    let mut kept = classes.concat();
    kept.sort_unstable();
    kept
}

/// Distributes `limit` over the classes in proportion, by the largest remainders (Hamilton's method). Takes
/// all examples if the classes have at most `limit` members in total.
fn apportioned(counts: &[usize], limit: usize) -> Vec<usize> {
    let all: usize = counts.iter().sum();
    if all <= limit {
        return counts.to_vec();
    }
    // 128 bits hold the product of any two sizes.
    let scaled = |count: &usize| *count as u128 * limit as u128;
    let mut taken: Vec<usize> = counts.iter().map(|count| (scaled(count) / all as u128) as usize).collect();
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|class| std::cmp::Reverse(scaled(&counts[*class]) % all as u128));
    let missing = limit - taken.iter().sum::<usize>();
    for class in order.into_iter().take(missing) {
        taken[class] += 1;
    }
    taken
}

/// Assigns whole groups in a seeded random order, until each split has its fraction of the examples.
fn by_group(groups: &[u32], free: Vec<u32>, [validation, test]: [f64; 2], sizes: &Sizes) -> [Vec<u32>; 3] {
    let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let count = free.len();
    for index in free {
        members.entry(groups[index as usize]).or_default().push(index);
    }
    let mut order: Vec<Vec<u32>> = members.into_values().collect();
    order.shuffle(&mut seed::generator(sizes.seed, "groups", &[]));
    let test = share(count, test);
    let validation = share(count - test, validation);
    let mut splits = [const { Vec::new() }; 3];
    // Keep the last group for training. A later check reports an empty split.
    let last = order.len().saturating_sub(1);
    for (at, group) in order.into_iter().enumerate() {
        let lacks = |split: Split, wanted: usize| at < last && splits[split as usize].len() < wanted;
        let split = match (lacks(Split::Test, test), lacks(Split::Validation, validation)) {
            (true, _) => Split::Test,
            (false, true) => Split::Validation,
            (false, false) => Split::Train,
        };
        splits[split as usize].extend(group);
    }
    splits
}

/// Splits by time: training, then validation, then test. Examples with equal times go to the later split
/// together, so that no moment is in two splits.
fn by_time(times: &[f64], free: Vec<u32>, [validation, test]: [f64; 2]) -> [Vec<u32>; 3] {
    let time = |index: &u32| times[*index as usize];
    let mut order = free;
    order.sort_by(|a, b| time(a).total_cmp(&time(b)).then(a.cmp(b)));
    let mut cut = |share_of: f64| {
        let mut from = order.len() - share(order.len(), share_of);
        while from > 0 && from < order.len() && time(&order[from - 1]).total_cmp(&time(&order[from])).is_eq()
        {
            from -= 1;
        }
        order.split_off(from)
    };
    let test = cut(test);
    let validation = cut(validation);
    [order, validation, test]
}

fn share(count: usize, share: f64) -> usize {
    (count as f64 * share).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: ReadingRules = ReadingRules::CURRENT;

    fn sizes(test: f64, validation: f64) -> Sizes {
        Sizes { test, validation, seed: 7, limit: None }
    }

    #[test]
    fn splits_are_disjoint_stratified_and_seeded() {
        let labels: Vec<u32> = (0..1000).map(|i| i % 10).collect();
        let (free, sizes) = (Given::default(), sizes(0.2, 0.25));
        let splits = divide(&labels, &free, &sizes, NEW);
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
        assert_eq!(
            splits,
            divide(&labels, &free, &sizes, ReadingRules::First),
            "as earlier builds drew them"
        );
        assert_ne!(splits, divide(&labels, &free, &Sizes { seed: 8, ..sizes }, NEW));
    }

    #[test]
    fn divide_keeps_given_test_split_and_holds_out_no_more() {
        let labels: Vec<u32> = (0..100).map(|i| i % 2).collect();
        let given = Given::test_at_end(100, 20);
        let splits = divide(&labels, &given, &Sizes { limit: Some(40), ..sizes(0.5, 0.1) }, NEW);
        assert_eq!(splits[2], (80..100).collect::<Vec<_>>());
        assert_eq!(splits[0].len() + splits[1].len(), 40);
    }

    #[test]
    fn divide_keeps_given_validation_split() {
        let labels = vec![0; 10];
        let mut splits = vec![None; 10];
        splits[3] = Some(Split::Validation);
        splits[4] = Some(Split::Test);
        let given = Given { splits, division: Division::Shares };
        let [train, validation, test] = divide(&labels, &given, &sizes(0.5, 0.5), NEW);
        assert_eq!((train.len(), validation, test), (8, vec![3], vec![4]));
    }

    #[test]
    fn limit_is_exact_for_unequal_classes() {
        // The classes have 17, 16 and 67 examples. The exact shares of a limit of 10 are 1.7, 1.6 and 6.7.
        assert_eq!(apportioned(&[17, 16, 67], 10), [2, 1, 7]);
        assert_eq!(apportioned(&[1, 1, 1], 2), [1, 1, 0]);
        assert_eq!(apportioned(&[3, 4], 100), [3, 4]);
        let labels: Vec<u32> = (0..1740).map(|i| (i % 12) as u32).collect();
        let limited = Sizes { limit: Some(100), ..sizes(0.2, 0.2) };
        let count = |rules| {
            let [train, validation, _] = divide(&labels, &Given::default(), &limited, rules);
            train.len() + validation.len()
        };
        assert_eq!(count(NEW), 100);
        // Each of 12 classes has 116 examples left: 116 * 100 / 1740 = 6.67, rounded up to 7, gives 84.
        assert_eq!(count(ReadingRules::First), 84, "as earlier builds took them");
    }

    #[test]
    fn advice_names_fractions_that_give_every_split_examples() {
        let classes = |each: u32| Targets::Classes {
            names: (0..40).map(|class| class.to_string()).collect(),
            labels: (0..40 * each).map(|i| i % 40).collect(),
        };
        let said = advice(&classes(2), &Given::default());
        assert!(said.starts_with("no shares are possible"), "{said}");
        assert!(said.contains("has 2 examples; give classes of at least 3 examples"), "{said}");
        let said = advice(&classes(3), &Given::default());
        assert!(said.contains("from `test = 0.167` and `validation = 0.25` on"), "{said}");
        let splits = divide_targets(&classes(3), &Given::default(), &sizes(0.167, 0.25), NEW);
        assert_eq!(splits.map(|split| split.len()), [40, 40, 40]);
        let fewer = divide_targets(&classes(3), &Given::default(), &sizes(0.166, 0.25), NEW);
        assert!(fewer[2].is_empty());
    }

    #[test]
    fn divide_by_group_keeps_groups_together() {
        let labels: Vec<u32> = (0..200).map(|i| i % 2).collect();
        let groups: Vec<u32> = (0..200).map(|i| i / 8).collect();
        let given = Given { splits: Vec::new(), division: Division::Groups(groups.clone()) };
        let splits = divide(&labels, &given, &sizes(0.2, 0.25), NEW);
        assert_eq!(splits.iter().map(Vec::len).sum::<usize>(), 200);
        let sides: Vec<std::collections::BTreeSet<u32>> =
            splits.iter().map(|split| split.iter().map(|index| groups[*index as usize]).collect()).collect();
        assert!(sides[0].is_disjoint(&sides[1]) && sides[0].is_disjoint(&sides[2]));
        assert!(sides[1].is_disjoint(&sides[2]));
        assert_eq!(splits[2].len(), 40);
    }

    #[test]
    fn divide_by_time_orders_splits_and_keeps_equal_times_together() {
        // Each of the times 0 to 9 has two examples, in descending order.
        let times: Vec<f64> = (0..20).map(|i| f64::from((19 - i) / 2)).collect();
        let given = Given { splits: Vec::new(), division: Division::Times(times.clone()) };
        let splits = divide(&[0; 20], &given, &sizes(0.25, 0.2), NEW);
        let range = |split: &[u32]| {
            let times = || split.iter().map(|index| times[*index as usize]);
            (times().fold(f64::MAX, f64::min), times().fold(f64::MIN, f64::max))
        };
        let [train, validation, test] = splits.each_ref().map(|split| range(split));
        assert!(train.1 < validation.0 && validation.1 < test.0, "{splits:?}");
        assert_eq!(splits.each_ref().map(Vec::len), [10, 4, 6], "5 of 20 would part a moment");
    }
}

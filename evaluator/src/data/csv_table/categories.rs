//! The names that a column of text holds.

use std::collections::BTreeMap;

/// Names in the order in which they were first seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Categories {
    ids: BTreeMap<String, u32>,
}

impl Categories {
    /// The number of a name; a new one where it is not known yet.
    pub(super) fn add(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.ids.len() as u32;
        self.ids.insert(name.to_owned(), id);
        id
    }

    /// The number of a known name.
    pub(super) fn get(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied()
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The names in order, whole numbers by value and before others, and for each number given by [`Self::add`] its place
    /// in that order.
    pub(super) fn sorted(&self) -> (Vec<String>, Vec<u32>) {
        let mut names: Vec<(&String, u32)> = self.ids.iter().map(|(name, id)| (name, *id)).collect();
        let key = |name: &String| name.parse::<i64>().map_or((1, 0), |number| (0, number));
        names.sort_by(|(a, _), (b, _)| key(a).cmp(&key(b)).then_with(|| a.cmp(b)));
        let mut places = vec![0; names.len()];
        for (place, (_, id)) in names.iter().enumerate() {
            places[*id as usize] = place as u32;
        }
        (names.into_iter().map(|(name, _)| name.clone()).collect(), places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sorted_by_value() {
        let mut categories = Categories::default();
        let ids: Vec<u32> = ["10", "b", "9", "10", "a"].iter().map(|name| categories.add(name)).collect();
        assert_eq!(ids, [0, 1, 2, 0, 3]);
        let (names, places) = categories.sorted();
        assert_eq!(names, ["9", "10", "a", "b"]);
        assert_eq!(places, [1, 3, 0, 2]);
        assert_eq!((categories.get("b"), categories.get("c"), categories.len()), (Some(1), None, 4));
    }
}

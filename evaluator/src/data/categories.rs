//! The categories of a text column.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::ReadingRules;

/// Categories in order of first appearance.
#[derive(Clone, Debug, Default)]
pub(super) struct Categories {
    ids: BTreeMap<String, u32>,
}

impl Categories {
    /// Returns the number of a category. An unknown category gets a new number.
    pub(super) fn add(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.ids.len() as u32;
        self.ids.insert(name.to_owned(), id);
        id
    }

    /// The category with this number.
    pub(super) fn name(&self, number: u32) -> &str {
        self.ids.iter().find(|(_, id)| **id == number).map_or("", |(name, _)| name.as_str())
    }

    /// Number of categories.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The sorted categories: numbers first, by value. Also, for each number returned by [`Self::add`], its
    /// position in that order.
    pub(super) fn sorted(&self, rules: ReadingRules) -> (Vec<String>, Vec<u32>) {
        let mut names: Vec<(&String, u32)> = self.ids.iter().map(|(name, id)| (name, *id)).collect();
        match rules {
            ReadingRules::First => {
                let key = |name: &String| name.parse::<i64>().map_or((1, 0), |number| (0, number));
                names.sort_by(|(a, _), (b, _)| key(a).cmp(&key(b)).then_with(|| a.cmp(b)));
            }
            ReadingRules::Second => names.sort_by(|(a, _), (b, _)| by_value(a, b)),
        }
        let mut places = vec![0; names.len()];
        for (place, (_, id)) in names.iter().enumerate() {
            places[*id as usize] = place as u32;
        }
        (names.into_iter().map(|(name, _)| name.clone()).collect(), places)
    }
}

/// Orders numbers by value, then other names alphabetically.
fn by_value(a: &str, b: &str) -> Ordering {
    let number = |name: &str| name.parse::<f64>().ok().filter(|value| value.is_finite());
    let order = match (number(a), number(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    };
    order.then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(names: &[&str], rules: ReadingRules) -> String {
        let mut categories = Categories::default();
        for name in names {
            categories.add(name);
        }
        categories.sorted(rules).0.join(" ")
    }

    #[test]
    fn sorted_orders_whole_numbers_by_value() {
        let mut categories = Categories::default();
        let ids: Vec<u32> = ["10", "b", "9", "10", "a"].iter().map(|name| categories.add(name)).collect();
        assert_eq!(ids, [0, 1, 2, 0, 3]);
        let (names, places) = categories.sorted(ReadingRules::CURRENT);
        assert_eq!(names, ["9", "10", "a", "b"]);
        assert_eq!(places, [1, 3, 0, 2]);
        assert_eq!(categories.len(), 4);
    }

    #[test]
    fn sorted_orders_fractions_by_value() {
        let names = ["10.0", "2.0", "-1.5", "1.0", "1e3", "x"];
        assert_eq!(sorted(&names, ReadingRules::CURRENT), "-1.5 1.0 2.0 10.0 1e3 x");
        assert_eq!(sorted(&names, ReadingRules::First), "-1.5 1.0 10.0 1e3 2.0 x", "as earlier builds did");
    }
}

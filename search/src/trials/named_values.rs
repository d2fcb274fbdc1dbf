//! Maps from names to numbers. Trials with the same names share one list of names, so that hundreds of
//! thousands of trials fit into memory.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A map from names to numbers, ordered by name.
///
/// # Example
/// ```
/// use kiln_search::NamedValues;
/// let values: NamedValues = [("macs".to_owned(), 7.0), ("latency_us".to_owned(), 1.5)].into();
/// assert_eq!(values.get("macs"), Some(&7.0));
/// assert_eq!(values.keys().collect::<Vec<_>>(), ["latency_us", "macs"]);
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct NamedValues {
    names: Arc<[String]>,
    values: Box<[f64]>,
}

impl NamedValues {
    /// Returns the number with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&f64> {
        let at = self.names.binary_search_by(|known| known.as_str().cmp(name)).ok()?;
        self.values.get(at)
    }

    /// Whether the map contains this name.
    #[must_use]
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether the map is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns an iterator over the names and numbers.
    pub fn iter(&self) -> Iter<'_> {
        self.names.iter().zip(&self.values)
    }

    /// Returns an iterator over the names.
    #[must_use]
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &String> + Clone {
        self.names.iter()
    }

    /// Returns an iterator over the numbers, in the order of the names.
    #[must_use]
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &f64> + Clone {
        self.values.iter()
    }

    /// Uses `last` as the list of names if both lists are equal. Otherwise sets `last` to this list.
    pub(crate) fn share_names(&mut self, last: &mut Arc<[String]>) {
        if self.names == *last {
            self.names = Arc::clone(last);
        } else {
            *last = Arc::clone(&self.names);
        }
    }
}

/// An iterator over names and numbers.
type Iter<'a> = std::iter::Zip<std::slice::Iter<'a, String>, std::slice::Iter<'a, f64>>;

impl From<BTreeMap<String, f64>> for NamedValues {
    fn from(values: BTreeMap<String, f64>) -> Self {
        let (names, values): (Vec<String>, Vec<f64>) = values.into_iter().unzip();
        Self { names: names.into(), values: values.into() }
    }
}

impl From<NamedValues> for BTreeMap<String, f64> {
    fn from(values: NamedValues) -> Self {
        values.iter().map(|(name, value)| (name.clone(), *value)).collect()
    }
}

impl<const COUNT: usize> From<[(String, f64); COUNT]> for NamedValues {
    fn from(values: [(String, f64); COUNT]) -> Self {
        BTreeMap::from(values).into()
    }
}

impl FromIterator<(String, f64)> for NamedValues {
    fn from_iter<I: IntoIterator<Item = (String, f64)>>(values: I) -> Self {
        values.into_iter().collect::<BTreeMap<_, _>>().into()
    }
}

impl<'a> IntoIterator for &'a NamedValues {
    type Item = (&'a String, &'a f64);
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl Index<&str> for NamedValues {
    type Output = f64;
    fn index(&self, name: &str) -> &f64 {
        self.get(name).unwrap_or_else(|| panic!("there is no value `{name}`"))
    }
}

impl fmt::Debug for NamedValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl Serialize for NamedValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<'de> Deserialize<'de> for NamedValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Pairs)
    }
}

/// Deserializes a map. Maps written by Kiln are already sorted, so they are not sorted again.
struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = NamedValues;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of numbers")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<NamedValues, M::Error> {
        let (mut names, mut values): (Vec<String>, Vec<f64>) = (Vec::new(), Vec::new());
        while let Some((name, value)) = map.next_entry()? {
            names.push(name);
            values.push(value);
        }
        if names.is_sorted_by(|a, b| a < b) {
            Ok(NamedValues { names: names.into(), values: values.into() })
        } else {
            Ok(names.into_iter().zip(values).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_values_serialize_and_iterate_like_a_sorted_map() {
        let map: BTreeMap<String, f64> =
            [("b", 2.0), ("a", 1.0), ("c", -0.0)].map(|(name, value)| (name.to_owned(), value)).into();
        let values = NamedValues::from(map.clone());
        assert_eq!(serde_json::to_string(&values).unwrap(), serde_json::to_string(&map).unwrap());
        assert_eq!(serde_json::from_str::<NamedValues>(r#"{"b":2.0,"a":1.0,"c":-0.0}"#).unwrap(), values);
        assert!(values.iter().eq(&map) && values.keys().eq(map.keys()) && values.values().eq(map.values()));
        assert!(map.iter().all(|(name, value)| values.get(name) == Some(value)) && values.get("d").is_none());
        assert_eq!(BTreeMap::from(values), map);
        assert!(NamedValues::default().is_empty());
    }

    #[test]
    fn share_names_of_equal_lists_keeps_one_list() {
        let mut last = Arc::default();
        let mut values = [1.0, 2.0].map(|value| NamedValues::from([("a".to_owned(), value)]));
        for values in &mut values {
            values.share_names(&mut last);
        }
        assert!(Arc::ptr_eq(&values[0].names, &values[1].names));
        assert_eq!(values.map(|values| values.get("a").copied()), [Some(1.0), Some(2.0)]);
    }
}

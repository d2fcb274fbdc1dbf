//! Genotypes as users write them: as a list of option indices, or as the text that `kiln show` prints.

use std::fmt;

use kiln_space::Genotype;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A genotype from a config.
#[derive(Debug)]
pub(super) struct Given(pub(super) Genotype);

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a genotype: a list of option indices such as `[1, 0, 2]`, or `\"1-0-2\"`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Given, E> {
        kiln_hw_models::genotype(text).map(Given).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Given, A::Error> {
        let mut genes = Vec::new();
        while let Some(gene) = list.next_element::<u8>()? {
            genes.push(gene);
        }
        Ok(Given(Genotype::new(genes)))
    }
}

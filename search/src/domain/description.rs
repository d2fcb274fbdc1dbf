//! A numeric description of an architecture, computed once for each genotype.
//!
//! A description depends only on the space and the genotype, so all searches over one space can share it. The
//! embedding (`learning/embedding.rs`) scales the numbers of a description into a vector.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kiln_space::{Architecture, Genotype, SearchSpace, encoding};

use self::neighborhoods::{BUCKETS, DEPTH};

mod neighborhoods;

/// Maximum number of descriptions in one generation of the cache. The cache keeps two generations.
const REMEMBERED: usize = 16_384;
/// Names of the entries that describe paths in the structural encoding.
const PATHS: [&str; 3] = ["ln_paths", "longest_path", "shortest_path"];

/// A group of numbers that share one weight in the embedding.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) values: Vec<f64>,
    /// Whether the numbers have different units. In that case, each number is scaled to the same variance.
    pub(crate) mixed: bool,
}

/// The blocks of a genotype. The first block contains its genes. If the genotype decodes, further blocks
/// describe its layers (by kind and inputs), its paths, and its totals.
pub(crate) type Description = Vec<Block>;

/// A cache of descriptions. Only searches over the same space may share it.
#[derive(Debug, Default)]
pub struct Descriptions(Mutex<Generations>);

/// The two generations of the cache. When the young generation is full, it replaces the old one.
#[derive(Debug, Default)]
struct Generations {
    young: BTreeMap<Genotype, Arc<Description>>,
    old: BTreeMap<Genotype, Arc<Description>>,
}

impl Descriptions {
    /// Returns the description of a genotype. A cached description is not computed again.
    pub(crate) fn of(&self, space: &dyn SearchSpace, genotype: &Genotype) -> Arc<Description> {
        let known = {
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.young.get(genotype).or_else(|| all.old.get(genotype)).cloned()
        };
        known.unwrap_or_else(|| {
            let description = Arc::new(describe(space, genotype));
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if all.young.len() >= REMEMBERED {
                all.old = std::mem::take(&mut all.young);
            }
            all.young.insert(genotype.clone(), Arc::clone(&description));
            description
        })
    }
}

fn describe(space: &dyn SearchSpace, genotype: &Genotype) -> Description {
    let choices = encoding::one_hot(space.decisions(), genotype).unwrap_or_default();
    let mut blocks = vec![Block { values: choices, mixed: false }];
    if let Ok(architecture) = space.decode(genotype) {
        blocks.extend(described(&architecture));
    }
    blocks
}

fn described(architecture: &Architecture) -> Vec<Block> {
    let counts = neighborhoods::counts(architecture);
    let counts = (0..=DEPTH)
        .map(|depth| Block { values: counts[depth * BUCKETS..(depth + 1) * BUCKETS].to_vec(), mixed: false });
    let names = encoding::structural_names();
    let structural = encoding::structural(architecture);
    let paths = PATHS.iter().filter_map(|path| names.iter().position(|name| name == path));
    let paths = paths.map(|path| structural[path]).collect();
    let totals = architecture.counts();
    let totals = vec![totals.parameters as f64, totals.macs as f64];
    counts.chain([paths, totals].map(|values| Block { values, mixed: true })).collect()
}

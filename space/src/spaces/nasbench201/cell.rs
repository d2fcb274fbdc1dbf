//! A cell has six edges between four nodes. This module converts cells to and from text and finds equivalent
//! cells.

use std::collections::BTreeSet;
use std::fmt;

use crate::{Genotype, SpaceError};

/// The edges `(from, to)`, in the order of the notation and of the genes.
pub(super) const EDGES: [(usize, usize); 6] = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)];

/// The operation of an edge. A gene is a position in [`EdgeOp::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EdgeOp {
    None,
    Skip,
    Conv1x1,
    Conv3x3,
    Pool3x3,
}

impl EdgeOp {
    pub(super) const ALL: [Self; 5] = [Self::None, Self::Skip, Self::Conv1x1, Self::Conv3x3, Self::Pool3x3];

    /// The name in the published tables.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Skip => "skip_connect",
            Self::Conv1x1 => "nor_conv_1x1",
            Self::Conv3x3 => "nor_conv_3x3",
            Self::Pool3x3 => "avg_pool_3x3",
        }
    }
}

/// A cell, as one operation per edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell(pub(super) [EdgeOp; 6]);

impl Cell {
    pub(super) fn from_genotype(genotype: &Genotype) -> Result<Self, SpaceError> {
        let genes: &[u8; 6] = genotype
            .genes()
            .try_into()
            .map_err(|_| SpaceError::GenotypeLength { found: genotype.len(), expected: EDGES.len() })?;
        let mut ops = [EdgeOp::None; 6];
        for (index, gene) in genes.iter().enumerate() {
            ops[index] = *EdgeOp::ALL.get(usize::from(*gene)).ok_or_else(|| SpaceError::Gene {
                index,
                decision: format!("edge{}_{}", EDGES[index].0, EDGES[index].1),
                found: *gene,
                options: EdgeOp::ALL.len(),
            })?;
        }
        Ok(Self(ops))
    }

    pub(super) fn genotype(self) -> Genotype {
        Genotype::new(self.0.map(|op| op as u8))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut ops = [EdgeOp::None; 6];
        let mut edge = 0;
        let mut to = 0;
        for node in text.trim().split('+') {
            to += 1;
            let terms = node.strip_prefix('|')?.strip_suffix('|')?;
            for (from, term) in terms.split('|').enumerate() {
                let (name, source) = term.split_once('~')?;
                if edge == ops.len() || EDGES[edge] != (from, to) || source != from.to_string() {
                    return None;
                }
                ops[edge] = *EdgeOp::ALL.iter().find(|op| op.name() == name)?;
                edge += 1;
            }
        }
        (edge == ops.len()).then_some(Self(ops))
    }

    /// Returns the incoming edges of a node, as `(from, operation)`.
    pub(super) fn terms(self, node: usize) -> impl Iterator<Item = (usize, EdgeOp)> {
        (0..6).filter(move |edge| EDGES[*edge].1 == node).map(move |edge| (EDGES[edge].0, self.0[edge]))
    }

    /// Returns the smallest cell that can be reached by exchanges; see [`Cell::twins`].
    pub(super) fn canonical(self) -> Self {
        let mut seen = BTreeSet::from([self]);
        let mut open = vec![self];
        while let Some(cell) = open.pop() {
            open.extend(cell.twins().filter(|twin| seen.insert(*twin)));
        }
        *seen.first().expect("the cell itself is there")
    }

    /// Returns the cells that one exchange produces and that compute the same function with the same live and
    /// idle layers. The exchanges are:
    /// - Swap nodes 1 and 2, if no edge joins them.
    /// - Swap two edges into one node, if their source nodes have equal values.
    /// - Swap two edges into dead nodes, that is, nodes that do not affect the cell's output.
    ///
    /// Each exchange is its own inverse, so reachability by exchanges is an equivalence relation.
    fn twins(self) -> impl Iterator<Item = Self> {
        let values = self.values();
        let live = self.live_nodes();
        let profile = self.profile();
        let edges = EDGES.iter().enumerate();
        let pairs = edges
            .clone()
            .flat_map(move |(a, edge)| edges.clone().skip(a + 1).map(move |(b, other)| (a, edge, b, other)));
        let exchanged = pairs.filter_map(move |(a, edge, b, other)| {
            let equal_sources = edge.1 == other.1 && values[edge.0] == values[other.0];
            let both_idle = !live[edge.1] && !live[other.1];
            (equal_sources || both_idle).then(|| self.swapped(&[(a, b)]))
        });
        let mirrored = (self.0[2] == EdgeOp::None).then(|| self.swapped(&[(0, 1), (4, 5)]));
        exchanged.chain(mirrored).filter(move |twin| *twin != self && twin.profile() == profile)
    }

    fn swapped(self, pairs: &[(usize, usize)]) -> Self {
        let mut ops = self.0;
        for (a, b) in pairs {
            ops.swap(*a, *b);
        }
        Self(ops)
    }

    /// Computes the value of each node as a sum of terms.
    fn values(self) -> [Value; 4] {
        let mut values = [Value(vec![Term::Input]), Value::default(), Value::default(), Value::default()];
        for (edge, (from, to)) in EDGES.iter().enumerate() {
            let terms = match self.0[edge] {
                EdgeOp::None => Vec::new(),
                EdgeOp::Skip => values[*from].0.clone(),
                EdgeOp::Conv1x1 | EdgeOp::Conv3x3 => vec![Term::Conv(edge)],
                // The average of zeros is zero.
                EdgeOp::Pool3x3 if values[*from].0.is_empty() => Vec::new(),
                EdgeOp::Pool3x3 => vec![Term::Pool(values[*from].clone())],
            };
            values[*to].0.extend(terms);
            values[*to].0.sort();
        }
        values
    }

    /// Returns, for each node, whether the cell's output depends on it.
    fn live_nodes(self) -> [bool; 4] {
        let mut live = [false, false, false, true];
        for (edge, (from, to)) in EDGES.iter().enumerate().rev() {
            live[*from] |= live[*to] && self.0[edge] != EdgeOp::None;
        }
        live
    }

    /// Returns the number of live edges with each operation, and whether node 2 is live. Cells with equal
    /// profiles run the same layers.
    fn profile(self) -> ([usize; 5], bool) {
        let live = self.live_nodes();
        let mut counts = [0; 5];
        for (edge, (_, to)) in EDGES.iter().enumerate() {
            if live[*to] {
                counts[self.0[edge] as usize] += 1;
            }
        }
        (counts, live[2])
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for to in 1..4 {
            f.write_str(if to == 1 { "|" } else { "+|" })?;
            for (from, op) in self.terms(to) {
                write!(f, "{}~{from}|", op.name())?;
            }
        }
        Ok(())
    }
}

/// A sorted sum of terms. The empty sum is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Value(Vec<Term>);

/// A term of a sum. Two convolutions are never equal because each has its own weights.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Term {
    Input,
    Pool(Value),
    Conv(usize),
}

//! The trees as bytes. A bit for each node says whether it is a cut; cuts and leaves follow.

use super::{BINS_MAX, BinnedTrees, Node, Tree};

impl BinnedTrees {
    /// Returns the trees as bytes, about 200 for a tree of 64 leaves.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.edges.len() as u8];
        bytes.extend((self.trees.len() as u16).to_le_bytes());
        bytes.extend(self.start.to_le_bytes());
        for edges in &self.edges {
            bytes.push(edges.len() as u8);
            bytes.extend(edges.iter().flat_map(|edge| edge.to_le_bytes()));
        }
        for Tree { scale, nodes } in &self.trees {
            bytes.extend(scale.to_le_bytes());
            bytes.push(nodes.len() as u8);
            let is_cut = |node: &Node| u8::from(matches!(node, Node::Cut { .. }));
            let byte = |nodes: &[Node]| {
                nodes.iter().enumerate().fold(0, |byte, (bit, node)| byte | (is_cut(node) << bit))
            };
            bytes.extend(nodes.chunks(8).map(byte));
            for node in nodes {
                if let Node::Cut { feature, edge, .. } = node {
                    bytes.extend([*feature, *edge]);
                }
            }
            for node in nodes {
                if let Node::Leaf(value) = node {
                    bytes.extend(value.to_le_bytes());
                }
            }
        }
        bytes
    }

    /// Reads trees. `None` for bytes that [`BinnedTrees::to_bytes`] does not write.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(bytes);
        let width = usize::from(bytes.byte()?);
        let count = u16::from_le_bytes(bytes.take()?);
        let start = bytes.number()?;
        let mut edges: Vec<Vec<f32>> = Vec::with_capacity(width);
        for _ in 0..width {
            let count = usize::from(bytes.byte()?);
            let of_feature: Vec<f32> = (0..count).map(|_| bytes.number()).collect::<Option<_>>()?;
            if count >= BINS_MAX || of_feature.windows(2).any(|pair| pair[0] >= pair[1]) {
                return None;
            }
            edges.push(of_feature);
        }
        let trees = (0..count).map(|_| bytes.tree(&edges)).collect::<Option<Vec<Tree>>>()?;
        bytes.0.is_empty().then_some(Self { edges, start, trees })
    }
}

/// Bytes that are not read yet.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<f32> {
        self.take().map(f32::from_le_bytes).filter(|number| number.is_finite() && number.abs() < 1e30)
    }

    fn tree(&mut self, edges: &[Vec<f32>]) -> Option<Tree> {
        let scale = self.number()?;
        let count = usize::from(self.byte()?);
        let bits: Vec<u8> = (0..count.div_ceil(8)).map(|_| self.byte()).collect::<Option<_>>()?;
        let is_cut = |node: usize| bits[node / 8] >> (node % 8) & 1 == 1;
        let cuts = (0..count).filter(|node| is_cut(*node)).count();
        // Every cut has two sides, so a tree has one leaf more than cuts.
        if count != 2 * cuts + 1 {
            return None;
        }
        let mut pairs = Vec::with_capacity(cuts);
        for _ in 0..cuts {
            let [feature, edge] = self.take()?;
            if usize::from(edge) >= edges.get(usize::from(feature))?.len() {
                return None;
            }
            pairs.push([feature, edge]);
        }
        let mut pairs = pairs.into_iter();
        let mut nodes = Vec::with_capacity(count);
        // Cuts whose right side is not reached yet.
        let mut waiting: Vec<usize> = Vec::new();
        for node in 0..count {
            if is_cut(node) {
                let [feature, edge] = pairs.next()?;
                waiting.push(node);
                nodes.push(Node::Cut { feature, edge, right: 0 });
            } else {
                nodes.push(Node::Leaf(self.byte()? as i8));
                // The next node is the right side of the last cut that waits. The last leaf has none.
                if let Some(cut) = waiting.pop() {
                    let Node::Cut { right, .. } = &mut nodes[cut] else { return None };
                    *right = (node + 1) as u8;
                } else if node + 1 != count {
                    return None;
                }
            }
        }
        waiting.is_empty().then_some(Tree { scale, nodes })
    }
}

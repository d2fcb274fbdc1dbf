//! Disjoint sets of numbers, joined pair by pair.

/// Disjoint sets of the numbers below a limit.
///
/// Source: R. E. Tarjan and J. van Leeuwen, "Worst-case analysis of set union algorithms", JACM 1984 (path
/// halving). The smallest number of a set represents it, so the result does not depend on the order of joins.
pub(super) struct Components(Vec<usize>);

impl Components {
    /// Creates one set for each number below `count`.
    pub(super) fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    /// Returns the smallest number of the set that contains `number`.
    pub(super) fn first(&mut self, mut number: usize) -> usize {
        while self.0[number] != number {
            self.0[number] = self.0[self.0[number]];
            number = self.0[number];
        }
        number
    }

    /// Joins the sets of two numbers.
    pub(super) fn join(&mut self, left: usize, right: usize) {
        let (left, right) = (self.first(left), self.first(right));
        self.0[left.max(right)] = left.min(right);
    }

    /// Numbers the sets in the order of their smallest numbers. Returns the set of each number, and the
    /// number of sets.
    pub(super) fn numbered(mut self) -> (Vec<usize>, usize) {
        let mut numbers = vec![0; self.0.len()];
        let mut count = 0;
        for number in 0..numbers.len() {
            let first = self.first(number);
            if first == number {
                numbers[number] = count;
                count += 1;
            } else {
                numbers[number] = numbers[first];
            }
        }
        (numbers, count)
    }
}

//! Masks: which weights of a layer are kept, and which are set to zero.

use kiln_space::Sparsity;
use serde::{Deserialize, Serialize};

use super::PruningError;

/// Which weights of a layer are kept. The others are zero.
///
/// # Example
/// ```
/// use kiln_export::pruning::{Mask, scores};
/// use kiln_space::Sparsity;
///
/// let mut weights = [0.1, -0.7, 0.5, 0.2];
/// let scores = scores::magnitude(&weights);
/// let mask = Mask::new(Sparsity::NOfM { n: 2, m: 4 }, &[1, 4], &scores);
/// mask.apply(&mut weights);
/// assert_eq!(weights, [0.0, -0.7, 0.5, 0.0]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    shape: Vec<usize>,
    kept: Vec<bool>,
}

/// Whether pruned weights may come back during a gradual pruning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Masking {
    /// A pruned weight stays zero.
    #[default]
    Hard,
    /// Each mask is chosen anew from all scores. The caller keeps training the pruned weights, as in Y. He et
    /// al., "Soft Filter Pruning for Accelerating Deep Convolutional Neural Networks", IJCAI 2018.
    Soft,
}

impl Mask {
    /// Keeps all weights.
    #[must_use]
    pub fn whole(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), kept: vec![true; shape.iter().product()] }
    }

    /// Keeps the weights with the highest scores. A group of an n:m pattern consists of neighboring input
    /// channels at one position of the kernel. Input channels after the last whole group are all kept.
    ///
    /// If scores are equal, an n:m pattern keeps the weights that come first, and unstructured sparsity sets
    /// the weights that come first to zero. `NaN` is higher than all numbers.
    ///
    /// Source: A. Mishra et al., "Accelerating Sparse Deep Neural Networks", arXiv:2104.08378 (n:m).
    ///
    /// # Shapes
    /// `shape` is `[outputs, inputs, ..]`. `scores` has one value for each weight, in row-major order.
    ///
    /// # Panics
    /// When `shape` has fewer than two axes, or the number of scores does not fit.
    #[must_use]
    pub fn new(sparsity: Sparsity, shape: &[usize], scores: &[f64]) -> Self {
        assert_eq!(scores.len(), shape.iter().product::<usize>(), "each weight has a score");
        let mut mask = Self::whole(shape);
        match sparsity {
            Sparsity::Dense => {}
            Sparsity::Unstructured { .. } => {
                let mut order: Vec<usize> = (0..scores.len()).collect();
                order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
                for index in &order[..zeros(sparsity, scores.len())] {
                    mask.kept[*index] = false;
                }
            }
            Sparsity::NOfM { n, m } => {
                let n = usize::from(n).min(usize::from(m).max(1));
                for mut group in groups(shape, m) {
                    group.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
                    group[n..].iter().for_each(|index| mask.kept[*index] = false);
                }
            }
        }
        mask
    }

    /// Replaces this mask by the next one of a gradual pruning. With [`Masking::Hard`], weights that are
    /// zero now have the lowest scores, so they stay zero unless the new sparsity has fewer zeros.
    ///
    /// # Panics
    /// When the number of scores does not fit.
    pub fn update(&mut self, masking: Masking, sparsity: Sparsity, scores: &[f64]) {
        let mut scores = scores.to_vec();
        if masking == Masking::Hard {
            for (score, kept) in scores.iter_mut().zip(&self.kept) {
                if !kept {
                    *score = f64::NEG_INFINITY;
                }
            }
        }
        *self = Self::new(sparsity, &self.shape, &scores);
    }

    /// Returns, for each weight, whether it is kept.
    #[must_use]
    pub fn kept(&self) -> &[bool] {
        &self.kept
    }

    /// Returns the shape of the weights.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the number of weights that are set to zero.
    #[must_use]
    pub fn zeros(&self) -> usize {
        self.kept.iter().filter(|kept| !**kept).count()
    }

    /// Returns 1 for each weight that is kept, and 0 for each other weight.
    #[must_use]
    pub fn factors(&self) -> Vec<f32> {
        self.kept.iter().map(|kept| f32::from(u8::from(*kept))).collect()
    }

    /// Sets the weights that are not kept to zero.
    ///
    /// # Panics
    /// When the number of weights differs from the mask's.
    pub fn apply(&self, weights: &mut [f32]) {
        assert_eq!(weights.len(), self.kept.len(), "the mask belongs to the weights");
        for (weight, kept) in weights.iter_mut().zip(&self.kept) {
            if !kept {
                *weight = 0.0;
            }
        }
    }
}

/// Returns the sparsity that removes a share of the weights, rounded to a thousandth.
///
/// # Errors
/// [`PruningError::Share`] when the share is negative, or 1 (100 %) or more.
pub fn sparsity_of(share: f64) -> Result<Sparsity, PruningError> {
    if !(0.0..1.0).contains(&share) {
        return Err(PruningError::Share { found: share });
    }
    match ((share * 1000.0).round() as u16).min(999) {
        0 => Ok(Sparsity::Dense),
        permille => Ok(Sparsity::Unstructured { permille }),
    }
}

/// Returns the sparsity that weights really have, at most the `claimed` one. Weights that do not follow a
/// claimed n:m pattern are dense.
///
/// # Panics
/// When `shape` has fewer than two axes, or the number of weights does not fit.
#[must_use]
pub fn stated(claimed: Sparsity, shape: &[usize], weights: &[f32]) -> Sparsity {
    assert_eq!(weights.len(), shape.iter().product::<usize>(), "the weights fit their shape");
    let is_zero = |weight: &f32| weight.abs() <= 0.0;
    match claimed {
        Sparsity::Dense => claimed,
        Sparsity::Unstructured { .. } => {
            let found = weights.iter().filter(|weight| is_zero(weight)).count();
            if found >= zeros(claimed, weights.len()) {
                return claimed;
            }
            match found * 1000 / weights.len() {
                0 => Sparsity::Dense,
                permille => Sparsity::Unstructured { permille: permille as u16 },
            }
        }
        Sparsity::NOfM { n, m } => {
            let used = |group: &[usize]| group.iter().filter(|index| !is_zero(&weights[**index])).count();
            let follows = groups(shape, m).all(|group| used(&group) <= usize::from(n));
            if follows && shape[1] >= usize::from(m) { claimed } else { Sparsity::Dense }
        }
    }
}

/// Returns the number of zeros among `weights` weights.
fn zeros(sparsity: Sparsity, weights: usize) -> usize {
    match sparsity {
        Sparsity::Unstructured { permille } => weights * usize::from(permille.min(1000)) / 1000,
        _ => 0,
    }
}

/// Returns the indices of the weights in each whole group of `m` neighboring input channels.
fn groups(shape: &[usize], m: u8) -> impl Iterator<Item = Vec<usize>> {
    let window: usize = shape[2..].iter().product();
    let (rows, inputs, m) = (shape[0], shape[1], usize::from(m).max(1));
    (0..rows).flat_map(move |row| {
        (0..window).flat_map(move |position| {
            (0..inputs / m).map(move |group| {
                (0..m)
                    .map(|channel| (row * inputs + group * m + channel) * window + position)
                    .collect::<Vec<_>>()
            })
        })
    })
}

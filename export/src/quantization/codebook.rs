//! Clusters the weights of layers, so that files contain a short list of values and small indices.

use kiln_space::{NumberFormat, Op, Precision, Sparsity};

use super::stored::{CODEBOOK_MAX, WeightCode, has_kernel, index_bits, nearest};
use crate::{ExportError, TrainedModel, folded};

/// Maximum number of groups of neighboring weights that clustering distinguishes.
const GROUPS: usize = 4096;

/// Returns the network with the weights of each layer clustered to at most `values` values. Batch
/// normalizations are folded first ([`folded`]). Layers that would not become smaller stay as they are, and
/// so do layers in other formats than single precision. A sparse layer keeps its zeros.
///
/// Source: S. Han et al., "Deep Compression", ICLR 2016, section 3. Differs: the clusters of each layer are
/// those with the least squared error, not those that Lloyd's iterations find from equidistant seeds.
///
/// # Errors
/// [`ExportError::CodebookValues`] when `values` is not between 2 and 256. [`ExportError::NoCodebook`] when
/// no layer would become smaller.
///
/// # Panics
/// When an array is missing. [`TrainedModel::check`] reports which one.
pub fn with_codebooks(model: &TrainedModel, values: usize) -> Result<TrainedModel, ExportError> {
    if !(2..=CODEBOOK_MAX).contains(&values) {
        return Err(ExportError::CodebookValues { found: values, limit: CODEBOOK_MAX });
    }
    let mut model = folded(model);
    model.weight_codes.clear();
    let live = model.architecture.live();
    for (layer, _) in model.architecture.layers.iter().zip(live).filter(|(_, live)| *live) {
        if !has_kernel(&layer.op) || layer.precision != Precision::uniform(NumberFormat::F32) {
            continue;
        }
        let Some(weight) = model.arrays.get_mut(&format!("{}.weight", layer.name)) else { continue };
        let codebook = cluster(&weight.data, values, layer.sparsity != Sparsity::Dense);
        let packed = (weight.data.len() * index_bits(codebook.len())).div_ceil(8) + 4 * codebook.len();
        if packed + overhead(&layer.op) < 4 * weight.data.len() {
            weight.data.iter_mut().for_each(|weight| *weight = codebook[nearest(&codebook, *weight)]);
            model.weight_codes.insert(layer.name.clone(), WeightCode::Codebook(codebook));
        }
    }
    if model.weight_codes.is_empty() {
        return Err(ExportError::NoCodebook { values });
    }
    Ok(model)
}

/// Bytes of the nodes that unpack a codebook in an ONNX file, about.
const fn overhead(op: &Op) -> usize {
    match op {
        Op::Linear { .. } => 200,
        _ => 220,
    }
}

/// Returns the values of at most `count` clusters of the weights, in ascending order. The clusters have the
/// least sum of squared distances among all clusterings of at most 4096 groups of neighboring weights; up to
/// 4096 distinct weights, this is the exact solution of one-dimensional k-means. If `keeps_zeros`, the
/// weights that are zero are a cluster of their own.
///
/// Source: H. Wang and M. Song, "Ckmeans.1d.dp: Optimal k-means Clustering in One Dimension by Dynamic
/// Programming", The R Journal 3(2), 2011; divide and conquer by the monotony of the best splits.
pub(super) fn cluster(weights: &[f32], count: usize, keeps_zeros: bool) -> Vec<f32> {
    let is_zero = |weight: &f32| weight.abs() <= 0.0;
    let zeros = keeps_zeros && weights.iter().any(is_zero);
    let mut sorted: Vec<f32> = weights.iter().copied().filter(|weight| !(zeros && is_zero(weight))).collect();
    sorted.sort_by(f32::total_cmp);
    let groups = groups(&sorted);
    let count = if zeros { count - 1 } else { count };
    let mut values: Vec<f32> = split(&groups, count.min(groups.len()));
    if zeros {
        values.push(0.0);
    }
    // Negative and positive zero are one value.
    values.iter_mut().filter(|value| is_zero(value)).for_each(|value| *value = 0.0);
    values.sort_by(f32::total_cmp);
    values.dedup();
    values
}

/// Neighboring weights: their number, their sum and the sum of their squares.
type Group = [f64; 3];

/// Divides sorted weights into groups of about equal size. Equal weights are in the same group.
fn groups(sorted: &[f32]) -> Vec<Group> {
    let size = sorted.len().div_ceil(GROUPS).max(1);
    let mut groups: Vec<Group> = Vec::new();
    let mut last = f32::NAN;
    for weight in sorted {
        let value = f64::from(*weight);
        let is_equal = last.total_cmp(weight).is_eq();
        match groups.last_mut() {
            Some(group) if is_equal || (group[0] as usize) < size => {
                *group = [group[0] + 1.0, group[1] + value, group[2] + value * value];
            }
            _ => groups.push([1.0, value, value * value]),
        }
        last = *weight;
    }
    groups
}

/// Splits groups into `count` clusters with the least sum of squared distances from their means. Returns the
/// means.
fn split(groups: &[Group], count: usize) -> Vec<f32> {
    let mut sums = vec![[0.0; 3]];
    for group in groups {
        let before: Group = sums[sums.len() - 1];
        sums.push(std::array::from_fn(|i| before[i] + group[i]));
    }
    let part = |from: usize, to: usize| -> Group { std::array::from_fn(|i| sums[to][i] - sums[from][i]) };
    let cost = |from: usize, to: usize| {
        let [number, sum, square] = part(from, to);
        if number > 0.0 { (square - sum * sum / number).max(0.0) } else { 0.0 }
    };
    let n = groups.len();
    let mut costs: Vec<f64> = (0..=n).map(|to| cost(0, to)).collect();
    // `starts[cluster][to]` is the start of the last of `cluster + 1` clusters that end at `to`.
    let mut starts = vec![vec![0; n + 1]];
    for _ in 1..count {
        let before = costs.clone();
        let mut start = vec![0; n + 1];
        improve(&before, &cost, (1, n), (0, n), &mut costs, &mut start);
        starts.push(start);
    }
    let (mut end, mut means) = (n, Vec::new());
    for start in starts.iter().rev() {
        let [number, sum, _] = part(start[end], end);
        if number > 0.0 {
            means.push((sum / number) as f32);
        }
        end = start[end];
    }
    means
}

/// For each end in `ends`, finds the best start of the last cluster, which lies in `starts`. Best starts grow
/// with the ends, so the starts of the middle end limit those of the others.
fn improve(
    before: &[f64],
    cost: &impl Fn(usize, usize) -> f64,
    ends: (usize, usize),
    starts: (usize, usize),
    costs: &mut [f64],
    chosen: &mut [usize],
) {
    if ends.0 > ends.1 {
        return;
    }
    let middle = usize::midpoint(ends.0, ends.1);
    let candidates =
        (starts.0..=starts.1.min(middle)).map(|start| (start, before[start] + cost(start, middle)));
    let (start, least) =
        candidates.reduce(|a, b| if b.1 < a.1 { b } else { a }).unwrap_or((0, before[middle]));
    (chosen[middle], costs[middle]) = (start, least);
    improve(before, cost, (ends.0, middle - 1), (starts.0, start), costs, chosen);
    improve(before, cost, (middle + 1, ends.1), (start, starts.1), costs, chosen);
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;
    use crate::{run_reference, testing};

    fn error(weights: &[f32], values: &[f32]) -> f64 {
        weights.iter().map(|weight| f64::from(weight - values[nearest(values, *weight)]).powi(2)).sum()
    }

    /// The least error of all divisions of sorted weights into `count` parts.
    fn least(sorted: &[f32], count: usize) -> f64 {
        let spread = |part: &[f32]| {
            let mean = part.iter().copied().map(f64::from).sum::<f64>() / part.len() as f64;
            part.iter().map(|weight| (f64::from(*weight) - mean).powi(2)).sum::<f64>()
        };
        if count == 1 || sorted.len() <= 1 {
            return spread(sorted);
        }
        let cuts = (1..sorted.len()).map(|cut| least(&sorted[..cut], count - 1) + spread(&sorted[cut..]));
        cuts.fold(spread(sorted), f64::min)
    }

    #[test]
    fn clusters_have_the_least_error_of_all_divisions() {
        let mut rng = Pcg64::seed_from_u64(8);
        for _ in 0..60 {
            let mut weights: Vec<f32> = (0..12).map(|_| rng.random_range(-2.0..2.0_f32)).collect();
            weights[3] = weights[7];
            for count in 1..5 {
                let found = error(&weights, &cluster(&weights, count, false));
                let mut sorted = weights.clone();
                sorted.sort_by(f32::total_cmp);
                let expected = least(&sorted, count);
                assert!(
                    (found - expected).abs() < 1e-6 * (1.0 + expected),
                    "{count} clusters: {found}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn zeros_of_sparse_layers_stay() {
        let weights = [0.0, 0.0, 1.0, 1.1, -0.9, 0.02, 0.0];
        let values = cluster(&weights, 3, true);
        assert!(values.contains(&0.0) && values.len() == 3, "{values:?}");
        assert_eq!(cluster(&[0.5; 9], 16, false), [0.5]);
        assert!(cluster(&[0.0; 9], 16, true) == [0.0]);
    }

    #[test]
    fn many_weights_are_clustered_in_groups() {
        let mut rng = Pcg64::seed_from_u64(9);
        let weights: Vec<f32> = (0..30_000).map(|_| rng.random_range(-1.0..1.0_f32)).collect();
        let values = cluster(&weights, 256, false);
        assert_eq!(values.len(), 256);
        // Equidistant values have a mean squared error of a twelfth of the squared distance.
        let mean = error(&weights, &values) / 30_000.0;
        assert!(mean < 1.02 * (2.0_f64 / 256.0).powi(2) / 12.0, "{mean}");
    }

    #[test]
    fn model_with_codebooks_is_valid_and_counts_its_bytes() {
        let mut wide = kiln_space::ArchitectureBuilder::new(kiln_space::Shape::vector(40));
        let x = wide.linear("a", wide.input(), 12).unwrap();
        wide.linear("head", x, 3).unwrap();
        let model = testing::model(wide.finish().unwrap(), 4);
        let coded = with_codebooks(&model, 16).unwrap();
        coded.check().unwrap();
        assert_eq!(coded.weight_codes.keys().collect::<Vec<_>>(), ["a"], "the head would not become smaller");
        // 480 weights of 4 bits, 16 values, and 12 biases; then 36 weights and 3 biases of the head.
        assert_eq!(coded.weight_bytes(), 240 + 64 + 48 + 4 * 39);
        assert_eq!(model.weight_bytes(), 4 * (480 + 12 + 39));
        run_reference(&coded, &testing::raw_input(&model.architecture, 2, 1), 2).unwrap();
        let said = with_codebooks(&model, 300).unwrap_err().to_string();
        assert_eq!(said, "a codebook of 300 values cannot be stored; expected 2 to 256");
        let said = with_codebooks(&testing::perceptron(), 256).unwrap_err().to_string();
        assert!(said.starts_with("no layer becomes smaller with a codebook of 256 values"), "{said}");
    }
}

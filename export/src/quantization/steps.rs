//! The step of a channel's integer weights: the value of one unit.

use kiln_space::NumberFormat;

/// Maximum magnitude of the sum of two 8-bit weights with the same sign. x86 processors without VNNI add two
/// 8-bit products in 16 bits and saturate silently. With this limit, the largest sum is 255 * 128, which fits
/// into 16 bits.
const PAIR_MAX: f64 = 128.0;
/// Number of steps that [`best_step`] tries.
const CANDIDATES: u32 = 80;

/// Returns the largest magnitude of a weight's integer. Integers are symmetric about zero. With stated steps,
/// 8-bit weights end at 64: two weights then never overflow 16-bit sums on x86, whatever the steps are.
pub(crate) const fn largest_integer(format: NumberFormat, is_stated: bool) -> f64 {
    match format {
        NumberFormat::Int4 => 7.0,
        _ if is_stated => 64.0,
        _ => 127.0,
    }
}

/// Returns the largest magnitude of integer weights whose steps the model states ([`crate::WeightCode`]).
#[must_use]
pub const fn stated_limit(format: NumberFormat) -> f32 {
    largest_integer(format, true) as f32
}

/// Returns the step of a channel whose step the model does not state: in 8 bits, the smallest step with which
/// no weight is clipped; in 4 bits, the step with the smallest mean squared error.
pub(super) fn default_step(row: &[f64], format: NumberFormat) -> f64 {
    match format {
        NumberFormat::Int4 => f64::from(best_step(row, format)),
        _ => smallest_step(row, format),
    }
}

/// Returns the smallest step with which no weight of a channel is clipped.
fn smallest_step(row: &[f64], format: NumberFormat) -> f64 {
    // `largest[sign]` contains the two largest magnitudes among weights of that sign.
    let mut largest = [[0.0_f64; 2]; 2];
    for weight in row {
        let [first, second] = &mut largest[usize::from(*weight < 0.0)];
        let magnitude = weight.abs();
        *second = second.max(magnitude.min(*first));
        *first = first.max(magnitude);
    }
    let limit = largest_integer(format, false);
    let needed = largest.map(|[first, second]| (first / limit).max((first + second) / PAIR_MAX));
    needed[0].max(needed[1])
}

/// Returns the step with the smallest mean squared error of a channel's weights. Clipping the largest weights
/// often reduces the error of all others. Tries steps between a fifth of the smallest step that clips nothing
/// and that step. If errors are equal, returns the largest of these steps.
///
/// Source: R. Banner et al., "Post training 4-bit quantization of convolutional networks for
/// rapid-deployment", `NeurIPS` 2019, section 3. Differs: a search over steps instead of a formula for a
/// Laplace distribution.
pub(super) fn best_step(row: &[f64], format: NumberFormat) -> f32 {
    let limit = largest_integer(format, true);
    let most = row.iter().fold(0.0_f64, |most, weight| most.max(weight.abs())) / limit;
    let error = |step: f32| -> f64 {
        let distance =
            |weight: &f64| (weight - f64::from(in_steps(*weight, step, limit)) * f64::from(step)).powi(2);
        row.iter().map(distance).sum()
    };
    let step = |i: u32| (most * (1.0 - 0.8 * f64::from(i) / f64::from(CANDIDATES))) as f32;
    let steps = (0..=CANDIDATES).map(step).filter(|step| step.is_normal());
    let best = steps.map(|step| (step, error(step))).reduce(|a, b| if b.1 < a.1 { b } else { a });
    best.map_or(f32::MIN_POSITIVE, |(step, _)| step)
}

/// Rounds a weight to an integer number of steps, half to even.
pub(super) fn in_steps(weight: f64, step: f32, limit: f64) -> i8 {
    (weight / f64::from(step)).round_ties_even().clamp(-limit, limit) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(row: &[f64], step: f64) -> f64 {
        let rounded = |weight: f64| (weight / step).round_ties_even().clamp(-7.0, 7.0) * step;
        row.iter().map(|weight| (weight - rounded(*weight)).powi(2)).sum()
    }

    #[test]
    fn best_step_is_near_the_best_of_a_fine_search() {
        // An outlier of 1 makes the step of 1 / 7 too wide for the other weights.
        let row: Vec<f64> = (0..200).map(|i| f64::from(i % 23 - 11) / 50.0).chain([1.0]).collect();
        let found = f64::from(best_step(&row, NumberFormat::Int4));
        let fine = (1..=14_286).map(|i| error(&row, f64::from(i) * 1e-5)).fold(f64::INFINITY, f64::min);
        assert!(error(&row, found) < 1.1 * fine, "{} at {found}, best {fine}", error(&row, found));
        assert!(error(&row, found) < 0.9 * error(&row, 1.0 / 7.0));
    }

    #[test]
    fn weights_on_a_grid_keep_its_step() {
        let row: Vec<f64> = (-7..=7).map(|i| f64::from(i) * 0.25).collect();
        assert!((best_step(&row, NumberFormat::Int4) - 0.25).abs() < 1e-7);
        assert!((smallest_step(&row, NumberFormat::Int4) - 0.25).abs() < 1e-12);
        assert!(best_step(&[0.0, 0.0], NumberFormat::Int4) > 0.0);
    }
}

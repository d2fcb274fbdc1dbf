//! Weights in single precision that round to given integers.

use kiln_space::NumberFormat;

use super::steps::{default_step, largest_integer};

/// Changes of a weight that are tried, in units of the last place.
const SHIFTS: [i32; 5] = [0, -1, 1, -2, 2];
/// Number of weights at each end of a channel's order that are changed.
const ENDS: usize = 2;

/// Returns single-precision weights that round to these integers with these steps, one step for each output
/// channel. If integers are too large for stated steps ([`super::stated_limit`]), the weights must determine
/// the steps themselves. Then a channel's largest weights are off by units of the last place, if this gives
/// exactly its step.
pub(crate) fn weights_of(format: NumberFormat, integers: &[i8], steps: &[f32]) -> Vec<f32> {
    let row = (integers.len() / steps.len().max(1)).max(1);
    let rows = integers.chunks(row).zip(steps);
    rows.flat_map(|(integers, step)| channel(format, integers, *step)).collect()
}

/// Whether a model can state the steps of these integers.
pub(crate) fn can_state_steps(format: NumberFormat, integers: &[i8]) -> bool {
    let limit = largest_integer(format, true);
    integers.iter().all(|integer| f64::from(*integer).abs() <= limit)
}

fn channel(format: NumberFormat, integers: &[i8], step: f32) -> Vec<f32> {
    let weights: Vec<f32> = integers.iter().map(|integer| f32::from(*integer) * step).collect();
    let has_step = |weights: &[f32]| {
        let row: Vec<f64> = weights.iter().copied().map(f64::from).collect();
        (default_step(&row, format) as f32).total_cmp(&step).is_eq()
    };
    if can_state_steps(format, integers) || has_step(&weights) {
        return weights;
    }
    // The two largest weights of each sign determine the step.
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|index| integers[*index]);
    let rest = order.len().saturating_sub(ENDS);
    let ends: Vec<usize> =
        order.iter().take(ENDS).chain(order.iter().skip(rest.max(ENDS))).copied().collect();
    for shifts in 0..SHIFTS.len().pow(ends.len() as u32) {
        let digit = |place: usize| shifts / SHIFTS.len().pow(place as u32) % SHIFTS.len();
        let shift = |(place, index): (usize, &usize)| {
            f32::from_bits(weights[*index].to_bits().wrapping_add_signed(SHIFTS[digit(place)]))
        };
        let shifted: Vec<f32> = ends.iter().enumerate().map(shift).collect();
        if has_step(&shifted) {
            let mut all = weights.clone();
            for (index, weight) in ends.iter().zip(shifted) {
                all[*index] = weight;
            }
            if has_step(&all) {
                return all;
            }
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::super::steps::in_steps;
    use super::*;

    #[test]
    fn weights_round_to_the_integers_and_the_step_that_gave_them() {
        let mut rng = Pcg64::seed_from_u64(4);
        for i in 0..2000 {
            let original: Vec<f64> =
                (0..=i % 12).map(|_| f64::from(rng.random_range(-1.0..1.0_f32))).collect();
            let step = default_step(&original, NumberFormat::Int8) as f32;
            let integers: Vec<i8> = original.iter().map(|weight| in_steps(*weight, step, 127.0)).collect();
            let found = weights_of(NumberFormat::Int8, &integers, &[step]);
            let row: Vec<f64> = found.iter().copied().map(f64::from).collect();
            let again = default_step(&row, NumberFormat::Int8) as f32;
            assert_eq!(again.to_bits(), step.to_bits(), "{again} is not {step}");
            let rounded: Vec<i8> = row.iter().map(|weight| in_steps(*weight, again, 127.0)).collect();
            assert_eq!(rounded, integers);
        }
    }

    #[test]
    fn small_integers_are_exact_products() {
        assert_eq!(weights_of(NumberFormat::Int4, &[7, -3, 0, 1], &[0.5, 0.25]), [3.5, -1.5, 0.0, 0.25]);
        assert!(can_state_steps(NumberFormat::Int8, &[64, -64]));
        assert!(!can_state_steps(NumberFormat::Int8, &[65]) && !can_state_steps(NumberFormat::Int4, &[-8]));
    }
}

//! Compares the results of two devices, and tolerates differences due to rounding.

use thiserror::Error;

use super::operations::{OPERATIONS, Operation, Parts};

/// Describes the first operation whose results differ between two devices.
#[derive(Clone, Debug, PartialEq, Error)]
#[error(
    "it computes wrong results: {operation}, {part}: {wrong} of {all} values differ from the CPU's, the \
     worst is {} and should be {} to within {allowed:.1e}",
    worst.found,
    worst.expected
)]
pub(crate) struct Disagreement {
    operation: &'static str,
    part: &'static str,
    /// Number of values that differ by more than the allowed difference.
    wrong: usize,
    /// Number of all values.
    all: usize,
    /// The pair with the largest difference.
    worst: Pair,
    /// The allowed difference.
    allowed: f32,
}

/// Compares the results of all operations on a device with the CPU's results.
///
/// # Errors
/// The first [`Disagreement`].
pub(super) fn compare(
    on_device: impl Fn(&Operation) -> Parts,
    on_cpu: impl Fn(&Operation) -> Parts,
) -> Result<(), Disagreement> {
    OPERATIONS.iter().try_for_each(|operation| {
        let (found, expected) = (on_device(operation), on_cpu(operation));
        let mut parts = found.iter().zip(&expected);
        let wrong = parts.find_map(|((part, found), (_, expected))| {
            let differing = differing(found, expected, operation.tolerance);
            differing.map(|Differing { wrong, worst, allowed }| Disagreement {
                operation: operation.name,
                part,
                wrong,
                all: expected.len(),
                worst,
                allowed,
            })
        });
        wrong.map_or(Ok(()), Err)
    })
}

/// The results of both devices for one value.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pair {
    found: f32,
    expected: f32,
}

impl Pair {
    /// Magnitude of the difference. It is infinite if the difference is NaN.
    fn distance(self) -> f32 {
        let distance = (self.found - self.expected).abs();
        if distance.is_nan() { f32::INFINITY } else { distance }
    }
}

/// Summarizes the values that differ by more than the allowed difference.
struct Differing {
    wrong: usize,
    worst: Pair,
    allowed: f32,
}

/// Compares values. The allowed difference is `tolerance` times the largest expected magnitude. A value that
/// is not finite always differs. Returns `None` if no value differs.
fn differing(found: &[f32], expected: &[f32], tolerance: f32) -> Option<Differing> {
    assert_eq!(found.len(), expected.len(), "an operation has one shape on every device");
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let allowed = tolerance * largest;
    let pairs =
        found.iter().zip(expected).map(|(found, expected)| Pair { found: *found, expected: *expected });
    let wrong: Vec<Pair> = pairs.filter(|pair| pair.distance() > allowed).collect();
    let worst = wrong.iter().copied().max_by(|a, b| a.distance().total_cmp(&b.distance()))?;
    Some(Differing { wrong: wrong.len(), worst, allowed })
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use kiln_kernels::InstructionSet;

    use super::*;

    fn cpu(operation: &Operation) -> Parts {
        (operation.run)(&Device::flex())
    }

    #[test]
    fn cpu_agrees_with_itself_under_each_instruction_set() {
        compare(cpu, cpu).unwrap();
        for set in InstructionSet::ALL.into_iter().filter(|set| set.is_supported()) {
            compare(|operation| set.force(|| cpu(operation)), cpu).unwrap();
        }
    }

    #[test]
    fn results_are_finite_and_vary() {
        for operation in &OPERATIONS {
            for (part, values) in cpu(operation) {
                let differ = values.iter().any(|value| (value - values[0]).abs() > 1e-3);
                assert!(values.iter().all(|value| value.is_finite()), "{}, {part}", operation.name);
                assert!(differ || values.len() == 1, "{}, {part}: {values:?}", operation.name);
            }
        }
    }

    /// Simulates a device that computes one part of one operation wrongly.
    fn wrong(at: (usize, usize), spoil: fn(&mut [f32])) -> Result<(), Disagreement> {
        let device = |operation: &Operation| {
            let mut parts = cpu(operation);
            if operation.name == OPERATIONS[at.0].name {
                spoil(&mut parts[at.1].1);
            }
            parts
        };
        compare(device, cpu)
    }

    #[test]
    fn one_wrong_part_is_reported_with_its_operation() {
        let spoils: [fn(&mut [f32]); 4] = [
            |values| values.iter_mut().for_each(|value| *value *= 1.02),
            |values| values.iter_mut().for_each(|value| *value = 0.0),
            |values| values[0] = f32::NAN,
            |values| *values.last_mut().unwrap() = f32::INFINITY,
        ];
        for (index, operation) in OPERATIONS.iter().enumerate() {
            for (place, (part, values)) in cpu(operation).iter().enumerate() {
                for spoil in spoils {
                    let error = wrong((index, place), spoil).unwrap_err();
                    assert_eq!((error.operation, error.part), (operation.name, *part));
                    assert!(error.wrong >= 1 && error.all == values.len(), "{error}");
                }
                // The values are correct, but in the wrong order.
                if values.len() > 1 {
                    wrong((index, place), |values| values.rotate_left(1)).unwrap_err();
                }
            }
        }
    }

    #[test]
    fn rounding_to_eleven_bits_is_accepted() {
        let rounded = |values: &mut [f32]| {
            for value in values {
                *value = f32::from_bits(value.to_bits() & 0xffff_e000);
            }
        };
        for index in 0..9 {
            wrong((index, 0), rounded).unwrap();
        }
    }

    #[test]
    fn message_names_the_operation_and_its_difference() {
        let error = wrong((0, 0), |values| values.iter_mut().for_each(|value| *value = 0.0)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("it computes wrong results: matrix product of 64 x 64 and 64 x 64, output: "),
            "{text}"
        );
        assert!(
            text.contains("of 4096 values differ from the CPU's, the worst is 0 and should be"),
            "{text}"
        );
    }
}

//! Converts columns to single precision. Some columns would lose their variation, such as time stamps within
//! an hour. From such a column, an offset is first subtracted in double precision.

use super::ReadingRules;

/// Number of values from which the median and the spread of a column are estimated.
const SAMPLE: usize = 10_000;
/// An offset is subtracted if the magnitude of a column's median exceeds this multiple of the column's
/// spread. Single precision has 24 bits. Beyond this multiple, fewer than 12 bits remain for the variation.
const FAR: f64 = 4096.0;

/// Converts values `[rows, columns]` to single precision, minus the offset of their column. Also returns the
/// offsets. The offsets are empty if no column needs one, and under the first reading rules.
pub(super) fn to_single(values: &[f64], columns: usize, rules: ReadingRules) -> (Vec<f32>, Vec<f64>) {
    if rules == ReadingRules::First {
        return (values.iter().map(|value| *value as f32).collect(), Vec::new());
    }
    let rows = values.len() / columns;
    let offsets: Vec<f64> =
        (0..columns).map(|column| of_column(rows, |row| values[row * columns + column])).collect();
    let single = |(index, value): (usize, &f64)| (value - offsets[index % columns]) as f32;
    let single = values.iter().enumerate().map(single).collect();
    let needed = offsets.iter().any(|offset| *offset != 0.0);
    (single, if needed { offsets } else { Vec::new() })
}

/// Returns the offset of a column of `rows` values: a round number near the column's median, or 0 if the
/// column needs no offset.
pub(super) fn of_column(rows: usize, value: impl Fn(usize) -> f64) -> f64 {
    let step = rows.div_ceil(SAMPLE).max(1);
    let mut sample: Vec<f64> = (0..rows).step_by(step).map(value).collect();
    let middle = median(&mut sample);
    let mut distances: Vec<f64> = sample.iter().map(|value| (value - middle).abs()).collect();
    let typical = median(&mut distances);
    // If more than half of the values are equal, the typical distance is 0. Then the largest distance is used
    // instead.
    let largest = distances.iter().copied().fold(0.0, f64::max);
    let spread = if typical > 0.0 { typical } else { largest };
    if spread == 0.0 || middle.abs() <= FAR * spread {
        return 0.0;
    }
    let unit = 10_f64.powf(spread.log10().ceil());
    (middle / unit).round() * unit
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: ReadingRules = ReadingRules::CURRENT;

    #[test]
    fn to_single_needs_no_offset_for_ordinary_values() {
        let (single, offsets) = to_single(&[0.0, 1.5, 2.0, 1e6, 4.0, -1e6], 2, NEW);
        assert_eq!((single, offsets), (vec![0.0, 1.5, 2.0, 1e6, 4.0, -1e6], Vec::new()));
        let (_, offsets) = to_single(&[5.0; 4], 1, NEW);
        assert!(offsets.is_empty(), "a constant varies by nothing");
    }

    #[test]
    fn to_single_keeps_seconds_of_time_stamps() {
        let values: Vec<f64> =
            (0..100).flat_map(|i| [1_700_000_000.0 + f64::from(i), f64::from(i)]).collect();
        let (single, offsets) = to_single(&values, 2, NEW);
        assert_eq!(offsets, [1_700_000_100.0, 0.0], "a multiple of 100, the power of ten above the spread");
        let (_, earlier) = to_single(&values, 2, ReadingRules::First);
        assert!(earlier.is_empty(), "as earlier builds read them");
        let back: Vec<f64> = single.iter().enumerate().map(|(i, v)| f64::from(*v) + offsets[i % 2]).collect();
        assert_eq!(back, values);
    }

    #[test]
    fn to_single_subtracts_offset_despite_equal_values_and_outliers() {
        let mut values = vec![5e9; 20];
        values[3] = 5e9 + 2.0;
        assert_eq!(to_single(&values, 1, NEW).1, [5e9]);
        let mut values: Vec<f64> = (0..100).map(|i| 1.7e9 + f64::from(i)).collect();
        values[50] = 0.0;
        let (_, offsets) = to_single(&values, 1, NEW);
        assert!((offsets[0] - 1.7e9).abs() <= 100.0, "{offsets:?}");
    }
}

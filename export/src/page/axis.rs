//! Maps values to positions along an axis, and selects tick values.

/// An axis is logarithmic if the largest value divided by the smallest value exceeds this ratio.
const LOGARITHMIC_FROM: f64 = 50.0;
/// Margin at both ends, relative to the range of the values.
const MARGIN: f64 = 0.05;

/// Maps values to positions along an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Scale {
    /// Creates a scale that contains all these values. If `may_be_logarithmic` is set, positive values with a
    /// wide range get a logarithmic scale.
    pub(super) fn new(values: impl Iterator<Item = f64>, may_be_logarithmic: bool) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return Self { low: 0.0, high: 1.0, logarithmic: false };
        }
        let logarithmic = may_be_logarithmic && low > 0.0 && high / low > LOGARITHMIC_FROM;
        let (low, high) = if logarithmic { (low.log10(), high.log10()) } else { (low, high) };
        let range = high - low;
        let margin = if range > 0.0 { MARGIN * range } else { (low.abs() * MARGIN).max(0.5) };
        // If all values are nonnegative, the margin must not make the axis start below zero.
        let is_positive = !logarithmic && low >= 0.0;
        let bottom = if is_positive { (low - margin).max(0.0) } else { low - margin };
        Self { low: bottom, high: high + margin, logarithmic }
    }

    /// Position of a value on the axis, from 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.log10() } else { value };
        (value - self.low) / (self.high - self.low)
    }

    /// Whether the scale is logarithmic, so that equal distances mean equal ratios.
    pub(super) const fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }

    /// Returns about `count` round values with their texts.
    pub(super) fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        if self.logarithmic {
            return self.powers(count).into_iter().map(|value| (value, ratio_text(value))).collect();
        }
        let step = self.step(count);
        self.steps(count).into_iter().map(|value| (value, text(value, step))).collect()
    }

    /// Distance between two ticks.
    fn step(&self, count: usize) -> f64 {
        let rough = (self.high - self.low) / count.max(1) as f64;
        let magnitude = 10.0_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * magnitude >= rough);
        step.unwrap_or(10.0) * magnitude
    }

    fn steps(&self, count: usize) -> Vec<f64> {
        let step = self.step(count);
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        (first..=last).map(|index| index as f64 * step).collect()
    }

    fn powers(&self, count: usize) -> Vec<f64> {
        let within = |value: &f64| (self.low..=self.high).contains(&value.log10());
        let decades = self.low.floor() as i32..=self.high.ceil() as i32;
        let of = |digits: &[f64]| -> Vec<f64> {
            let values = decades.clone().flat_map(|decade| {
                digits.iter().map(move |digit| digit * 10.0_f64.powi(decade)).collect::<Vec<_>>()
            });
            values.filter(within).collect()
        };
        let choices = [of(&[1.0, 2.0, 5.0]), of(&[1.0, 3.0]), of(&[1.0])];
        if let Some(fitting) = choices.iter().find(|values| values.len() <= count + 2) {
            return fitting.clone();
        }
        let every = choices[2].len().div_ceil(count + 2);
        choices[2].iter().copied().step_by(every).collect()
    }
}

/// Formats a tick of a logarithmic axis with one significant digit.
fn ratio_text(value: f64) -> String {
    match value.abs() {
        size if (1.0..1e12).contains(&size) => text(value, 1.0),
        // The number of decimals is the number of zeros after the decimal point, plus one.
        size if (1e-4..1.0).contains(&size) => {
            format!("{value:.decimals$}", decimals = (-size.log10() - 1e-9).ceil() as usize)
        }
        _ => format!("{value:.0e}"),
    }
}

/// Formats a tick. Its number of decimals follows from `step`, the distance between ticks. Thousands,
/// millions and billions get a suffix. If the distance is very small or the value is very large, the tick
/// gets an exponent.
fn text(value: f64, step: f64) -> String {
    if (step < 1e-6 && step > 0.0) || value.abs() >= 1e13 {
        // Use enough digits to distinguish a tick from the next one.
        let digits = (value.abs().max(step) / step).log10().ceil().clamp(0.0, 15.0) as usize;
        return format!("{value:.digits$e}");
    }
    let (divisor, suffix) = match value.abs() {
        size if size >= 1e9 => (1e9, "G"),
        size if size >= 1e6 => (1e6, "M"),
        size if size >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let step = step / divisor;
    let decimals =
        if step >= 1.0 || step <= 0.0 { 0 } else { (-step.log10()).ceil().clamp(0.0, 6.0) as usize };
    let number = format!("{:.decimals$}", value / divisor);
    // Drop trailing zeros before a suffix, so that whole numbers appear whole.
    let number = if decimals > 0 && divisor > 1.0 {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        &number
    };
    format!("{number}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(low: f64, high: f64) -> Vec<String> {
        Scale::new([low, high].into_iter(), true).ticks(5).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(97.1, 98.9), ["97.5", "98.0", "98.5"]);
        assert_eq!(ticks(100.0, 390.0), ["100", "200", "300", "400"]);
        assert_eq!(ticks(0.0, 30_000.0), ["0", "10k", "20k", "30k"]);
        assert_eq!(ticks(-1.0, 1.0), ["-1.0", "-0.5", "0.0", "0.5", "1.0"]);
    }

    #[test]
    fn scale_of_wide_range_is_logarithmic() {
        assert_eq!(ticks(1.0, 1000.0), ["1", "3", "10", "30", "100", "300", "1000"]);
        assert_eq!(ticks(3e-3, 2.0), ["0.003", "0.01", "0.03", "0.1", "0.3", "1"]);
        assert_eq!(ticks(2e-4, 0.05), ["0.0003", "0.001", "0.003", "0.01", "0.03"]);
        assert_eq!(ticks(1e-9, 1e-5), ["1e-9", "1e-8", "1e-7", "1e-6", "1e-5"]);
        assert_eq!(ticks(1e-30, 1e30).len(), 7);
        assert_eq!(ticks(2e3, 5e6), ["3000", "10k", "30k", "100k", "300k", "1M", "3M"]);
        let scale = Scale::new([1.0, 100.0].into_iter(), true);
        assert!((scale.share(10.0) - 0.5).abs() < 1e-12);
        assert!(!Scale::new([0.0, 100.0].into_iter(), true).logarithmic);
        assert!(!Scale::new([1.0, 1000.0].into_iter(), false).logarithmic);
    }

    #[test]
    fn tick_texts_differ_in_any_range() {
        for low in [1e-30, 3e-7, 2e-4, 0.07, 0.999, 1.0, 17.0, 9_999.0, 123_456.0, 8.7e9, 3e15] {
            for ratio in [1.0 + 1e-5, 1.003, 1.7, 12.0, 49.0, 51.0, 1e4, 1e9] {
                for may_be_logarithmic in [false, true] {
                    let scale = Scale::new([low, low * ratio].into_iter(), may_be_logarithmic);
                    let texts: Vec<String> = scale.ticks(6).into_iter().map(|(_, text)| text).collect();
                    let mut different = texts.clone();
                    different.sort();
                    different.dedup();
                    assert_eq!(different.len(), texts.len(), "{low} to {}: {texts:?}", low * ratio);
                    assert!(texts.len() >= 2, "{low} to {}: {texts:?}", low * ratio);
                }
            }
        }
    }

    #[test]
    fn scale_exists_for_one_value_and_for_none() {
        for scale in [Scale::new([5.0].into_iter(), true), Scale::new(std::iter::empty(), true)] {
            assert!(!scale.ticks(5).is_empty());
            assert!(scale.share(scale.low).abs() < 1e-12);
        }
        let scale = Scale::new([f64::NAN, 3.0, f64::INFINITY].into_iter(), true);
        assert!((0.0..=1.0).contains(&scale.share(3.0)));
    }
}

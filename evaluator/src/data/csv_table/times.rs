//! Parses dates and times of ISO 8601.

/// Parses a date with an optional time and an optional offset from UTC, and returns its seconds since 1970.
/// Returns `None` for other texts.
pub(super) fn seconds(text: &str) -> Option<f64> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, Some(time.trim())),
        None => (text, None),
    };
    let mut parts = date.split(['-', '/']);
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 {
        return None;
    }
    let (year, month, day) = (number(year, 0, 9999)?, number(month, 1, 12)?, number(day, 1, 31)?);
    let of_day = time.map_or(Some(0.0), seconds_of_day)?;
    Some(days(year, month, day) as f64 * 86_400.0 + of_day)
}

fn number(text: &str, least: i64, most: i64) -> Option<i64> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|value| digits && (least..=most).contains(value))
}

/// Seconds since midnight UTC of `hh:mm`, `hh:mm:ss` or `hh:mm:ss.fff`, optionally followed by `Z`, `+hh:mm`
/// or `+hhmm`.
fn seconds_of_day(text: &str) -> Option<f64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (clock, offset) = match text.rfind(['+', '-']) {
        Some(at) => {
            let sign = if text[at..].starts_with('-') { -1.0 } else { 1.0 };
            let offset = &text[at + 1..];
            let digits = || offset.split_at_checked(2).filter(|(_, minutes)| minutes.len() == 2);
            let (hours, minutes) = offset.split_once(':').or_else(digits).unwrap_or((offset, "0"));
            let offset = 3600 * number(hours, 0, 23)? + 60 * number(minutes, 0, 59)?;
            (text[..at].trim_end(), sign * offset as f64)
        }
        None => (text, 0.0),
    };
    let mut parts = clock.split(':');
    let (hours, minutes) = (number(parts.next()?, 0, 24)?, number(parts.next()?, 0, 59)?);
    let seconds = parts.next().map_or(Some(0.0), |text| {
        text.parse::<f64>()
            .ok()
            .filter(|seconds| (0.0..61.0).contains(seconds) && text.starts_with(|c: char| c.is_ascii_digit()))
    })?;
    parts.next().is_none().then_some((3600 * hours + 60 * minutes) as f64 + seconds - offset)
}

/// Days since 1970-01-01 in the Gregorian calendar.
///
/// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_parses_iso_8601() {
        for (text, expected) in [
            ("1970-01-01", 0.0),
            ("2000-03-01", 951_868_800.0),
            ("2024-02-29T12:30:15.5Z", 1_709_209_815.5),
            ("2024-02-29 13:30:15.5+01:00", 1_709_209_815.5),
            ("2024-02-29T13:30:15.5+0100", 1_709_209_815.5),
            ("2024-02-29T18:00:15.5+0530", 1_709_209_815.5),
            ("1969/12/31 23:59", -60.0),
        ] {
            let found = seconds(text).unwrap_or(f64::NAN);
            assert!((found - expected).abs() < 1e-6, "{text}: {found}");
        }
        for text in
            ["", "12", "1.5-2-3", "24-01-01", "2024-13-01", "2024-01-01T25:00", "2024-01-01Tnoon", "a-b-c"]
        {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}

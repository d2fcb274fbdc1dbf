//! Calendar dates for model cards and messages.

/// A day of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// Year.
    pub year: u64,
    /// Month, from 1 to 12.
    pub month: u64,
    /// Day of the month, from 1.
    pub day: u64,
}

/// Converts days since 1970-01-01 to a date.
///
/// Source: H. Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
#[must_use]
pub const fn civil(days: u64) -> Date {
    // Here, years start in March, so that a leap day is the last day of its year.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + 400 * era + if month <= 2 { 1 } else { 0 };
    Date { year, month, day }
}

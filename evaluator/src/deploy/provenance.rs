//! Determines the date and the machine for the model card of a finished network. Results do not depend on
//! date or machine.

use std::time::SystemTime;

use kiln_export::{Date, civil};
use kiln_kernels::InstructionSet;

/// Environment variable that replaces the current time by a number of seconds since the Unix epoch.
///
/// Source: reproducible-builds.org, "`SOURCE_DATE_EPOCH` specification".
const PRESENT: &str = "SOURCE_DATE_EPOCH";
const DAY_S: u64 = 86_400;

/// Today's date in universal time, such as `2026-11-29`.
#[must_use]
pub fn today() -> String {
    let stated = std::env::var(PRESENT).ok().and_then(|seconds| seconds.trim().parse().ok());
    let now = || SystemTime::UNIX_EPOCH.elapsed().map_or(0, |passed| passed.as_secs());
    day(stated.unwrap_or_else(now))
}

/// The date of a time in seconds since the Unix epoch. Times after the year 9999 become the last day of that
/// year.
fn day(unix_s: u64) -> String {
    const LAST_DAY: u64 = 2_932_896;
    let Date { year, month, day } = civil((unix_s / DAY_S).min(LAST_DAY));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Describes operating system, processor and device class, such as `linux x86_64, AMD EPYC 7742, device
/// cpu/avx2`.
pub(crate) fn machine(device_class: &str) -> String {
    let (system, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
    let processor = processor().map_or_else(String::new, |name| format!(", {name}"));
    format!("{system} {architecture}{processor}, device {device_class}")
}

/// Describes this machine by all that latencies depend on most: the processor and the instruction set of
/// Kiln's kernels, such as `AMD EPYC 7742, avx2`. Device files that are measured here contain this text.
#[must_use]
pub fn this_machine() -> String {
    let processor = processor().unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    format!("{processor}, {}", InstructionSet::best().name())
}

/// Returns the name of the processor if the operating system reports it.
fn processor() -> Option<String> {
    named(&std::fs::read_to_string("/proc/cpuinfo").ok()?)
}

fn named(listing: &str) -> Option<String> {
    let line = listing.lines().find(|line| line.starts_with("model name"))?;
    let name = line.split_once(':')?.1.trim();
    // People read model cards, so control characters are removed and long names are shortened.
    let name: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_calendar() {
        let cases = [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (1_795_943_772, "2026-11-29"),
            (253_402_300_799, "9999-12-31"),
            (u64::MAX, "9999-12-31"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(day(seconds), expected);
        }
    }

    #[test]
    fn processor_name_comes_from_the_system_without_control_characters() {
        let listing = "processor\t: 0\nmodel name\t: A Processor (R) 9\u{1b}[31m\nflags\t: fpu\n";
        assert_eq!(named(listing).as_deref(), Some("A Processor (R) 9[31m"));
        assert_eq!(named("processor\t: 0\nBogoMIPS\t: 48.00\n"), None);
        assert!(machine("cpu/avx2").ends_with(", device cpu/avx2"));
    }
}

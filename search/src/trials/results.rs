//! The version of the results that this build gives. Fingerprints contain it.

/// Version of all results bit by bit: trainings, measurements, proposals.
///
/// Raise it when, and only when, the same config, seed, data and class of device give other bits than before.
/// It is not the version of the package. A study whose trials were evaluated under another version cannot be
/// resumed. Builds before version 1 wrote the package's version instead, and count as version 0.
pub const RESULTS_VERSION: u32 = 1;

/// What precedes the version in a fingerprint.
const PART: &str = "results-";

/// The part of a fingerprint with the version of the results: `results-1`.
#[must_use]
pub fn results_part() -> String {
    format!("{PART}{RESULTS_VERSION}")
}

/// The version in a fingerprint, if it has one.
pub(crate) fn version_in(fingerprint: &str) -> Option<u32> {
    fingerprint.split('/').find_map(|part| part.strip_prefix(PART)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_names_its_version_or_none() {
        assert_eq!(version_in(&format!("supernet/cpu/avx512/{}/ab", results_part())), Some(RESULTS_VERSION));
        assert_eq!(version_in("supernet/cpu/avx512/ab"), None);
        assert_eq!(version_in("table/results-x/results-12/ab"), Some(12));
    }
}

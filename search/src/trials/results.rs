//! The version of this build's results. Fingerprints contain it.

/// Version of all results that this build computes: trainings, measurements and proposals.
///
/// Raise the version if, and only if, results change for the same config, seed, data and device class, even
/// by a single bit. It is not the version of the package. A study whose trials were evaluated with another
/// version cannot be resumed. Builds before version 1 wrote the package's version instead. They count as
/// version 0.
pub const RESULTS_VERSION: u32 = 1;

/// Prefix of the version in a fingerprint.
const PART: &str = "results-";

/// Returns the part of a fingerprint that states the version of the results, such as `results-1`.
#[must_use]
pub fn results_part() -> String {
    format!("{PART}{RESULTS_VERSION}")
}

/// Returns the version of the results in a fingerprint, or `None` if the fingerprint contains no version.
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

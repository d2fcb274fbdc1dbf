//! Which results the present build gives: the version that fingerprints name.

/// Version of the bits of all results: of trainings, of what networks measure, of proposals.
///
/// It is raised when, and only when, the same config, seed, data and class of device give other bits than
/// before. It is not the version of the package. A study whose trials were judged under another version is
/// not continued. Builds before version 1 named the package's version instead, and count as version 0.
pub const RESULTS_VERSION: u32 = 1;

/// How a fingerprint names the version.
const PART: &str = "results-";

/// The part of a fingerprint that names the version of the results: `results-1`.
#[must_use]
pub fn results_part() -> String {
    format!("{PART}{RESULTS_VERSION}")
}

/// The version that a fingerprint names, if it names one.
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

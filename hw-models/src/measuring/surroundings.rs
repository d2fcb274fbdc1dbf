//! What else this machine does while it measures: the clock governor and the load.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Maximum size of a file of the system in bytes.
const FILE_MAX_BYTES: u64 = 1 << 16;
/// Load per core beside the measuring threads from which other programs disturb.
const BUSY: f64 = 0.25;

/// Clock governor and load of this machine, where the system tells them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surroundings {
    /// The clock governors of all cores, each once, sorted.
    pub governors: Vec<String>,
    /// Load averaged over a minute: the number of threads that run or want to.
    pub load: Option<f64>,
    /// Number of cores.
    pub cores: usize,
}

impl Surroundings {
    /// Reads them below `root`, which is `/` except in tests. What cannot be read is unknown.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let text = |path: PathBuf| kiln_files::read_text(&path, FILE_MAX_BYTES).ok();
        let cores = fs::read_dir(root.join("sys/devices/system/cpu")).into_iter().flatten().flatten();
        let is_core = |name: &str| {
            name.strip_prefix("cpu").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        let cores: Vec<PathBuf> =
            cores.filter(|entry| entry.file_name().to_str().is_some_and(is_core)).map(|e| e.path()).collect();
        let governors = cores.iter().filter_map(|core| text(core.join("cpufreq/scaling_governor")));
        let governors: BTreeSet<String> = governors.map(|name| name.trim().to_owned()).collect();
        let load = text(root.join("proc/loadavg"));
        let load = load.and_then(|text| text.split_whitespace().next()?.parse().ok());
        Self {
            governors: governors.into_iter().filter(|name| !name.is_empty()).collect(),
            load: load.filter(|load: &f64| load.is_finite() && *load >= 0.0),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// What spoils measurements that use `threads` threads, a sentence each. `is_measuring` is whether these
    /// threads are part of the load.
    #[must_use]
    pub fn warnings(&self, threads: u64, is_measuring: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        let varying = self.governors.iter().filter(|name| *name != "performance");
        let varying: Vec<String> = varying.map(|name| format!("`{name}`")).collect();
        if !varying.is_empty() {
            warnings.push(format!(
                "the clock governor is {}: clocks change with the load, and latencies with them; \
                 `performance` is steadier",
                varying.join(", ")
            ));
        }
        let own = if is_measuring { threads as f64 } else { 0.0 };
        if let Some(load) = self.load.filter(|load| load - own > BUSY * self.cores as f64) {
            warnings.push(format!(
                "the load is {load:.1} on {} cores: other programs run, and networks wait for them",
                self.cores
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(governors: &[&str], load: &str) -> Surroundings {
        let root = tempfile::tempdir().unwrap();
        for (core, governor) in governors.iter().enumerate() {
            let folder = root.path().join(format!("sys/devices/system/cpu/cpu{core}/cpufreq"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("scaling_governor"), format!("{governor}\n")).unwrap();
        }
        fs::create_dir_all(root.path().join("sys/devices/system/cpu/cpufreq")).unwrap();
        fs::create_dir_all(root.path().join("proc")).unwrap();
        fs::write(root.path().join("proc/loadavg"), load).unwrap();
        Surroundings { cores: 4, ..Surroundings::read(root.path()) }
    }

    #[test]
    fn steady_and_idle_machine_has_no_warnings() {
        let found = machine(&["performance", "performance"], "0.31 0.2 0.1 1/200 77\n");
        assert_eq!((found.governors.as_slice(), found.load), (&["performance".to_owned()][..], Some(0.31)));
        assert_eq!(found.warnings(1, false), [""; 0]);
        let nothing = Surroundings::read(Path::new("/nowhere"));
        assert_eq!((nothing.load, nothing.warnings(1, false)), (None, Vec::new()));
    }

    #[test]
    fn varying_clock_and_load_are_reported() {
        let found = machine(&["schedutil", "performance"], "3.5 0.2 0.1 1/200 77\n");
        let warnings = found.warnings(1, true);
        assert!(
            warnings[0].contains("is `schedutil`") && warnings[1].contains("3.5 on 4 cores"),
            "{warnings:?}"
        );
        let own = machine(&[], "1.4 0.2 0.1");
        assert_eq!((own.warnings(1, true).len(), own.warnings(1, false).len()), (0, 1));
        assert_eq!(machine(&[], "nan").load, None);
    }
}

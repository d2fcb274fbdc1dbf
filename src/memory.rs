//! Predicts a study's memory from counts, without allocating the memory.

use std::fs;

use kiln_evaluator::Workload;
use kiln_evaluator::data::{DataSet, Split};
use kiln_search::seed;
use kiln_space::{Architecture, ParameterKind, ParameterSpec, variation};

use crate::assembly::Assembly;

/// Number of genotypes to draw to estimate the size of networks.
const DRAWN: usize = 100;
/// Number of copies of the weights during training: the weights, their gradients, their momentum, and the
/// checkpoint that is being written.
const WEIGHT_COPIES: u64 = 4;
/// Number of copies of the activations: the backward pass needs each activation and its gradient.
const ACTIVATION_COPIES: u64 = 2;
/// Number of examples in an evaluation batch.
const JUDGED: u64 = 256;
/// Name of the evaluator whose networks share weights.
const SUPERNET: &str = "supernet";

/// Predicts a study's memory for data, weights and activations with this many workers, in bytes. The actual
/// memory may be half or twice the prediction. Returns `None` if the study computes nothing because its
/// evaluator is `table`, if the evaluator does not say what it computes, or if no network can be built.
#[must_use]
pub fn predicted_bytes(assembly: &Assembly, workers: usize) -> Option<u64> {
    let (data, workload) = (assembly.data.as_deref()?, &assembly.workload);
    if *workload == Workload::default() {
        return None;
    }
    let networks = drawn(assembly);
    let counts = || networks.iter().map(Architecture::counts);
    let activations = counts().map(|counts| counts.activation_bytes).max()?.saturating_mul(ACTIVATION_COPIES);
    let side_by_side = workers.min(assembly.config.search.in_flight).max(1) as u64;
    let weights = if assembly.config.evaluator.kind == SUPERNET {
        assembly.space.parameters().iter().map(values).fold(0, u64::saturating_add)
    } else {
        counts().map(|counts| counts.parameters).max()?.saturating_mul(side_by_side)
    };
    let at_once = (workload.examples_in_memory as u64).max(JUDGED.saturating_mul(side_by_side));
    let trained = weights.saturating_mul(4 * WEIGHT_COPIES);
    Some(data_bytes(data).saturating_add(trained).saturating_add(activations.saturating_mul(at_once)))
}

/// Returns the memory that this process may use, in bytes. This is the machine's memory, or the limit of the
/// process's control group if the limit is lower. Returns `None` if the system does not report the memory.
#[must_use]
pub fn available_bytes() -> Option<u64> {
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits = groups.iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
    let machine = fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(total);
    machine.into_iter().chain(limits).min()
}

/// Parses the total memory, in bytes, from the text of `/proc/meminfo`.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Draws architectures from the space. Skips genotypes that cannot be decoded.
fn drawn(assembly: &Assembly) -> Vec<Architecture> {
    let space = assembly.space.as_ref();
    let mut rng = seed::generator(assembly.config.study.seed, "memory", &[]);
    (0..DRAWN).filter_map(|_| space.decode(&variation::sample(space, &mut rng)).ok()).collect()
}

fn data_bytes(data: &DataSet) -> u64 {
    let examples: usize =
        [Split::Train, Split::Validation, Split::Test].map(|split| data.split(split).len()).iter().sum();
    4 * (examples * data.shape().elements()) as u64
}

fn values(parameter: &ParameterSpec) -> u64 {
    let bias = |has: bool, outputs: usize| if has { outputs as u64 } else { 0 };
    // A custom space may have layers of any size.
    let product = |sizes: &[usize]| sizes.iter().map(|size| *size as u64).fold(1, u64::saturating_mul);
    match &parameter.kind {
        ParameterKind::Conv2d { outputs, inputs, kernel, bias: has } => {
            product(&[*outputs, *inputs, kernel[0], kernel[1]]).saturating_add(bias(*has, *outputs))
        }
        ParameterKind::Linear { outputs, inputs, bias: has } => {
            product(&[*outputs, *inputs]).saturating_add(bias(*has, *outputs))
        }
        ParameterKind::BatchNorm { channels } => product(&[2, *channels]),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::assembly::{Folders, Registries};
    use crate::config::{Document, RunConfig};

    fn predicted(width: &str, evaluator: &str) -> u64 {
        let text = format!(
            "study = {{ name = 'a' }}\ndata = {{ kind = 'digits' }}\nevaluator = {{ kind = '{evaluator}', \
             epochs = 1 }}\n\
             space = {{ kind = 'mlp', layers = 2, width = {width} }}\nsearch = {{ strategy = 'random', \
             trials = 3 }}\n"
        );
        let config =
            RunConfig::from_document(Document::parse(Path::new("a.toml"), &text).unwrap(), None).unwrap();
        let folders = Folders { data: None, runs: Path::new("runs") };
        predicted_bytes(&Registries::builtin().build(config, folders).unwrap(), 2).unwrap()
    }

    #[test]
    fn memory_of_wide_layers_is_counted_without_allocation() {
        // The weight matrix between two layers of 65,536 units has 2^32 weights of four bytes, in four
        // copies: 69 GB.
        let wide = predicted("[32768, 65536]", "supernet");
        assert!((65_000_000_000..90_000_000_000).contains(&wide), "{wide}");
        // Each of two workers may train the largest network.
        let alone = predicted("[32768, 65536]", "scratch");
        assert!(alone > wide && alone < 3 * wide, "{alone}");
        let small = predicted("[8, 16]", "supernet");
        assert!(small < 10_000_000, "{small}");
    }

    #[test]
    fn total_memory_is_parsed_from_meminfo() {
        assert_eq!(total("MemTotal:       24605044 kB\nMemFree: 1 kB\n"), Some(25_195_565_056));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert_eq!(total("MemTotal: 99999999999999999999 kB"), None);
        if cfg!(target_os = "linux") {
            assert!(available_bytes().unwrap() > 1 << 20);
        }
    }
}

//! Estimates a study's duration and memory. The estimate uses the time of a forward pass on this machine.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kiln_evaluator::data::{DataSet, ReadingRules, Split};
use kiln_evaluator::{Effort, Workload, predict};
use kiln_export::{Array, Grid, ModelCard, Preprocessing, QuantizationPlan, TrainedModel, expected_arrays};
use kiln_search::{Fidelities, Fidelity, Seconds};
use kiln_space::{Architecture, ArchitectureBuilder, NumberFormat, Precision, Shape};
use num_bigint::BigUint;

use crate::assembly::Assembly;
use crate::config::SearchTable;
use crate::memory;
use crate::survey::Survey;

/// Maximum number of examples in a timed pass. The first timed pass uses `FIRST_EXAMPLES` examples.
const EXAMPLES: usize = 256;
const FIRST_EXAMPLES: usize = 4;
/// Number of timed passes after one warm-up pass. The estimate uses the fastest pass.
const PASSES: u32 = 3;
/// Time limit for all timed passes together. `MOST_BYTES` limits the memory of one pass.
const LONGEST: Duration = Duration::from_secs(2);
const MOST_BYTES: u64 = 512 << 20;
/// Number of copies of a network's arrays during a timed pass.
const COPIES: u64 = 3;
/// Duration of a training step, as a multiple of a forward pass. A step consists of the forward pass, a
/// backward pass that takes twice as long, and the optimizer's step with its memory traffic.
const TRAINING: f64 = 4.0;
/// Number of units in each layer of the reference network. This network is timed if the space's networks are
/// too large.
const REFERENCE_UNITS: usize = 1024;

/// Expected duration and memory of a study. The actual values may differ by a factor of two or three.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Time before the search.
    pub prepare: Seconds,
    /// Time for all trials. A budget in hours limits this time.
    pub search: Seconds,
    /// Time for finishing networks.
    pub finish: Seconds,
    /// Bytes for data, weights and activations.
    pub memory_bytes: u64,
}

impl Estimate {
    /// Estimates a study with this many workers. Returns `None` if the study computes nothing because its
    /// evaluator is `table`, if the evaluator does not say what it computes, or if no network can be built.
    #[must_use]
    pub fn new(assembly: &Assembly, survey: &Survey, workers: usize) -> Option<Self> {
        let (data, workload) = (assembly.data.as_deref()?, &assembly.workload);
        if *workload == Workload::default() {
            return None;
        }
        let memory_bytes = memory::predicted_bytes(assembly, workers)?;
        let [training, judging] = time_forward(survey, data)?;
        let time = |effort: &Effort, times: f64| {
            let trained = TRAINING * effort.trained as f64 * training;
            Seconds::saturating((trained + effort.judged as f64 * judging) * times)
        };
        let search = &assembly.config.search;
        let networks = assembly.config.finish.as_ref().map_or(0.0, |finish| finish.networks as f64);
        let prepare = time(&workload.prepare, 1.0);
        let answered = assembly.evaluator.fidelities();
        let asked = assembly.strategy.fidelities(answered);
        let most = most_trials(search, &survey.genotypes, asked.len());
        let of_trials = time(&workload.trial, most as f64 * mean_share(&asked, answered));
        // Trainings of any length count toward the budget in epochs.
        let of_epochs = search
            .epochs
            .filter(|_| answered.full_epochs > 0)
            .map(|epochs| time(&workload.trial, epochs as f64 / f64::from(answered.full_epochs)));
        let all_trials = of_epochs.map_or(of_trials, |epochs| epochs.min(of_trials));
        // The budget in hours includes the time of the preparation.
        let hours = search.hours.map(|hours| Seconds::saturating(hours * 3600.0));
        Some(Self {
            prepare,
            search: hours.map_or(all_trials, |hours| all_trials.min(hours.since(prepare))),
            finish: time(&workload.network, networks),
            memory_bytes,
        })
    }

    /// Returns the total time of all stages.
    #[must_use]
    pub fn total(&self) -> Seconds {
        [self.prepare, self.search, self.finish].into_iter().sum()
    }
}

/// Returns the maximum number of trials. Without a budget in trials, this is one trial for each combination
/// of network and fidelity.
fn most_trials(search: &SearchTable, genotypes: &BigUint, efforts: usize) -> u64 {
    let all = u64::try_from(genotypes).unwrap_or(u64::MAX).saturating_mul(efforts.max(1) as u64);
    search.trials.map_or(all, |trials| trials.min(all))
}

/// Returns the mean number of epochs of a trial, as a share of the full schedule. Strategies that promote the
/// best networks to longer trainings spend about the same number of epochs on each rung. The mean is
/// therefore harmonic.
fn mean_share(asked: &[Fidelity], answered: Fidelities) -> f64 {
    let epochs = asked.iter().map(|fidelity| answered.epochs(*fidelity)).filter(|epochs| *epochs > 0);
    let (count, inverse) =
        epochs.fold((0.0, 0.0), |(count, inverse), epochs| (count + 1.0, inverse + 1.0 / f64::from(epochs)));
    let full = f64::from(answered.full_epochs);
    if inverse > 0.0 && full > 0.0 { count / inverse / full } else { 1.0 }
}

/// Times a forward pass of the typical network on all cores, in seconds per example: in single precision, as
/// in training, and in its own number formats, as in judging. If the typical network is too large, times a
/// smaller network and scales its time by the number of multiply-accumulates.
fn time_forward(survey: &Survey, data: &DataSet) -> Option<[f64; 2]> {
    let typical = survey.typical.as_ref()?;
    let fits = |network: &&Architecture| bytes(network, FIRST_EXAMPLES) <= MOST_BYTES;
    let timed = [Some(typical), survey.smallest.as_ref()].into_iter().flatten().find(fits);
    let (mean, deviation) = data.normalization();
    let both = if let Some(network) = timed {
        let chosen = data.split(Split::Train).iter().copied().take(EXAMPLES);
        let raw: Vec<f32> = chosen.flat_map(|index| data.example(index)).copied().collect();
        let trained = single_precision(network);
        let training = seconds_of(&untrained(&trained, mean, deviation), &raw)?;
        let is_rounded = trained.layers.iter().zip(&network.layers).any(|(a, b)| a.precision != b.precision);
        let judging =
            if is_rounded { seconds_of(&untrained(network, mean, deviation), &raw)? } else { training };
        [training, judging]
    } else {
        let (mean, deviation) = ([0.0; REFERENCE_UNITS], [1.0; REFERENCE_UNITS]);
        let raw = vec![0.5; EXAMPLES * REFERENCE_UNITS];
        [seconds_of(&untrained(&reference(), &mean, &deviation), &raw)?; 2]
    };
    let macs = |network: &Architecture| network.counts().macs.max(1) as f64;
    let scale = macs(typical) / timed.map_or_else(|| macs(&reference()), macs);
    Some(both.map(|seconds| seconds * scale))
}

/// Returns a network with all layers in single precision, in which networks are trained.
fn single_precision(network: &Architecture) -> Architecture {
    let mut network = network.clone();
    for layer in &mut network.layers {
        layer.precision = Precision::uniform(NumberFormat::F32);
    }
    network
}

/// Times a forward pass, in seconds per example.
fn seconds_of(model: &TrainedModel, raw: &[f32]) -> Option<f64> {
    let elements = model.architecture.input.elements();
    let all = raw.len() / elements;
    let pass = |examples: usize| {
        let began = Instant::now();
        std::hint::black_box(predict(model, &raw[..examples * elements]));
        began.elapsed()
    };
    let first = FIRST_EXAMPLES.min(all);
    if first == 0 {
        return None;
    }
    pass(first);
    let few = pass(first);
    let each = few.as_secs_f64() / first as f64;
    let longest = LONGEST.as_secs_f64() / f64::from(PASSES + 1);
    let affordable = [EXAMPLES, FIRST_EXAMPLES].into_iter().find(|examples| {
        *examples as f64 * each <= longest && bytes(&model.architecture, *examples) <= MOST_BYTES
    });
    let Some(examples) = affordable.map(|examples| examples.min(all)) else { return Some(each) };
    pass(examples);
    let fastest = (0..PASSES).map(|_| pass(examples)).min()?;
    Some(fastest.as_secs_f64() / examples as f64)
}

/// Returns the memory of a forward pass in bytes: the network's arrays, and the outputs of all layers for
/// this many examples.
fn bytes(network: &Architecture, examples: usize) -> u64 {
    let counts = network.counts();
    let arrays = counts.parameters.saturating_mul(4 * COPIES);
    // Networks are trained in single precision, even if they are deployed in 8 bits.
    arrays.saturating_add(counts.activation_bytes.saturating_mul(4 * examples as u64))
}

/// Builds the network to time if the space's networks are too large.
fn reference() -> Architecture {
    let mut builder = ArchitectureBuilder::new(Shape::vector(REFERENCE_UNITS));
    let input = builder.input();
    let hidden = builder.linear("hidden", input, REFERENCE_UNITS).expect("a vector goes into it");
    builder.linear("output", hidden, REFERENCE_UNITS).expect("a vector goes into it");
    builder.finish().expect("its layers fit")
}

/// Builds a network whose arrays have the right shapes and arbitrary values.
fn untrained(architecture: &Architecture, mean: &[f32], deviation: &[f32]) -> TrainedModel {
    let arrays: BTreeMap<String, Array> = expected_arrays(architecture)
        .into_iter()
        .map(|(name, shape)| {
            let values = shape.iter().product();
            (name, Array { shape, data: vec![0.5; values] })
        })
        .collect();
    let card = ModelCard {
        name: "untrained".to_owned(),
        preprocessing: Preprocessing {
            input: String::new(),
            mean: mean.to_vec(),
            deviation: deviation.to_vec(),
            inputs: Vec::new(),
            target_offsets: Vec::new(),
            reading: BTreeMap::new(),
            reading_rules: ReadingRules::CURRENT.number(),
        },
        ..ModelCard::default()
    };
    let plan = QuantizationPlan::new(architecture);
    let grid = Grid { scale: 1.0, zero_point: 0 };
    let quantization = plan.owners().map(|owner| (architecture.layer(owner).name.clone(), grid)).collect();
    TrainedModel {
        architecture: architecture.clone(),
        arrays,
        quantization,
        weight_codes: BTreeMap::new(),
        card,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::assembly::{Folders, Registries};
    use crate::config::{Document, RunConfig};

    fn estimate(width: &str, search: &str) -> Estimate {
        let text = format!(
            "study = {{ name = 'a' }}\ndata = {{ kind = 'digits' }}\nevaluator = {{ kind = 'scratch', \
             epochs = 4000 }}\n\
             space = {{ kind = 'mlp', layers = [1, 2], width = {width} }}\nsearch = {{ strategy = 'random', \
             {search} }}\n"
        );
        let config =
            RunConfig::from_document(Document::parse(Path::new("a.toml"), &text).unwrap(), None).unwrap();
        let folders = Folders { data: None, runs: Path::new("runs") };
        let assembly = Registries::builtin().build(config, folders).unwrap();
        let survey = Survey::new(assembly.space.as_ref(), &assembly.costs, &assembly.constraints, 1);
        Estimate::new(&assembly, &survey, 2).unwrap()
    }

    #[test]
    fn hours_and_space_size_limit_estimate() {
        let all = estimate("[8, 16]", "trials = 1000000000").search;
        // The first network has one layer of two units, the second has two.
        let few = estimate("[8, 16]", "trials = 3").search;
        // The second estimate is about twice the first one, and not 300 million times the first one. The
        // factor of 100 allows for varying machine speed.
        assert!(all.get() > 0.1 * few.get() && all.get() < 100.0 * few.get(), "{all:?} {few:?}");
        let limited = estimate("[8, 16]", "trials = 9223372036854775807, hours = 1e-4").total();
        assert!((limited.get() - 0.36).abs() < 1e-6, "{limited:?}");
        let target = estimate("[8, 16]", "target = { error_percent = 1.0 }").search;
        assert!(target.get() > 0.1 * few.get() && target.get() < 100.0 * few.get(), "{target:?} {few:?}");
    }

    #[test]
    fn lower_fidelities_shorten_estimate() {
        let answered = Fidelities::of_schedule(27);
        let rungs = [Fidelity::Epochs(3), Fidelity::Epochs(9), Fidelity::Full];
        // Each rung takes a third of the epochs: nine trials of 3 epochs, three trials of 9 epochs, one trial
        // of 27 epochs.
        assert!((mean_share(&rungs, answered) - 3.0 * 27.0 / (9.0 + 3.0 + 1.0) / 27.0).abs() < 1e-12);
        assert!((mean_share(&[Fidelity::Full], answered) - 1.0).abs() < 1e-12);
        assert!((mean_share(&[Fidelity::Full], Fidelities::full_only()) - 1.0).abs() < 1e-12);
        // A budget in epochs that pays for four trainings gives the same time as a budget of four trials.
        let all = estimate("[8, 16, 32, 64]", "trials = 4").search;
        let paid = estimate("[8, 16, 32, 64]", "epochs = 16000").search;
        let ratio = paid.get() / all.get();
        assert!((0.1..10.0).contains(&ratio), "{paid:?} {all:?}: the machine may be slower at one time");
    }

    #[test]
    fn training_of_8_bit_networks_is_timed_in_single_precision() {
        let prepare = |precision: &str| {
            let text = format!(
                "study = {{ name = 'a' }}\ndata = {{ kind = 'digits' }}\nevaluator = {{ kind = 'supernet', epochs \
                 = 400 }}\nspace = {{ kind = 'stages', stem = {{ width = 16, precision = '{precision}' }}, stages = \
                 [{{ blocks = 'conv', width = 32, precision = '{precision}' }}] }}\nsearch = {{ strategy = \
                 'random', trials = 1 }}\n"
            );
            let document = Document::parse(Path::new("a.toml"), &text).unwrap();
            let config = RunConfig::from_document(document, None).unwrap();
            let folders = Folders { data: None, runs: Path::new("runs") };
            let assembly = Registries::builtin().build(config, folders).unwrap();
            let survey = Survey::new(assembly.space.as_ref(), &assembly.costs, &assembly.constraints, 1);
            Estimate::new(&assembly, &survey, 2).unwrap().prepare.get()
        };
        // The integer pass takes 5 to 8 times as long. The fastest of several estimates is compared, because
        // other programs slow single ones down.
        let mut fastest = [f64::INFINITY; 2];
        for _ in 0..8 {
            for (fastest, precision) in fastest.iter_mut().zip(["int8", "f32"]) {
                *fastest = fastest.min(prepare(precision));
            }
        }
        let ratio = fastest[0] / fastest[1];
        assert!((0.25..4.0).contains(&ratio), "{fastest:?}");
    }

    #[test]
    fn huge_network_is_timed_through_smaller_one() {
        // Two layers with 65,536 units each would take 17 GB.
        let began = Instant::now();
        let wide = estimate("[65536]", "trials = 1");
        assert!(wide.search.get() > 100.0 * estimate("[64]", "trials = 1").search.get(), "{wide:?}");
        assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
    }
}

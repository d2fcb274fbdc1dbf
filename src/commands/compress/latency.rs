//! Measures the latency of compressed networks in the runtimes that are at hand.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kiln::runtimes::OnnxRuntime;
use kiln_evaluator::KilnRuntime;
use kiln_hw_models::measuring::{MeasuringPlan, Runtime, Session, SystemClock, summarize};

use crate::exit::Failure;
use crate::output;

/// Median latency of each network in microseconds. `None` for networks that the runtime cannot run.
pub(super) type Latencies = Vec<Option<f64>>;

/// Measures the networks in these folders for about `seconds` seconds each, one example at a time on one
/// thread. Returns the latencies in microseconds by runtime: Kiln's own, and ONNX Runtime if the environment
/// variable `ORT_DYLIB_PATH` names its library.
pub(super) fn measured(
    folders: &[&Path],
    seconds: u64,
    stop: &AtomicBool,
) -> Result<Vec<(String, Latencies)>, Failure> {
    let kiln = KilnRuntime::new(1, 1).map_err(Failure::wrong)?;
    let mut found = vec![(kiln.name().to_owned(), latencies(&kiln, folders, seconds, stop))];
    if let Some(library) = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from) {
        match OnnxRuntime::open(Some(&library), 1, 1) {
            Ok(onnx) => found.push((onnx.name().to_owned(), latencies(&onnx, folders, seconds, stop))),
            Err(error) => output::say(&format!("warning: nothing is measured in ONNX Runtime: {error}")),
        }
    }
    Ok(found)
}

fn latencies(runtime: &dyn Runtime, folders: &[&Path], seconds: u64, stop: &AtomicBool) -> Latencies {
    let file = |folder: &&Path| folder.join(format!("model.{}", runtime.format()));
    let models: Vec<PathBuf> = folders.iter().map(file).collect();
    // A format that cannot express a network has no file of it.
    let (places, present): (Vec<usize>, Vec<PathBuf>) =
        models.into_iter().enumerate().filter(|(_, model)| model.is_file()).unzip();
    let mut all = vec![None; folders.len()];
    if present.is_empty() {
        return all;
    }
    let total = Duration::from_secs(seconds.saturating_mul(present.len() as u64));
    let session = Session {
        runtime,
        clock: &SystemClock::start(),
        plan: MeasuringPlan::sharing(total, present.len(), 0),
        models: &present,
        is_stopped: &|| stop.load(Ordering::SeqCst),
    };
    let mut visits = Vec::new();
    let ended: Result<_, Infallible> = session.run(&mut visits, |_| Ok(()));
    ended.map_or_else(|never| match never {}, drop);
    for (place, latency) in places.into_iter().zip(summarize(present.len(), &visits).0) {
        all[place] = latency;
    }
    all
}

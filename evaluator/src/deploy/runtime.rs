//! Kiln's own inference as a runtime whose latency can be measured.

use std::path::Path;
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use kiln_export::TrainedModel;
use kiln_hw_models::measuring::{LoadedModel, Runtime, RuntimeError};
use kiln_kernels::InstructionSet;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::deploy::frozen::Frozen;
use crate::deploy::random::random_input;

/// Runs model files (`model.kiln`) on the CPU of this machine, as `kiln predict` does.
#[derive(Debug)]
pub struct KilnRuntime {
    version: String,
    batch: usize,
    threads: ThreadPool,
}

impl KilnRuntime {
    /// The runtime for batches of `batch` examples on `threads` threads.
    ///
    /// # Errors
    /// The system does not give that many threads.
    pub fn new(batch: usize, threads: usize) -> Result<Self, ThreadPoolBuildError> {
        let threads = ThreadPoolBuilder::new().num_threads(threads.max(1)).build()?;
        let version = format!("{} {}", env!("CARGO_PKG_VERSION"), InstructionSet::best().name());
        Ok(Self { version, batch: batch.max(1), threads })
    }
}

impl Runtime for KilnRuntime {
    fn name(&self) -> &'static str {
        "kiln"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn format(&self) -> &'static str {
        "kiln"
    }

    fn is_local(&self) -> bool {
        true
    }

    fn load(&self, model: &Path) -> Result<Box<dyn LoadedModel + '_>, RuntimeError> {
        let model = TrainedModel::load(model).map_err(RuntimeError::network)?;
        let device = Device::flex();
        let input = random_input(&model.architecture, self.batch, 0, &device);
        Ok(Box::new(LoadedNetwork { network: Frozen::of(&model, &device), input, threads: &self.threads }))
    }
}

struct LoadedNetwork<'a> {
    network: Frozen,
    input: Tensor<4>,
    threads: &'a ThreadPool,
}

impl LoadedModel for LoadedNetwork<'_> {
    fn run(&mut self) -> Result<Vec<f64>, RuntimeError> {
        let Self { network, input, threads } = self;
        let input = input.clone();
        let took = threads.install(|| {
            let begin = Instant::now();
            std::hint::black_box(network.outputs(std::iter::once(input)));
            begin.elapsed()
        });
        Ok(vec![took.as_secs_f64() * 1e6])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kiln_hw_models::measuring::{Ending, MeasuringPlan, Session, SystemClock, summarize};
    use kiln_space::{ArchitectureBuilder, Shape};

    use super::*;
    use crate::deploy::random::with_random_weights;

    #[test]
    fn larger_network_takes_longer() {
        let folder = tempfile::tempdir().unwrap();
        let models = [4, 128].map(|channels| {
            let mut b = ArchitectureBuilder::new(Shape::new(3, 32, 32));
            let x = b.conv("conv", b.input(), channels, 3, 1, 1).unwrap();
            let x = b.global_pool("pool", x).unwrap();
            b.linear("head", x, 10).unwrap();
            let path = folder.path().join(format!("{channels}.kiln"));
            with_random_weights(&b.finish().unwrap(), "probe", 1).unwrap().save(&path).unwrap();
            path
        });
        let runtime = KilnRuntime::new(2, 1).unwrap();
        let plan = MeasuringPlan { rounds: 1, ..MeasuringPlan::sharing(Duration::from_secs(2), 2, 1) };
        let session = Session {
            runtime: &runtime,
            clock: &SystemClock::start(),
            plan,
            models: &models,
            is_stopped: &|| false,
        };
        let mut visits = Vec::new();
        let ending = session.run(&mut visits, |_| Ok::<(), ()>(())).unwrap();
        assert!(matches!(ending, Ending::Complete | Ending::TimeUp), "{ending:?}");
        let latencies = summarize(2, &visits).0;
        assert!(latencies[1].unwrap() > latencies[0].unwrap(), "{latencies:?}");
        let broken = folder.path().join("broken.kiln");
        std::fs::write(&broken, "not a model").unwrap();
        assert!(matches!(runtime.load(&broken).map(|_| ()), Err(RuntimeError::Network(_))));
    }
}

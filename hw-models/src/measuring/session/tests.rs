use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::path::Path;

use super::super::disturbance::summarize;
use super::super::runtime::LoadedModel;
use super::*;

/// A device whose networks `0`, `1`, ... take 100, 110, ... microseconds, with a clock of its own.
struct FakeDevice {
    now: Cell<Duration>,
    /// Number of loaded networks so far.
    loads: Cell<usize>,
    /// Every run: index of the load, network.
    runs: RefCell<Vec<(usize, usize)>>,
    /// Latency of a run in microseconds, from network, load and number of the run.
    latency: fn(usize, usize, usize) -> Result<f64, RuntimeError>,
}

struct FakeModel<'a> {
    device: &'a FakeDevice,
    network: usize,
    load: usize,
}

impl FakeDevice {
    fn new(latency: fn(usize, usize, usize) -> Result<f64, RuntimeError>) -> Self {
        Self { now: Cell::default(), loads: Cell::new(0), runs: RefCell::default(), latency }
    }

    fn measure(&self, networks: usize, visits: &mut Vec<Visit>, stop_after: usize) -> Ending {
        let models: Vec<PathBuf> = (0..networks).map(|network| network.to_string().into()).collect();
        let plan = MeasuringPlan::sharing(Duration::from_mins(2), networks, 1);
        let is_stopped = || self.loads.get() >= stop_after;
        let session = Session { runtime: self, clock: self, plan, models: &models, is_stopped: &is_stopped };
        session.run(visits, |_| Ok::<(), Infallible>(())).unwrap_or_else(|never| match never {})
    }
}

impl Clock for FakeDevice {
    fn now(&self) -> Duration {
        self.now.get()
    }
}

impl Runtime for FakeDevice {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn format(&self) -> &'static str {
        "onnx"
    }

    fn is_local(&self) -> bool {
        false
    }

    fn load(&self, model: &Path) -> Result<Box<dyn LoadedModel + '_>, RuntimeError> {
        let network = model.to_str().unwrap().parse().unwrap();
        let load = self.loads.get();
        self.loads.set(load + 1);
        Ok(Box::new(FakeModel { device: self, network, load }))
    }
}

impl LoadedModel for FakeModel<'_> {
    fn run(&mut self) -> Result<Vec<f64>, RuntimeError> {
        let device = self.device;
        let number = device.runs.borrow().len();
        device.runs.borrow_mut().push((self.load, self.network));
        let latency = (device.latency)(self.network, self.load, number);
        // A run that fails takes a second.
        let took_us = *latency.as_ref().unwrap_or(&1e6);
        device.now.set(device.now.get() + Duration::from_micros(took_us.clamp(0.0, 60e6) as u64));
        latency.map(|us| vec![us])
    }
}

#[allow(clippy::unnecessary_wraps, reason = "other devices fail")]
fn steady(network: usize, _: usize, number: usize) -> Result<f64, RuntimeError> {
    Ok((100.0 + 10.0 * network as f64) * (1.0 + 0.001 * (number % 5) as f64))
}

fn failure() -> RuntimeError {
    RuntimeError::network(NotALatency { found: 0.0 })
}

#[test]
fn steady_device_is_measured_with_few_runs() {
    let device = FakeDevice::new(steady);
    let mut visits = Vec::new();
    assert!(matches!(device.measure(6, &mut visits, usize::MAX), Ending::Complete));
    let (latencies, summary, _) = summarize(6, &visits);
    for (network, latency) in latencies.iter().enumerate() {
        let expected = 100.0 + 10.0 * network as f64;
        assert!((latency.unwrap() / expected - 1.0).abs() < 0.01, "{latency:?}");
    }
    assert_eq!((summary.measured, summary.disturbed, summary.repeated), (6, 0, 0));
    assert!(summary.drift_percent < 1.0);
    // The measured runs take at least the minimum time of a visit, the others warm up.
    let first = visits.iter().find(|visit| visit.network == 0).unwrap();
    assert!(first.took_s >= 0.07 && first.took_s < 0.1, "{first:?}");
}

#[test]
fn noisy_runs_are_repeated_until_the_time_of_the_visit_is_up() {
    fn noisy(network: usize, _: usize, number: usize) -> Result<f64, RuntimeError> {
        steady(network, 0, number).map(|us| us * if number.is_multiple_of(2) { 1000.0 } else { 1500.0 })
    }
    let device = FakeDevice::new(noisy);
    let mut visits = Vec::new();
    device.measure(6, &mut visits, usize::MAX);
    let VisitOutcome::Measured { runs, low_us, high_us, .. } = visits[0].outcome else { panic!() };
    assert!(runs >= 10 && high_us > 1.4 * low_us, "{:?}", visits[0]);
    assert!(summarize(6, &visits).1.repeated > 0);
}

#[test]
fn disturbed_visit_is_found_and_repeated() {
    fn busy(network: usize, load: usize, number: usize) -> Result<f64, RuntimeError> {
        steady(network, load, number).map(|us| if load == 9 { 2.0 * us } else { us })
    }
    let device = FakeDevice::new(busy);
    let mut visits = Vec::new();
    device.measure(6, &mut visits, usize::MAX);
    let (latencies, summary, disturbed) = summarize(6, &visits);
    assert_eq!((disturbed, summary.disturbed, summary.repeated), ([9].into(), 1, 2));
    let network = visits[9].network;
    let expected = 100.0 + 10.0 * network as f64;
    assert!((latencies[network].unwrap() / expected - 1.0).abs() < 0.01);
}

#[test]
fn stopped_session_goes_on_and_equals_one_that_was_left_alone() {
    let mut whole = Vec::new();
    FakeDevice::new(steady).measure(6, &mut whole, usize::MAX);
    let mut visits = Vec::new();
    for stop_after in [1, 4, 3, 20] {
        let ending = FakeDevice::new(steady).measure(6, &mut visits, stop_after);
        assert!(matches!(ending, Ending::Stopped | Ending::Complete));
    }
    let places = |visits: &[Visit]| {
        visits.iter().map(|visit| (visit.network, visit.round, visit.place)).collect::<Vec<_>>()
    };
    FakeDevice::new(steady).measure(6, &mut visits, usize::MAX);
    assert_eq!(places(&visits), places(&whole));
}

#[test]
fn failing_networks_are_recorded_and_others_measured() {
    fn failing(network: usize, load: usize, number: usize) -> Result<f64, RuntimeError> {
        if [1, 3, 4, 5].contains(&network) { Err(failure()) } else { steady(network, load, number) }
    }
    let device = FakeDevice::new(failing);
    let mut visits = Vec::new();
    // The order of the first round has three failing networks in a row after one that runs.
    let ending = device.measure(8, &mut visits, usize::MAX);
    if matches!(ending, Ending::Complete) {
        let (_, summary, _) = summarize(8, &visits);
        assert_eq!((summary.measured, summary.failed), (4, 4));
    } else {
        // Nothing ran before three failures.
        assert!(matches!(ending, Ending::DeviceGone { failures: 3, .. }), "{ending:?}");
        assert!(visits.is_empty());
    }
}

#[test]
fn device_that_dies_half_way_ends_the_session_and_its_failures_are_forgotten() {
    fn dying(network: usize, load: usize, number: usize) -> Result<f64, RuntimeError> {
        if load >= 5 { Err(failure()) } else { steady(network, load, number) }
    }
    let mut visits = Vec::new();
    let ending = FakeDevice::new(dying).measure(12, &mut visits, usize::MAX);
    assert!(matches!(ending, Ending::DeviceGone { failures: 3, .. }), "{ending:?}");
    assert_eq!((visits.len(), visits.iter().filter(|visit| visit.is_failed()).count()), (5, 0));
    // The device is back.
    assert!(matches!(FakeDevice::new(steady).measure(12, &mut visits, usize::MAX), Ending::Complete));
    assert_eq!(summarize(12, &visits).1.measured, 12);
}

#[test]
fn device_that_never_works_ends_the_session_soon() {
    let mut visits = Vec::new();
    let device = FakeDevice::new(|_, _, _| Err(failure()));
    assert!(matches!(device.measure(12, &mut visits, usize::MAX), Ending::DeviceGone { failures: 3, .. }));
    assert!(visits.is_empty());
    let unusable = FakeDevice::new(|_, _, _| Err(RuntimeError::unusable(NotALatency { found: 0.0 })));
    assert!(matches!(unusable.measure(12, &mut visits, usize::MAX), Ending::Unusable(_)));
}

#[test]
fn numbers_that_are_no_latencies_are_failures() {
    for wrong in [|_, _, _| Ok(f64::NAN), |_, _, _| Ok(-1.0), |_, _, _| Ok(0.0)] {
        let mut visits = Vec::new();
        let ending = FakeDevice::new(wrong).measure(4, &mut visits, usize::MAX);
        let Ending::DeviceGone { reason, .. } = ending else { panic!("{ending:?}") };
        assert!(reason.contains("expected a finite number above 0"), "{reason}");
    }
}

#[test]
fn time_that_is_up_ends_the_session() {
    // Every run takes 20 s, and there are 120.
    let device = FakeDevice::new(|_, _, _| Ok(20e6));
    let mut visits = Vec::new();
    assert!(matches!(device.measure(12, &mut visits, usize::MAX), Ending::TimeUp));
    let summary = summarize(12, &visits).1;
    assert!(summary.measured >= 3 && summary.not_reached >= 6, "{summary:?}");
}

//! Functions that check the laws of [`CostModel`], and networks for these checks. A failed check panics with
//! the reason.

use kiln_space::{
    ActivationKind, Architecture, ArchitectureBuilder, LayerId, NumberFormat, Op, Precision, Shape,
    SpaceError, Sparsity,
};

use crate::{Cost, CostModel, HwError, Interval};

/// Checks the laws of every cost model: numbers are finite and not negative, intervals contain their values,
/// equal architectures have equal costs, and every layer has a cost.
///
/// # Panics
/// When a law is broken.
pub fn check_cost_model(model: &dyn CostModel, architectures: &[Architecture]) {
    let name = model.name();
    assert!(!name.is_empty() && !model.device().is_empty(), "a model without a name or device");
    assert!(!architectures.is_empty(), "{name}: nothing to check on");
    for architecture in architectures {
        let estimate = model.network(architecture).unwrap_or_else(|error| panic!("{name}: {error}"));
        check_interval(name, &estimate.latency_us);
        check_interval(name, &estimate.energy_uj);
        assert!(estimate.latency_us.value > 0.0, "{name}: a network takes time");
        let input = architecture.layer(LayerId(0));
        let input_bytes = input.precision.activations.bytes(input.output.elements() as u64);
        assert!(estimate.peak_memory_bytes >= input_bytes, "{name}: the input takes memory");
        assert!(
            estimate.model_bytes <= architecture.counts().weight_bytes,
            "{name}: more bytes than weights"
        );
        let again = model.network(&architecture.clone()).ok();
        assert_eq!(again, Some(estimate), "{name}: equal networks, other costs");
        for id in architecture.ids() {
            let layer = &architecture.layer(id).name;
            let cost =
                model.layer(architecture, id).unwrap_or_else(|error| panic!("{name}, `{layer}`: {error}"));
            for value in [cost.latency_us, cost.energy_uj] {
                assert!(value.is_finite() && value >= 0.0, "{name}: layer `{layer}` costs {value}");
            }
        }
    }
}

/// Checks that the layer costs add up to the network cost. Only additive models obey this law.
///
/// # Panics
/// When the sum differs.
pub fn check_additive(model: &dyn CostModel, architecture: &Architecture) {
    let name = model.name();
    let mut sum = Cost::default();
    for id in architecture.ids() {
        let cost = model.layer(architecture, id).unwrap_or_else(|error| panic!("{name}: {error}"));
        sum.latency_us += cost.latency_us;
        sum.energy_uj += cost.energy_uj;
    }
    let whole = model.network(architecture).unwrap_or_else(|error| panic!("{name}: {error}"));
    for (sum, whole) in [(sum.latency_us, whole.latency_us.value), (sum.energy_uj, whole.energy_uj.value)] {
        assert!((sum - whole).abs() <= 1e-9 * whole, "{name}: layers cost {sum}, the network {whole}");
    }
}

/// Checks that each architecture costs at least as much as the previous one, in latency, energy and bytes.
///
/// # Panics
/// When an architecture costs less than the previous one.
pub fn check_monotone(model: &dyn CostModel, growing: &[Architecture]) {
    let name = model.name();
    let values = |architecture: &Architecture| {
        let estimate = model.network(architecture).unwrap_or_else(|error| panic!("{name}: {error}"));
        let bytes = [estimate.peak_memory_bytes, estimate.model_bytes].map(|bytes| bytes as f64);
        [estimate.latency_us.value, estimate.energy_uj.value, bytes[0], bytes[1]]
    };
    for (i, pair) in growing.windows(2).enumerate() {
        for (smaller, larger) in values(&pair[0]).into_iter().zip(values(&pair[1])) {
            assert!(
                larger >= smaller * (1.0 - 1e-12),
                "{name}: network {} costs {larger} < {smaller}",
                i + 1
            );
        }
    }
}

/// Checks that the model refuses a network in an unsupported format. Both the network and one of its layers
/// must be refused.
///
/// # Panics
/// When the model returns a cost.
pub fn check_refuses(model: &dyn CostModel, architecture: &Architecture) {
    let name = model.name();
    let refused = |error: &HwError| matches!(error, HwError::Unsupported { .. });
    assert!(model.network(architecture).is_err_and(|e| refused(&e)), "{name}: the network has a cost");
    let layer = architecture.ids().any(|id| model.layer(architecture, id).is_err_and(|e| refused(&e)));
    assert!(layer, "{name}: every layer has a cost");
}

#[track_caller]
fn check_interval(name: &str, interval: &Interval) {
    let Interval { value, low, high } = *interval;
    assert!(value.is_finite() && low.is_finite() && high.is_finite(), "{name}: {interval:?} is not finite");
    assert!(0.0 <= low && low <= value && value <= high, "{name}: {interval:?} does not hold its value");
}

/// A small network of inverted residuals for 3 x 32 x 32 inputs. One residual has squeeze-and-excitation. The
/// network contains every kind of layer that can be fused, and some layers that cannot. `width` scales all
/// channels.
///
/// # Errors
/// [`SpaceError::Shape`] for a `width` of 0.
pub fn mobile_net(
    width: usize,
    precision: Precision,
    sparsity: Sparsity,
) -> Result<Architecture, SpaceError> {
    let mut b = ArchitectureBuilder::new(Shape::new(3, 32, 32));
    b.set_compression(precision, sparsity);
    let conv = |b: &mut ArchitectureBuilder, name: &str, x, [out, kernel, stride, groups]: [usize; 4]| {
        let x = b.conv(name, x, out, kernel, stride, groups)?;
        b.batch_norm(format!("{name}_bn"), x)
    };
    let relu = |b: &mut ArchitectureBuilder, x: LayerId| {
        b.activation(format!("relu_{}", x.0), x, ActivationKind::Relu6)
    };
    let x = b.input();
    let x = conv(&mut b, "stem", x, [8 * width, 3, 2, 1])?;
    let mut x = relu(&mut b, x)?;
    for (i, (out, stride, squeeze)) in [(8, 1, false), (16, 2, true), (16, 1, false)].into_iter().enumerate()
    {
        let (shortcut, channels) = (x, b.shape(x).channels);
        let wide = 4 * channels;
        let y = conv(&mut b, &format!("block{i}_expand"), x, [wide, 1, 1, 1])?;
        let y = relu(&mut b, y)?;
        let y = conv(&mut b, &format!("block{i}_depthwise"), y, [wide, 3, stride, wide])?;
        let mut y = relu(&mut b, y)?;
        if squeeze {
            let pooled = b.global_pool(format!("block{i}_squeeze"), y)?;
            let gate = b.conv(format!("block{i}_gate"), pooled, wide, 1, 1, 1)?;
            let gate = b.activation(format!("block{i}_sigmoid"), gate, ActivationKind::HardSigmoid)?;
            y = b.add(format!("block{i}_scale"), Op::Mul, &[y, gate], None)?;
        }
        x = conv(&mut b, &format!("block{i}_project"), y, [out * width, 1, 1, 1])?;
        if b.shape(x) == b.shape(shortcut) {
            x = b.add(format!("block{i}_add"), Op::Add, &[shortcut, x], None)?;
        }
    }
    let x = b.global_pool("pool", x)?;
    let x = b.add("flatten", Op::Flatten, &[x], None)?;
    b.linear("head", x, 10)?;
    b.finish()
}

/// Uses the same format for weights and activations.
#[must_use]
pub const fn precision(format: NumberFormat) -> Precision {
    Precision { weights: format, activations: format }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::path::Path;
    use std::sync::Arc;

    use kiln_space::Settings;

    use super::*;
    use crate::{Device, HardwareRegistry, HwError, Roofline, Schedule};

    const FORMATS: [NumberFormat; 5] =
        [NumberFormat::F32, NumberFormat::F16, NumberFormat::Bf16, NumberFormat::Int8, NumberFormat::Int4];

    /// Returns every registered model on every built-in device, with several settings.
    fn models() -> Vec<(Device, Arc<dyn CostModel>)> {
        let registry = HardwareRegistry::builtin();
        let mut models = Vec::new();
        for device in registry.devices().unwrap() {
            for (model, settings) in registry.samples("hardware.0") {
                let mut table = settings.table().clone();
                table.insert("device".to_owned(), device.name.clone().into());
                table.insert("model".to_owned(), model.into());
                let settings = Settings::new("hardware.0", table);
                match registry.build(&settings) {
                    // Models of measurements hold their laws in their own tests, on devices that have some.
                    Err(HwError::NotFitted { .. } | HwError::NoKernels { .. }) => {}
                    model => models.push((device.clone(), model.unwrap())),
                }
            }
            assert!(models.iter().any(|(known, _)| known.name == device.name), "{} has a model", device.name);
        }
        models
    }

    #[test]
    fn laws_hold_for_every_model_on_every_device() {
        let sparsities =
            [Sparsity::Dense, Sparsity::NOfM { n: 2, m: 4 }, Sparsity::Unstructured { permille: 700 }];
        for (device, model) in models() {
            let model = model.as_ref();
            for format in FORMATS {
                let known = device.macs_per_s(format).is_some();
                for sparsity in sparsities {
                    let growing: Vec<Architecture> =
                        (1..=12).map(|w| mobile_net(w, precision(format), sparsity).unwrap()).collect();
                    if known {
                        check_cost_model(model, &growing[..2]);
                        check_additive(model, &growing[0]);
                        check_monotone(model, &growing);
                    } else {
                        check_refuses(model, &growing[0]);
                    }
                }
            }
        }
    }

    #[test]
    fn latency_grows_with_batch_and_not_with_threads() {
        let network = mobile_net(4, Precision::default(), Sparsity::Dense).unwrap();
        for name in Device::builtin_names() {
            let device = Device::builtin(name).unwrap();
            let latency = |batch, threads| {
                let model = Roofline::new(device.clone(), batch, threads);
                model.network(&network).unwrap().latency_us.value
            };
            for batch in [1, 2, 8, 64] {
                assert!(latency(batch * 2, 1) >= latency(batch, 1), "{name}, batch {batch}");
                assert!(latency(batch * 2, 1) <= 2.0 * latency(batch, 1) * (1.0 + 1e-12), "{name}, {batch}");
            }
            for threads in 1..12 {
                assert!(latency(1, threads + 1) <= latency(1, threads), "{name}, {threads} threads");
            }
        }
    }

    /// Lists the cost of each layer in a table.
    fn table(device: &str) -> String {
        let network = mobile_net(2, Precision::default(), Sparsity::Dense).unwrap();
        let model = Roofline::new(Device::builtin(device).unwrap(), 1, 1);
        let schedule = Schedule::new(&network);
        let mut text =
            format!("{}\n{:<20} {:>10} {:>12} {:>12}\n", model.name(), "layer", "macs", "us", "uj");
        for id in network.ids() {
            let cost = model.layer(&network, id).unwrap();
            let fused = schedule.kernel(id).is_none_or(|kernel| kernel.head() != id);
            let (name, macs) = (&network.layer(id).name, network.layer_counts(id).macs);
            if fused {
                writeln!(text, "{name:<20} {macs:>10} {:>12} {:>12}", "-", "-").unwrap();
            } else {
                writeln!(text, "{name:<20} {macs:>10} {:>12.3} {:>12.3}", cost.latency_us, cost.energy_uj)
                    .unwrap();
            }
        }
        let whole = model.network(&network).unwrap();
        for (name, value) in [("latency_us", whole.latency_us), ("energy_uj", whole.energy_uj)] {
            writeln!(text, "{name} {:.3} [{:.3}, {:.3}]", value.value, value.low, value.high).unwrap();
        }
        writeln!(text, "peak_memory_bytes {}\nmodel_bytes {}", whole.peak_memory_bytes, whole.model_bytes)
            .unwrap();
        text
    }

    /// The environment variable `KILN_BLESS=1` makes the test rewrite the golden files.
    #[test]
    fn cost_tables_equal_golden_files() {
        for device in Device::builtin_names() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{device}.txt"));
            let found = table(device);
            if std::env::var_os("KILN_BLESS").is_some() {
                std::fs::write(&path, &found).unwrap();
            }
            let expected = std::fs::read_to_string(&path).unwrap();
            assert_eq!(found, expected, "{}", path.display());
        }
    }
}

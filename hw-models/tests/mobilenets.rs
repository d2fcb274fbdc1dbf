//! Tests the Cortex-A72 file on networks that differ from the fitted networks: `MobileNet` v1 and v2 (224 x
//! 224) on four threads of a Raspberry Pi 4. The published latencies are in the README of XNNPACK (64-bit
//! build, 2022-02-08).

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of a test that reports what it found")]

use kiln_hw_models::{CostModel, Device, Roofline};
use kiln_space::{
    ActivationKind, Architecture, ArchitectureBuilder, LayerId, NumberFormat, Op, Precision, Shape, Sparsity,
};

fn builder(format: NumberFormat) -> ArchitectureBuilder {
    let mut b = ArchitectureBuilder::new(Shape::new(3, 224, 224));
    b.set_input_format(format);
    b.set_compression(Precision::uniform(format), Sparsity::Dense);
    b
}

/// Appends a convolution, a batch normalization and a ReLU. The convolution is depthwise if `groups` equals
/// the channels.
fn conv(b: &mut ArchitectureBuilder, x: LayerId, [out, kernel, stride, groups]: [usize; 4]) -> LayerId {
    let name = format!("conv{}", x.0);
    let x = b.conv(&name, x, out, kernel, stride, groups).unwrap();
    let x = b.batch_norm(format!("{name}_bn"), x).unwrap();
    b.activation(format!("{name}_relu"), x, ActivationKind::Relu).unwrap()
}

fn finish(mut b: ArchitectureBuilder, x: LayerId) -> Architecture {
    let x = b.global_pool("pool", x).unwrap();
    b.linear("head", x, 1000).unwrap();
    b.finish().unwrap()
}

/// Source: A. Howard et al., arXiv:1704.04861, table 1.
fn mobilenet_v1(format: NumberFormat) -> Architecture {
    let mut b = builder(format);
    let mut x = b.input();
    x = conv(&mut b, x, [32, 3, 2, 1]);
    let widths = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024];
    for (i, out) in widths.into_iter().enumerate() {
        let channels = b.shape(x).channels;
        let stride = if [1, 3, 5, 11].contains(&i) { 2 } else { 1 };
        x = conv(&mut b, x, [channels, 3, stride, channels]);
        x = conv(&mut b, x, [out, 1, 1, 1]);
    }
    finish(b, x)
}

/// Source: M. Sandler et al., CVPR 2018, table 2.
fn mobilenet_v2(format: NumberFormat) -> Architecture {
    let mut b = builder(format);
    let mut x = b.input();
    x = conv(&mut b, x, [32, 3, 2, 1]);
    let stages = [
        [1, 16, 1, 1],
        [6, 24, 2, 2],
        [6, 32, 3, 2],
        [6, 64, 4, 2],
        [6, 96, 3, 1],
        [6, 160, 3, 2],
        [6, 320, 1, 1],
    ];
    for [expand, out, repeats, first] in stages {
        for repeat in 0..repeats {
            let (input, channels) = (x, b.shape(x).channels);
            if expand > 1 {
                x = conv(&mut b, x, [expand * channels, 1, 1, 1]);
            }
            let stride = if repeat == 0 { first } else { 1 };
            x = conv(&mut b, x, [expand * channels, 3, stride, expand * channels]);
            let name = format!("project{}", x.0);
            x = b.conv(&name, x, out, 1, 1, 1).unwrap();
            x = b.batch_norm(format!("{name}_bn"), x).unwrap();
            if repeat > 0 {
                x = b.add(format!("{name}_add"), Op::Add, &[input, x], None).unwrap();
            }
        }
    }
    x = conv(&mut b, x, [1280, 1, 1, 1]);
    finish(b, x)
}

#[test]
fn latencies_of_mobilenets_on_raspberry_pi_4_are_within_the_interval() {
    let model = Roofline::new(Device::builtin("cortex-a72").unwrap(), 1, 4);
    let (v1, v2) = (mobilenet_v1(NumberFormat::F32), mobilenet_v2(NumberFormat::F32));
    // The published counts are 569 and 300 million multiply-adds.
    assert_eq!(v1.counts().macs / 1_000_000, 568);
    assert_eq!(v2.counts().macs / 1_000_000, 300);
    let published = [
        ("v1 f32", v1, 77.0),
        ("v2 f32", v2, 46.0),
        ("v1 int8", mobilenet_v1(NumberFormat::Int8), 24.0),
        ("v2 int8", mobilenet_v2(NumberFormat::Int8), 17.0),
    ];
    let mut outside = Vec::new();
    for (name, network, measured_ms) in published {
        let latency = model.network(&network).unwrap().latency_us;
        println!("MobileNet {name}: predicted {:.1} ms, published {measured_ms} ms", latency.value / 1e3);
        if !(latency.low..=latency.high).contains(&(measured_ms * 1e3)) {
            outside.push(name);
        }
    }
    assert!(outside.is_empty(), "outside the interval: {outside:?}");
}

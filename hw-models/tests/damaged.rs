//! Damaged device files and measurement tables lead to an error or to usable numbers, never to a panic.

use std::fs;

use kiln_damage::check_damaged;
use kiln_hw_models::{
    Device, HardwareRegistry, KernelShape, KernelsReport, LatencyUnit, MeasuredKernel, MeasurementFile,
    distinct_kernels,
};
use kiln_space::{Genotype, Settings, SpaceRegistry};
use serde_json::json;

#[test]
fn parser_of_damaged_device_files_never_panics() {
    let files = Device::builtin_names()
        .into_iter()
        .map(|name| Device::builtin(name).expect("an embedded file is whole").to_toml().into_bytes())
        .collect::<Vec<_>>();
    let space =
        SpaceRegistry::builtin().build("nasbench201", &Settings::empty("space"), None).expect("a space");
    let network = space.decode(&Genotype::new([3, 1, 4, 1, 2, 0])).expect("a cell");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("device.toml");
    let table = json!({ "file": path });
    let settings = Settings::new("hardware", table.as_object().expect("a table").clone());
    check_damaged(&files, |bytes| {
        fs::write(&path, bytes).expect("a file");
        if let Ok(model) = HardwareRegistry::builtin().build(&settings) {
            drop(model.network(&network));
        }
    });
}

#[test]
fn parser_of_damaged_measurements_never_panics() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.csv");
    let file = MeasurementFile {
        path: path.clone(),
        key: "genotype".to_owned(),
        key_file: None,
        latency_column: "a_ms".to_owned(),
        unit: LatencyUnit::Ms,
    };
    let space =
        SpaceRegistry::builtin().build("nasbench201", &Settings::empty("space"), None).expect("a space");
    let table = "genotype,a_ms\n0-0-0-0-0-1,1.5\n1-2-3-4-0-1,-1\n3-1-4-1-2-0,2e-3\n\
                 |nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|,\n";
    check_damaged(&[table.as_bytes().to_vec()], |bytes| {
        fs::write(&path, bytes).expect("a file");
        drop(file.read(space.as_ref()));
    });
}

#[test]
fn parser_of_damaged_kernels_never_panics() {
    let space =
        SpaceRegistry::builtin().build("nasbench201", &Settings::empty("space"), None).expect("a space");
    let network = space.decode(&Genotype::new([3, 1, 4, 1, 2, 0])).expect("a cell");
    let kernel =
        |shape: KernelShape| MeasuredKernel { shape, latency_us: 5.0 + shape.operations() / 1e4, line: 1 };
    let kernels: Vec<MeasuredKernel> =
        distinct_kernels(space.as_ref(), 1, 0, 100).into_iter().map(kernel).collect();
    let device = Device::builtin("cortex-a72").expect("a device");
    let (device, _) = KernelsReport::fit(&kernels[..12], &device, "m", 1, 0).expect("a fit");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("device.toml");
    check_damaged(&[device.to_toml().into_bytes()], |bytes| {
        fs::write(&path, bytes).expect("a file");
        for model in ["kernels", "table"] {
            let table = json!({ "file": path, "model": model });
            let settings = Settings::new("hardware", table.as_object().expect("a table").clone());
            if let Ok(model) = HardwareRegistry::builtin().build(&settings) {
                drop(model.network(&network));
            }
        }
    });
}

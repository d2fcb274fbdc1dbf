//! Damaged device files and measurement tables lead to an error or to usable numbers, never to a panic.

use std::fs;

use kiln_damage::check_damaged;
use kiln_hw_models::{Device, HardwareRegistry, LatencyUnit, MeasurementFile};
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

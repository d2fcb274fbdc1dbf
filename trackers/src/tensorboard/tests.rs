use std::sync::{Arc, Mutex};

use kiln_search::RunPaths;
use serde_json::Map;
use tempfile::TempDir;

use super::*;

/// Three records that TensorBoard's own writer wrote (package `tensorboard` 2.21.0, `RecordWriter`): the
/// version, a scalar, and a text.
const KNOWN: &str = "1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a32\
2b353110300000000000000095f5d05f0900005040fc54d94110ac022a220a200a197365617263682f626573745f6572726f725f\
70657263656e741500002040b109c28a36000000000000004f578cef0900005040fc54d9412a2b0a290a0c73747564792f636f6e\
666967420f0807120412020801420561203d20314a080a060a0474657874f9ff82f9";

fn study(folder: &TempDir) -> TrackedStudy {
    TrackedStudy {
        name: "a".to_owned(),
        paths: RunPaths::new(folder.path()),
        config: Map::new(),
        config_text: "a = 1\n".to_owned(),
        objectives: vec!["error_percent".to_owned()],
        version: "0",
    }
}

fn point(series: &str, step: u64, value: f64) -> Point {
    Point { series: series.to_owned(), step, value, unix_s: 1_700_000_001.25 }
}

fn begun(folder: &TempDir) -> TensorBoard {
    let mut tracker = TensorBoard::default();
    let warn: Warn = Arc::new(|message| panic!("{message}"));
    tracker.begin(&study(folder), &warn).unwrap();
    tracker
}

/// Returns the events in all files, in the order in which TensorBoard reads them.
fn events(folder: &TempDir) -> Vec<Vec<Event>> {
    let files = fs::read_dir(folder.path().join("tensorboard")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        let mut records = Records::new(bytes.as_slice());
        let mut found = Vec::new();
        while let Some(record) = records.next_record() {
            found.push(Event::decode(record).unwrap());
        }
        found
    };
    files.iter().map(read).collect()
}

fn scalars(events: &[Event]) -> Vec<(String, i64, f32)> {
    let of = |event: &Event| {
        let value = event.summary.as_ref()?.value.first()?;
        Some((value.tag.clone(), event.step, value.simple_value?))
    };
    events.iter().filter_map(of).collect()
}

#[test]
fn bytes_are_those_of_tensorboards_own_writer() {
    let mut file = Vec::new();
    for event in [
        Event::version(1_700_000_000.5),
        Event::scalar(1_700_000_001.25, 300, "search/best_error_percent", 2.5),
        Event::text(1_700_000_001.25, "study/config", "a = 1"),
    ] {
        write_record(&mut file, &event.encode_to_vec()).unwrap();
    }
    let hex = file.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    assert_eq!(hex, KNOWN);
}

#[test]
fn each_process_writes_a_later_file_without_points_of_earlier_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = begun(&folder);
    first.take(&[point("a", 1, 0.0), point("a", 2, 2.0), point("b", 0, 1.0)]);
    first.end(Ending::Stopped);
    // The same points again, and a process that has nothing new.
    let mut second = begun(&folder);
    second.take(&[point("a", 1, 0.0), point("a", 2, 2.0), point("b", 0, 1.0)]);
    second.end(Ending::Stopped);
    let mut third = begun(&folder);
    third.take(&[point("a", 2, 2.0), point("a", 3, 3.0), point("b", 1, 4.0)]);
    third.end(Ending::Finished);
    let files = events(&folder);
    assert_eq!(files.len(), 2);
    assert!(files.iter().all(|events| events[0].file_version.as_deref() == Some("brain.Event:2")));
    let of = |name: &str, step, value| (name.to_owned(), step, value);
    assert_eq!(scalars(&files[0]), [of("a", 1, 0.0), of("a", 2, 2.0), of("b", 0, 1.0)]);
    assert_eq!(scalars(&files[1]), [of("a", 3, 3.0), of("b", 1, 4.0)]);
    let texts = |events: &[Event]| events.iter().filter(|event| event.values().count() == 0).count();
    assert_eq!((texts(&files[0]), texts(&files[1])), (2, 1), "the config is in the first file");
}

#[test]
fn points_after_an_unfinished_record_are_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = begun(&folder);
    first.take(&[point("a", 1, 1.0), point("a", 2, 2.0)]);
    drop(first);
    let file = fs::read_dir(folder.path().join("tensorboard")).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 3]).unwrap();
    let mut second = begun(&folder);
    second.take(&[point("a", 1, 1.0), point("a", 2, 2.0)]);
    second.end(Ending::Finished);
    let files = events(&folder);
    assert_eq!(scalars(&files[0]), [("a".to_owned(), 1, 1.0)]);
    assert_eq!(scalars(&files[1]), [("a".to_owned(), 2, 2.0)]);
}

#[test]
fn other_files_in_the_folder_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("tensorboard");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("events.out.tfevents.x"), "other").unwrap();
    fs::write(inner.join("events.out.tfevents.0000000005.host"), "damaged").unwrap();
    fs::create_dir(inner.join("events.out.tfevents.0000000006.kiln")).unwrap();
    let mut tracker = begun(&folder);
    tracker.take(&[point("a", 1, 1.0)]);
    tracker.end(Ending::Finished);
    assert_eq!(fs::read_dir(&inner).unwrap().count(), 4);
}

#[cfg(unix)]
#[test]
fn linked_folder_is_refused() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(other.path(), folder.path().join("tensorboard")).unwrap();
    let warn: Warn = Arc::new(|_| ());
    let error = TensorBoard::default().begin(&study(&folder), &warn).unwrap_err();
    assert!(matches!(error, TrackerError::NotAFolder { .. }));
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
}

#[test]
fn error_is_said_once_and_ends_the_tracking() {
    let folder = tempfile::tempdir().unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let warn: Warn = Arc::new({
        let said = Arc::clone(&said);
        move |message| said.lock().unwrap().push(message.to_owned())
    });
    let mut tracker = TensorBoard::default();
    tracker.begin(&study(&folder), &warn).unwrap();
    fs::remove_dir_all(folder.path().join("tensorboard")).unwrap();
    for step in 1..5 {
        tracker.take(&[point("a", step, 1.0)]);
    }
    tracker.end(Ending::Finished);
    let said = said.lock().unwrap();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("cannot write") && said[0].ends_with("the study goes on without it"));
}

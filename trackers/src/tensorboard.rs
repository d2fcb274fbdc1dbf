//! TensorBoard: event files in the folder `tensorboard` of the run folder.
//!
//! Each process writes a file of its own, as TensorBoard expects it. The first process also writes the
//! config as a text. Points that earlier files contain are not written again.

mod messages;
mod records;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kiln_space::SettingsError;
use prost::Message;
use serde_json::Value;

use self::messages::Event;
use self::records::{Records, write_record};
use crate::point::{Point, Steps};
use crate::tracker::{Ending, TrackedStudy, Tracker, TrackerError, TrackerPart, TrackerSetting, Warn};

pub(crate) const PART: TrackerPart = TrackerPart::new("event files for TensorBoard in the run folder", build)
    .with_keys(&[
        r#"tensorboard = { type = "boolean", description = "Write event files for TensorBoard into the run folder.", default = false }"#,
    ])
    .tested_with(&[r#"{ "tensorboard": true }"#]);

/// Beginning and end of the names of event files. TensorBoard reads files whose names contain the beginning,
/// in the order of their names. Between them are ten digits: seconds since the Unix epoch.
const BEGINNING: &str = "events.out.tfevents.";
const END: &str = ".kiln";
/// Minimum time between two writes to the file.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

fn build(setting: TrackerSetting<'_>) -> Result<Option<Box<dyn Tracker>>, SettingsError> {
    match setting.value {
        Value::Bool(true) => Ok(Some(Box::<TensorBoard>::default())),
        Value::Bool(false) => Ok(None),
        other => Err(SettingsError::value(setting.key, format!("`{other}`"), "`true` or `false`")),
    }
}

#[derive(Default)]
struct TensorBoard {
    folder: PathBuf,
    /// What earlier files contain.
    steps: Steps,
    /// Seconds in the name of the latest file.
    latest: u64,
    /// The text for the first file.
    text: Option<String>,
    file: Option<(BufWriter<File>, Instant)>,
    warn: Option<Warn>,
}

impl Tracker for TensorBoard {
    fn name(&self) -> &'static str {
        "tensorboard"
    }

    fn begin(&mut self, study: &TrackedStudy, warn: &Warn) -> Result<(), TrackerError> {
        self.folder = study.paths.tensorboard();
        self.warn = Some(warn.clone());
        let path = self.folder.display().to_string();
        if self.folder.is_symlink() {
            return Err(TrackerError::NotAFolder { path });
        }
        let file = |action| {
            let path = path.clone();
            move |source| TrackerError::File { path, action, source }
        };
        fs::create_dir_all(&self.folder).map_err(file("make the folder"))?;
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(&self.folder).map_err(file("list the folder"))? {
            let entry = entry.map_err(file("list the folder"))?;
            // Links and folders are no event files of Kiln.
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            names.extend(entry.file_name().into_string().ok().filter(|_| is_file));
        }
        for (name, seconds) in names.iter().filter_map(|name| Some((name, seconds(name)?))) {
            self.latest = seconds.max(self.latest);
            self.read(&self.folder.join(name)).map_err(file("read an event file"))?;
        }
        self.text = (self.latest == 0).then(|| study.config_text.clone());
        Ok(())
    }

    fn take(&mut self, points: &[Point]) {
        if let Err(error) = self.write(points) {
            self.give_up(&error);
        }
    }

    fn end(&mut self, _: Ending) {
        if let Some((mut file, _)) = self.file.take()
            && let Err(error) = file.flush()
        {
            self.give_up(&error);
        }
    }
}

impl TensorBoard {
    /// Reads which points a file contains. A damaged or incomplete record ends the file.
    fn read(&mut self, path: &Path) -> io::Result<()> {
        let mut records = Records::new(BufReader::new(File::open(path)?));
        while let Some(record) = records.next_record() {
            let Ok(event) = Event::decode(record) else { break };
            let step = u64::try_from(event.step).unwrap_or_default();
            for value in event.values() {
                self.steps.add(value, step);
            }
        }
        Ok(())
    }

    fn write(&mut self, points: &[Point]) -> io::Result<()> {
        // After an error there is no folder, and nothing more is written.
        if self.folder.as_os_str().is_empty() {
            return Ok(());
        }
        for point in points {
            if !self.steps.is_new(&point.series, point.step) {
                continue;
            }
            let file = match &mut self.file {
                Some((file, _)) => file,
                None => self.open()?,
            };
            let step = i64::try_from(point.step).unwrap_or(i64::MAX);
            let event = Event::scalar(point.unix_s, step, &point.series, point.value);
            write_record(file, &event.encode_to_vec())?;
            self.steps.add(&point.series, point.step);
        }
        if let Some((file, flushed)) = &mut self.file
            && flushed.elapsed() >= FLUSH_EVERY
        {
            file.flush()?;
            *flushed = Instant::now();
        }
        Ok(())
    }

    /// Creates the file of this process.
    fn open(&mut self) -> io::Result<&mut BufWriter<File>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // TensorBoard reads files by name and never returns to an earlier one.
        let seconds = now.as_secs().max(self.latest.saturating_add(1));
        let path = self.folder.join(format!("{BEGINNING}{seconds:010}{END}"));
        let mut file = BufWriter::new(OpenOptions::new().write(true).create_new(true).open(path)?);
        let unix_s = now.as_secs_f64();
        write_record(&mut file, &Event::version(unix_s).encode_to_vec())?;
        if let Some(config) = self.text.take() {
            // A block of code: nothing in the config is read as Markdown.
            let lines: Vec<String> = config.lines().map(|line| format!("    {line}")).collect();
            let event = Event::text(unix_s, "study/config", &lines.join("\n"));
            write_record(&mut file, &event.encode_to_vec())?;
        }
        self.latest = seconds;
        // The first points are written at once, so that TensorBoard shows the study.
        let flushed = Instant::now().checked_sub(FLUSH_EVERY).unwrap_or_else(Instant::now);
        Ok(&mut self.file.insert((file, flushed)).0)
    }

    /// Writes nothing more after an error, such as a full disk.
    fn give_up(&mut self, error: &io::Error) {
        if let Some(warn) = &self.warn {
            let folder = self.folder.display();
            warn(&format!("tensorboard: {folder}: cannot write: {error}; the study goes on without it"));
        }
        self.folder = PathBuf::new();
        self.file = None;
    }
}

/// Returns the seconds in the name of an event file. Returns `None` for other names.
fn seconds(name: &str) -> Option<u64> {
    name.strip_prefix(BEGINNING)?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests;

//! A folder for each test. The binary runs in this folder.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use kiln_search::{Event, JournalReader, RunPaths, facts};
use serde_json::Value;
use tempfile::TempDir;
use toml::Table;

/// The variable that fixes the date of cards, which are compared bit by bit, and its value.
pub(crate) const DATE: (&str, &str) = ("SOURCE_DATE_EPOCH", "1795943772");

/// A temporary folder with a config.
pub(crate) struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    /// Creates a folder that contains this config as `study.toml`.
    pub(crate) fn new(config: &str) -> Self {
        let sandbox = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(sandbox.path("study.toml"), config).unwrap();
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns a command that runs the binary with these arguments in this folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = hearing_signals(env!("CARGO_BIN_EXE_kiln"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        let (name, seconds) = DATE;
        command.env(name, seconds);
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn kiln(&self, arguments: &[&str]) -> Said {
        Said::new(self.command(arguments).output().unwrap())
    }

    /// Runs the study to its end and returns the JSON that it prints. The study must succeed.
    pub(crate) fn search(&self, more: &[&str]) -> Value {
        let said = self.kiln(&[&["search", "study.toml", "--json"], more].concat());
        assert_eq!(said.code, 0, "{}", said.err);
        said.json()
    }

    /// Returns the facts in the journal of the study `name`, without times and workers.
    pub(crate) fn facts(&self, name: &str) -> Vec<String> {
        facts(JournalReader::open(&self.run(name).journal()).unwrap().entries().unwrap())
    }

    /// Returns all events in the journal of the study `name`. Returns nothing if there is no journal yet.
    pub(crate) fn events(&self, name: &str) -> Vec<Event> {
        let journal = self.run(name).journal();
        if !journal.exists() {
            return Vec::new();
        }
        let entries = JournalReader::open(&journal).unwrap().entries().unwrap();
        entries.into_iter().map(|entry| entry.event).collect()
    }

    pub(crate) fn run(&self, name: &str) -> RunPaths {
        RunPaths::new(self.path("runs").join(name))
    }
}

/// Output and exit code of the binary.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn new(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let said = Self {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        };
        assert!(!said.err.contains("panicked at"), "{}", said.err);
        said
    }

    /// Parses standard output, which must be one JSON object on one line.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "{}", self.out);
        serde_json::from_str(&self.out).unwrap()
    }
}

/// A study of small perceptrons on the embedded digits. The fields are the contents of its tables.
pub(crate) struct SmallStudy<'a> {
    pub(crate) name: &'a str,
    pub(crate) seed: u32,
    pub(crate) data: &'a str,
    pub(crate) layers: &'a str,
    pub(crate) width: &'a str,
    pub(crate) hardware: &'a str,
    pub(crate) evaluator: &'a str,
    /// Everything in `[search]` except the objectives, which are error and latency.
    pub(crate) search: &'a str,
    /// Further tables with their headings.
    pub(crate) more: &'a str,
}

impl Default for SmallStudy<'_> {
    fn default() -> Self {
        Self {
            name: "small",
            seed: 1,
            data: "kind = \"digits\"",
            layers: "[1, 2]",
            width: "[8, 16]",
            hardware: "device = \"cortex-m7\"",
            evaluator: "kind = \"scratch\"\nepochs = 1",
            search: "strategy = \"random\"\ntrials = 4",
            more: "",
        }
    }
}

impl SmallStudy<'_> {
    /// Returns the text of the study's config.
    pub(crate) fn text(&self) -> String {
        let Self { name, seed, data, layers, width, hardware, evaluator, search, more } = self;
        format!(
            "[study]\nname = \"{name}\"\nseed = {seed}\n\n[data]\n{data}\n\n\
             [space]\nkind = \"mlp\"\nlayers = {layers}\nwidth = {width}\n\n\
             [[hardware]]\n{hardware}\n\n[evaluator]\n{evaluator}\n\n\
             [search]\n{search}\nobjectives = [\"error_percent\", \"latency_us\"]\n{more}"
        )
    }
}

/// Shortens a config in this repository to a few seconds: fewer trials, one epoch, another name.
pub(crate) fn tiny(file: &str, name: &str) -> Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs").join(file);
    let mut config: Table = fs::read_to_string(path).unwrap().parse().unwrap();
    set(&mut config, "study", "name", name.into());
    set(&mut config, "search", "trials", 12.into());
    if config.contains_key("data") {
        for (key, value) in
            [("epochs", 1), ("warmup_epochs", 0), ("calibration", 64), ("checkpoint_steps", 5)]
        {
            set(&mut config, "evaluator", key, value.into());
        }
        set(&mut config, "finish", "epochs", 1.into());
        set(&mut config, "finish", "calibration", 64.into());
    }
    config
}

/// The shortened quickstart.
pub(crate) fn tiny_quickstart(name: &str) -> Table {
    tiny("quickstart.toml", name)
}

pub(crate) fn set(config: &mut Table, table: &str, key: &str, value: toml::Value) {
    config[table].as_table_mut().unwrap().insert(key.to_owned(), value);
}

/// Returns the folder of real data. Tests that need it are marked `ignore`. They run if `KILN_DATA` is set.
pub(crate) fn data() -> PathBuf {
    env::var_os("KILN_DATA").map(PathBuf::from).expect("`KILN_DATA` names the folder of real data")
}

/// Returns a command that receives every signal, even if these tests run as a background job with ignored
/// signals. If `env` does not support that, signals stay unchanged.
pub(crate) fn hearing_signals(program: &str) -> Command {
    const RESET: &str = "--default-signal=HUP,INT,QUIT,TERM";
    static CAN_RESET: OnceLock<bool> = OnceLock::new();
    let can_reset = *CAN_RESET.get_or_init(|| {
        let tried = Command::new("env").args([RESET, "true"]).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    });
    if !can_reset {
        return Command::new(program);
    }
    let mut command = Command::new("env");
    command.args([RESET, program]);
    command
}

//! The script of a job. It executes the lines of the setting `setup` and the program, and no other text.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Environment variable by which a job knows its handle.
pub(super) const HANDLE: &str = "KILN_SLURM_JOB";
/// Exit code of a script on a machine that does not see the job's folder. Kiln itself never ends with it.
pub(crate) const NO_FOLDER: i32 = 97;
/// Seconds for which the script waits for the job's folder, because shared folders show files late.
const WAIT_S: u32 = 10;

/// What a job's script does.
pub(crate) struct Script<'a> {
    /// The file by which the script sees that the job's folder is there.
    pub(crate) sign: &'a Path,
    /// The text by which the engine recognizes its job. It consists of letters and digits.
    pub(crate) tag: &'a str,
    /// Lines of shell from the user.
    pub(crate) setup: &'a [String],
    /// The program and its arguments.
    pub(crate) arguments: &'a [OsString],
}

impl Script<'_> {
    /// Returns the script as bytes, because paths need not be text.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        // A command comes first: up to there, `sbatch` would read its own options from the script.
        let mut script = b"#!/usr/bin/env bash\nkiln_waited=0\nuntil [ -e ".to_vec();
        script.extend(quoted(self.sign.as_os_str()));
        script.extend(wait(self.tag).into_bytes());
        for line in self.setup {
            script.extend(line.as_bytes());
            script.push(b'\n');
        }
        script.extend(b"exec");
        for argument in self.arguments {
            script.push(b' ');
            script.extend(quoted(argument));
        }
        script.push(b'\n');
        script
    }
}

/// Returns the rest of the loop that waits for the job's folder, and what follows it.
fn wait(tag: &str) -> String {
    let handle = HANDLE;
    let lines = [
        " ]; do".to_owned(),
        "    kiln_waited=$((kiln_waited + 1))".to_owned(),
        format!("    if [ \"$kiln_waited\" -gt {WAIT_S} ]; then"),
        "        echo \"kiln: the machine $(uname -n) does not see the run folder\" >&2".to_owned(),
        format!("        exit {NO_FOLDER}"),
        "    fi".to_owned(),
        "    sleep 1".to_owned(),
        "done".to_owned(),
        "unset kiln_waited".to_owned(),
        format!("export {handle}=\"${{SLURM_JOB_ID:-}}:{tag}\""),
        "export RAYON_NUM_THREADS=\"${SLURM_CPUS_ON_NODE:-1}\"".to_owned(),
    ];
    lines.map(|line| line + "\n").concat()
}

/// Returns a word that the shell takes as it is. Inside single quotes, only a single quote has a meaning.
fn quoted(text: &OsStr) -> Vec<u8> {
    let mut word = vec![b'\''];
    for byte in text.as_encoded_bytes() {
        match byte {
            b'\'' => word.extend(b"'\\''"),
            byte => word.push(*byte),
        }
    }
    word.push(b'\'');
    word
}

/// Returns a path as `sbatch` takes it for an output. Slurm replaces `%j` and the like in names of outputs,
/// unless the name has a backslash. It then removes backslashes.
pub(crate) fn output(path: &Path) -> OsString {
    let mut escaped = Vec::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        if matches!(byte, b'%' | b'\\') {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    os_string(escaped)
}

#[cfg(unix)]
fn os_string(bytes: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

#[cfg(not(unix))]
fn os_string(bytes: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

    use std::os::unix::ffi::OsStringExt;
    use std::process::{Command, Output};

    use proptest::prelude::*;

    use super::*;

    /// Runs a script in a folder, with a program in place of Kiln that prints its arguments.
    fn run(folder: &Path, arguments: &[OsString], setup: &[String], sign: &Path) -> Output {
        let mut all = ["sh", "-c", "printf '%s\\0' \"$@\"", "sh"].map(OsString::from).to_vec();
        all.extend(arguments.iter().cloned());
        let script = Script { sign, tag: "0a1b", setup, arguments: &all };
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("script.sh");
        std::fs::write(&path, script.bytes()).unwrap();
        Command::new("sh").arg(&path).current_dir(folder).env("SLURM_JOB_ID", "7").output().unwrap()
    }

    fn printed(arguments: &[OsString]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for argument in arguments {
            bytes.extend(argument.as_encoded_bytes());
            bytes.push(0);
        }
        bytes
    }

    /// Any bytes of a path, and texts that a shell could interpret.
    fn argument() -> impl Strategy<Value = OsString> {
        let traps = [
            "$(touch ran)",
            "`touch ran`",
            "'; touch ran; '",
            "\"; touch ran #",
            "\n touch ran\n",
            "\\'",
            "a\\",
            "$HOME",
            "*",
            "~",
            "!!",
            "#SBATCH --wrap=x",
            "\n#SBATCH --array=1-9\n",
            "-c",
            "",
            "\r\n",
            "|touch ran",
            "& touch ran",
            "> ran",
            "${IFS}",
            "é",
            "\u{2028}",
        ];
        let bytes = proptest::collection::vec(1_u8..=255, 0..40);
        let pieces = proptest::collection::vec(proptest::sample::select(traps.to_vec()), 0..5);
        prop_oneof![bytes.prop_map(OsString::from_vec), pieces.prop_map(|pieces| pieces.concat().into())]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn script_gives_the_program_exactly_its_arguments_and_runs_nothing_else(
            arguments in proptest::collection::vec(argument(), 1..6),
            name in argument(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let name = OsString::from_vec(
                name.into_vec().into_iter().map(|byte| if byte == b'/' { b'_' } else { byte }).collect(),
            );
            // The name is part of a path that exists.
            let place = tempfile::tempdir().unwrap();
            let mut own = OsString::from("x");
            own.push(&name);
            let sign = place.path().join(own);
            std::fs::write(&sign, "").unwrap();
            let ran = run(folder.path(), &arguments, &[], &sign);
            prop_assert_eq!(ran.stdout, printed(&arguments));
            prop_assert!(ran.status.success() && ran.stderr.is_empty());
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
            prop_assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn lines_of_setup_run_before_the_program_and_reach_its_environment() {
        let folder = tempfile::tempdir().unwrap();
        let setup = ["export WORD='a b'".to_owned(), "touch ran".to_owned()];
        let arguments = ["sh", "-c", "echo $WORD $KILN_SLURM_JOB $RAYON_NUM_THREADS"].map(OsString::from);
        let script = Script { sign: folder.path(), tag: "0a1b", setup: &setup, arguments: &arguments };
        let output = Command::new("sh")
            .args(["-c", &String::from_utf8(script.bytes()).unwrap()])
            .current_dir(folder.path())
            .envs([("SLURM_JOB_ID", "12"), ("SLURM_CPUS_ON_NODE", "3")])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "a b 12:0a1b 3\n");
        assert!(folder.path().join("ran").exists());
    }

    #[test]
    fn machine_without_the_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        // Without the pauses.
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink("/bin/true", bin.join("sleep")).unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let missing = folder.path().join("missing");
        let arguments = ["touch".into(), folder.path().join("ran").into_os_string()];
        let script = Script { sign: &missing, tag: "0", setup: &[], arguments: &arguments };
        let script = String::from_utf8(script.bytes()).unwrap();
        let output = Command::new("sh").args(["-c", &script]).env("PATH", path).output().unwrap();
        assert_eq!(output.status.code(), Some(NO_FOLDER));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.starts_with("kiln: the machine ") && said.contains(" does not see the run folder"),
            "{said}"
        );
        assert!(!folder.path().join("ran").exists());
    }

    #[test]
    fn names_of_outputs_are_escaped_as_slurm_reads_them() {
        assert_eq!(output(Path::new("/a b/log")), "/a b/log");
        assert_eq!(output(Path::new("/a%j/b\\c")), "/a\\%j/b\\\\c");
    }
}

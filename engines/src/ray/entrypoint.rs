//! The command line of a job, which Ray gives to `sh -c`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::engine::EngineError;

/// Exit code of a job whose machine does not see the folder of the job.
pub(super) const NO_FOLDER: i32 = 72;

/// Environment variable with the job's name on the cluster.
pub(super) const JOB: &str = "KILN_RAY_JOB";

/// Quotes a text for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn utf8(text: &OsStr) -> Result<&str, EngineError> {
    let is_plain = |text: &&str| !text.contains('\0');
    text.to_str().filter(is_plain).ok_or_else(|| {
        let shown = text.to_string_lossy();
        EngineError::Answer(format!("`{shown}` is not UTF-8, and Ray's command lines are; rename it"))
    })
}

/// Returns the command line of a job. It appends its outputs to `log`, whose folder must exist on the
/// machine. `job` is the name on the cluster, and `threads` the number of threads of the job.
pub(super) fn command_line(
    job: &str,
    threads: usize,
    arguments: &[OsString],
    log: &Path,
) -> Result<String, EngineError> {
    let folder = quoted(utf8(log.parent().unwrap_or(log).as_os_str())?);
    let log = quoted(utf8(log.as_os_str())?);
    let arguments: Result<Vec<String>, EngineError> =
        arguments.iter().map(|argument| utf8(argument).map(quoted)).collect();
    let job = quoted(job);
    Ok(format!(
        "test -d {folder} || {{ printf '%s does not see %s\\n' \"$(uname -n)\" {folder} >&2; \
         exit {NO_FOLDER}; }}; exec >>{log} 2>&1; export {JOB}={job} RAYON_NUM_THREADS={threads}; exec {}",
        arguments?.join(" ")
    ))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

    use std::fs;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// Prints each argument, and a zero byte after it.
    fn printing() -> OsString {
        OsString::from("printf")
    }

    /// Runs a command line as Ray does, and returns its exit code.
    fn run(line: &str, folder: &Path) -> Option<i32> {
        let ran = Command::new("/bin/sh").args(["-c", line]).current_dir(folder).output().unwrap();
        ran.status.code()
    }

    /// Texts with much of what shells interpret.
    fn texts() -> impl Strategy<Value = String> {
        let special = prop::sample::select(vec![
            "'",
            "\"",
            "$(touch ran)",
            "`touch ran`",
            ";",
            "touch ran",
            "&",
            "|",
            ">",
            "ran",
            "\\",
            "\n",
            "\t",
            "*",
            "~",
            "#",
            "!",
            "$HOME",
            "${IFS}",
            "%s",
            "-",
            "=",
            " ",
            "é",
            "\r",
            "\u{7f}",
            "\u{1b}",
            "(",
            ")",
            "{",
            "}",
        ]);
        prop_oneof![
            prop::collection::vec(special, 0..12).prop_map(|parts| parts.concat()),
            any::<String>().prop_map(|text| text.replace('\0', "")),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// The shell passes exactly the arguments, appends to exactly the log, and does nothing else.
        #[test]
        fn any_arguments_and_paths_reach_the_program(
            arguments in prop::collection::vec(texts(), 0..5),
            name in texts(),
            job in texts(),
        ) {
            let base = tempfile::tempdir().unwrap();
            // A name of a file has neither slashes nor more than 255 bytes.
            let mut name = name.replace('/', "_");
            while name.len() > 200 {
                name.pop();
            }
            let folder = base.path().join(format!("f{name}"));
            fs::create_dir(&folder).unwrap();
            let log = folder.join("log");
            let mut program = vec![printing(), OsString::from("[%s]\\0")];
            program.extend(arguments.iter().map(OsString::from));
            let line = command_line(&job, 2, &program, &log).unwrap();
            prop_assert_eq!(run(&line, base.path()), Some(0));
            let expected = if arguments.is_empty() {
                "[]\0".to_owned()
            } else {
                arguments.iter().fold(String::new(), |all, text| all + "[" + text + "]\0")
            };
            prop_assert_eq!(String::from_utf8(fs::read(&log).unwrap()).unwrap(), expected);
            let files = |path: &Path| fs::read_dir(path).unwrap().count();
            prop_assert_eq!((files(base.path()), files(&folder)), (1, 1));
        }
    }

    #[test]
    fn job_knows_its_name_and_threads() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let program = ["sh", "-c", "echo $KILN_RAY_JOB $RAYON_NUM_THREADS; exit 3"].map(OsString::from);
        let line = command_line("a; b", 7, &program, &log).unwrap();
        assert_eq!(run(&line, folder.path()), Some(3));
        assert_eq!(fs::read_to_string(&log).unwrap(), "a; b 7\n");
    }

    #[test]
    fn machine_without_the_folder_starts_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("no such\nfolder").join("log");
        let line = command_line("a", 1, &["touch".into(), "ran".into()], &log).unwrap();
        assert_eq!(run(&line, folder.path()), Some(NO_FOLDER));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn names_that_are_not_utf8_are_refused() {
        use std::os::unix::ffi::OsStrExt;

        let wrong = OsStr::from_bytes(b"a\xff").to_owned();
        let error = command_line("a", 1, &[wrong], Path::new("/tmp/log")).unwrap_err();
        assert!(error.to_string().contains("is not UTF-8"), "{error}");
    }
}

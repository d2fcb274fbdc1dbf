//! Arguments, folders and variables reach a program byte for byte, whatever a shell would make of them.

#![cfg(unix)]

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use kiln_processes::{Arguments, Ending, Program};
use proptest::prelude::*;

/// Bytes that mean something to a shell are as frequent as all others together.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let special = prop::sample::select(b" '\"`$();&|<>\n\t\\*?[]{}~#!-".to_vec());
    prop::collection::vec(prop_oneof![special, 1_u8..=255], 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_reach_the_program_unchanged(value in bytes(), other in bytes(), word in bytes()) {
        let script = "printf '%s\\0' \"$@\" \"$WORD\"";
        let given = ["sh", "-c", script, "sh", "{value}", "a{value}b{other}{value}"].map(str::to_owned);
        let [value, other] = [OsString::from_vec(value), OsString::from_vec(other)];
        let arguments = Arguments::new(given.to_vec()).unwrap();
        let arguments = arguments.filled(&[("value", value.as_os_str()), ("other", other.as_os_str())]);
        let folder = tempfile::tempdir().unwrap();
        let mut program = Program::new(arguments, Duration::from_mins(1));
        program.folder = Some(folder.path().to_owned());
        program.environment.insert("WORD".to_owned(), OsString::from_vec(word.clone()));
        let ran = program.run(&AtomicBool::new(false), &mut ()).unwrap();
        prop_assert!(matches!(ran.ending, Ending::Exited(status) if status.success()), "{:?}", ran);
        let [value, other] = [value.as_bytes(), other.as_bytes()];
        let expected = [value, b"\0a", value, b"b", other, value, b"\0", &word, b"\0"].concat();
        prop_assert_eq!(ran.out, expected);
        prop_assert!(folder.path().read_dir().unwrap().next().is_none(), "nothing else ran");
    }
}

//! Damages valid files to test parsers. The damage flips, sets, removes, inserts or repeats bytes, cuts the
//! file short, or replaces numbers. A parser may accept or reject a damaged file, but it must not panic.

use std::env;
use std::fs;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Environment variable that sets for how many seconds of processor time [`check_damaged`] runs.
const SECONDS: &str = "KILN_FUZZ_SECONDS";
/// Environment variable that sets the number of the first round. Set it to continue an earlier run or to
/// repeat a failed round.
const ROUND: &str = "KILN_FUZZ_ROUND";
/// Number of damaged files per round.
const CASES: u32 = 256;
/// Maximum number of bytes by which the process may grow. Parsing a small damaged file must not need more.
const MEMORY: u64 = 2 << 30;
/// Texts that replace a number in a file.
const NUMBERS: [&str; 10] = [
    "0",
    "-1",
    "4294967296",
    "18446744073709551615",
    "99999999999999999999",
    "1e308",
    "1e-320",
    "nan",
    "-inf",
    "0.5",
];

/// One change to a file. Positions are taken modulo the file's length.
#[derive(Clone, Debug)]
enum Change {
    Flip { at: usize, bit: u8 },
    Set { at: usize, byte: u8 },
    Cut { at: usize },
    Remove { at: usize, count: usize },
    Insert { at: usize, bytes: Vec<u8> },
    Repeat { from: usize, count: usize, to: usize },
    Number { at: usize, with: usize },
}

fn change() -> impl Strategy<Value = Change> {
    let at = || 0_usize..1 << 20;
    prop_oneof![
        3 => (at(), 0_u8..8).prop_map(|(at, bit)| Change::Flip { at, bit }),
        3 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set { at, byte }),
        1 => at().prop_map(|at| Change::Cut { at }),
        2 => (at(), 1_usize..64).prop_map(|(at, count)| Change::Remove { at, count }),
        2 => (at(), vec(any::<u8>(), 1..16)).prop_map(|(at, bytes)| Change::Insert { at, bytes }),
        2 => (at(), 1_usize..64, at()).prop_map(|(from, count, to)| Change::Repeat { from, count, to }),
        3 => (at(), 0..NUMBERS.len()).prop_map(|(at, with)| Change::Number { at, with }),
    ]
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        let place = |at: usize| at % (length + 1);
        match self {
            Self::Insert { at, bytes: new } => {
                drop(bytes.splice(place(*at)..place(*at), new.iter().copied()));
            }
            _ if length == 0 => {}
            Self::Flip { at, bit } => bytes[at % length] ^= 1 << bit,
            Self::Set { at, byte } => bytes[at % length] = *byte,
            Self::Cut { at } => bytes.truncate(place(*at)),
            Self::Remove { at, count } => {
                let from = place(*at);
                bytes.drain(from..(from + count).min(length));
            }
            Self::Repeat { from, count, to } => {
                let from = place(*from);
                let copied = bytes[from..(from + count).min(length)].to_vec();
                bytes.splice(place(*to)..place(*to), copied);
            }
            Self::Number { at, with } => {
                let Some(from) = (at % length..length).find(|at| bytes[*at].is_ascii_digit()) else { return };
                let to = (from..length).find(|at| !bytes[*at].is_ascii_digit()).unwrap_or(length);
                bytes.splice(from..to, NUMBERS[*with].bytes());
            }
        }
    }
}

/// Calls `check` with damaged copies of the `valid` files. Each copy has one to five changes.
///
/// The function checks 256 copies. If `KILN_FUZZ_SECONDS` is set, the function checks as many copies as fit
/// into that many seconds of this thread's processor time. `KILN_FUZZ_ROUND` sets the first round. `check`
/// should try to parse the bytes. Both success and error are fine.
///
/// # Panics
/// Panics when `check` panics; the message then contains the smallest failing copy that was found. Also
/// panics when the process grows by more than 2 GiB.
pub fn check_damaged(valid: &[Vec<u8>], check: impl Fn(&[u8])) {
    let seconds = number(SECONDS).map(Duration::from_secs);
    let first = number(ROUND).unwrap_or(0);
    let files = (0..valid.len(), vec(change(), 1..6)).prop_map(|(index, changes)| {
        let mut bytes = valid[index].clone();
        for change in changes {
            change.apply(&mut bytes);
        }
        bytes
    });
    let (before, clock) = (peak_bytes(), Clock::start());
    for round in first.. {
        let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&round.to_le_bytes());
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
        let outcome = runner.run(&files, |bytes| {
            check(&bytes);
            let grown = peak_bytes().saturating_sub(before);
            prop_assert!(grown < MEMORY, "memory has grown by {grown} bytes");
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("round {round}: {error}");
        }
        let spent = clock.spent();
        if seconds.is_none_or(|seconds| spent >= seconds) {
            if seconds.is_some() {
                let files = (round + 1 - first) * u64::from(CASES);
                eprintln!("{files} damaged files in {:.0} s, rounds {first} to {round}", spent.as_secs_f64());
            }
            return;
        }
    }
}

/// Reads a whole number from an environment variable.
fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("`{variable}` is a whole number")))
}

/// Measures this thread's processor time. If the system does not report processor time, it measures wall
/// time.
struct Clock {
    wall: Instant,
    processor: Option<Duration>,
}

impl Clock {
    fn start() -> Self {
        Self { wall: Instant::now(), processor: processor_time() }
    }

    fn spent(&self) -> Duration {
        let processor = self.processor.and_then(|start| Some(processor_time()?.saturating_sub(start)));
        processor.unwrap_or_else(|| self.wall.elapsed())
    }
}

/// Returns this thread's processor time so far, or `None` if the system does not report it.
///
/// The first number in the file is the time on the processor in nanoseconds. Source: Linux,
/// `Documentation/scheduler/sched-stats.rst`.
fn processor_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Returns the peak virtual memory of this process in bytes, or 0 if the system does not report it.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use std::panic;

    use super::*;

    #[test]
    fn changes_beyond_the_end_never_panic() {
        for mut bytes in [Vec::new(), vec![7], b"a = 12".to_vec()] {
            for at in [0, 1, 5, 6, 1 << 19] {
                for change in [
                    Change::Flip { at, bit: 1 },
                    Change::Set { at, byte: 3 },
                    Change::Remove { at, count: 9 },
                    Change::Insert { at, bytes: vec![1] },
                    Change::Repeat { from: at, count: 3, to: at + 1 },
                    Change::Number { at, with: 3 },
                    Change::Cut { at },
                ] {
                    change.apply(&mut bytes);
                }
            }
        }
        let mut text = b"a = 12 b".to_vec();
        Change::Number { at: 1, with: 1 }.apply(&mut text);
        assert_eq!(text, b"a = -1 b");
    }

    #[test]
    fn check_damaged_finds_parser_that_panics() {
        let careless = |bytes: &[u8]| assert!(bytes.len() > 3 && bytes[0] == b'k', "careless");
        let found = panic::catch_unwind(|| check_damaged(&[b"kiln".to_vec()], careless));
        assert!(found.is_err());
    }
}

//! Times single steps of training and evaluation. `benches/pytorch/compare.sh` compares these times with
//! `PyTorch`.
//!
//! ```console
//! $ cargo run --release --example training_step -- --list          # the networks as JSON
//! $ cargo run --release --example training_step -- lenet <<< 'train 20'
//! $ cargo run --release --example training_step -- lenet avx2 <<< 'train 20'
//! ```
//!
//! With the name of a network, the program reads commands from standard input and answers each command with
//! one line of JSON. `train N` and `judge N` return the milliseconds of `N` steps. `memory` returns the
//! resident and the peak resident size of the process in MiB (Linux only). A second argument (`portable`,
//! `avx2`) limits the instruction set.

#![allow(clippy::print_stdout, reason = "answers are what this program is for")]

mod networks;

use std::io::BufRead;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kiln_evaluator::StepTimer;
use kiln_kernels::InstructionSet;
use networks::Case;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--list"] => println!("{}", serde_json::to_string(&networks::all()?)?),
        [name] => answer(name)?,
        [name, set] => {
            let known = InstructionSet::ALL.into_iter().find(|known| known.name() == *set);
            known.with_context(|| format!("no instruction set `{set}`"))?.limit();
            answer(name)?;
        }
        _ => bail!("name one network, or `--list` for all of them"),
    }
    Ok(())
}

/// Answers commands about one network until standard input ends.
fn answer(name: &str) -> Result<()> {
    let idle = memory();
    let mut cases = networks::all()?.into_iter();
    let case = cases.find(|case| case.name == name).with_context(|| format!("no network `{name}`"))?;
    let Case { batch, optimizer, parameters, subnets, .. } = case;
    let mut timer = StepTimer::new(subnets, &parameters, batch, optimizer)?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (order, count) = line.split_once(' ').unwrap_or((&line, "1"));
        let count: usize = count.parse().with_context(|| format!("`{line}`: expected a number of steps"))?;
        let answer = match order {
            "train" => milliseconds(count, || timer.train()),
            "judge" => milliseconds(count, || timer.judge()),
            "memory" => [idle.0, memory().1].to_vec(),
            _ => bail!("`{line}`: expected `train N`, `judge N` or `memory`"),
        };
        println!("{}", serde_json::to_string(&answer)?);
    }
    Ok(())
}

fn milliseconds(count: usize, mut step: impl FnMut() -> Duration) -> Vec<f64> {
    (0..count).map(|_| step().as_secs_f64() * 1e3).collect()
}

/// Returns the resident and the peak resident size of this process in MiB. Returns NaN if the system does not
/// report them.
fn memory() -> (f64, f64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let size = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kibibytes.map_or(f64::NAN, |kibibytes| kibibytes / 1024.0)
    };
    (size("VmRSS:"), size("VmHWM:"))
}

#!/usr/bin/env python3
"""Measures what jobs cost beside evaluations in the process of the study.

    overhead.py --kiln target/release/kiln --work FOLDER [--trials 1000] [--repeats 3] [--json FILE]

Two studies of equal trainings on the digits, one with `[engine] kind = "local"` and two jobs, and one without
an engine and with two workers, run in turn. The journals must have equal outcomes. With `trials_per_job = 1`
and one job at a time, the difference of the times per trial is the price of a process for each evaluation.
The time until a process of Kiln has started and opened the data is measured with `kiln check`.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

STUDY = """[study]
name = "{name}"
seed = 1
[data]
kind = "digits"
[space]
kind = "mlp"
layers = [1, 2, 3]
width = [{widths}]
[evaluator]
kind = "scratch"
epochs = 1
batch = 16
[search]
strategy = "random"
trials = {trials}
"""
SHORT = 30


def run(kiln: Path, folder: Path, name: str, trials: int, engine: str, workers: int) -> tuple[float, list]:
    """Seconds of the study and the outcomes of its trials, by number."""
    runs = folder / "runs"
    shutil.rmtree(runs / name, ignore_errors=True)
    widths = ", ".join(str(width) for width in range(8, 136, 8))
    config = folder / f"{name}.toml"
    config.write_text(STUDY.format(name=name, trials=trials, widths=widths) + engine)
    began = time.monotonic()
    command = [kiln, "search", config, "--runs", runs, "--plain", "--workers", str(workers)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.monotonic() - began
    lines = map(json.loads, (runs / name / "journal.jsonl").read_text().splitlines())
    found = [line["trial"] for line in lines if line["kind"] == "trial"]
    return seconds, sorted((trial["id"], json.dumps(trial["outcome"])) for trial in found)


def opened(kiln: Path, folder: Path) -> float:
    """Seconds until a process has started, opened the config and the data, and ended."""
    config = folder / "plain.toml"
    began = time.monotonic()
    subprocess.run([kiln, "check", config], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kiln", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    kiln, folder = arguments.kiln.resolve(), arguments.work.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    local = '[engine]\nkind = "local"\n'
    chunks, single = [], []
    for _ in range(arguments.repeats):
        plain, expected = run(kiln, folder, "plain", arguments.trials, "", 2)
        jobs, found = run(kiln, folder, "jobs", arguments.trials, f"{local}jobs = 2\n", 2)
        if found != expected:
            print("the outcomes differ", file=sys.stderr)
            return 1
        chunks.append((plain, jobs))
        one, _ = run(kiln, folder, "one", SHORT, "", 1)
        each, _ = run(kiln, folder, "each", SHORT, f"{local}jobs = 1\ntrials_per_job = 1\nthreads = 2\n", 1)
        start = statistics.median(opened(kiln, folder) for _ in range(5))
        single.append({"added_s": (each - one) / SHORT, "start_s": start})
        print(f"{plain:.2f} s, jobs {jobs:.2f} s; {single[-1]}", file=sys.stderr, flush=True)
    result = {
        "throughput_percent": statistics.median(100 * plain / jobs for plain, jobs in chunks),
        "trial_ms": statistics.median(2000 * plain / arguments.trials for plain, _ in chunks),
        "added_s": statistics.median(row["added_s"] for row in single),
        "start_s": statistics.median(row["start_s"] for row in single),
    }
    result["overhead_s"] = result["added_s"] - result["start_s"]
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if result["throughput_percent"] >= 80 and result["overhead_s"] <= 0.2 else 1


if __name__ == "__main__":
    sys.exit(main())

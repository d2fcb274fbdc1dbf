#!/usr/bin/env python3
"""Measures this machine with `kiln hw measure`, then other networks, and compares the predictions with them.

Writes OUT/judged.json: for each cost model the share of unseen networks within 10 % of the measurement, the
share inside the predicted interval, Spearman's rank correlation, and the ceiling that repeated measurements
set. Run again after an interruption, it goes on.

    own_machine.py --kiln target/release/kiln --config configs/fashion-mnist.toml \
        --data fashion-mnist --out FOLDER --networks 150 --minutes 30 --unseen 100
"""
import argparse
import csv
import json
import pathlib
import statistics
import subprocess
import sys

MODELS = ["roofline", "fitted"]


def kiln(arguments, *call):
    command = [arguments.kiln, *map(str, call), "--json"]
    if arguments.data:
        command += ["--data", arguments.data]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}")
    return json.loads(done.stdout)


def measure(arguments, name, networks, minutes, seed):
    out = pathlib.Path(arguments.out) / name
    call = ["hw", "measure", arguments.config, "--out", out, "--runtime", arguments.runtime]
    call += ["--networks", networks, "--minutes", minutes, "--seed", seed, "--threads", arguments.threads]
    if arguments.library:
        call += ["--library", arguments.library]
    return out, kiln(arguments, *call)


def latencies(table):
    """The visits that count, by network."""
    found = {}
    with open(table, newline="") as file:
        for row in csv.DictReader(file):
            if row["latency_us"]:
                found.setdefault(row["arch"], []).append(float(row["latency_us"]))
    return found


def ranks(values):
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    first = 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and values[order[last + 1]] == values[order[first]]:
            last += 1
        for place in order[first : last + 1]:
            found[place] = (first + last) / 2
        first = last + 1
    return found


def judge(arguments, device, model, unseen):
    """Compares the predictions of one model with the median latency of each unseen network."""
    pairs, inside, errors = [], 0, []
    for genotype, measured in unseen.items():
        call = ["hw", "predict", genotype, "--space", arguments.config, "--file", device, "--model", model]
        latency = kiln(arguments, *call, "--threads", arguments.threads)["predictions"][0]["latency_us"]
        truth = statistics.median(measured)
        pairs.append((latency["value"], truth))
        errors.append(abs(latency["value"] / truth - 1))
        inside += latency["low"] <= truth <= latency["high"]
    count = len(pairs)
    return {
        "model": model,
        "networks": count,
        "within_10_percent": 100 * sum(error <= 0.1 for error in errors) / count,
        "within_5_percent": 100 * sum(error <= 0.05 for error in errors) / count,
        "median_error_percent": 100 * statistics.median(errors),
        "largest_error_percent": 100 * max(errors),
        "coverage_90": 100 * inside / count,
        "spearman": statistics.correlation(*[ranks(side) for side in zip(*pairs)]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kiln", required=True)
    parser.add_argument("--config", required=True)
    parser.add_argument("--data", help="folder of the config's data set, where the config names none")
    parser.add_argument("--out", required=True)
    parser.add_argument("--runtime", default="kiln", choices=["kiln", "onnxruntime"])
    parser.add_argument("--library", help="full path of the library of ONNX Runtime")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--networks", type=int, default=150)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--unseen", type=int, default=100)
    parser.add_argument("--unseen-minutes", type=int, default=20)
    parser.add_argument("--require", type=float, help="fail below this Spearman correlation of `fitted`")
    arguments = parser.parse_args()
    pathlib.Path(arguments.out).mkdir(parents=True, exist_ok=True)
    device, fitted = measure(arguments, "device.toml", arguments.networks, arguments.minutes, 0)
    # As many more, so that enough are left without those that the device file knows.
    more = arguments.unseen + arguments.unseen // 5
    _, other = measure(arguments, "unseen.toml", more, arguments.unseen_minutes, 1)
    known = latencies(fitted["measurements"])
    unseen = {name: found for name, found in latencies(other["measurements"]).items() if name not in known}
    unseen = dict(list(unseen.items())[: arguments.unseen])
    judged = {
        "runtime": arguments.runtime,
        "measured": fitted["measured"],
        "repeats_of_unseen": other["measured"].get("repeats"),
        "judged": [judge(arguments, device, model, unseen) for model in MODELS],
    }
    path = pathlib.Path(arguments.out) / "judged.json"
    path.write_text(json.dumps(judged, indent=2) + "\n")
    ceiling = judged["repeats_of_unseen"]["within_a_tenth_percent"]
    print(f"{arguments.runtime}: {fitted['measured']['session']['measured']} networks measured, ceiling {ceiling:.1f} %")
    for row in judged["judged"]:
        print(
            f"  {row['model']:9} {row['within_10_percent']:5.1f} % within 10 %, median error "
            f"{row['median_error_percent']:.1f} %, coverage {row['coverage_90']:.0f} %, "
            f"Spearman {row['spearman']:.3f}, {row['networks']} unseen networks"
        )
    spearman = judged["judged"][-1]["spearman"]
    if arguments.require is not None and spearman < arguments.require:
        sys.exit(f"Spearman {spearman:.3f} is below {arguments.require}")


if __name__ == "__main__":
    main()

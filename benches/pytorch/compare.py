"""Runs Kiln and PyTorch alternately on the same networks: images per second of training and of inference.

compare.sh calls it and documents the options.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
LAYOUTS = ["default", "channels_last"]


class Worker:
    """A program that answers commands line by line on this many processors. `avx2` switches AVX-512 off."""

    def __init__(self, command, processors, instructions):
        def pin():
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, processors)

        environment = {**os.environ, "RAYON_NUM_THREADS": str(len(processors))}
        environment["OMP_NUM_THREADS"] = str(len(processors))
        if instructions == "avx2":
            # Variables of PyTorch, oneDNN and MKL.
            environment["ATEN_CPU_CAPABILITY"] = "avx2"
            environment["ONEDNN_MAX_CPU_ISA"] = environment["MKL_ENABLE_INSTRUCTIONS"] = "AVX2"
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=pin,
            env=environment,
        )
        self.times = {"train": [], "judge": []}

    def ask(self, order):
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args[:2]} ended early")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def alternate(workers, kind, seconds):
    """Runs steps of each worker in turn, in runs of similar length, until each has had its seconds."""
    for worker in workers.values():
        worker.ask(f"{kind} 2")  # warm up
    runs = {}
    for name, worker in workers.items():
        typical = statistics.median(worker.ask(f"{kind} 3"))
        # About eight runs for each worker.
        runs[name] = max(1, round(seconds * 1e3 / 8 / typical))
    for _ in range(8):
        for name, worker in workers.items():
            worker.times[kind] += worker.ask(f"{kind} {runs[name]}")


def compare(case, threads, options):
    processors = sorted(os.sched_getaffinity(0))[:threads]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(case, file)
        file.flush()
        named = [options.instructions] if options.instructions else []
        workers = {"kiln": Worker([options.kiln, case["name"], *named], processors, options.instructions)}
        for layout in LAYOUTS:
            command = [sys.executable, os.path.join(HERE, "worker.py"), file.name, str(threads), layout]
            workers[f"pytorch_{layout}"] = Worker(command, processors, options.instructions)
        # All workers start before any is timed, so that no start disturbs a measurement.
        idle = {name: worker.ask("memory")[0] for name, worker in workers.items()}
        alternate(workers, "train", options.seconds)
        peak = {name: worker.ask("memory")[1] for name, worker in workers.items()}
        if len(case["subnets"]) == 1:
            alternate(workers, "judge", options.seconds)
        for worker in workers.values():
            worker.close()
    result = {"network": case["name"], "threads": threads, "batch": case["batch"], "optimizer": case["optimizer"]}
    for kind, label in [("train", "training"), ("judge", "inference")]:
        if not workers["kiln"].times[kind]:
            continue
        images = case["batch"] * len(case["subnets"])
        medians = {name: statistics.median(worker.times[kind]) for name, worker in workers.items()}
        best = min(medians[f"pytorch_{layout}"] for layout in LAYOUTS)
        result[label] = {
            "milliseconds": {name: round(median, 3) for name, median in medians.items()},
            "images_per_second": {name: round(images / median * 1e3, 1) for name, median in medians.items()},
            "ratio": round(best / medians["kiln"], 3),
        }
    result["idle_mebibytes"] = {name: round(size, 1) for name, size in idle.items()}
    result["peak_mebibytes"] = {name: round(size, 1) for name, size in peak.items()}
    return result


def row(result):
    cells = [result["network"], str(result["threads"])]
    for label in ["training", "inference"]:
        part = result.get(label)
        if part is None:
            cells += ["", "", "", ""]
            continue
        rates = part["images_per_second"]
        cells += [f"{rates[name]:.0f}" for name in ["kiln", "pytorch_default", "pytorch_channels_last"]]
        cells.append(f"{part['ratio']:.2f}")
    peak, idle = result["peak_mebibytes"], result["idle_mebibytes"]
    cells += [f"{peak[name]:.0f} ({peak[name] - idle[name]:.0f})" for name in ["kiln", "pytorch_default"]]
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kiln", required=True)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--networks", default="")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--instructions", choices=["avx2"])
    options = parser.parse_args()
    cases = json.loads(subprocess.run([options.kiln, "--list"], check=True, capture_output=True).stdout)
    wanted = [name for name in options.networks.split(",") if name]
    unknown = set(wanted) - {case["name"] for case in cases}
    if unknown:
        known = ", ".join(case["name"] for case in cases)
        raise SystemExit(f"no network `{min(unknown)}`; there are {known}")
    if not options.json:
        print("| network | threads | training: Kiln | PyTorch | channels last | ratio "
              "| inference: Kiln | PyTorch | channels last | ratio | peak MiB (grown): Kiln | PyTorch |")
        print("|---" * 12 + "|")
    for case in cases:
        if wanted and case["name"] not in wanted:
            continue
        for threads in map(int, options.threads.split(",")):
            result = compare(case, threads, options)
            print(json.dumps(result) if options.json else row(result), flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Compresses one network for each data set by every recipe, and compares accuracy, bytes and latency.

    table.py --kiln target/release/kiln --data FOLDER --out OUT
    table.py --kiln target/release/kiln --out OUT --only digits --seeds 1 --recipes LIST --require 0.5

FOLDER holds `mnist` and `fashion-mnist`, each with four IDX files. For each data set and seed, a small study
(`digits.toml` and others beside this script) trains one network in single precision. `kiln compress` then
compresses it by each recipe. ONNX Runtime runs every file on the test split, and measures its latency in turn
with that of the float file, one example at a time on one thread.

Each result is one file in OUT/rows. After an interruption, run the script again to continue: finished rows
are not repeated. At the end, OUT/table.md has the means over the seeds and says which goals are met. `change`
is the difference of the accuracy to the float network, on the same test images.

A recipe that fails has no row, and the next call tries it again. With `--require`, exit code 1 if a recipe
fails or a goal is missed. `--require 0.5` allows half a point more loss of accuracy than the goals: on few
test images, one image may be more than a goal.
"""

import argparse
import statistics
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import images
import onnxruntime
import sessions
import studies

HERE = Path(__file__).resolve().parent
FLOAT = "float"
COMBINATION = "structured-0.5+distill+qat-int8"
RECIPES = [
    FLOAT, "ptq-int8", "ptq-int8:max-loss=0.3", "qat-int8", "int4", "qat-int4", "f16", "codebook-16",
    "unstructured-0.7", "2:4", "structured-0.5", "structured:latency=0.5", "distill", COMBINATION,
]  # fmt: skip
# Fashion-MNIST has several seeds for these recipes, and one for the others.
REPEATED = [FLOAT, "ptq-int8", "qat-int8", "qat-int4", "structured-0.5", COMBINATION]
SEEDS = {"digits": 3, "fashion-mnist": 3, "mnist": 1}
# Largest loss of accuracy in points.
LOSSES = {"ptq-int8": 0.3, "qat-int8": 0.1, "qat-int4": 0.5, "structured-0.5": 0.5, "unstructured-0.7": 0.3}
# How many times as fast as the float network in ONNX Runtime, at most this share of its MACs.
SPEED = {"structured-0.5": (1.6, 0.5)}
# Share of the test images for which ONNX Runtime and Kiln must predict the same class, in percent.
AGREEMENT = 99.5
SECONDS = 240


def seeds_of(data: str, recipe: str, arguments: argparse.Namespace) -> range:
    count = min(SEEDS[data], arguments.seeds)
    return range(1, 1 + (1 if data == "fashion-mnist" and recipe not in REPEATED else count))


def jobs(arguments: argparse.Namespace) -> Iterator[tuple[str, int, str]]:
    """Data set, seed and recipe of each row, the float network first."""
    for data in arguments.only:
        for seed in range(1, 1 + max(SEEDS.values())):
            for recipe in arguments.recipes:
                if seed in seeds_of(data, recipe, arguments):
                    yield data, seed, recipe


class Network:
    """The float network of a data set and a seed, and how its compressed ones are measured."""

    def __init__(self, arguments: argparse.Namespace, data: str, seed: int):
        self.arguments, self.data, self.seed = arguments, data, seed
        self.folder = images.folder_of(data, arguments.data, arguments.out)
        runs = arguments.out / f"seed-{seed}"
        config = HERE / f"{data}.toml"
        self.run = runs / tomllib.loads(config.read_text())["study"]["name"]
        done = studies.study(arguments.kiln, config, self.folder, runs, seed)
        self.trial = done["said"]["finished"][0]["trial"]
        self.float_file = self.run / f"models/{self.trial}/model.onnx"
        self.images, self.labels = images.test_split(self.folder)

    def compress(self, recipe: str) -> tuple[dict, float]:
        """The rows of `kiln compress` for a recipe, `none` for the float network, and the seconds."""
        call = ["compress", self.run, self.trial, "--recipe", recipe, "--seconds", 0, "--data", self.folder]
        answer = self.arguments.out / "answers" / f"{self.data}-{self.seed}-{studies.file_name(recipe)}.json"
        done = studies.kept(answer, lambda: studies.kiln(self.arguments.kiln, *call))
        return {row["recipe"]: row for row in done["said"]}, done["seconds"]

    def row(self, recipe: str) -> dict:
        # The float network's accuracy and bytes are in each answer. `f16` trains nothing.
        said, seconds = self.compress("f16" if recipe == FLOAT else recipe)
        found = said["none" if recipe == FLOAT else recipe]
        file = Path(found["file"])
        if file.suffix != ".onnx":
            raise studies.Failed(f"{recipe}: there is no ONNX file, only {file.name}")
        outputs = sessions.outputs(sessions.session(file), self.images)
        before = sessions.outputs(sessions.session(self.float_file), self.images)
        place = self.arguments.out / f"{self.data}-test.npy"
        ours = studies.log_probabilities(self.arguments.kiln, file.parent, self.images, place)
        measured = self.arguments.latency_seconds
        raced = sessions.race_files(self.float_file, file, self.images[:1], measured)
        accuracy = sessions.accuracy(outputs, self.labels)
        return {
            "data": self.data,
            "seed": self.seed,
            "recipe": recipe,
            "file": str(file),
            "float_file": str(self.float_file),
            "test_images": len(self.labels),
            "accuracy_percent": accuracy,
            "change": accuracy - sessions.accuracy(before, self.labels),
            "kiln_accuracy_percent": found["test_accuracy_percent"],
            "kiln_change": found["change"],
            "agreement_percent": sessions.agreement(outputs, ours),
            "file_bytes": found["file_bytes"],
            "weight_bytes": found["weight_bytes"],
            "macs": found["macs"],
            "macs_share": found["macs"] / said["none"]["macs"],
            "latency_us": raced["second_us"],
            "float_latency_us": raced["first_us"],
            "times_as_fast": raced["times_as_fast"],
            "recipe_seconds": None if recipe == FLOAT else seconds,
            "program": studies.commit(self.arguments.kiln),
            "onnxruntime": onnxruntime.__version__,
        }


def measure(arguments: argparse.Namespace) -> tuple[list[dict], list[str]]:
    """All rows, and what failed."""
    rows, failures, network = [], [], None
    for data, seed, recipe in jobs(arguments):
        path = arguments.out / "rows" / f"{data}-{seed}-{studies.file_name(recipe)}.json"
        try:
            if not path.is_file() and (network is None or (network.data, network.seed) != (data, seed)):
                network = Network(arguments, data, seed)
            rows.append(studies.kept(path, lambda: network.row(recipe)))
        except studies.Failed as failed:
            failures.append(f"{data}, seed {seed}, {recipe}: {failed}")
            print(failures[-1], file=sys.stderr, flush=True)
            continue
        row = rows[-1]
        print(
            f"{data:13} {seed} {recipe:32} {row['accuracy_percent']:6.2f} % {row['change']:+5.2f}"
            f" {row['file_bytes']:8} bytes {row['latency_us']:7.1f} us {row['times_as_fast']:5.2f} x",
            file=sys.stderr,
            flush=True,
        )
    return rows, failures


def mean(rows: list[dict], key: str) -> float:
    return statistics.fmean(row[key] for row in rows)


def cells(recipe: str, rows: list[dict]) -> list[str]:
    changes = [row["change"] for row in rows]
    change = f"{mean(rows, 'change'):+.2f}"
    if len(rows) > 1:
        change += f" ({min(changes):+.2f} to {max(changes):+.2f})"
    seconds = [row["recipe_seconds"] for row in rows if row["recipe_seconds"] is not None]
    return [
        f"`{recipe}`",
        str(len(rows)),
        f"{mean(rows, 'accuracy_percent'):.2f}",
        "" if recipe == FLOAT else change,
        f"{min(row['agreement_percent'] for row in rows):.2f}",
        f"{mean(rows, 'file_bytes'):,.0f}",
        f"{mean(rows, 'weight_bytes'):,.0f}",
        f"{mean(rows, 'macs_share'):.2f}",
        f"{mean(rows, 'latency_us'):.1f}",
        "" if recipe == FLOAT else f"{mean(rows, 'times_as_fast'):.2f}",
        f"{max(seconds):.0f}" if seconds else "",
    ]


def goals(data: str, recipe: str, rows: list[dict], slack: float) -> list[tuple[str, str, bool, bool]]:
    """Goal, what was found, whether it is met, and whether it is met with `slack` points more."""
    found = []
    if recipe in LOSSES:
        change, limit = mean(rows, "change"), -LOSSES[recipe]
        # A change is a difference of two rounded sums.
        goal = f"{data}: `{recipe}` loses at most {LOSSES[recipe]} points"
        found.append((goal, f"{change:+.2f}", change >= limit - 1e-9, change >= limit - slack - 1e-9))
    agreement = min(row["agreement_percent"] for row in rows)
    goal = f"{data}: `{recipe}` agrees with Kiln for at least {AGREEMENT} % of the classes"
    found.append((goal, f"{agreement:.2f} %", agreement >= AGREEMENT, agreement >= AGREEMENT - slack))
    if recipe in SPEED:
        (times, share), speed = SPEED[recipe], mean(rows, "times_as_fast")
        most = max(row["macs_share"] for row in rows)
        is_met = speed >= times and most <= share
        goal = f"{data}: `{recipe}` is {times} times as fast with at most {share} of the MACs"
        found.append((goal, f"{speed:.2f} times, {most:.2f} of the MACs", is_met, is_met))
    slowest = max((row["recipe_seconds"] or 0 for row in rows), default=0)
    if slowest > SECONDS:
        found.append((f"{data}: `{recipe}` takes at most {SECONDS} s", f"{slowest:.0f} s", False, True))
    return found


def write(arguments: argparse.Namespace, rows: list[dict], failures: list[str]) -> bool:
    """Writes the table. Returns whether all goals are met with the slack of `--require`."""
    headings = [
        "recipe", "seeds", "accuracy, %", "change, points", "agreement with Kiln, %", "file, bytes",
        "weights, bytes", "share of MACs", "latency, µs", "times as fast", "seconds",
    ]  # fmt: skip
    lines, judged = ["# Recipes", ""], []
    for data in arguments.only:
        of_data = [row for row in rows if row["data"] == data]
        if not of_data:
            continue
        lines += [f"## {data}: {of_data[0]['test_images']:,} test images", ""]
        lines += [f"| {' | '.join(headings)} |", "|---|" + "---:|" * (len(headings) - 1)]
        for recipe in arguments.recipes:
            found = [row for row in of_data if row["recipe"] == recipe]
            if found:
                lines.append(f"| {' | '.join(cells(recipe, found))} |")
                judged += goals(data, recipe, found, arguments.require or 0.0)
        lines.append("")
    lines += ["## Goals", "", "| goal | found | met |", "|---|---|---|"]
    lines += [f"| {goal} | {found} | {'yes' if is_met else 'no'} |" for goal, found, is_met, _ in judged]
    lines += ["", *(f"- failed: {failure}" for failure in failures)]
    programs = sorted({(row["program"], row["onnxruntime"]) for row in rows})
    lines += ["", *(f"{program}, ONNX Runtime {version}." for program, version in programs)]
    text = "\n".join(lines).rstrip() + "\n"
    (arguments.out / "table.md").write_text(text)
    print(text, end="")
    return all(is_near for *_, is_near in judged)


def read_arguments() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--kiln", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder with `mnist` and `fashion-mnist`")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default=",".join(images.NAMES), help="data sets, separated by commas")
    parser.add_argument("--seeds", type=int, default=max(SEEDS.values()))
    parser.add_argument("--recipes", default=",".join(RECIPES), help="separated by commas")
    parser.add_argument("--latency-seconds", type=float, default=3.0)
    parser.add_argument("--require", type=float, nargs="?", const=0.0, metavar="POINTS")
    arguments = parser.parse_args()
    arguments.only = arguments.only.split(",")
    if unknown := set(arguments.only) - set(images.NAMES):
        parser.error(f"no data set {', '.join(sorted(unknown))}; there are {', '.join(images.NAMES)}")
    recipes = arguments.recipes.split(",")
    arguments.recipes = [FLOAT, *(recipe for recipe in recipes if recipe != FLOAT)]
    arguments.kiln, arguments.out = arguments.kiln.resolve(), arguments.out.resolve()
    arguments.out.mkdir(parents=True, exist_ok=True)
    return arguments


def main() -> int:
    arguments = read_arguments()
    rows, failures = measure(arguments)
    is_met = write(arguments, rows, failures)
    return 1 if arguments.require is not None and (failures or not is_met) else 0


if __name__ == "__main__":
    sys.exit(main())
